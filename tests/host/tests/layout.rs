// SPDX-License-Identifier: GPL-2.0

//! Wire types and the layout of a queue in memory.

use host::ring::layout::{
    Layout,
    LEGACY_ALIGN,
    MAX_SIZE,
    MODERN_ALIGN,
    TABLE_ALIGN, //
};
use host::ring::wire::{
    Desc,
    Le16,
    Le32,
    Le64,
    UsedElem, //
};
use proptest::prelude::*;

fn sizes() -> impl Iterator<Item = u32> {
    (0..16).map(|log| 1 << log)
}

/// SPLIT-ALIGN-1, SPLIT-ALIGN-2, SPLIT-ALIGN-3: with memory aligned as the table, all parts are.
#[test]
fn every_part_is_aligned() {
    for size in sizes() {
        for align in [MODERN_ALIGN, 64, LEGACY_ALIGN] {
            let layout = Layout::new(size, align).unwrap();
            assert_eq!(layout.desc() % TABLE_ALIGN, 0);
            assert_eq!(TABLE_ALIGN % 16, 0);
            assert_eq!(layout.avail() % 2, 0);
            assert_eq!(layout.used() % 4, 0);
            assert_eq!(layout.used() % align, 0);
            assert_eq!(layout.used_event() % 2, 0);
            assert_eq!(layout.avail_event() % 2, 0);
        }
    }
}

/// The sizes of VIRTIO 1.4, 2.7 "Split Virtqueues": 16, 6 + 2 and 6 + 8 bytes per entry.
#[test]
fn parts_have_room_and_do_not_overlap() {
    for size in sizes() {
        let entries = size as usize;
        for align in [MODERN_ALIGN, 64, LEGACY_ALIGN] {
            let layout = Layout::new(size, align).unwrap();
            assert_eq!(u32::from(layout.size()), size);
            assert_eq!(layout.desc(), 0);
            assert_eq!(layout.avail(), 16 * entries);
            assert_eq!(layout.used_event(), layout.avail() + 4 + 2 * entries);
            let avail_end = layout.avail() + 6 + 2 * entries;
            assert!(layout.used() >= avail_end);
            assert!(layout.used() < avail_end + align);
            assert_eq!(layout.avail_event(), layout.used() + 4 + 8 * entries);
            assert_eq!(layout.bytes(), layout.used() + 6 + 8 * entries);
        }
    }
}

/// The example everyone knows: 256 entries of a legacy PCI device take three pages.
#[test]
fn legacy_layout_is_that_of_existing_devices() {
    let layout = Layout::new(256, LEGACY_ALIGN).unwrap();
    assert_eq!(layout.avail(), 4096);
    assert_eq!(layout.used(), 8192);
    assert_eq!(layout.bytes(), 10246);
    let layout = Layout::new(128, LEGACY_ALIGN).unwrap();
    assert_eq!(layout.used(), 4096);
    assert_eq!(layout.bytes(), 5126);
}

#[test]
fn smallest_and_largest_queue_are_laid_out() {
    let layout = Layout::new(1, MODERN_ALIGN).unwrap();
    assert_eq!(
        (layout.avail(), layout.used(), layout.bytes()),
        (16, 24, 38)
    );
    let layout = Layout::new(MAX_SIZE, MODERN_ALIGN).unwrap();
    assert_eq!((layout.size(), layout.bytes()), (32768, 26 * 32768 + 14));
}

#[test]
fn other_sizes_are_refused() {
    for size in (0..=65536).chain([u32::MAX, 1 << 31, 65537]) {
        let valid = sizes().any(|valid| valid == size);
        assert_eq!(Layout::new(size, MODERN_ALIGN).is_some(), valid, "{size}");
    }
}

#[test]
fn other_alignments_are_refused() {
    for align in [0, 1, 2, 3, 5, 6, 12, 4095, 4097, usize::MAX] {
        assert_eq!(Layout::new(8, align), None, "{align}");
    }
    // These are powers of two, but what follows has no room in the address space.
    assert_eq!(Layout::new(8, 1 << (usize::BITS - 1)), None);
    assert!(Layout::new(8, 1 << (usize::BITS - 2)).is_some());
}

/// VIRTIO 1.4, 2.7.5 "The Virtqueue Descriptor Table" and 2.7.8 "The Virtqueue Used Ring".
#[test]
fn structures_have_the_bytes_of_the_wire() {
    let desc = Desc {
        addr: 0x1122_3344_5566_7788.into(),
        len: 0x99aa_bbcc.into(),
        flags: 0xddee.into(),
        next: 0xff01.into(),
    };
    // SAFETY: A descriptor has 16 bytes and no padding.
    let bytes: [u8; 16] = unsafe { std::mem::transmute(desc) };
    assert_eq!(
        bytes,
        [
            0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0xcc, 0xbb, 0xaa, 0x99, 0xee, 0xdd, 1,
            0xff
        ]
    );
    let elem = UsedElem {
        id: 0x0102_0304.into(),
        len: 0x0506_0708.into(),
    };
    // SAFETY: A used entry has 8 bytes and no padding.
    let bytes: [u8; 8] = unsafe { std::mem::transmute(elem) };
    assert_eq!(bytes, [4, 3, 2, 1, 8, 7, 6, 5]);
}

proptest! {
    #[test]
    fn little_endian_integers_give_back_what_they_hold(a: u16, b: u32, c: u64) {
        prop_assert_eq!(Le16::new(a).get(), a);
        prop_assert_eq!(u16::from(Le16::from(a)), a);
        prop_assert_eq!(Le32::new(b).get(), b);
        prop_assert_eq!(u32::from(Le32::from(b)), b);
        prop_assert_eq!(Le64::new(c).get(), c);
        prop_assert_eq!(u64::from(Le64::from(c)), c);
        prop_assert_eq!(format!("{:?}", Le64::new(c)), format!("{c}"));
    }
}
