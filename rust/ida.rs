// SPDX-License-Identifier: GPL-2.0

//! Small numbers to tell devices apart.
//!
//! C header: [`include/linux/idr.h`](srctree/include/linux/idr.h)

use bindings_ext as bindings;
use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic, //
    },
    types::Opaque, //
};

/// Allocator of numbers, a `struct ida`; a static.
///
/// # Invariants
///
/// `ida` is initialised if `ready` is not 0.
// TODO: Replace by an `ida` of the kernel crate once there is one.
pub struct Ida {
    ida: Opaque<bindings::ida>,
    ready: Atomic<u32>,
}

// SAFETY: C code serialises access to the `struct ida`, and to its initialisation.
unsafe impl Sync for Ida {}

impl Ida {
    /// All numbers are free.
    pub const fn new() -> Self {
        Self {
            ida: Opaque::zeroed(),
            ready: Atomic::new(0),
        }
    }

    /// Takes the least free number that is not above `max`. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if all are taken, `ENOMEM`.
    pub fn alloc(&'static self, max: u32) -> Result<Index> {
        if self.ready.load(Acquire) == 0 {
            // INVARIANT: The helper sets `ready` after it has initialised `ida`.
            // SAFETY: Both are static, and only initialised by this helper.
            unsafe { bindings::rust_ext_ida_init_once(self.ida.get(), self.ready.as_ptr()) };
        }

        // SAFETY: The allocator is initialised.
        let id = unsafe {
            bindings::ida_alloc_range(
                self.ida.get(),
                0,
                max.min(i32::MAX as u32),
                bindings::GFP_KERNEL,
            )
        };

        match u32::try_from(id) {
            Ok(id) => Ok(Index { of: self, id }),
            Err(_) => Err(Error::from_errno(id)),
        }
    }
}

impl Default for Ida {
    fn default() -> Self {
        Self::new()
    }
}

/// A number that is taken until this is dropped.
///
/// # Invariants
///
/// `id` is allocated from `of`, and this is its only owner.
pub struct Index {
    of: &'static Ida,
    id: u32,
}

impl Index {
    /// The number.
    pub fn get(&self) -> u32 {
        self.id
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the number is allocated there.
        unsafe { bindings::ida_free(self.of.ida.get(), self.id) };
    }
}
