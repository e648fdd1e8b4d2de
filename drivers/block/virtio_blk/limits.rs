// SPDX-License-Identifier: GPL-2.0

//! From what a device says of itself to the limits of its disk.
//!
//! Implements VIRTIO 1.4, 5.2.4 "Device configuration layout" and 5.2.5 "Device Initialization",
//! less the reading of the fields. A device can say anything: what makes no sense is refused, with
//! a reason for the log. *Core-only*.

use core::fmt;

use crate::zones::{
    self,
    ZoneLimits,
    Zoned, //
};

/// The size of the sectors in which capacities are counted.
pub const SECTOR_SIZE: u32 = 512;

/// The smallest limit on the bytes of a segment that the block layer works with.
pub const MIN_SEGMENT_SIZE: u32 = 4096;

/// The largest number of bytes that can be addressed in a file.
const MAX_BYTES: u64 = i64::MAX as u64;

/// The most areas to discard in one request; more would not make it faster.
const MAX_DISCARD_SEGMENTS: u16 = 256;

/// The list of areas is one segment of the request: 16 bytes for each.
const _: () = assert!(MAX_DISCARD_SEGMENTS as u32 * 16 <= MIN_SEGMENT_SIZE);

/// Descriptors of a request that are not data: header and status.
pub const EXTRA_DESCRIPTORS: u16 = 2;

/// Block sizes and alignment: `VIRTIO_BLK_F_TOPOLOGY`.
#[derive(Clone, Copy, Debug)]
pub struct Topology {
    /// How many logical blocks are in a physical one, as a power of two.
    pub physical_block_exp: u8,
    /// The logical block at which the first physical one starts.
    pub alignment_offset: u8,
    /// The smallest good size of I/O, in logical blocks.
    pub min_io_size: u16,
    /// The best size of I/O, in logical blocks; 0 if there is none.
    pub opt_io_size: u32,
}

/// How areas can be discarded: `VIRTIO_BLK_F_DISCARD`.
#[derive(Clone, Copy, Debug)]
pub struct Discard {
    /// The most sectors in one area; 0 if there is no limit.
    pub max_sectors: u32,
    /// The most areas in one request; 0 if the device does not say.
    pub max_seg: u32,
    /// What areas are multiples of, in sectors; 0 if the device does not say.
    pub sector_alignment: u32,
}

/// How zeroes can be written: `VIRTIO_BLK_F_WRITE_ZEROES`.
#[derive(Clone, Copy, Debug)]
pub struct WriteZeroes {
    /// The most sectors in one area; 0 if there is no limit.
    pub max_sectors: u32,
    /// Whether the device may be asked to free the area.
    pub may_unmap: bool,
}

/// How areas can be erased for good: `VIRTIO_BLK_F_SECURE_ERASE`. No field may be 0.
#[derive(Clone, Copy, Debug)]
pub struct SecureErase {
    /// The most sectors in one area.
    pub max_sectors: u32,
    /// The most areas in one request.
    pub max_seg: u32,
    /// What areas are multiples of, in sectors.
    pub sector_alignment: u32,
}

/// What the configuration space says; nothing for fields whose feature is not there.
#[derive(Clone, Copy, Debug)]
pub struct DeviceConfig {
    /// The size of the disk in sectors of 512 bytes.
    pub capacity_sectors: u64,
    /// The most bytes in one segment.
    pub size_max: Option<u32>,
    /// The most segments in one request.
    pub seg_max: Option<u32>,
    /// The size of a logical block in bytes.
    pub blk_size: Option<u32>,
    /// Block sizes and alignment.
    pub topology: Option<Topology>,
    /// How areas can be discarded.
    pub discard: Option<Discard>,
    /// How zeroes can be written.
    pub write_zeroes: Option<WriteZeroes>,
    /// How areas can be erased for good.
    pub secure_erase: Option<SecureErase>,
    /// What the zones are like.
    pub zoned: Option<Zoned>,
}

/// What the queues allow.
#[derive(Clone, Copy, Debug)]
pub struct QueueConfig {
    /// The number of descriptors of the smallest queue.
    pub size: u16,
    /// Whether a table of descriptors can take one place in the queue.
    pub has_indirect: bool,
}

/// What the kernel allows.
#[derive(Clone, Copy, Debug)]
pub struct KernelConfig {
    /// The largest logical block in bytes.
    pub max_block_size: u32,
    /// How many bytes can be mapped for the device in one piece.
    pub max_mapping_bytes: usize,
}

