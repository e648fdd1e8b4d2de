// SPDX-License-Identifier: GPL-2.0

//! Hardware queues.
//!
//! C header: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h)

use crate::{
    vtable::queue_data,
    Borrowed,
    Operations, //
};
use bindings_ext as bindings;
use core::marker::PhantomData;
use kernel::types::Opaque;

/// A hardware queue of a disk, a `struct blk_mq_hw_ctx`.
///
/// # Invariants
///
/// The queue belongs to a disk of `O`, which is not released while this is borrowed.
#[repr(transparent)]
pub struct HwCtx<O: Operations>(Opaque<bindings::blk_mq_hw_ctx>, PhantomData<O>);

// SAFETY: The methods either read what does not change, or call C functions that serialise by
// themselves.
unsafe impl<O: Operations> Sync for HwCtx<O> {}

impl<O: Operations> HwCtx<O> {
    /// Wraps a raw pointer.
    ///
    /// # Safety
    ///
    /// The invariants of [`HwCtx`] must hold for `hctx` during `'a`.
    #[inline(always)]
    pub(crate) unsafe fn from_raw<'a>(hctx: *mut bindings::blk_mq_hw_ctx) -> &'a Self {
        // SAFETY: By the requirements of this function; the wrapper is transparent.
        unsafe { &*hctx.cast() }
    }

    /// The index of this queue in its tag set.
    #[inline]
    pub fn index(&self) -> u32 {
        // SAFETY: The queue is valid by the type invariant.
        unsafe { (*self.0.get()).queue_num }
    }

    /// The driver's data of the disk.
    #[inline]
    pub fn queue_data(&self) -> Borrowed<'_, O::QueueData> {
        // SAFETY: The disk is valid by the type invariant.
        unsafe { queue_data::<O>((*self.0.get()).queue) }
    }

    /// Keeps requests from coming, until [`Self::start_stopped`]: the device has no room.
    ///
    /// To lose no wakeup, this and the check for room belong under the lock that completion takes
    /// to make room.
    #[inline]
    pub fn stop(&self) {
        // SAFETY: The queue is valid by the type invariant.
        unsafe { bindings::blk_mq_stop_hw_queue(self.0.get()) };
    }

    /// Lets requests come again, if they were stopped. They come in this call unless `in_worker`,
    /// which a caller in an interrupt, or one that holds a lock, must ask for.
    #[inline]
    pub fn start_stopped(&self, in_worker: bool) {
        // SAFETY: The queue is valid by the type invariant.
        unsafe { bindings::blk_mq_start_stopped_hw_queue(self.0.get(), in_worker) };
    }

    /// Asks for requests that wait, after some were rejected.
    #[inline]
    pub fn run(&self, in_worker: bool) {
        // SAFETY: The queue is valid by the type invariant.
        unsafe { bindings::blk_mq_run_hw_queue(self.0.get(), in_worker) };
    }
}
