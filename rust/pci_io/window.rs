// SPDX-License-Identifier: GPL-2.0

//! Windows: mapped parts of BARs, and the accesses to them.
//!
//! Registers are little-endian, as everything on PCI, and are accessed in the width that the
//! caller names, never in another (the functions of `linux/io.h` see to both). A window may be in
//! memory or in I/O space; the difference ends here.

use core::ptr::NonNull;

use bindings_ext as bindings;
use kernel::{
    prelude::*,
    sync::Arc, //
};

use crate::Claim;

/// An integer that a register can hold.
pub trait Word: Copy + private::Sealed {
    /// Reads a register.
    ///
    /// # Safety
    ///
    /// `address` is in a mapping, with room for the integer.
    unsafe fn read(address: *const c_void) -> Self;

    /// Writes a register.
    ///
    /// # Safety
    ///
    /// As [`read`](Self::read).
    unsafe fn write(self, address: *mut c_void);
}

mod private {
    /// Only the integers below are words: PCI-ACCESS-4 allows no wider access.
    pub trait Sealed {}
}

macro_rules! impl_word {
    ($($int:ty, $read:ident, $write:ident;)*) => {$(
        impl private::Sealed for $int {}

        impl Word for $int {
            #[inline]
            unsafe fn read(address: *const c_void) -> Self {
                // SAFETY: The caller's promise.
                unsafe { bindings::$read(address) }
            }

            #[inline]
            unsafe fn write(self, address: *mut c_void) {
                // SAFETY: The caller's promise.
                unsafe { bindings::$write(self, address) }
            }
        }
    )*};
}

impl_word! {
    u8, rust_ext_ioread8, rust_ext_iowrite8;
    u16, rust_ext_ioread16, rust_ext_iowrite16;
    u32, rust_ext_ioread32, rust_ext_iowrite32;
}

/// A mapped part of a BAR that is at least `MIN` bytes long.
///
/// # Invariants
///
/// `base` is a mapping of `len` bytes that lasts until the drop; `len` is at least `MIN`. Its BAR
/// is part of `claim`.
pub struct Window<const MIN: usize = 0> {
    base: NonNull<c_void>,
    len: usize,
    claim: Arc<Claim>,
}

// SAFETY: A mapping can be used and undone on any thread.
unsafe impl<const MIN: usize> Send for Window<MIN> {}
// SAFETY: Each access is a single one; what concurrent accesses mean is up to the device.
unsafe impl<const MIN: usize> Sync for Window<MIN> {}

impl<const MIN: usize> Window<MIN> {
    /// Maps `len` bytes of a BAR, from `offset` on.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if the BAR has not been claimed, or the part is empty or shorter than `MIN`, or
    ///   goes beyond the end of the BAR.
    /// - `ENOMEM` if it cannot be mapped.
    pub fn map(claim: &Arc<Claim>, bar: u8, offset: u64, len: usize) -> Result<Self> {
        let end = offset.checked_add(u64::try_from(len)?).ok_or(EINVAL)?;
        if !claim.has(bar)
            || len == 0
            || len < MIN
            || end > claim.device().resource_len(bar.into())?
        {
            return Err(EINVAL);
        }
        // SAFETY: The device is enabled, and the BAR is claimed and long enough.
        let base = unsafe {
            bindings::pci_iomap_range(
                claim.as_raw(),
                bar.into(),
                c_ulong::try_from(offset)?,
                c_ulong::try_from(len)?,
            )
        };
        // INVARIANT: Mapped just now, in the length that was checked.
        Ok(Self {
            base: NonNull::new(base).ok_or(ENOMEM)?,
            len,
            claim: claim.clone(),
        })
    }

    /// Returns the number of bytes.
    #[expect(clippy::len_without_is_empty, reason = "a window is never empty")]
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn address(&self, offset: usize) -> *mut c_void {
        self.base.as_ptr().wrapping_byte_add(offset)
    }

    /// Whether an access lies within the first `len` bytes and is aligned.
    const fn is_valid<W>(offset: usize, len: usize) -> bool {
        match offset.checked_add(size_of::<W>()) {
            Some(end) => end <= len && offset % size_of::<W>() == 0,
            None => false,
        }
    }

    /// Reads the register at a fixed offset, which must lie in the first `MIN` bytes.
    #[inline]
    pub fn read<W: Word, const OFFSET: usize>(&self) -> W {
        const { assert!(Self::is_valid::<W>(OFFSET, MIN)) };
        // SAFETY: By the type invariant the mapping is at least as long as was just checked.
        unsafe { W::read(self.address(OFFSET)) }
    }

    /// Writes the register at a fixed offset, which must lie in the first `MIN` bytes.
    #[inline]
    pub fn write<W: Word, const OFFSET: usize>(&self, value: W) {
        const { assert!(Self::is_valid::<W>(OFFSET, MIN)) };
        // SAFETY: By the type invariant the mapping is at least as long as was just checked.
        unsafe { value.write(self.address(OFFSET)) };
    }

    /// Reads at any offset.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the offset is not aligned or the window ends before the value does.
    #[inline]
    pub fn try_read<W: Word>(&self, offset: usize) -> Result<W> {
        if !Self::is_valid::<W>(offset, self.len) {
            return Err(EINVAL);
        }
        // SAFETY: By the type invariant, and as was just checked.
        Ok(unsafe { W::read(self.address(offset)) })
    }

    /// Writes at any offset.
    ///
    /// # Errors
    ///
    /// As [`try_read`](Self::try_read).
    #[inline]
    pub fn try_write<W: Word>(&self, offset: usize, value: W) -> Result {
        if !Self::is_valid::<W>(offset, self.len) {
            return Err(EINVAL);
        }
        // SAFETY: By the type invariant, and as was just checked.
        unsafe { value.write(self.address(offset)) };
        Ok(())
    }
}

impl<const MIN: usize> Drop for Window<MIN> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this is a mapping, and nothing uses it any more.
        unsafe { bindings::pci_iounmap(self.claim.as_raw(), self.base.as_ptr()) };
    }
}