/// The limits of a disk, all checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The size of the disk in sectors of 512 bytes, in whole blocks.
    pub capacity_sectors: u64,
    /// The size of a logical block in bytes.
    pub logical_block_size: u32,
    /// The size of a physical block in bytes, if the device tells.
    pub physical_block_size: Option<u32>,
    /// Where the first physical block starts, in bytes.
    pub alignment_offset: u32,
    /// The smallest good size of I/O in bytes, 0 if unknown.
    pub io_min: u32,
    /// The best size of I/O in bytes, 0 if unknown.
    pub io_opt: u32,
    /// The most sectors in one request.
    pub max_sectors: u32,
    /// The most segments in one request.
    pub max_segments: u16,
    /// The most bytes in one segment.
    pub max_segment_size: u32,
    /// The most sectors to discard in one area; 0 if the device cannot.
    pub max_discard_sectors: u32,
    /// The most areas to discard in one request.
    pub max_discard_segments: u16,
    /// What areas to discard or to erase are multiples of, in bytes.
    pub discard_granularity: u32,
    /// The most sectors to zero in one request; 0 if the device cannot.
    pub max_write_zeroes_sectors: u32,
    /// Whether the device may be asked to free what it zeroes.
    pub may_unmap: bool,
    /// The most sectors to erase in one request; 0 if the device cannot.
    pub max_secure_erase_sectors: u32,
    /// The limits on zones, for a disk on which these have to be written from start to end.
    pub zones: Option<ZoneLimits>,
}

/// Why a device is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The capacity is beyond what can be addressed.
    Capacity(u64),
    /// A logical block is no power of two from 512 bytes to what the kernel allows.
    BlockSize(u32),
    /// No segment at all would be allowed.
    NoSegments,
    /// Segments would be smaller than a page.
    SegmentSize(u32),
    /// Sizes of the topology do not fit into 32 bits.
    Topology,
    /// The unit of discarding or erasing, in sectors, is no multiple of a block, or too large.
    DiscardAlignment(u32),
    /// So few sectors may be discarded at once that they are less than a unit or a block.
    DiscardSectors(u32),
    /// A limit on erasing is 0, by its name.
    SecureErase(&'static str),
    /// The queue cannot hold a request with one segment.
    QueueSize(u16),
    /// Zones are not as they have to be.
    Zones(zones::Refusal),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Capacity(sectors) => write!(f, "invalid capacity: {sectors} sectors"),
            Self::BlockSize(bytes) => write!(f, "invalid block size: {bytes:#x}"),
            Self::NoSegments => f.write_str("invalid segment limit: seg_max is 0"),
            Self::SegmentSize(bytes) => write!(f, "invalid segment limit: size_max is {bytes}"),
            Self::Topology => f.write_str("invalid topology: sizes are too large"),
            Self::DiscardAlignment(sectors) => {
                write!(f, "invalid discard alignment: {sectors} sectors")
            }
            Self::DiscardSectors(sectors) => {
                write!(f, "invalid discard limit: {sectors} sectors")
            }
            Self::SecureErase(field) => write!(f, "{field} can't be 0"),
            Self::Zones(refusal) => refusal.fmt(f),
            Self::QueueSize(size) => {
                write!(
                    f,
                    "queue of {size} is too small for a request without indirect descriptors"
                )
            }
        }
    }
}

