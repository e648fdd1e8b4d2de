// SPDX-License-Identifier: GPL-2.0

//! The system's memory as a device sees it: physical addresses.
//!
//! This is the one file of the fake device with access to raw memory.
//!
//! C header: [`include/linux/io.h`](srctree/include/linux/io.h)

use core::ptr::NonNull;

use kernel::{
    bindings,
    sync::barrier::{
        self,
        Full, //
    },
};

use super::device::memory::{
    Memory,
    Window, //
};

/// The memory of the system by physical address. Mapping it may sleep.
#[derive(Clone, Copy)]
pub struct Physical;

/// A mapped piece of memory, which the driver may access at the same time.
///
/// # Invariants
///
/// `start` points to `len` mapped bytes.
pub struct Mapped {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: The mapping is good on every CPU, and all accesses are volatile.
unsafe impl Send for Mapped {}
// SAFETY: As above.
unsafe impl Sync for Mapped {}

impl Memory for Physical {
    type Window = Mapped;

    fn map(&self, addr: u64, len: usize) -> Option<Mapped> {
        if len == 0 {
            return None;
        }
        // CAST: Flags are few.
        let flags = bindings::MEMREMAP_WB as usize;
        // SAFETY: Maps memory of the system for as long as the window lives.
        let start = unsafe { bindings::memremap(addr, len, flags) };
        // INVARIANT: Mapped just now.
        NonNull::new(start.cast()).map(|start| Mapped { start, len })
    }

    fn barrier(&self) {
        barrier::smp_mb(Full);
    }
}

impl Mapped {
    /// Returns a pointer to `len` bytes at `offset`, if they are inside.
    fn at(&self, offset: usize, len: usize) -> Option<NonNull<u8>> {
        let end = offset.checked_add(len)?;
        // SAFETY: The offset is inside the mapping.
        (end <= self.len).then(|| unsafe { self.start.add(offset) })
    }
}

impl Window for Mapped {
    fn len(&self) -> usize {
        self.len
    }

    fn read16(&self, offset: usize) -> u16 {
        match self.at(offset, 2) {
            Some(from) if from.as_ptr().addr() % 2 == 0 => {
                // SAFETY: Inside, by the check, and aligned.
                u16::from_le(unsafe { from.cast::<u16>().read_volatile() })
            }
            _ => 0,
        }
    }

    fn write16(&self, offset: usize, value: u16) {
        if let Some(to) = self.at(offset, 2) {
            if to.as_ptr().addr() % 2 == 0 {
                // SAFETY: Inside, by the check, and aligned.
                unsafe { to.cast::<u16>().write_volatile(value.to_le()) };
            }
        }
    }

    fn read(&self, offset: usize, bytes: &mut [u8]) {
        bytes.fill(0);
        if let Some(from) = self.at(offset, bytes.len()) {
            for (i, byte) in bytes.iter_mut().enumerate() {
                // SAFETY: Inside, by the check.
                *byte = unsafe { from.add(i).read_volatile() };
            }
        }
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        if let Some(to) = self.at(offset, bytes.len()) {
            for (i, byte) in bytes.iter().enumerate() {
                // SAFETY: Inside, by the check.
                unsafe { to.add(i).write_volatile(*byte) };
            }
        }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: Mapped when this was made.
        unsafe { bindings::memunmap(self.start.as_ptr().cast()) };
    }
}
