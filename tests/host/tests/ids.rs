// SPDX-License-Identifier: GPL-2.0

//! Which driver serves which device.

use std::cell::Cell;

use host::bus::id::{
    matches_any,
    position,
    DeviceId,
    ANY, //
};
use proptest::prelude::*;

const BLOCK: DeviceId = DeviceId::new(2, 0x1af4);

/// The vendor decides in the right direction: an entry means its own vendor and no other.
#[test]
fn vendor_is_matched_or_any() {
    for (entry, device, expected) in [
        (0x1af4, 0x1af4, true),
        (0x1af4, 0x1af5, false),
        (0x1af5, 0x1af4, false),
        (0, 0x1af4, false),
        (0x1af4, 0, false),
        (0, 0, true),
        (ANY, 0x1af4, true),
        (ANY, 0, true),
        (ANY, ANY, true),
        // A device of such a vendor is not every vendor's.
        (0x1af4, ANY, false),
    ] {
        let found = DeviceId::new(2, entry).matches(&DeviceId::new(2, device));
        assert_eq!(found, expected, "entry {entry:#x} device {device:#x}");
    }
}

#[test]
fn type_is_matched_or_any() {
    for (entry, device, expected) in [(2, 2, true), (2, 1, false), (ANY, 2, true), (2, ANY, false)]
    {
        let found = DeviceId::new(entry, ANY).matches(&DeviceId::new(device, 0x1af4));
        assert_eq!(found, expected, "entry {entry:#x} device {device:#x}");
    }
    assert!(DeviceId::new(ANY, ANY).matches(&BLOCK));
    assert!(DeviceId::new(ANY, 0x1af4).matches(&BLOCK));
    assert!(!DeviceId::new(ANY, 0x1af5).matches(&BLOCK));
}

/// All 32 bits count: ids that agree in the low half only are different.
#[test]
fn ids_are_not_cut_to_16_bits() {
    assert!(!DeviceId::new(2, ANY).matches(&DeviceId::new(0x1_0002, 0)));
    assert!(!DeviceId::new(0x1_0002, ANY).matches(&BLOCK));
    assert!(!DeviceId::new(2, 0x1af4).matches(&DeviceId::new(2, 0x1_1af4)));
    assert!(!DeviceId::new(0xffff, ANY).matches(&BLOCK));
    assert!(!DeviceId::new(2, 0xffff).matches(&BLOCK));
    assert!(DeviceId::new(0x12345, ANY).matches(&DeviceId::new(0x12345, 1)));
}

#[test]
fn first_matching_entry_counts() {
    let table = [
        DeviceId::new(1, ANY),
        DeviceId::new(2, 0x1000),
        DeviceId::new(2, ANY),
        DeviceId::new(ANY, ANY),
    ];
    assert_eq!(position(table, BLOCK), Some(2));
    assert_eq!(position(table, DeviceId::new(2, 0x1000)), Some(1));
    assert_eq!(position(table, DeviceId::new(9, 9)), Some(3));
    assert!(matches_any(table, BLOCK));
    assert!(!matches_any([], BLOCK));
}

#[test]
fn nothing_behind_the_end_is_looked_at() {
    let looked_at = Cell::new(0);
    let table = [
        DeviceId::new(1, ANY),
        DeviceId::new(0, ANY),
        DeviceId::new(2, ANY),
    ];
    let table = table
        .into_iter()
        .inspect(|_| looked_at.set(looked_at.get() + 1));
    assert_eq!(position(table, BLOCK), None);
    assert_eq!(looked_at.get(), 2);
    assert!(DeviceId::new(0, 0).is_end());
    assert!(!DeviceId::new(ANY, 0).is_end());
}

proptest! {
    #[test]
    fn matches_as_either_part_does(device in id(), vendor in id(), entry_device in id(), entry_vendor in id()) {
        let by_part = |entry: u32, id: u32| entry == u32::MAX || entry == id;
        let expected = by_part(entry_device, device) && by_part(entry_vendor, vendor);
        let found = DeviceId::new(entry_device, entry_vendor).matches(&DeviceId::new(device, vendor));
        prop_assert_eq!(found, expected);
    }
}

/// Ids that are often equal.
fn id() -> impl Strategy<Value = u32> {
    prop_oneof![Just(ANY), 0u32..4, any::<u32>()]
}