impl Limits {
    /// Checks what the device says and makes limits of it.
    pub fn new(
        device: &DeviceConfig,
        queue: &QueueConfig,
        kernel: &KernelConfig,
    ) -> Result<Self, Refusal> {
        let block = device.blk_size.unwrap_or(SECTOR_SIZE);
        if !block.is_power_of_two() || !(SECTOR_SIZE..=kernel.max_block_size).contains(&block) {
            return Err(Refusal::BlockSize(block));
        }
        let capacity_sectors = Self::usable_sectors(device.capacity_sectors, block)?;
        let max_segment_size = device
            .size_max
            .unwrap_or(u32::MAX)
            .min(u32::try_from(kernel.max_mapping_bytes).unwrap_or(u32::MAX));
        if max_segment_size < MIN_SEGMENT_SIZE {
            return Err(Refusal::SegmentSize(max_segment_size));
        }
        // Where mapping is limited, there is not much to map to: a bounce buffer. A request that
        // takes most of it could wait for room for ever, since it holds its own segments meanwhile.
        let max_sectors = kernel.max_mapping_bytes.max(block as usize) / SECTOR_SIZE as usize;
        let max_sectors = u32::try_from(max_sectors).unwrap_or(u32::MAX);
        let max_segments = Self::segments(device.seg_max, queue)?;
        if let Some(erase) = &device.secure_erase {
            erase.check()?;
        }
        let topology = match device.topology {
            Some(topology) => Self::topology(&topology, block).ok_or(Refusal::Topology)?,
            None => Bytes::default(),
        };
        let zones = match device.zoned {
            Some(zoned) => zoned
                .limits(capacity_sectors, block)
                .map_err(Refusal::Zones)?,
            None => None,
        };
        let discard_granularity = Self::discard_granularity(device, block)?;
        if let Some(discard) = &device.discard {
            // The block layer has units of a physical block at least.
            let unit = discard_granularity.max(topology.physical_block.unwrap_or(block));
            let max_sectors = unlimited(discard.max_sectors);
            if u64::from(max_sectors) * u64::from(SECTOR_SIZE) < u64::from(unit) {
                return Err(Refusal::DiscardSectors(max_sectors));
            }
        }
        Ok(Self {
            capacity_sectors,
            logical_block_size: block,
            physical_block_size: match zones {
                Some(zones) => Some(zones.write_granularity),
                None => topology.physical_block,
            },
            alignment_offset: topology.alignment_offset,
            io_min: zones.map_or(topology.io_min, |zones| zones.write_granularity),
            io_opt: topology.io_opt,
            max_sectors: match zones {
                // The block layer counts the bytes of an append in 32 bits.
                Some(_) => max_sectors.min(u32::MAX / SECTOR_SIZE),
                None => max_sectors,
            },
            max_segments,
            max_segment_size,
            max_discard_sectors: device
                .discard
                .map_or(0, |discard| unlimited(discard.max_sectors)),
            max_discard_segments: device
                .discard
                .map_or(0, |discard| discard.segments(max_segments)),
            discard_granularity,
            max_write_zeroes_sectors: device
                .write_zeroes
                .map_or(0, |zeroes| unlimited(zeroes.max_sectors)),
            may_unmap: device.write_zeroes.is_some_and(|zeroes| zeroes.may_unmap),
            max_secure_erase_sectors: device.secure_erase.map_or(0, |erase| erase.max_sectors),
            zones,
        })
    }

    /// Returns whether requests have to be others, whatever the size of the disk.
    pub fn differ(&self, other: &Self) -> bool {
        let of_its_size = Self {
            capacity_sectors: self.capacity_sectors,
            ..*other
        };
        *self != of_its_size
    }

