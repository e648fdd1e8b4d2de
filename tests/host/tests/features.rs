// SPDX-License-Identifier: GPL-2.0

//! Feature sets and what is accepted of an offer.

use host::bus::features::{
    negotiate,
    Features,
    Refusal,
    ACCESS_PLATFORM,
    ADMIN_VQ,
    EVENT_IDX,
    INDIRECT_DESC,
    IN_ORDER,
    NOTIFICATION_DATA,
    NOTIF_CONFIG_DATA,
    ORDER_PLATFORM,
    RING_PACKED,
    RING_RESET,
    SR_IOV,
    TRANSPORT_BITS,
    VERSION_1, //
};
use proptest::prelude::*;

const ALL: Features = Features::from_words([u64::MAX; 2]);
const TRANSPORT: Features = Features::from_bits(&[INDIRECT_DESC, EVENT_IDX, VERSION_1]);

fn set() -> impl Strategy<Value = Features> {
    any::<[u64; 2]>().prop_map(Features::from_words)
}

/// VIRTIO 1.4, 6 "Reserved Feature Bits".
#[test]
fn reserved_bits_have_their_numbers() {
    let bits = [
        INDIRECT_DESC,
        EVENT_IDX,
        VERSION_1,
        ACCESS_PLATFORM,
        RING_PACKED,
        IN_ORDER,
        ORDER_PLATFORM,
        SR_IOV,
        NOTIFICATION_DATA,
        NOTIF_CONFIG_DATA,
        RING_RESET,
        ADMIN_VQ,
    ];
    assert_eq!(bits, [28, 29, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41]);
    for bit in 0..200 {
        assert_eq!(Features::TRANSPORT.contains(bit), (28..=41).contains(&bit));
        assert_eq!(TRANSPORT_BITS.contains(&bit), (28..=41).contains(&bit));
    }
}

#[test]
fn bits_are_kept_one_by_one() {
    for bit in 0..128 {
        let set = Features::EMPTY.with(bit);
        assert_eq!(set.iter().collect::<Vec<_>>(), [bit]);
        assert_eq!(ALL.without(bit).iter().count(), 127);
        assert!(!ALL.without(bit).contains(bit));
        let words = set.words();
        assert_eq!(u128::from(words[0]) | u128::from(words[1]) << 64, 1 << bit);
    }
}

#[test]
fn bits_that_no_set_has_change_nothing() {
    for bit in [128, 129, 191, 192, 256, u32::MAX] {
        assert_eq!(Features::EMPTY.with(bit), Features::EMPTY);
        assert_eq!(ALL.without(bit), ALL);
        assert!(!ALL.contains(bit));
    }
}

/// The sysfs attribute: 128 characters, bit 0 first.
#[test]
fn display_is_the_line_of_the_sysfs_attribute() {
    assert_eq!(Features::EMPTY.to_string(), "0".repeat(128));
    assert_eq!(ALL.to_string(), "1".repeat(128));
    let line = Features::from_bits(&[0, 2, 32, 127]).to_string();
    let expected = format!("101{}1{}1", "0".repeat(29), "0".repeat(94));
    assert_eq!(line, expected);
}

/// CORE-FEAT-1, CORE-FEAT-4, CORE-FEAT-12: an offer of everything changes nothing for a driver that
/// knows little.
#[test]
fn unknown_offers_are_ignored() {
    let driver = Features::from_bits(&[5, 9, 70]);
    let accepted = negotiate(ALL, driver, TRANSPORT).unwrap();
    let expected = [5, 9, INDIRECT_DESC, EVENT_IDX, VERSION_1, 70];
    assert_eq!(accepted.iter().collect::<Vec<_>>(), expected);
}

/// CORE-FEAT-9: what is not offered is left out, and that is no failure.
#[test]
fn missing_offers_are_left_out() {
    let driver = Features::from_bits(&[5, 9, 70]);
    let offered = Features::from_bits(&[9, EVENT_IDX, VERSION_1]);
    assert_eq!(negotiate(offered, driver, TRANSPORT), Ok(offered));
}

/// CORE-FEAT-7: the driver has no say in the bits of the transport, nor the transport in others.
#[test]
fn transport_and_driver_decide_of_their_own_bits_only() {
    let accepted = negotiate(ALL, ALL, TRANSPORT).unwrap();
    for bit in 0..128 {
        let expected = if TRANSPORT_BITS.contains(&bit) {
            TRANSPORT.contains(bit)
        } else {
            true
        };
        assert_eq!(accepted.contains(bit), expected, "{bit}");
    }
    let accepted = negotiate(ALL, Features::EMPTY, ALL).unwrap();
    assert_eq!(accepted, Features::TRANSPORT);
}

