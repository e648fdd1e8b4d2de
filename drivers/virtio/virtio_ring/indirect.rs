// SPDX-License-Identifier: GPL-2.0

//! Indirect descriptor tables.
//!
//! VIRTIO 1.4, 2.7.5.3 "Indirect Descriptors".
//!
//! A table lets a buffer of many segments take one descriptor of the ring. The owner of the table
//! provides its memory, fills it through [`Table`], hands it to
//! [`Ring::add_indirect`](super::split::Ring::add_indirect) and leaves it alone until the device is
//! done. The table is written once from front to back and never read.

use core::marker::PhantomData;
use core::ptr::NonNull;

use super::buffer::{
    AddError,
    Segment, //
};
use super::wire::{
    Desc,
    DESC_F_NEXT,
    DESC_F_WRITE, //
};

/// Bytes of a descriptor.
// CAST: The size of a descriptor is 16.
const DESC_BYTES: u32 = size_of::<Desc>() as u32;

/// An indirect table under construction.
///
/// Descriptors follow each other in memory: the `next` fields are 1, 2, 3 and so on, as
/// `VIRTIO_F_IN_ORDER` demands and others do not mind.
///
/// # Invariants
///
/// - `start` points to `capacity` descriptors that stay valid for writes during `'a`.
/// - The first `count` of them are filled, and `count <= capacity`.
/// - `writable` of `bytes` are for the device to write.
#[must_use = "a table is of no use unless it is finished"]
pub struct Table<'a> {
    start: NonNull<Desc>,
    capacity: u16,
    count: u16,
    last_flags: u16,
    bytes: u32,
    writable: u32,
    memory: PhantomData<&'a mut [Desc]>,
}

impl Table<'_> {
    /// Begins a table of up to `capacity` descriptors.
    ///
    /// `capacity` must not exceed the size of the queue that the table is for.
    ///
    /// # Safety
    ///
    /// `start` is aligned for a descriptor and valid for writes of `capacity` descriptors during
    /// the lifetime of the table, nobody else of this system accesses them, and the device has no
    /// chain in flight that refers to them.
    #[inline]
    pub unsafe fn new(start: NonNull<Desc>, capacity: u16) -> Self {
        // INVARIANT: As required, with nothing filled.
        Self {
            start,
            capacity,
            count: 0,
            last_flags: 0,
            bytes: 0,
            writable: 0,
            memory: PhantomData,
        }
    }

    /// The number of segments so far.
    #[inline]
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Appends a segment that the device reads.
    ///
    /// # Errors
    ///
    /// [`AddError::Order`] if a writable segment precedes, else as [`Self::push_writable`].
    #[inline]
    pub fn push_readable(&mut self, segment: Segment) -> Result<(), AddError> {
        if self.writable != 0 {
            return Err(AddError::Order);
        }
        self.push(segment, 0)
    }

    /// Appends a segment that the device writes.
    ///
    /// # Errors
    ///
    /// [`AddError::Empty`] if the segment is empty, [`AddError::TooLong`] if the table has no room
    /// or the buffer would have 2^32 bytes. The table is as before, then.
    #[inline]
    pub fn push_writable(&mut self, segment: Segment) -> Result<(), AddError> {
        self.push(segment, DESC_F_WRITE)?;
        // No overflow: This is part of `bytes`.
        self.writable = self.writable.wrapping_add(segment.len);
        Ok(())
    }

    #[inline]
    fn push(&mut self, segment: Segment, flags: u16) -> Result<(), AddError> {
        if segment.len == 0 {
            return Err(AddError::Empty);
        }
        let Some(bytes) = self.bytes.checked_add(segment.len) else {
            return Err(AddError::TooLong);
        };
        if self.count >= self.capacity {
            return Err(AddError::TooLong);
        }
        // SAFETY: The index is less than the capacity, and so many descriptors are valid by the
        // invariants.
        let desc = unsafe { self.start.add(usize::from(self.count)) }.as_ptr();
        // INVARIANT: One more is filled. Should it turn out to be the last, then `finish` takes
        // back that another one follows.
        self.count = self.count.wrapping_add(1);
        self.last_flags = flags;
        self.bytes = bytes;
        // SAFETY: The descriptor is valid for writes, as said above.
        unsafe { (&raw mut (*desc).addr).write_volatile(segment.addr.into()) };
        // SAFETY: As above.
        unsafe { (&raw mut (*desc).len).write_volatile(segment.len.into()) };
        // SAFETY: As above.
        unsafe { (&raw mut (*desc).flags).write_volatile((flags | DESC_F_NEXT).into()) };
        // SAFETY: As above.
        unsafe { (&raw mut (*desc).next).write_volatile(self.count.into()) };
        Ok(())
    }

    /// Ends the table.
    ///
    /// Returns the length of the table and the number of bytes that the device may write, both in
    /// bytes.
    ///
    /// # Errors
    ///
    /// [`AddError::Empty`] if there is no segment.
    #[inline]
    pub fn finish(self) -> Result<(u32, u32), AddError> {
        let Some(last) = self.count.checked_sub(1) else {
            return Err(AddError::Empty);
        };
        // SAFETY: `count` is at most `capacity`, and so many descriptors are valid by the
        // invariants.
        let desc = unsafe { self.start.add(usize::from(last)) }.as_ptr();
        // SAFETY: As above.
        unsafe { (&raw mut (*desc).flags).write_volatile(self.last_flags.into()) };
        // No overflow: less than 2^20.
        let table_bytes = u32::from(self.count).wrapping_mul(DESC_BYTES);
        Ok((table_bytes, self.writable))
    }
}
