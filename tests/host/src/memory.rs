// SPDX-License-Identifier: GPL-2.0

//! Memory that a driver and a device share.

use std::alloc::{
    alloc_zeroed,
    dealloc,
    handle_alloc_error,
    Layout, //
};
use std::ptr::NonNull;

/// A piece of zeroed memory at a page boundary, accessed by offset.
///
/// All access is volatile and through pointers, so that both sides may hold on to it. It stays on
/// one thread.
pub struct Shared {
    start: NonNull<u8>,
    layout: Layout,
}

impl Shared {
    /// Allocates `bytes` bytes, which must not be 0.
    pub fn new(bytes: usize) -> Self {
        assert_ne!(bytes, 0);
        let layout = Layout::from_size_align(bytes, 4096).expect("a sensible size");
        // SAFETY: The size is not 0.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else {
            handle_alloc_error(layout)
        };
        Self { start, layout }
    }

    /// Where it starts.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> usize {
        self.layout.size()
    }

    /// Reads a value at an offset.
    pub fn read<T: Copy>(&self, offset: usize) -> T {
        // SAFETY: The place was checked, and only integers and structures of them are stored here.
        unsafe { self.place::<T>(offset).read_volatile() }
    }

    /// Writes a value at an offset.
    pub fn write<T: Copy>(&self, offset: usize, value: T) {
        // SAFETY: The place was checked.
        unsafe { self.place::<T>(offset).write_volatile(value) }
    }

    fn place<T>(&self, offset: usize) -> NonNull<T> {
        assert!(offset + size_of::<T>() <= self.bytes());
        // SAFETY: The offset is within the allocation.
        let place = unsafe { self.start.add(offset) }.cast::<T>();
        assert!(place.is_aligned());
        place
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: Allocated by `new` with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}
