// SPDX-License-Identifier: GPL-2.0

//! Keeping a module until its disks are freed.

use bindings_ext as bindings;
use kernel::{
    sync::atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// Counts the disks of a module that the block layer has not freed; a static.
///
/// The last to close a disk that was removed gives the module back first, and then frees the disk,
/// with its driver's [`DISK`](crate::vtable::VTable::DISK) operations. So a module that nobody uses
/// any more may still have to wait.
pub struct LiveDisks(Atomic<usize>);

impl LiveDisks {
    /// None.
    pub const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Has the module wait, when the result is dropped, until its disks are freed.
    ///
    /// Belongs into the module, to be dropped last: before the driver is unregistered it would wait for
    /// ever, and without it a disk may be freed by code that is not there any more.
    pub fn awaited(&'static self) -> AwaitedDisks {
        AwaitedDisks(self)
    }

    /// Counts a disk that was added.
    pub(crate) fn enter(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Counts one that is freed. The last use of the module by that disk.
    pub(crate) fn leave(&self) {
        self.0.fetch_sub(1, Release);
    }
}

impl Default for LiveDisks {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits for disks when it is dropped; see [`LiveDisks::awaited`].
pub struct AwaitedDisks(&'static LiveDisks);

impl Drop for AwaitedDisks {
    fn drop(&mut self) {
        // A matter of moments: nobody has a disk open when a module is unloaded.
        while self.0 .0.load(Acquire) != 0 {
            fsleep(Delta::from_millis(1));
        }
        // Who was the last to leave may not have returned from the module yet. A kernel without
        // `CONFIG_TASKS_RCU` does not wait for one that was preempted right there.
        // SAFETY: As `fsleep`, this needs a context that may sleep, which a module's end is.
        unsafe { bindings::rust_ext_synchronize_rcu_tasks() };
    }
}
