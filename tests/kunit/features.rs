// SPDX-License-Identifier: GPL-2.0

//! Which of the features on offer are accepted.

use kernel::prelude::*;

#[kunit_tests(virtio_features)]
mod tests {
    use super::*;

    use bindings_ext as bindings;
    use virtio::{
        features,
        Features, //
    };

    use crate::{
        core_device,
        device::fault::Fault,
        driver::{
            Plan,
            TestFeature, //
        },
        rig::{
            Offer,
            Rig, //
        },
        trace::Event,
        transport::supported_features, //
    };

    /// Every bit there is.
    const ALL: Features = Features::from_words([u64::MAX; 2]);

    fn offer(features: Features) -> Offer<'static> {
        Offer {
            features,
            ..Offer::PLAIN
        }
    }

    /// Has the platform keep devices from memory that they were not given, as in a confidential
    /// guest, while it lives.
    struct RestrictedMemory(Check);

    type Check = Option<unsafe extern "C" fn(*mut bindings::virtio_device) -> bool>;

    impl RestrictedMemory {
        fn new() -> Self {
            extern "C" fn always(_dev: *mut bindings::virtio_device) -> bool {
                true
            }
            // SAFETY: Only this test's device is being bound meanwhile.
            Self(unsafe {
                let before = bindings::virtio_check_mem_acc_cb;
                bindings::virtio_check_mem_acc_cb = Some(always);
                before
            })
        }
    }

    impl Drop for RestrictedMemory {
        fn drop(&mut self) {
            // SAFETY: As in `new`.
            unsafe { bindings::virtio_check_mem_acc_cb = self.0 };
        }
    }

    /// N23: where memory is restricted, a device that would access all of it is refused, and one that
    /// uses the DMA API is not.
    #[test]
    fn n23_restricted_memory_needs_access_platform() -> Result {
        let restricted = RestrictedMemory::new();
        let rig = Rig::plain()?;
        check!(!rig.has_driver());
        check_eq!(rig.status(), 0x83);
        check!(rig.finish());

        let rig = Rig::new(Offer::PLAIN.with(features::ACCESS_PLATFORM), Plan::NORMAL)?;
        check!(rig.has_driver());
        drop(restricted);
        check!(rig.finish());
        Ok(())
    }

    fn accepted(rig: &Rig) -> Features {
        Features::from_words(rig.machine().registers(|registers| registers.accepted()))
    }

    /// CORE-FEAT-1 to CORE-FEAT-8, N1, N3, N4: of all bits, those are accepted that the driver
    /// lists and those of the transport's range that the ring implements. NOTIFY_ON_EMPTY (N8),
    /// reserved and undefined bits are not, nor is one of the transport's range that the driver
    /// lists.
    #[test]
    fn core_feat_4_all_bits_offered() -> Result {
        let rig = Rig::new(offer(ALL), Plan::NORMAL)?;
        check!(rig.has_driver());
        let expected = Features::from_bits(&[
            0,
            5,
            6,
            27,
            42,
            70,
            features::INDIRECT_DESC,
            features::EVENT_IDX,
            features::VERSION_1,
            features::ACCESS_PLATFORM,
            features::ORDER_PLATFORM,
        ]);
        // What ring and transport implement may grow, but only within the transport's range.
        let supported = supported_features().and(Features::TRANSPORT);
        check!(
            accepted(&rig).and_not(Features::TRANSPORT) == expected.and_not(Features::TRANSPORT)
        );
        check!(accepted(&rig).and(Features::TRANSPORT) == supported);
        check!(expected.and_not(accepted(&rig)).is_empty());
        check!(rig.bound().features() == accepted(&rig));
        check!(rig.finish());
        Ok(())
    }

    /// CORE-FEAT-1: whatever half of all bits is on offer, nothing else is accepted, and of that
    /// half all that driver, ring or transport know.
    #[test]
    fn core_feat_1_nothing_but_what_is_offered() -> Result {
        let known = Features::from_bits(&[0, 5, 6, 27, 42, 70])
            .or(supported_features().and(Features::TRANSPORT));
        // Two halves for each binary digit of a bit's number.
        for half in 0..14 {
            let offered = ALL
                .iter()
                .filter(|bit| (bit >> (half / 2)) & 1 == half % 2)
                .fold(Offer::PLAIN.features, Features::with);
            let rig = Rig::new(offer(offered), Plan::NORMAL)?;
            check!(rig.has_driver());
            check!(accepted(&rig) == offered.and(known).without_orphans([(6, 0)].into_iter()));
            check!(rig.finish());
        }
        Ok(())
    }

    /// CORE-FEAT-9, CORE-FEAT-12: a device without any feature of its own will do.
    #[test]
    fn core_feat_9_nothing_offered_but_version_1() -> Result {
        let rig = Rig::plain()?;
        check!(rig.has_driver());
        check!(accepted(&rig) == Features::from_bits(&[features::VERSION_1]));
        check!(rig.finish());
        Ok(())
    }

    /// CORE-RSVD-1, CORE-RSVD-2, N12, CORE-FEAT-10, CORE-FEAT-11: a device without VERSION_1 is
    /// refused before the driver sees it.
    #[test]
    fn n12_legacy_device_is_refused() -> Result {
        let rig = Rig::new(offer(ALL.without(features::VERSION_1)), Plan::NORMAL)?;
        check!(!rig.has_driver());
        check_eq!(rig.script().probes(), 0);
        check_eq!(rig.trace().count(Event::Features), 0);
        check_eq!(rig.status(), 0x83);
        check!(rig.finish());
        Ok(())
    }

    /// CORE-INIT-8, N5: the features are written once.
    #[test]
    fn n5_features_are_written_once() -> Result {
        let rig = Rig::plain()?;
        check_eq!(rig.trace().count(Event::Features), 1);
        check!(rig.finish());
        Ok(())
    }

    /// N7: what a driver is told is what was agreed on.
    #[test]
    fn n7_driver_sees_what_was_agreed_on() -> Result {
        let rig = Rig::new(Offer::PLAIN.with(5).with(70).with(38), Plan::NORMAL)?;
        let negotiated = rig.script().negotiated().ok_or(ENODEV)?;
        check!(negotiated.has(TestFeature::Fifth));
        check!(negotiated.has(TestFeature::High));
        check!(!negotiated.has(TestFeature::Low));
        check!(!negotiated.has(TestFeature::Above));
        check!(!negotiated.has(TestFeature::Transport));
        check!(rig.finish());
        Ok(())
    }

    /// N26: a device that offers less after a reset is taken at its new word.
    #[test]
    fn n26_offer_shrinks_over_a_reset() -> Result {
        let rig = Rig::new(
            Offer::PLAIN.with(5).fault(Fault::FeaturesShrink),
            Plan::NORMAL,
        )?;
        check!(accepted(&rig).contains(5));
        core_device::release(rig.device());
        check!(core_device::attach(rig.device())?);
        check!(!accepted(&rig).contains(5));
        check!(!rig.bound().features().contains(5));
        check!(rig.finish());
        Ok(())
    }

    /// CORE-FEAT-2: what needs a feature that is not there goes with it.
    #[test]
    fn core_feat_2_orphans_are_dropped() -> Result {
        let offer = Offer::PLAIN.with(TestFeature::Dependent as u32);
        let rig = Rig::new(offer, Plan::NORMAL)?;
        check!(rig.has_driver());
        check!(accepted(&rig) == Offer::PLAIN.features);
        check!(rig.bound().features() == accepted(&rig));
        check!(rig.finish());

        let rig = Rig::new(offer.with(TestFeature::Low as u32), Plan::NORMAL)?;
        check!(accepted(&rig) == offer.features.with(TestFeature::Low as u32));
        check!(rig.finish());
        Ok(())
    }
}
