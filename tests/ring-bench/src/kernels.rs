// SPDX-License-Identifier: GPL-2.0

//! The ring of the kernel's C stack, built from the kernel's own source.

use crate::{
    Form,
    Peer,
    Ring,
    RANGE,
    SIZE, //
};
use std::{
    alloc::{
        alloc_zeroed,
        dealloc,
        Layout, //
    },
    ffi::{
        c_uint,
        c_void, //
    },
    hint::black_box,
    ptr::NonNull, //
};

/// `struct kernels_ring`.
#[repr(C)]
struct Raw {
    _private: [u8; 0],
}

extern "C" {
    fn kernels_ring_new(memory: *mut c_void, size: c_uint, is_indirect: bool) -> *mut Raw;
    fn kernels_ring_avail(ring: *const Raw) -> *mut c_void;
    fn kernels_ring_used(ring: *const Raw) -> *mut c_void;
    fn kernels_ring_add(ring: *mut Raw, memory: *mut u8, len: c_uint, count: c_uint) -> bool;
    fn kernels_ring_kick_prepare(ring: *mut Raw) -> bool;
    fn kernels_ring_get(ring: *mut Raw) -> c_uint;
    fn kernels_ring_free(ring: *mut Raw);
}

/// More than a ring of [`SIZE`] needs, aligned to a page.
const MEMORY: Layout = match Layout::from_size_align(4 * 4096, 4096) {
    Ok(layout) => layout,
    Err(_) => panic!("a sensible size"),
};

/// A queue of the kernel's C ring.
pub struct Kernels {
    ring: NonNull<Raw>,
    place: NonNull<u8>,
    peer: Peer,
    memory: Vec<[u8; RANGE]>,
}

impl Ring for Kernels {
    fn new(form: Form) -> Self {
        // SAFETY: The layout is not empty.
        let place = NonNull::new(unsafe { alloc_zeroed(MEMORY) }).expect("memory");
        // SAFETY: The memory is zeroed, aligned, and long enough.
        let ring = unsafe {
            kernels_ring_new(
                place.as_ptr().cast(),
                SIZE as c_uint,
                form == Form::Indirect,
            )
        };
        let ring = NonNull::new(ring).expect("a queue");
        // SAFETY: The queue is kept beside the device.
        let peer = unsafe {
            Peer::new(
                kernels_ring_avail(ring.as_ptr()) as usize,
                kernels_ring_used(ring.as_ptr()) as usize,
            )
        };
        Self {
            ring,
            place,
            peer,
            memory: vec![[0; RANGE]; 16],
        }
    }

    fn round(&mut self, ranges: usize) {
        let ring = self.ring.as_ptr();
        let memory = self.memory.as_flattened_mut().as_mut_ptr();
        // SAFETY: The ring is valid, and the memory has sixteen ranges, which is the most that the
        // function takes.
        let is_added =
            unsafe { kernels_ring_add(ring, black_box(memory), RANGE as c_uint, ranges as c_uint) };
        assert!(is_added, "no room");
        // SAFETY: The ring is valid.
        black_box(unsafe { kernels_ring_kick_prepare(ring) });
        self.peer.serve(RANGE as u32);
        // SAFETY: As above.
        assert_eq!(unsafe { kernels_ring_get(ring) }, RANGE as c_uint);
    }
}

impl Drop for Kernels {
    fn drop(&mut self) {
        // SAFETY: Nobody uses the ring any more, nor the memory, which was allocated with this layout.
        unsafe {
            kernels_ring_free(self.ring.as_ptr());
            dealloc(self.place.as_ptr(), MEMORY);
        }
    }
}
