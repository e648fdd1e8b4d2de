// SPDX-License-Identifier: GPL-2.0

//! Access to the memory that a split virtqueue shares with its device.
//!
//! VIRTIO 1.4, 2.7 "Split Virtqueues" and its subsections on the descriptor table, the available
//! ring and the used ring.
//!
//! This is the one file of the ring that dereferences shared memory. The device may write all of
//! it at any time, so there are no references to it: each field is read or written by a volatile
//! access of its own size, and every value read is a copy that does not change any more. Nothing is
//! judged here and no access is ordered with another; [`super::split`] does both.

use core::ptr::NonNull;

use super::layout::Layout;
use super::wire::{
    Desc,
    Le16,
    UsedElem, //
};

/// `flags`, in both rings.
const FLAGS: usize = 0;
/// `idx`, in both rings.
const IDX: usize = 1;
/// First entry of the available ring, counted in 16-bit fields.
const AVAIL_ENTRIES: usize = 2;
/// First entry of the used ring, counted in 16-bit fields.
const USED_ENTRIES: usize = 2;

/// The descriptor table and both rings of one queue.
///
/// # Invariants
///
/// - `desc` points to `mask + 1` descriptors; `avail` and `used` point to rings of as many entries,
///   event fields included, all aligned for their types.
/// - All of it stays valid for reads and writes while this value lives, and nobody but this value
///   and the device accesses it.
/// - `mask + 1` is a power of two and at most 32768.
/// - All of it is in the `bytes` bytes that start at `desc`.
pub(super) struct Memory {
    desc: NonNull<Desc>,
    avail: NonNull<Le16>,
    used: NonNull<Le16>,
    mask: u16,
    bytes: usize,
}

// SAFETY: The pointers refer to memory that only this value and the device access, by the
// invariants; that is as true on another CPU.
unsafe impl Send for Memory {}
// SAFETY: Through a shared reference there are only volatile reads.
unsafe impl Sync for Memory {}

impl Memory {
    /// Takes over memory for a queue and fills it with zeroes.
    ///
    /// # Safety
    ///
    /// `mem` is aligned to 16 and valid for reads and writes of `layout.bytes()` bytes while the
    /// returned value lives. No device knows of it yet, and nobody else accesses it.
    pub(super) unsafe fn new(mem: NonNull<u8>, layout: &Layout) -> Self {
        // SAFETY: The offset is within the memory, by the invariants of `Layout`.
        let avail = unsafe { mem.add(layout.avail()) };
        // SAFETY: As above.
        let used = unsafe { mem.add(layout.used()) };
        // INVARIANT: The table is 16 bytes times `size` and aligned as `mem` is, the available ring
        // follows it, and the used ring is at a multiple of 4 behind that. `Layout` has room for the
        // event fields, and a power of two for its size.
        let mut this = Self {
            desc: mem.cast(),
            avail: avail.cast(),
            used: used.cast(),
            mask: layout.size().wrapping_sub(1),
            bytes: layout.bytes(),
        };
        this.clear();
        this
    }

    /// Fills all of it with zeroes, as if no device had ever used it.
    pub(super) fn clear(&mut self) {
        let start = self.desc.cast::<u8>();
        for offset in 0..self.bytes {
            // SAFETY: By the type invariants so many bytes are there.
            unsafe { start.add(offset).write_volatile(0) };
        }
    }

    /// The number of descriptors less one, which cuts a ring index down to a slot.
    #[inline]
    pub(super) fn mask(&self) -> u16 {
        self.mask
    }

    /// Writes descriptor `index` except for its `next` field.
    ///
    /// The index is the caller's own; cutting it down costs nothing and keeps this memory safe
    /// whatever the caller does.
    #[inline]
    pub(super) fn write_desc(&mut self, index: u16, addr: u64, len: u32, flags: u16) {
        let desc = self.desc(index);
        // SAFETY: The descriptor is within the table, which is valid by the invariants.
        unsafe { (&raw mut (*desc).addr).write_volatile(addr.into()) };
        // SAFETY: As above.
        unsafe { (&raw mut (*desc).len).write_volatile(len.into()) };
        // SAFETY: As above.
        unsafe { (&raw mut (*desc).flags).write_volatile(flags.into()) };
    }

