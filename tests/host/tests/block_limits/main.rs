// SPDX-License-Identifier: GPL-2.0

//! What a block device may say of itself: its limits here, its zones in [`zoned`], in [`again`] what it
//! may say after a reset, and in [`following`] how a disk follows it.

mod again;
mod following;
mod zoned;

#[path = "../../../../drivers/block/virtio_blk/limits.rs"]
mod limits;
#[path = "../../../../drivers/block/virtio_blk/progress.rs"]
mod progress;
#[path = "../../../../drivers/block/virtio_blk/zones.rs"]
mod zones;

use limits::{
    DeviceConfig,
    Discard,
    KernelConfig,
    Limits,
    QueueConfig,
    Refusal,
    SecureErase,
    Topology,
    WriteZeroes, //
};
use proptest::prelude::*;

const PLAIN: DeviceConfig = DeviceConfig {
    capacity_sectors: 2048,
    size_max: None,
    seg_max: Some(254),
    blk_size: None,
    topology: None,
    discard: None,
    write_zeroes: None,
    secure_erase: None,
    zoned: None,
};

const QUEUE: QueueConfig = QueueConfig {
    size: 256,
    has_indirect: true,
};

const KERNEL: KernelConfig = KernelConfig {
    max_block_size: 65536,
    max_mapping_bytes: usize::MAX,
};

fn limits(device: DeviceConfig) -> Result<Limits, Refusal> {
    Limits::new(&device, &QUEUE, &KERNEL)
}

#[test]
fn device_without_features_gets_the_defaults() {
    let limits = limits(DeviceConfig {
        seg_max: None,
        ..PLAIN
    })
    .unwrap();
    assert_eq!(
        limits,
        Limits {
            capacity_sectors: 2048,
            logical_block_size: 512,
            physical_block_size: None,
            alignment_offset: 0,
            io_min: 0,
            io_opt: 0,
            max_sectors: u32::MAX,
            max_segments: 1,
            max_segment_size: u32::MAX,
            max_discard_sectors: 0,
            max_discard_segments: 0,
            discard_granularity: 0,
            max_write_zeroes_sectors: 0,
            may_unmap: false,
            max_secure_erase_sectors: 0,
            zones: None,
        }
    );
}

/// K41, K42, D39: not cut off, not wrapped.
#[test]
fn capacity_beyond_the_byte_range_is_refused() {
    let largest = (i64::MAX as u64) / 512;
    let with = |capacity_sectors| {
        limits(DeviceConfig {
            capacity_sectors,
            ..PLAIN
        })
    };
    assert_eq!(with(0).unwrap().capacity_sectors, 0);
    assert_eq!(with(1).unwrap().capacity_sectors, 1);
    assert_eq!(with(largest).unwrap().capacity_sectors, largest);
    for sectors in [largest + 1, 1 << 63, u64::MAX] {
        assert_eq!(with(sectors), Err(Refusal::Capacity(sectors)));
    }
}

/// A block that is not there as a whole is not part of the disk.
#[test]
fn capacity_is_in_whole_blocks() {
    let with = |capacity_sectors, block| {
        let config = DeviceConfig {
            capacity_sectors,
            blk_size: Some(block),
            ..PLAIN
        };
        limits(config).unwrap().capacity_sectors
    };
    assert_eq!(with(2049, 512), 2049);
    assert_eq!(with(2049, 1024), 2048);
    for rest in 0..8 {
        assert_eq!(with(2048 + rest, 4096), 2048);
        assert_eq!(with(rest, 4096), 0);
    }
    let largest = (i64::MAX as u64) / 512;
    assert_eq!(with(largest, 4096), largest - largest % 8);
}

#[test]
fn block_size_is_a_power_of_two_in_range() {
    for good in [512, 1024, 4096, 65536] {
        let config = DeviceConfig {
            blk_size: Some(good),
            ..PLAIN
        };
        assert_eq!(limits(config).unwrap().logical_block_size, good);
    }
    for bad in [0, 1, 3, 256, 513, 4095, 131_072, u32::MAX] {
        let config = DeviceConfig {
            blk_size: Some(bad),
            ..PLAIN
        };
        assert_eq!(limits(config), Err(Refusal::BlockSize(bad)));
    }
}

