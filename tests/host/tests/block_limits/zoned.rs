// SPDX-License-Identifier: GPL-2.0

//! What a block device may say of its zones.

use crate::{
    limits,
    zones::{
        self,
        Descriptor,
        Zoned,
        HOST_MANAGED, //
    },
    DeviceConfig,
    PLAIN, //
};

/// A disk whose zones are written from start to end.
pub(crate) const ZONED: Zoned = Zoned {
    zone_sectors: 8192,
    max_open_zones: 3,
    max_active_zones: 5,
    max_append_sectors: 256,
    write_granularity: 4096,
    model: HOST_MANAGED,
};

/// K63, BLK-INIT-10, BLK-INIT-11: only where zones must be written in order is there anything to check.
#[test]
fn models_without_demands_are_ordinary_disks() {
    for model in 0..=u8::MAX {
        let nonsense = Zoned {
            zone_sectors: 1000,
            write_granularity: 0,
            model,
            ..ZONED
        };
        let expected = match model {
            0 | 2 => Ok(None),
            HOST_MANAGED => Err(zones::Refusal::ZoneSize(1000)),
            _ => Err(zones::Refusal::Model(model)),
        };
        assert_eq!(nonsense.limits(1 << 20, 512), expected, "model {model}");
    }
}

/// K64 to K66, H14: a disk that cannot append is one all the same.
#[test]
fn zone_limits_are_checked() {
    use zones::Refusal::{
        AppendSectors,
        Count,
        OpenZones,
        WriteGranularity,
        ZoneSize, //
    };
    let with = |change: fn(&mut Zoned)| {
        let mut zoned = ZONED;
        change(&mut zoned);
        zoned.limits(1 << 30, 4096).map(Option::unwrap)
    };
    let plain = with(|_| {}).unwrap();
    assert_eq!((plain.zone_sectors, plain.write_granularity), (8192, 4096));
    assert_eq!(
        with(|z| z.max_append_sectors = 0)
            .unwrap()
            .max_append_sectors,
        0
    );
    assert_eq!(
        with(|z| z.write_granularity = 512)
            .unwrap()
            .write_granularity,
        4096
    );
    assert_eq!(with(|z| z.max_active_zones = 0).unwrap().max_open_zones, 3);
    assert_eq!(with(|z| z.zone_sectors = 0), Err(ZoneSize(0)));
    assert_eq!(with(|z| z.zone_sectors = 4), Err(ZoneSize(4)));
    assert_eq!(with(|z| z.write_granularity = 0), Err(WriteGranularity(0)));
    assert_eq!(
        with(|z| z.write_granularity = 1 << 23),
        Err(WriteGranularity(1 << 23))
    );
    assert_eq!(with(|z| z.max_append_sectors = 7), Err(AppendSectors(7)));
    assert_eq!(with(|z| z.max_open_zones = 6), Err(OpenZones(6)));
    // More than the block layer has memory for, or can have.
    let many = |z: &mut Zoned| (z.max_open_zones, z.max_active_zones) = (u32::MAX, u32::MAX);
    let many = with(many).unwrap();
    assert_eq!((many.max_open_zones, many.max_active_zones), (2048, 2048));
    assert_eq!(ZONED.limits(1 << 40, 512), Err(Count(1 << 27)));

    let config = DeviceConfig {
        zoned: Some(ZONED),
        ..PLAIN
    };
    let limits = limits(config).unwrap();
    assert_eq!(
        (limits.physical_block_size, limits.io_min),
        (Some(4096), 4096)
    );
}

/// K11, BLK-ZONE-9.
#[test]
fn an_append_stays_in_its_zone() {
    let zones = ZONED.limits(1 << 20, 512).unwrap().unwrap();
    assert!(zones.holds(8192, 8192, 8));
    assert!(zones.holds(8192, 16376, 8));
    assert!(!zones.holds(8192, 16377, 8));
    assert!(!zones.holds(8192, 8191, 8));
    assert!(!zones.holds(8192, u64::MAX, 8));
    assert!(!zones.holds(u64::MAX, u64::MAX, 8));
}

#[test]
fn zone_descriptors_are_little_endian() {
    let mut bytes = [0xee; zones::DESCRIPTOR_LEN];
    for (i, word) in [0x0123_u64, 0x4567, 0x89ab].into_iter().enumerate() {
        bytes[8 * i..][..8].copy_from_slice(&word.to_le_bytes());
    }
    (bytes[24], bytes[25]) = (2, 14);
    assert_eq!(zones::reported(&bytes), 0x0123);
    let descriptor = Descriptor {
        capacity: 0x0123,
        start: 0x4567,
        write_pointer: 0x89ab,
        zone_type: 2,
        state: 14,
    };
    assert_eq!(Descriptor::parse(&bytes), descriptor);
}
