// SPDX-License-Identifier: GPL-2.0

//! What requests a device can take.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use bindings_ext as bindings;
use core::ops::{
    BitAnd,
    BitOr,
    Not, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// The size of a sector, the unit of most limits.
const SECTOR_SIZE: u32 = 512;

/// The largest logical block in bytes that this kernel works with.
pub const MAX_BLOCK_SIZE: u32 = bindings::RUST_EXT_BLK_MAX_BLOCK_SIZE;

/// The least segment size that the block layer works with.
const MIN_SEGMENT_SIZE: u32 = 4096;

/// What a disk has and does, `BLK_FEAT_*` values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Features(u32);

impl Features {
    /// A volatile write cache, to be flushed.
    pub const WRITE_CACHE: Self = Self(bindings::RUST_EXT_BLK_FEAT_WRITE_CACHE);
    /// Writes that end when the data is on the medium.
    pub const FUA: Self = Self(bindings::RUST_EXT_BLK_FEAT_FUA);
    /// Seeking takes time.
    pub const ROTATIONAL: Self = Self(bindings::RUST_EXT_BLK_FEAT_ROTATIONAL);
    /// Its timing is a source of randomness.
    pub const ADD_RANDOM: Self = Self(bindings::RUST_EXT_BLK_FEAT_ADD_RANDOM);
    /// Data must not change while it is written.
    pub const STABLE_WRITES: Self = Self(bindings::RUST_EXT_BLK_FEAT_STABLE_WRITES);
    /// Requests are done when they have been queued.
    pub const SYNCHRONOUS: Self = Self(bindings::RUST_EXT_BLK_FEAT_SYNCHRONOUS);
    /// The disk has zones.
    pub const ZONED: Self = Self(bindings::RUST_EXT_BLK_FEAT_ZONED);

    /// Whether all features of `other` are there.
    pub fn contains(self, other: Self) -> bool {
        self & other == other
    }

    /// These features with those of `other`, or without them.
    pub fn with(self, other: Self, is_wanted: bool) -> Self {
        Self(if is_wanted {
            self.0 | other.0
        } else {
            self.0 & !other.0
        })
    }
}

impl BitOr for Features {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Features {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Features {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0)
    }
}

/// The limits of a queue.
///
/// All start as "not said", for which the block layer has defaults, some of them small. Not all
/// of what C code has is here: some fields it computes, others belong to stacked devices.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct QueueLimits(bindings::queue_limits);

impl Default for QueueLimits {
    fn default() -> Self {
        Self::new()
    }
}

/// A getter and a setter for each limit.
macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident, $set:ident: $ty:ty;)*) => {
        impl QueueLimits {
            $(
                $(#[$doc])*
                pub fn $name(&self) -> $ty {
                    self.0.$name
                }

                #[doc = concat!("Sets [`Self::", stringify!($name), "`].")]
                pub fn $set(&mut self, value: $ty) -> &mut Self {
                    self.0.$name = value;
                    self
                }
            )*
        }
    };
}

limits! {
    /// The most sectors in a request.
    max_hw_sectors, set_max_hw_sectors: u32;
    /// The most ranges in a request.
    max_segments, set_max_segments: u16;
    /// The most bytes in a range; at least 4096.
    max_segment_size, set_max_segment_size: u32;
    /// A range does not cross a multiple of this plus one.
    seg_boundary_mask, set_seg_boundary_mask: usize;
    /// All ranges but the first start, and all but the last end, at a multiple of this plus one.
    virt_boundary_mask, set_virt_boundary_mask: usize;
    /// The address of a range is a multiple of this plus one; 511 unless said.
    dma_alignment, set_dma_alignment: u32;
    /// The unit of addressing, in bytes.
    logical_block_size, set_logical_block_size: u32;
    /// The unit that the device writes without reading first, in bytes.
    physical_block_size, set_physical_block_size: u32;
    /// How far the first sector is behind the start of a physical block, in bytes.
    alignment_offset, set_alignment_offset: u32;
    /// The least size that works well, in bytes.
    io_min, set_io_min: u32;
    /// The size that works best, in bytes.
    io_opt, set_io_opt: u32;
    /// Requests do not cross a multiple of this many sectors; the size of a zone.
    chunk_sectors, set_chunk_sectors: u32;
    /// The most sectors to discard in a request; 0 if the device cannot.
    max_hw_discard_sectors, set_max_hw_discard_sectors: u32;
    /// The most areas to discard in a request.
    max_discard_segments, set_max_discard_segments: u16;
    /// The unit of discarding, in bytes.
    discard_granularity, set_discard_granularity: u32;
    /// How far the first unit of discarding is behind the start, in bytes.
    discard_alignment, set_discard_alignment: u32;
    /// The most sectors to erase in a request; 0 if the device cannot.
    max_secure_erase_sectors, set_max_secure_erase_sectors: u32;
    /// The most sectors to zero in a request; 0 if the device cannot.
    max_write_zeroes_sectors, set_max_write_zeroes_sectors: u32;
    /// The most sectors to zero in a request by freeing them: 0, or the same as
    /// [`Self::max_write_zeroes_sectors`].
    max_hw_wzeroes_unmap_sectors, set_max_hw_wzeroes_unmap_sectors: u32;
    /// The most sectors to append to a zone in a request.
    max_hw_zone_append_sectors, set_max_hw_zone_append_sectors: u32;
    /// The unit of writing to a zone, in bytes.
    zone_write_granularity, set_zone_write_granularity: u32;
    /// How many zones may be open; 0 for any number.
    max_open_zones, set_max_open_zones: u32;
    /// How many zones may be active; 0 for any number.
    max_active_zones, set_max_active_zones: u32;
}