/// A kernel without large folios works with blocks of one page at most.
#[test]
fn block_size_is_what_the_kernel_allows() {
    let kernel = KernelConfig {
        max_block_size: 4096,
        ..KERNEL
    };
    let with = |bytes| {
        let config = DeviceConfig {
            blk_size: Some(bytes),
            ..PLAIN
        };
        Limits::new(&config, &QUEUE, &kernel).map(|limits| limits.logical_block_size)
    };
    assert_eq!(with(4096), Ok(4096));
    assert_eq!(with(8192), Err(Refusal::BlockSize(8192)));
}

/// D32, H9: limits that no request can meet.
#[test]
fn segment_limits_that_make_no_sense_are_refused() {
    let segments = |seg_max| {
        limits(DeviceConfig {
            seg_max: Some(seg_max),
            ..PLAIN
        })
    };
    assert_eq!(segments(0), Err(Refusal::NoSegments));
    assert_eq!(segments(1).unwrap().max_segments, 1);
    assert_eq!(segments(u32::MAX).unwrap().max_segments, 254);

    let size = |size_max| {
        limits(DeviceConfig {
            size_max: Some(size_max),
            ..PLAIN
        })
    };
    for bad in [0, 1, 512, 4095] {
        assert_eq!(size(bad), Err(Refusal::SegmentSize(bad)));
    }
    assert_eq!(size(4096).unwrap().max_segment_size, 4096);
}

/// D30, D31, H31: header, data and status always fit into an empty ring.
#[test]
fn every_request_fits_into_an_empty_queue() {
    for size in (0..=15).map(|bit| 1_u16 << bit) {
        let direct = QueueConfig {
            size,
            has_indirect: false,
        };
        match Limits::new(&PLAIN, &direct, &KERNEL) {
            Ok(limits) => assert!(limits.max_segments + 2 <= size, "queue of {size}"),
            Err(refusal) => {
                assert_eq!(refusal, Refusal::QueueSize(size));
                assert!(size < 3, "queue of {size}");
            }
        }
        let indirect = QueueConfig {
            size,
            has_indirect: true,
        };
        let limits = Limits::new(&PLAIN, &indirect, &KERNEL).unwrap();
        assert!(limits.max_segments >= 1, "queue of {size}");
    }
}

/// R25.
#[test]
fn requests_are_no_longer_than_what_can_be_mapped() {
    let with = |max_mapping_bytes| {
        let kernel = KernelConfig {
            max_mapping_bytes,
            ..KERNEL
        };
        Limits::new(&PLAIN, &QUEUE, &kernel)
            .map(|limits| (limits.max_segment_size, limits.max_sectors))
    };
    assert_eq!(with(262_144), Ok((262_144, 512)));
    assert_eq!(with(usize::MAX), Ok((u32::MAX, u32::MAX)));
    assert_eq!(with(2048), Err(Refusal::SegmentSize(2048)));
}

/// K50 to K52, H9: nothing overflows.
#[test]
fn topology_is_counted_in_logical_blocks() {
    let with = |topology| {
        limits(DeviceConfig {
            blk_size: Some(4096),
            topology: Some(topology),
            ..PLAIN
        })
    };
    let good = Topology {
        physical_block_exp: 2,
        alignment_offset: 1,
        min_io_size: 4,
        opt_io_size: 256,
    };
    let limits = with(good).unwrap();
    assert_eq!(limits.physical_block_size, Some(16384));
    assert_eq!(limits.alignment_offset, 4096);
    assert_eq!(limits.io_min, 16384);
    assert_eq!(limits.io_opt, 1 << 20);

    for physical_block_exp in [20, 31, 32, 255] {
        let config = Topology {
            physical_block_exp,
            ..good
        };
        assert_eq!(with(config), Err(Refusal::Topology), "{physical_block_exp}");
    }
    let config = Topology {
        opt_io_size: u32::MAX,
        ..good
    };
    assert_eq!(with(config), Err(Refusal::Topology));
}

