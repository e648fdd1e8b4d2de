// SPDX-License-Identifier: GPL-2.0

//! Ending many requests at once.
//!
//! A batch collects requests that were done, takes the time once, and gives back their tags
//! together. The block layer brings one when it polls; an interrupt handler has an
//! [`OwnedBatch`]. Both are filled in the same way.
//!
//! C header: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h)

use crate::{
    Operations,
    Request, //
};
use bindings_ext as bindings;
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::NonNull, //
};

/// A batch to add requests to, if there is one.
///
/// # Invariants
///
/// `iob` is null, or points to a batch that is valid during `'a` and ended after that.
pub struct CompletionBatch<'a, O: Operations> {
    iob: *mut bindings::io_comp_batch,
    _of: PhantomData<(&'a mut bindings::io_comp_batch, O)>,
}

impl<O: Operations> CompletionBatch<'_, O> {
    /// Wraps a raw pointer.
    ///
    /// # Safety
    ///
    /// The invariants of [`CompletionBatch`] must hold for `iob`.
    #[inline]
    pub(crate) unsafe fn from_raw(iob: *mut bindings::io_comp_batch) -> Self {
        // INVARIANT: By the requirements of this function.
        Self {
            iob,
            _of: PhantomData,
        }
    }

    /// Finishes a request.
    ///
    /// It ends with the batch, as done, if it can. It cannot if it failed (`is_error`), belongs to
    /// an I/O scheduler, or someone waits for it in a special way; or it belongs to another
    /// processor. Then [`Operations::complete`] gets it, here or there.
    #[inline]
    pub fn add(&mut self, rq: Request<O>, is_error: bool) {
        let mut rq = ManuallyDrop::new(rq);

        // SAFETY: The request is started and ours, and the batch is valid or null.
        match unsafe { bindings::rust_ext_blk_batch_add(rq.as_raw(), self.iob, is_error) } {
            bindings::rust_ext_blk_batched_RUST_EXT_BLK_BATCH_TAKEN => {
                // Until the batch ends, this is the only user of the request's resources.
                rq.clean_up();
            }
            bindings::rust_ext_blk_batched_RUST_EXT_BLK_BATCH_REMOTE => {}
            _ => O::complete(ManuallyDrop::into_inner(rq)),
        }
    }
}

/// A batch of one's own. Dropping it ends its requests, which should be outside of locks.
pub struct OwnedBatch<O: Operations> {
    iob: bindings::io_comp_batch,
    _of: PhantomData<O>,
}

impl<O: Operations> OwnedBatch<O> {
    /// Makes an empty batch.
    #[inline]
    pub fn new() -> Self {
        Self {
            iob: pin_init::zeroed(),
            _of: PhantomData,
        }
    }

    /// The batch, to be filled.
    #[inline]
    pub fn batch(&mut self) -> CompletionBatch<'_, O> {
        // INVARIANT: The batch is borrowed, and ends when it is dropped. It has no address of its
        // own inside, so it may move between uses.
        CompletionBatch {
            iob: NonNull::from(&mut self.iob).as_ptr(),
            _of: PhantomData,
        }
    }

    /// Ends all requests of the batch.
    #[inline]
    pub fn end(self) {}
}

impl<O: Operations> Default for OwnedBatch<O> {
    fn default() -> Self {
        Self::new()
    }
}

impl<O: Operations> Drop for OwnedBatch<O> {
    #[inline]
    fn drop(&mut self) {
        if !self.iob.req_list.head.is_null() {
            // SAFETY: All requests of the batch were given up by `CompletionBatch::add`.
            unsafe { bindings::blk_mq_end_request_batch(&mut self.iob) };
        }
    }
}
