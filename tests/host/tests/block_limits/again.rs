// SPDX-License-Identifier: GPL-2.0

//! What a block device may say of itself after a reset (U15, H12): it takes all that it took before, or
//! more.

use crate::{
    limits,
    limits::{
        Discard,
        Limits,
        SecureErase,
        Topology,
        WriteZeroes, //
    },
    zoned::ZONED,
    zones::Zoned,
    DeviceConfig,
    PLAIN, //
};

/// A disk that says all that there is to say, but for zones.
const BEFORE: DeviceConfig = DeviceConfig {
    size_max: Some(8192),
    blk_size: Some(1024),
    discard: discard(64, 8, 8),
    write_zeroes: zeroes(64, true),
    secure_erase: erase(64, 8),
    ..PLAIN
};

const fn discard(max_sectors: u32, max_seg: u32, sector_alignment: u32) -> Option<Discard> {
    Some(Discard {
        max_sectors,
        max_seg,
        sector_alignment,
    })
}

const fn zeroes(max_sectors: u32, may_unmap: bool) -> Option<WriteZeroes> {
    Some(WriteZeroes {
        max_sectors,
        may_unmap,
    })
}

const fn erase(max_sectors: u32, sector_alignment: u32) -> Option<SecureErase> {
    Some(SecureErase {
        max_sectors,
        max_seg: 1,
        sector_alignment,
    })
}

/// A change, and the name of what there is less of after it, if there is.
type Change<T> = (Option<&'static str>, fn(&mut T));

/// Makes each change to what there was before.
fn check<T: Copy>(before: T, limits_of: impl Fn(T) -> Limits, changes: &[Change<T>]) {
    for (index, (expected, change)) in changes.iter().enumerate() {
        let mut now = before;
        change(&mut now);
        let shortfall = limits_of(now).shortfall(&limits_of(before));
        assert_eq!(shortfall, *expected, "change {index}");
    }
}

#[test]
fn a_device_may_not_take_less_than_before() {
    check(
        BEFORE,
        |config| limits(config).unwrap(),
        &[
            (None, |_| ()),
            (None, |new| new.capacity_sectors = 64),
            (None, |new| new.seg_max = Some(255)),
            (None, |new| new.size_max = None),
            (None, |new| new.discard = discard(0, 9, 4)),
            (None, |new| {
                new.topology = Some(Topology {
                    physical_block_exp: 1,
                    alignment_offset: 0,
                    min_io_size: 2,
                    opt_io_size: 4,
                });
            }),
            (Some("blk_size"), |new| new.blk_size = Some(512)),
            (Some("blk_size"), |new| new.blk_size = Some(2048)),
            (Some("size_max"), |new| new.size_max = Some(4096)),
            (Some("seg_max"), |new| new.seg_max = Some(253)),
            (Some("max_discard_sectors"), |new| {
                new.discard = discard(63, 8, 8);
            }),
            (Some("max_discard_seg"), |new| {
                new.discard = discard(64, 7, 8);
            }),
            // The block layer has one unit for both.
            (Some("discard_sector_alignment"), |new| {
                new.discard = discard(64, 8, 16);
                new.secure_erase = erase(64, 16);
            }),
            (Some("max_write_zeroes_sectors"), |new| {
                new.write_zeroes = zeroes(63, true);
            }),
            (Some("write_zeroes_may_unmap"), |new| {
                new.write_zeroes = zeroes(64, false);
            }),
            (Some("max_secure_erase_sectors"), |new| {
                new.secure_erase = erase(63, 8);
            }),
            (Some("zoned.model"), |new| new.zoned = Some(ZONED)),
        ],
    );
}

#[test]
fn zones_may_not_be_less_than_before() {
    let limits_of = |zoned: Zoned| {
        limits(DeviceConfig {
            zoned: Some(zoned),
            ..PLAIN
        })
        .unwrap()
    };
    check(
        ZONED,
        limits_of,
        &[
            (None, |_| ()),
            (None, |new| new.max_open_zones = 0),
            (None, |new| new.max_append_sectors = 512),
            (None, |new| new.write_granularity = 512),
            (Some("zone_sectors"), |new| new.zone_sectors = 16384),
            (Some("max_open_zones"), |new| new.max_open_zones = 2),
            (Some("max_active_zones"), |new| new.max_active_zones = 4),
            (Some("max_append_sectors"), |new| {
                new.max_append_sectors = 128;
            }),
            (Some("write_granularity"), |new| {
                new.write_granularity = 8192;
            }),
        ],
    );
    // No number is more than any.
    let unlimited = Zoned {
        max_active_zones: 0,
        ..ZONED
    };
    let limited = limits_of(ZONED).shortfall(&limits_of(unlimited));
    assert_eq!(limited, Some("max_active_zones"));
}

/// Limits of a device that says other things than at first, while its disk is in use.
fn followed(change: fn(&mut DeviceConfig)) -> Result<Limits, &'static str> {
    let mut now = BEFORE;
    change(&mut now);
    limits(now).unwrap().within(&limits(BEFORE).unwrap())
}

#[test]
fn a_disk_in_use_takes_what_the_block_layer_sees_to() {
    let before = limits(BEFORE).unwrap();
    let now = followed(|now| {
        now.capacity_sectors = 64;
        now.seg_max = Some(4);
        now.discard = discard(8, 1, 8);
    });
    let expected = Limits {
        capacity_sectors: 64,
        max_segments: 4,
        max_discard_sectors: 8,
        max_discard_segments: 1,
        ..before
    };
    assert_eq!(now, Ok(expected));
    for (field, change) in [
        (
            "blk_size",
            (|now| now.blk_size = Some(512)) as fn(&mut DeviceConfig),
        ),
        ("size_max", |now| now.size_max = Some(4096)),
        ("write_zeroes_may_unmap", |now| {
            now.write_zeroes = zeroes(64, false);
        }),
    ] {
        assert_eq!(followed(change), Err(field));
    }
}

#[test]
fn a_disk_in_use_was_not_made_for_more() {
    let now = followed(|now| {
        now.seg_max = Some(255);
        now.size_max = None;
    });
    assert_eq!(now, limits(BEFORE).map_err(|_| ""));
}