impl QueueLimits {
    /// Says nothing yet.
    pub const fn new() -> Self {
        Self(pin_init::zeroed())
    }

    /// Takes limits of C code.
    pub(crate) fn from_raw(raw: bindings::queue_limits) -> Self {
        Self(raw)
    }

    /// The limits for C code.
    pub(crate) fn to_raw(self) -> bindings::queue_limits {
        self.0
    }

    /// What the disk has and does.
    pub fn features(&self) -> Features {
        Features(self.0.features)
    }

    /// Sets [`Self::features`].
    pub fn set_features(&mut self, features: Features) -> &mut Self {
        self.0.features = features.0;
        self
    }

    /// Checks what a device may have got wrong.
    ///
    /// C code refuses the same, but some of it with a warning and a backtrace, as it takes such
    /// limits for a defect of the driver. A device's word must not lead to that.
    ///
    /// # Errors
    ///
    /// `EINVAL` for limits that the block layer cannot work with.
    pub fn check(&self) -> Result {
        let lim = &self.0;
        let zoned = self.features().contains(Features::ZONED);
        let logical = lim.logical_block_size.max(SECTOR_SIZE);
        let block_sizes = logical.is_power_of_two()
            && (lim.logical_block_size == 0 || lim.logical_block_size >= SECTOR_SIZE)
            && logical <= MAX_BLOCK_SIZE
            && (lim.physical_block_size < logical || lim.physical_block_size.is_power_of_two());
        let request_size = lim.max_hw_sectors == 0
            || (lim.max_hw_sectors >= bindings::RUST_EXT_BLK_PAGE_SECTORS
                && lim.max_hw_sectors >= logical / SECTOR_SIZE);
        let segments = (lim.seg_boundary_mask == 0
            || lim.seg_boundary_mask >= MIN_SEGMENT_SIZE as usize - 1)
            && (lim.virt_boundary_mask != 0
                || lim.max_segment_size == 0
                || lim.max_segment_size >= MIN_SEGMENT_SIZE)
            && lim.dma_alignment as usize <= PAGE_SIZE;
        let zones = if zoned {
            cfg!(CONFIG_BLK_DEV_ZONED)
                && (lim.max_active_zones == 0 || lim.max_open_zones <= lim.max_active_zones)
        } else {
            lim.max_open_zones == 0 && lim.max_active_zones == 0 && lim.zone_write_granularity == 0
        };

        if block_sizes && request_size && segments && zones {
            Ok(())
        } else {
            Err(EINVAL)
        }
    }
}

#[kunit_tests(blk_mq_limits)]
mod tests {
    use super::*;

    /// Whether limits pass that differ from the defaults by `change`.
    fn passes(change: impl FnOnce(&mut QueueLimits) -> &mut QueueLimits) -> bool {
        let mut limits = QueueLimits::new();

        change(&mut limits);
        limits.check().is_ok()
    }

    #[test]
    fn defaults_pass() {
        assert!(passes(|limits| limits));
    }

    #[test]
    fn block_sizes_are_powers_of_two_within_bounds() {
        for (size, ok) in [
            (0, true),
            (1, false),
            (3, false),
            (256, false),
            (512, true),
            (520, false),
            (4096, true),
            (1 << 31, false),
            (u32::MAX, false),
        ] {
            assert_eq!(passes(|limits| limits.set_logical_block_size(size)), ok);
        }
        // A physical block that is too small is made larger by C code.
        assert!(passes(|limits| limits.set_physical_block_size(3)));
        assert!(!passes(|limits| limits.set_physical_block_size(1536)));
        assert!(passes(|limits| limits.set_physical_block_size(1 << 31)));
    }

    #[test]
    fn requests_hold_a_page_and_a_block() {
        let page = bindings::RUST_EXT_BLK_PAGE_SECTORS;

        assert!(!passes(|limits| limits.set_max_hw_sectors(page - 1)));
        assert!(passes(|limits| limits.set_max_hw_sectors(page)));
        assert!(passes(|limits| limits.set_max_hw_sectors(u32::MAX)));
    }

    #[test]
    fn segments_hold_a_page() {
        assert!(!passes(|limits| limits.set_max_segment_size(1)));
        assert!(!passes(|limits| limits.set_max_segment_size(4095)));
        assert!(passes(|limits| limits.set_max_segment_size(4096)));
        assert!(!passes(|limits| limits.set_seg_boundary_mask(4094)));
        assert!(passes(|limits| limits.set_seg_boundary_mask(4095)));
        assert!(!passes(|limits| limits.set_dma_alignment(u32::MAX)));
    }

    #[test]
    fn limits_of_zones_need_zones() {
        assert!(!passes(|limits| limits.set_max_open_zones(1)));
        assert!(!passes(|limits| limits.set_zone_write_granularity(4096)));
        if cfg!(CONFIG_BLK_DEV_ZONED) {
            assert!(passes(|limits| limits
                .set_features(Features::ZONED)
                .set_max_active_zones(2)
                .set_max_open_zones(2)));
            assert!(!passes(|limits| limits
                .set_features(Features::ZONED)
                .set_max_active_zones(2)
                .set_max_open_zones(3)));
        }
    }
}