/// K56 to K58: what the device does not say is taken from what it does.
#[test]
fn discard_limits_are_the_devices() {
    let with = |max_sectors, max_seg, sector_alignment| {
        let limits = limits(DeviceConfig {
            blk_size: Some(4096),
            discard: Some(Discard {
                max_sectors,
                max_seg,
                sector_alignment,
            }),
            ..PLAIN
        });
        limits.map(|limits| {
            (
                limits.max_discard_sectors,
                limits.max_discard_segments,
                limits.discard_granularity,
            )
        })
    };
    assert_eq!(with(1000, 3, 16), Ok((1000, 3, 8192)));
    assert_eq!(with(0, 0, 0), Ok((u32::MAX, 254, 4096)));
    assert_eq!(with(8, u32::MAX, 8), Ok((8, 256, 4096)));
    // Units that are no blocks, and less than a unit at once.
    for alignment in [9, u32::MAX / 512 + 1, u32::MAX] {
        let refusal = Refusal::DiscardAlignment(alignment);
        assert_eq!(with(0, 1, alignment), Err(refusal));
    }
    assert_eq!(with(7, 1, 8), Err(Refusal::DiscardSectors(7)));
    assert_eq!(with(8, 1, 64), Err(Refusal::DiscardSectors(8)));
}

/// K59, K61, H15: freeing is asked for only if the device allows it.
#[test]
fn write_zeroes_limits_are_the_devices() {
    for (max_sectors, may_unmap) in [(0, true), (77, false)] {
        let config = DeviceConfig {
            write_zeroes: Some(WriteZeroes {
                max_sectors,
                may_unmap,
            }),
            ..PLAIN
        };
        let limits = limits(config).unwrap();
        let expected = if max_sectors == 0 { u32::MAX } else { 77 };
        assert_eq!(limits.max_write_zeroes_sectors, expected);
        assert_eq!(limits.may_unmap, may_unmap);
        assert_eq!(limits.max_discard_sectors, 0);
    }
}

/// K62, H16: the limits on erasing do not narrow those on discarding; only the unit is shared.
#[test]
fn secure_erase_needs_all_its_limits() {
    let with = |max_sectors, max_seg, sector_alignment| {
        limits(DeviceConfig {
            discard: Some(Discard {
                max_sectors: 1 << 20,
                max_seg: 32,
                sector_alignment: 64,
            }),
            secure_erase: Some(SecureErase {
                max_sectors,
                max_seg,
                sector_alignment,
            }),
            ..PLAIN
        })
    };
    let limits = with(8, 1, 8).unwrap();
    assert_eq!(limits.max_secure_erase_sectors, 8);
    assert_eq!(limits.max_discard_sectors, 1 << 20);
    assert_eq!(limits.max_discard_segments, 32);
    assert_eq!(limits.discard_granularity, 4096);
    let refused = |name| Err(Refusal::SecureErase(name));
    assert_eq!(with(0, 1, 8), refused("max_secure_erase_sectors"));
    assert_eq!(with(8, 0, 8), refused("max_secure_erase_seg"));
    assert_eq!(with(8, 1, 0), refused("secure_erase_sector_alignment"));
    assert_eq!(
        Refusal::SecureErase("max_secure_erase_seg").to_string(),
        "max_secure_erase_seg can't be 0"
    );
}

proptest! {
    /// Whatever a device says, the limits are sane or there are none.
    #[test]
    fn limits_are_always_sane(
        capacity_sectors: u64,
        size_max: Option<u32>,
        seg_max: Option<u32>,
        blk_size: Option<u32>,
        topology: Option<(u8, u8, u16, u32)>,
        discard: Option<(u32, u32, u32)>,
        bit in 0..=15_u32,
        has_indirect: bool,
        max_mapping_bytes: usize,
    ) {
        let config = DeviceConfig {
            capacity_sectors,
            size_max,
            seg_max,
            blk_size,
            topology: topology.map(|(exp, offset, min, opt)| Topology {
                physical_block_exp: exp,
                alignment_offset: offset,
                min_io_size: min,
                opt_io_size: opt,
            }),
            discard: discard.map(|(max_sectors, max_seg, sector_alignment)| Discard {
                max_sectors,
                max_seg,
                sector_alignment,
            }),
            ..PLAIN
        };
        let queue = QueueConfig { size: 1 << bit, has_indirect };
        if let Ok(limits) = Limits::new(&config, &queue, &KernelConfig { max_mapping_bytes, ..KERNEL }) {
            prop_assert!(limits.capacity_sectors.checked_mul(512).is_some_and(|b| i64::try_from(b).is_ok()));
            prop_assert!(limits.logical_block_size.is_power_of_two());
            prop_assert!(limits.max_segments >= 1);
            prop_assert_eq!(limits.max_discard_sectors > 0, discard.is_some());
            prop_assert_eq!(limits.max_discard_segments > 0, discard.is_some());
            prop_assert_eq!(limits.discard_granularity > 0, discard.is_some());
            prop_assert!(limits.max_segment_size >= 4096);
        }
    }
}