    /// Writes the flags of descriptor `index`.
    #[inline]
    pub(super) fn write_desc_flags(&mut self, index: u16, flags: u16) {
        let desc = self.desc(index);
        // SAFETY: The descriptor is within the table, which is valid by the invariants.
        unsafe { (&raw mut (*desc).flags).write_volatile(flags.into()) };
    }

    /// Writes the `next` field of descriptor `index`.
    #[inline]
    pub(super) fn write_desc_next(&mut self, index: u16, next: u16) {
        let desc = self.desc(index);
        // SAFETY: The descriptor is within the table, which is valid by the invariants.
        unsafe { (&raw mut (*desc).next).write_volatile(next.into()) };
    }

    /// Writes `flags` of the available ring.
    #[inline]
    pub(super) fn write_avail_flags(&mut self, flags: u16) {
        // SAFETY: The header is part of the ring, which is valid by the invariants.
        unsafe { self.avail.add(FLAGS).write_volatile(flags.into()) };
    }

    /// Writes `idx` of the available ring.
    #[inline]
    pub(super) fn write_avail_idx(&mut self, idx: u16) {
        // SAFETY: The header is part of the ring, which is valid by the invariants.
        unsafe { self.avail.add(IDX).write_volatile(idx.into()) };
    }

    /// Writes the entry of the available ring that belongs to index `idx`.
    #[inline]
    pub(super) fn write_avail_entry(&mut self, idx: u16, head: u16) {
        let slot = usize::from(idx & self.mask);
        // SAFETY: The slot is within the ring, which is valid by the invariants.
        unsafe {
            self.avail
                .add(AVAIL_ENTRIES + slot)
                .write_volatile(head.into())
        };
    }

    /// Writes `used_event`, the wish for a notification, at the end of the available ring.
    #[inline]
    pub(super) fn write_used_event(&mut self, idx: u16) {
        let offset = AVAIL_ENTRIES + usize::from(self.mask) + 1;
        // SAFETY: The field behind the last entry is part of the ring, by the invariants.
        unsafe { self.avail.add(offset).write_volatile(idx.into()) };
    }

    /// Reads `flags` of the used ring.
    #[inline]
    pub(super) fn read_used_flags(&self) -> u16 {
        // SAFETY: The header is part of the ring, which is valid by the invariants.
        unsafe { self.used.add(FLAGS).read_volatile() }.get()
    }

    /// Reads `idx` of the used ring.
    #[inline]
    pub(super) fn read_used_idx(&self) -> u16 {
        // SAFETY: The header is part of the ring, which is valid by the invariants.
        unsafe { self.used.add(IDX).read_volatile() }.get()
    }

    /// Reads id and length from the entry of the used ring that belongs to index `idx`.
    #[inline]
    pub(super) fn read_used_entry(&self, idx: u16) -> (u32, u32) {
        let slot = usize::from(idx & self.mask);
        // SAFETY: The entries are part of the ring, which is valid by the invariants.
        let entries = unsafe { self.used.add(USED_ENTRIES) }.cast::<UsedElem>();
        // SAFETY: The slot is within the ring.
        let entry = unsafe { entries.add(slot) }.as_ptr();
        // SAFETY: As above; the ring is aligned to 4 and so are its entries.
        let id = unsafe { (&raw const (*entry).id).read_volatile() };
        // SAFETY: As above.
        let len = unsafe { (&raw const (*entry).len).read_volatile() };
        (id.get(), len.get())
    }

    /// Reads `avail_event`, the device's wish for a notification, at the end of the used ring.
    #[inline]
    pub(super) fn read_avail_event(&self) -> u16 {
        // A used entry is four 16-bit fields.
        let offset = USED_ENTRIES + 4 * (usize::from(self.mask) + 1);
        // SAFETY: The field behind the last entry is part of the ring, by the invariants.
        unsafe { self.used.add(offset).read_volatile() }.get()
    }

    #[inline]
    fn desc(&self, index: u16) -> *mut Desc {
        // SAFETY: The index is cut down to one within the table, by the invariants.
        unsafe { self.desc.add(usize::from(index & self.mask)) }.as_ptr()
    }
}
