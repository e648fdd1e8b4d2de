// SPDX-License-Identifier: GPL-2.0

//! Where the parts of a split virtqueue lie when all of it is one piece of memory.
//!
//! VIRTIO 1.4, 2.7 "Split Virtqueues" (alignment and size of the three areas) and 2.7.2 "Legacy
//! Interfaces: A Note on Virtqueue Layout".
//!
//! The descriptor area comes first, the driver area (available ring) right behind it and the
//! device area (used ring) at the next multiple of an alignment. A modern transport is told all
//! three addresses, a legacy one derives them from the first, with an alignment of a page.

use super::wire::{
    Desc,
    UsedElem, //
};

/// Alignment of the used ring that a modern device asks for.
pub const MODERN_ALIGN: usize = 4;
/// Alignment of the used ring on a legacy PCI device (`VIRTIO_PCI_VRING_ALIGN`).
pub const LEGACY_ALIGN: usize = 4096;
/// Alignment of the memory as a whole, which is that of the descriptor table.
pub const TABLE_ALIGN: usize = 16;
/// The largest queue size.
pub const MAX_SIZE: u32 = 32768;

/// Bytes before the entries of either ring: `flags` and `idx`.
const RING_HEADER: usize = 4;
/// Bytes behind the entries of either ring: `used_event` or `avail_event`.
const RING_EVENT: usize = 2;

/// The layout of a split virtqueue in one piece of memory.
///
/// # Invariants
///
/// - `size` is a power of two in `1..=32768`.
/// - `used` is a multiple of 4 and at least the end of the available ring, event field included.
/// - The end of the used ring, event field included, does not exceed `isize::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    size: u16,
    used: usize,
}

impl Layout {
    /// Lays out a queue of `size` descriptors with the used ring at a multiple of `align`.
    ///
    /// Returns [`None`] unless `size` is a power of two in `1..=32768` and `align` a power of two
    /// of at least 4, and if the queue would not fit into the address space.
    pub const fn new(size: u32, align: usize) -> Option<Self> {
        if !size.is_power_of_two() || size > MAX_SIZE {
            return None;
        }
        if !align.is_power_of_two() || align < MODERN_ALIGN {
            return None;
        }
        // CAST: A power of two up to `MAX_SIZE` fits.
        let size = size as u16;
        let entries = size as usize;
        // No overflow: less than 2^20.
        let avail_end = (size_of::<Desc>() + 2) * entries + RING_HEADER + RING_EVENT;
        let Some(used) = avail_end.checked_next_multiple_of(align) else {
            return None;
        };
        match used.checked_add(size_of::<UsedElem>() * entries + RING_HEADER + RING_EVENT) {
            // INVARIANT: `size` was checked, `used` is a multiple of `align`, which is a multiple
            // of 4, and the end was just compared.
            Some(end) if end <= isize::MAX as usize => Some(Self { size, used }),
            _ => None,
        }
    }

    /// The number of descriptors, and of entries in either ring.
    #[inline]
    pub const fn size(&self) -> u16 {
        self.size
    }

    /// The number of bytes from the first to the last one in use.
    #[inline]
    pub const fn bytes(&self) -> usize {
        // No overflow: This is the end of the used ring, by the invariants.
        self.avail_event().wrapping_add(RING_EVENT)
    }

    /// Offset of the descriptor table.
    #[inline]
    pub const fn desc(&self) -> usize {
        0
    }

    /// Offset of the available ring.
    #[inline]
    pub const fn avail(&self) -> usize {
        size_of::<Desc>() * self.entries()
    }

    /// Offset of `used_event`, the field at the end of the available ring.
    #[inline]
    pub const fn used_event(&self) -> usize {
        self.avail() + RING_HEADER + 2 * self.entries()
    }

    /// Offset of the used ring.
    #[inline]
    pub const fn used(&self) -> usize {
        self.used
    }

    /// Offset of `avail_event`, the field at the end of the used ring.
    #[inline]
    pub const fn avail_event(&self) -> usize {
        // No overflow: The used ring ends behind this field, by the invariants.
        self.used
            .wrapping_add(RING_HEADER + size_of::<UsedElem>() * self.entries())
    }

    const fn entries(&self) -> usize {
        self.size as usize
    }
}
