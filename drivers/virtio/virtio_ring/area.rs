// SPDX-License-Identifier: GPL-2.0

//! Memory that the driver and the device share for as long as a queue lives.
//!
//! Rings are in such memory, and so are the small parts of requests that are used again and
//! again. The device may write to all of it at any time, so there are no references into it: bytes
//! are copied in and out by volatile accesses, and everything is checked against its bounds.

use core::ptr::NonNull;

use bindings_ext as bindings;
use kernel::{
    device::{
        self,
        Bound, //
    },
    prelude::*,
    sync::aref::ARef, //
};

use crate::{
    buffer::Segment,
    indirect::Table,
    wire::Desc, //
};

/// The alignment of a table of descriptors (VIRTIO 1.4, 2.7 "Split Virtqueues").
const DESC_ALIGN: usize = 16;

/// How the device addresses an area.
enum Mapping {
    /// By physical address: `VIRTIO_F_ACCESS_PLATFORM` was not agreed on (CORE-RSVD-5).
    Physical,
    /// By what the DMA API says (CORE-RSVD-4).
    Dma(ARef<device::Device>),
}

/// A zeroed, contiguous piece of memory that the device can address.
///
/// The memory of a device must not be freed before the device has been reset; [`crate::Queues`]
/// sees to that for areas that are dropped after it.
///
/// # Invariants
///
/// `start` is the start of `len` bytes, aligned to 16 at least, which were allocated as `mapping`
/// says and which the device finds at `address`.
pub struct Area {
    start: NonNull<u8>,
    len: usize,
    address: u64,
    mapping: Mapping,
}

// SAFETY: The area is owned and can be freed anywhere.
unsafe impl Send for Area {}
// SAFETY: All accesses are volatile, as they race with the device in any case.
unsafe impl Sync for Area {}

impl Area {
    /// Allocates `len` bytes for `dev`. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` for no bytes at all, `ENOMEM`.
    pub fn new(dev: &virtio::Device<Bound>, len: usize) -> Result<Self> {
        Self::allocate(dev, len, bindings::GFP_KERNEL)
    }

    /// As [`new`](Self::new); sleeps if the flags let it.
    pub(crate) fn allocate(
        dev: &virtio::Device<Bound>,
        len: usize,
        flags: bindings::gfp_t,
    ) -> Result<Self> {
        if len == 0 {
            return Err(EINVAL);
        }
        let (start, address, mapping) = match dev.dma_device() {
            Some(dma) => {
                let mut address = 0;
                // SAFETY: The device is bound, and `device::Device` is a transparent wrapper.
                let start = unsafe {
                    bindings::dma_alloc_attrs(
                        core::ptr::from_ref(dma).cast_mut().cast(),
                        len,
                        &mut address,
                        flags | bindings::__GFP_NOWARN,
                        0,
                    )
                };
                (start, address, Mapping::Dma(dma.into()))
            }
            None => {
                // SAFETY: Plain allocation.
                let start = unsafe {
                    bindings::rust_ext_alloc_pages_exact(
                        len,
                        flags | bindings::__GFP_ZERO | bindings::__GFP_NOWARN,
                    )
                };
                let address = if start.is_null() {
                    0
                } else {
                    // SAFETY: Pages are in the linear map.
                    unsafe { bindings::rust_ext_virt_to_phys(start) }
                };
                (start, address, Mapping::Physical)
            }
        };
        // INVARIANT: Allocated just now; both allocators give whole pages, and zeroed.
        Ok(Self {
            start: NonNull::new(start.cast()).ok_or(ENOMEM)?,
            len,
            address,
            mapping,
        })
    }

    /// Returns the address that the device uses for the byte at `offset`.
    pub fn address(&self, offset: usize) -> u64 {
        // CAST: `usize` is no wider than 64 bits.
        self.address.wrapping_add(offset as u64)
    }

    /// Returns the start, for the ring that is in this area.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Returns a range of the area as the device is told about it, or nothing if the range is not
    /// all inside.
    #[inline]
    pub fn segment(&self, offset: usize, len: u32) -> Option<Segment> {
        let end = offset.checked_add(len as usize)?;
        (end <= self.len).then(|| Segment::new(self.address(offset), len))
    }

    /// Returns a pointer to `len` bytes at `offset`, if they are inside.
    #[inline]
    fn at(&self, offset: usize, len: usize) -> Option<NonNull<u8>> {
        let end = offset.checked_add(len)?;
        // SAFETY: The offset is inside the allocation.
        (end <= self.len).then(|| unsafe { self.start.add(offset) })
    }

    /// Writes bytes at `offset`. Returns whether they are all inside; otherwise nothing happens.
    ///
    /// Eight aligned bytes are one access.
    #[inline]
    pub fn write<const N: usize>(&self, offset: usize, bytes: &[u8; N]) -> bool {
        let Some(to) = self.at(offset, N) else {
            return false;
        };
        for (i, byte) in bytes.iter().enumerate() {
            // SAFETY: Inside, by the check above.
            unsafe { to.add(i).write_volatile(*byte) };
        }
        true
    }

    /// Writes one 64-bit little-endian word at `offset`, which is a multiple of 8. Returns whether
    /// that was so, and inside.
    #[inline]
    pub fn write_le64(&self, offset: usize, value: u64) -> bool {
        match self.at(offset, 8) {
            Some(to) if offset % 8 == 0 => {
                // SAFETY: Inside and aligned, as the area is.
                unsafe { to.cast::<u64>().write_volatile(value.to_le()) };
                true
            }
            _ => false,
        }
    }

    /// Reads the byte at `offset`, if that is inside.
    #[inline]
    pub fn read_u8(&self, offset: usize) -> Option<u8> {
        // SAFETY: Inside, by the check.
        self.at(offset, 1)
            .map(|from| unsafe { from.read_volatile() })
    }

    /// Reads bytes from `offset`. Returns whether they are all inside; otherwise nothing happens.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> bool {
        let Some(from) = self.at(offset, bytes.len()) else {
            return false;
        };
        for (i, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: Inside, by the check above.
            *byte = unsafe { from.add(i).read_volatile() };
        }
        true
    }

    /// Starts a table of indirect descriptors at `offset`, which is a multiple of 16, with room for
    /// `capacity`; nothing if that is not all inside.
    #[inline]
    pub fn table(&self, offset: usize, capacity: u16) -> Option<Table<'_>> {
        let len = usize::from(capacity) * size_of::<Desc>();
        let start = self.at(offset, len)?;
        if offset % DESC_ALIGN != 0 {
            return None;
        }
        // SAFETY: Inside and aligned, as the area is, and valid for as long as that is borrowed.
        Some(unsafe { Table::new(start.cast(), capacity) })
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        match &self.mapping {
            // SAFETY: By the type invariant, allocated like this.
            Mapping::Physical => unsafe {
                bindings::rust_ext_free_pages_exact(self.start.as_ptr().cast(), self.len);
            },
            // SAFETY: By the type invariant, allocated like this. The device is still bound, since
            // areas are in the data of a driver below it.
            Mapping::Dma(dev) => unsafe {
                let dev: &device::Device = dev;
                bindings::dma_free_attrs(
                    core::ptr::from_ref(dev).cast_mut().cast(),
                    self.len,
                    self.start.as_ptr().cast(),
                    self.address,
                    0,
                );
            },
        }
    }
}