    /// Returns what a device takes less of than it took `before`, by the name of the field, if there
    /// is such a thing. What has no part in requests may be another.
    pub fn shortfall(&self, before: &Self) -> Option<&'static str> {
        let finer = |now: u32, before: u32| before.checked_rem(now).unwrap_or(0) == 0;
        [
            (
                "blk_size",
                self.logical_block_size == before.logical_block_size,
            ),
            ("size_max", self.max_segment_size >= before.max_segment_size),
            ("seg_max", self.max_segments >= before.max_segments),
            (
                "max_discard_sectors",
                self.max_discard_sectors >= before.max_discard_sectors,
            ),
            (
                "max_discard_seg",
                self.max_discard_segments >= before.max_discard_segments,
            ),
            (
                "discard_sector_alignment",
                finer(self.discard_granularity, before.discard_granularity),
            ),
            (
                "max_write_zeroes_sectors",
                self.max_write_zeroes_sectors >= before.max_write_zeroes_sectors,
            ),
            ("write_zeroes_may_unmap", self.may_unmap >= before.may_unmap),
            (
                "max_secure_erase_sectors",
                self.max_secure_erase_sectors >= before.max_secure_erase_sectors,
            ),
        ]
        .into_iter()
        .find_map(|(field, is_enough)| (!is_enough).then_some(field))
        .or(match (&self.zones, &before.zones) {
            (Some(now), Some(before)) => now.shortfall(before),
            (None, None) => None,
            _ => Some("zoned.model"),
        })
    }

    /// Returns these limits as far as a disk can go by them that was made with `first`. The block layer
    /// sees to most of them; of what the driver itself makes requests by, more is not used.
    ///
    /// # Errors
    ///
    /// The name of a field of which there is less, and which the block layer does not see to.
    pub fn within(&self, first: &Self) -> Result<Self, &'static str> {
        let of_the_driver = Self {
            logical_block_size: self.logical_block_size,
            max_segment_size: self.max_segment_size,
            may_unmap: self.may_unmap,
            zones: self.zones,
            ..*first
        };
        match of_the_driver.shortfall(first) {
            Some(field) => Err(field),
            None => Ok(Self {
                max_segments: self.max_segments.min(first.max_segments),
                max_segment_size: first.max_segment_size,
                may_unmap: first.may_unmap,
                zones: first.zones,
                ..*self
            }),
        }
    }

    /// The block layer has one unit for discarding and erasing: the smaller one, if the device
    /// says two.
    fn discard_granularity(device: &DeviceConfig, block: u32) -> Result<u32, Refusal> {
        let discard = device.discard.map(|discard| discard.sector_alignment);
        let erase = device.secure_erase.map(|erase| erase.sector_alignment);
        if discard.is_none() && erase.is_none() {
            return Ok(0);
        }
        let sectors = [discard, erase]
            .into_iter()
            .flatten()
            .filter(|sectors| *sectors != 0)
            .min();
        match sectors {
            Some(sectors) => sectors
                .checked_mul(SECTOR_SIZE)
                .filter(|bytes| bytes % block == 0)
                .ok_or(Refusal::DiscardAlignment(sectors)),
            None => Ok(block),
        }
    }

    /// Returns how many sectors of a capacity can be used: those in whole blocks. Refuses one beyond
    /// what can be addressed in bytes (K42).
    pub fn usable_sectors(capacity_sectors: u64, block: u32) -> Result<u64, Refusal> {
        if capacity_sectors > MAX_BYTES / u64::from(SECTOR_SIZE) {
            return Err(Refusal::Capacity(capacity_sectors));
        }
        let sectors_of_block = u64::from(block / SECTOR_SIZE).max(1);
        Ok(capacity_sectors - capacity_sectors % sectors_of_block)
    }

    /// Bounds the segments of a request so that it always fits into an empty queue (H31). Without
    /// `VIRTIO_BLK_F_SEG_MAX` there is one.
    fn segments(seg_max: Option<u32>, queue: &QueueConfig) -> Result<u16, Refusal> {
        let room = match queue.size.checked_sub(EXTRA_DESCRIPTORS) {
            // No chain may be longer than the queue (SPLIT-INDIRECT-3).
            Some(room @ 1..) => room,
            // Devices take such a table all the same, and without it there would be no disk.
            _ if queue.has_indirect => 1,
            _ => return Err(Refusal::QueueSize(queue.size)),
        };
        match seg_max {
            Some(0) => Err(Refusal::NoSegments),
            Some(max) => Ok(u16::try_from(max).unwrap_or(u16::MAX).min(room)),
            None => Ok(1),
        }
    }

    fn topology(topology: &Topology, block: u32) -> Option<Bytes> {
        let physical = block.checked_mul(1_u32.checked_shl(topology.physical_block_exp.into())?)?;
        Some(Bytes {
            physical_block: Some(physical),
            alignment_offset: block.checked_mul(topology.alignment_offset.into())?,
            io_min: block.checked_mul(topology.min_io_size.into())?,
            io_opt: block.checked_mul(topology.opt_io_size)?,
        })
    }
}

/// A limit for which a device may say 0, where it has none.
fn unlimited(limit: u32) -> u32 {
    match limit {
        0 => u32::MAX,
        limit => limit,
    }
}

impl Discard {
    /// How many areas go into one request.
    fn segments(&self, max_segments: u16) -> u16 {
        let wanted = match self.max_seg {
            0 => max_segments.into(),
            max => max,
        };
        // CAST: Bounded by `MAX_DISCARD_SEGMENTS`.
        wanted.min(MAX_DISCARD_SEGMENTS.into()) as u16
    }
}

impl SecureErase {
    /// Refuses what would make erasing impossible.
    fn check(&self) -> Result<(), Refusal> {
        let fields = [
            ("secure_erase_sector_alignment", self.sector_alignment),
            ("max_secure_erase_sectors", self.max_sectors),
            ("max_secure_erase_seg", self.max_seg),
        ];
        match fields.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(Refusal::SecureErase(name)),
            None => Ok(()),
        }
    }
}

/// A topology in bytes.
#[derive(Default)]
struct Bytes {
    physical_block: Option<u32>,
    alignment_offset: u32,
    io_min: u32,
    io_opt: u32,
}
