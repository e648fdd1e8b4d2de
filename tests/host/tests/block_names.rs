// SPDX-License-Identifier: GPL-2.0

//! What the block driver calls its disks, and how it writes their sizes.

#[path = "../../../drivers/block/virtio_blk/name.rs"]
mod name;
#[path = "../../../drivers/block/virtio_blk/size.rs"]
mod size;

use name::Name;
use proptest::prelude::*;
use size::Size;

/// D24: names go on after `vdz`, and no two disks share one.
#[test]
fn names_count_in_letters() {
    let names = [
        (0, "vda"),
        (25, "vdz"),
        (26, "vdaa"),
        (27, "vdab"),
        (701, "vdzz"),
        (702, "vdaaa"),
        (703, "vdaab"),
        (18277, "vdzzz"),
        (18278, "vdaaaa"),
    ];
    for (index, expected) in names {
        assert_eq!(Name::new(index).as_str(), expected, "disk {index}");
    }
}

proptest! {
    #[test]
    fn names_are_the_index_in_base_26(index: u32) {
        let name = Name::new(index);
        let letters = name.as_str().strip_prefix("vd").unwrap();
        let back = letters.bytes().fold(0_u64, |n, letter| n * 26 + u64::from(letter - b'a') + 1) - 1;
        prop_assert_eq!(back, u64::from(index));
    }
}

#[test]
fn sizes_have_three_digits_in_both_units() {
    let sizes = [
        (0, "0 B/0 B"),
        (512, "512 B/512 B"),
        (1000, "1.00 kB/1000 B"),
        (1 << 20, "1.05 MB/1.00 MiB"),
        (64 << 20, "67.1 MB/64.0 MiB"),
        (512 << 20, "537 MB/512 MiB"),
        (1 << 30, "1.07 GB/1.00 GiB"),
        (10 << 30, "10.7 GB/10.0 GiB"),
        (64 << 30, "68.7 GB/64.0 GiB"),
        (i64::MAX as u64, "9.22 EB/8.00 EiB"),
    ];
    for (bytes, expected) in sizes {
        assert_eq!(Size(bytes).to_string(), expected, "{bytes}");
    }
}