/// CORE-RSVD-1, CORE-RSVD-2: `VERSION_1` is accepted when offered; without it there is no deal.
#[test]
fn legacy_device_is_refused() {
    let refused = Err(Refusal::NotModern);
    assert_eq!(negotiate(ALL.without(VERSION_1), ALL, TRANSPORT), refused);
    assert_eq!(negotiate(ALL, ALL, TRANSPORT.without(VERSION_1)), refused);
    assert_eq!(negotiate(Features::EMPTY, ALL, TRANSPORT), refused);
    // A driver need not name it, and naming it does not help.
    assert!(negotiate(ALL, Features::EMPTY, TRANSPORT).is_ok());
    assert_eq!(Refusal::NotModern.to_string(), "no VIRTIO_F_VERSION_1");
}

/// CORE-FEAT-2: a feature goes with its prerequisite, however long the chain and in any order.
#[test]
fn features_without_prerequisite_are_dropped() {
    let rules = [(3, 2), (2, 1), (1, 0), (9, 8), (9, 7)];
    let kept = |bits: &[u32]| -> Vec<_> {
        Features::from_bits(bits)
            .without_orphans(rules.iter().copied())
            .iter()
            .collect()
    };
    assert_eq!(kept(&[0, 1, 2, 3]), [0, 1, 2, 3]);
    assert_eq!(kept(&[1, 2, 3]), []);
    assert_eq!(kept(&[0, 2, 3]), [0]);
    assert_eq!(kept(&[0, 1, 3]), [0, 1]);
    assert_eq!(kept(&[7, 8, 9]), [7, 8, 9]);
    assert_eq!(kept(&[7, 9]), [7]);
    assert_eq!(kept(&[8, 9]), [8]);
    assert_eq!(kept(&[50]), [50]);
    assert_eq!(
        Features::from_bits(&[4]).without_orphans([].into_iter()),
        Features::from_bits(&[4])
    );
    // Features that need each other stay or go together; none can need a bit that no set has.
    assert_eq!(
        Features::from_bits(&[1, 2])
            .without_orphans([(1, 2), (2, 1)].into_iter())
            .iter()
            .count(),
        2
    );
    assert!(Features::from_bits(&[1])
        .without_orphans([(1, 2), (2, 1)].into_iter())
        .is_empty());
    assert!(Features::from_bits(&[1])
        .without_orphans([(1, 128)].into_iter())
        .is_empty());
}

/// Sets are constants of a driver.
#[test]
fn everything_works_in_constants() {
    const SET: Features = Features::from_bits(&[1, 2, VERSION_1]).without(1);
    const ACCEPTED: Result<Features, Refusal> = negotiate(ALL, SET, TRANSPORT);
    assert_eq!(ACCEPTED, Ok(TRANSPORT.with(2)));
}

proptest! {
    #[test]
    fn set_operations_agree_with_single_bits(a in set(), b in set()) {
        for bit in 0..128 {
            let (in_a, in_b) = (a.contains(bit), b.contains(bit));
            prop_assert_eq!(a.and(b).contains(bit), in_a && in_b);
            prop_assert_eq!(a.or(b).contains(bit), in_a || in_b);
            prop_assert_eq!(a.and_not(b).contains(bit), in_a && !in_b);
        }
        prop_assert_eq!(a.is_empty(), a.iter().next().is_none());
        prop_assert_eq!(a.iter().fold(Features::EMPTY, Features::with), a);
        prop_assert_eq!(Features::from_words(a.words()), a);
        prop_assert_eq!(a.to_string().matches('1').count(), a.iter().count());
    }

    /// CORE-FEAT-1, CORE-FEAT-5, CORE-FEAT-6, CORE-FEAT-8: only what is offered and known to those
    /// who decide.
    #[test]
    fn accepted_bits_are_offered_and_supported(offered in set(), driver in set(), transport in set()) {
        let supported = |bit| if (28..=41).contains(&bit) {
            transport.contains(bit)
        } else {
            driver.contains(bit)
        };
        match negotiate(offered, driver, transport) {
            Ok(accepted) => {
                for bit in 0..128 {
                    let expected = offered.contains(bit) && supported(bit);
                    prop_assert_eq!(accepted.contains(bit), expected);
                }
            }
            Err(Refusal::NotModern) => {
                prop_assert!(!offered.contains(VERSION_1) || !transport.contains(VERSION_1));
            }
        }
    }

    /// CORE-FEAT-2: nothing is left whose prerequisite is not, and no more than necessary is gone.
    #[test]
    fn dropping_orphans_leaves_the_largest_valid_set(
        set in set(),
        rules in prop::collection::vec((0u32..130, 0u32..130), 0..60),
    ) {
        let kept = set.without_orphans(rules.iter().copied());
        prop_assert!(kept.and_not(set).is_empty());
        for &(feature, needs) in &rules {
            prop_assert!(!kept.contains(feature) || kept.contains(needs));
        }
        // Putting any dropped bits back breaks a rule: all that was dropped has a reason that was
        // dropped or missing from the start.
        for bit in set.and_not(kept).iter() {
            prop_assert!(rules.iter().any(|&(feature, needs)| feature == bit && !kept.contains(needs)));
        }
    }
}
