// SPDX-License-Identifier: GPL-2.0

//! Changing the limits of a disk in use.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use crate::{
    Features,
    FreezeGuard,
    GenDisk,
    Operations,
    QueueLimits, //
};
use bindings_ext as bindings;
use core::{
    mem,
    ops::{
        Deref,
        DerefMut, //
    },
};
use kernel::{
    error::to_result,
    prelude::*,
    types::NotThreadSafe, //
};

impl<O: Operations> GenDisk<O> {
    /// Begins to change limits, after all requests in flight have ended. Others wait until the update, or
    /// what [`LimitsUpdate::commit`] returns, is dropped, and must not be waited for until then. Who reads
    /// limits in sysfs waits, too, also while requests end.
    ///
    /// Sleeps. There is one update at a time.
    pub fn start_limits_update(&self) -> LimitsUpdate<'_, O> {
        let mut limits = QueueLimits::new().to_raw();

        // SAFETY: The queue is valid.
        unsafe { bindings::rust_ext_blk_limits_start_update(self.queue(), &mut limits) };
        LimitsUpdate {
            limits: QueueLimits::from_raw(limits),
            // INVARIANT: This task has just taken the lock.
            lock: LimitsLock {
                disk: self,
                _of_this_task: NotThreadSafe,
            },
            // After that, as C code does it.
            frozen: self.freeze(),
        }
    }
}

/// A change of limits, which are those in use at first. If this is dropped, they stay as they were.
#[must_use = "the limits stay as they were unless this is committed"]
pub struct LimitsUpdate<'a, O: Operations> {
    limits: QueueLimits,
    // Released first, as C code does it.
    lock: LimitsLock<'a, O>,
    frozen: FreezeGuard<'a, O>,
}

impl<'a, O: Operations> LimitsUpdate<'a, O> {
    /// Has the block layer go by the limits. Returns what keeps requests away, so that the caller can tell
    /// first who goes by them.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the limits make no sense or [`Features::ZONED`] has changed; then nothing changes.
    pub fn commit(self) -> Result<FreezeGuard<'a, O>> {
        // Dropped from the last to the first.
        let Self {
            frozen,
            lock,
            limits,
        } = self;

        limits.check()?;
        // Zones are set up before a disk is added, or never.
        if limits.features().contains(Features::ZONED) != lock.disk.is_zoned() {
            return Err(EINVAL);
        }
        let queue = lock.disk.queue();
        mem::forget(lock);
        // SAFETY: The queue is valid and frozen. This task has the lock, which C code releases.
        to_result(unsafe { bindings::queue_limits_commit_update(queue, &mut limits.to_raw()) })?;
        Ok(frozen)
    }
}

impl<O: Operations> Deref for LimitsUpdate<'_, O> {
    type Target = QueueLimits;

    fn deref(&self) -> &QueueLimits {
        &self.limits
    }
}

impl<O: Operations> DerefMut for LimitsUpdate<'_, O> {
    fn deref_mut(&mut self) -> &mut QueueLimits {
        &mut self.limits
    }
}

/// The lock that keeps updates of limits apart.
///
/// # Invariants
///
/// This task has the `limits_lock` of the disk's queue.
struct LimitsLock<'a, O: Operations> {
    disk: &'a GenDisk<O>,
    // The lock belongs to the task.
    _of_this_task: NotThreadSafe,
}

impl<O: Operations> Drop for LimitsLock<'_, O> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, this releases the lock of this task. The limits of the queue were
        // not touched.
        unsafe { bindings::rust_ext_blk_limits_cancel_update(self.disk.queue()) };
    }
}
