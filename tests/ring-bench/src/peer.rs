// SPDX-License-Identifier: GPL-2.0

//! The device's side: takes each buffer as it comes, looks at nothing, and gives it back.

use crate::SIZE;
use std::sync::atomic::{
    fence,
    Ordering, //
};

/// A device on a split virtqueue of [`SIZE`] descriptors.
pub struct Peer {
    /// The available ring.
    avail: *const u16,
    /// The used ring.
    used: *mut u16,
    next: u16,
}

impl Peer {
    /// Puts a device on a queue.
    ///
    /// # Safety
    ///
    /// The addresses are those of the two rings of a split virtqueue of [`SIZE`] descriptors, which
    /// stay valid while the device is served.
    pub unsafe fn new(avail: usize, used: usize) -> Self {
        Self {
            avail: avail as *const u16,
            used: used as *mut u16,
            next: 0,
        }
    }

    /// Uses the next buffer, of which it says it has written `len` bytes.
    pub fn serve(&mut self, len: u32) {
        let slot = usize::from(self.next) % SIZE;
        // SAFETY: The rings are valid, and the slot is in them.
        unsafe {
            assert_ne!(
                self.avail.add(1).read_volatile(),
                self.next,
                "nothing is available"
            );
            fence(Ordering::Acquire);
            let head = self.avail.add(2 + slot).read_volatile();
            let entry = self.used.add(2 + 4 * slot).cast::<u32>();
            entry.write_volatile(head.into());
            entry.add(1).write_volatile(len);
            fence(Ordering::Release);
            self.next = self.next.wrapping_add(1);
            self.used.add(1).write_volatile(self.next);
        }
    }
}
