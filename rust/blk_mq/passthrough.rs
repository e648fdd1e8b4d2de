// SPDX-License-Identifier: GPL-2.0

//! Requests that the driver makes itself, to ask its device for something.
//!
//! C header: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h)

use crate::{
    op::Op,
    pdu::Pdu,
    GenDisk,
    Operations,
    Status, //
};
use bindings_ext as bindings;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*,
    types::NotThreadSafe, //
};

/// A request of the driver itself: fill in the private data, then execute it.
///
/// # Invariants
///
/// `rq` is allocated from the queue of a disk of `O`, and nobody else uses it but during
/// [`Self::execute`].
pub struct Passthrough<'a, O: Operations> {
    rq: NonNull<bindings::request>,
    was_executed: bool,
    _disk: PhantomData<&'a GenDisk<O>>,
    _of_this_task: NotThreadSafe,
}

impl<O: Operations> GenDisk<O> {
    /// Gets a request from the queue; waits if all are in use. `op` is [`Op::DRV_IN`] or
    /// [`Op::DRV_OUT`].
    ///
    /// # Errors
    ///
    /// `EINVAL` for another operation, `ENODEV` if the disk is being removed.
    pub fn passthrough(&self, op: Op) -> Result<Passthrough<'_, O>> {
        if !op.is_passthrough() {
            return Err(EINVAL);
        }
        // SAFETY: The queue is valid.
        let rq =
            from_err_ptr(unsafe { bindings::blk_mq_alloc_request(self.queue(), op.as_raw(), 0) })?;

        // INVARIANT: The request is new, and ours.
        Ok(Passthrough {
            rq: NonNull::new(rq).ok_or(ENODEV)?,
            was_executed: false,
            _disk: PhantomData,
            _of_this_task: NotThreadSafe,
        })
    }
}

impl<O: Operations> Passthrough<'_, O> {
    /// The driver's data of the request.
    pub fn data(&self) -> &O::RequestData {
        // SAFETY: By the type invariant, the request is one of `O`, and not in use elsewhere.
        unsafe { &(*Pdu::<O>::of(self.rq).as_ptr()).data }
    }

    /// The driver's data of the request, to be changed.
    pub fn data_mut(&mut self) -> Pin<&mut O::RequestData> {
        // SAFETY: As in `data`; the area is pinned until `exit_request` drops it.
        unsafe { Pin::new_unchecked(&mut (*Pdu::<O>::of(self.rq).as_ptr()).data) }
    }

    /// Sets the first sector, in units of 512 bytes, for requests that are about one.
    pub fn set_sector(&mut self, sector: u64) {
        // SAFETY: By the type invariant, the request is not in use elsewhere.
        unsafe { (*self.rq.as_ptr()).__sector = sector };
    }

    /// Sends the request and waits for its end. The data is in `buf`, or is read into it, through
    /// a copy if its memory is not fit for a device; without `buf`, there is no data.
    ///
    /// The private data is then as [`Operations::complete`] has left it.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `buf` is empty or longer than a request can be, `ENOMEM`, `EBUSY` if the request
    /// was executed before. What the device said is the [`Status`].
    pub fn execute(&mut self, buf: Option<&mut [u8]>) -> Result<Status> {
        if core::mem::replace(&mut self.was_executed, true) {
            return Err(EBUSY);
        }
        if let Some(buf) = buf {
            let len = c_uint::try_from(buf.len())?;

            // SAFETY: The request is ours and not started. The buffer is borrowed until the
            // request has ended, which this waits for.
            to_result(unsafe {
                bindings::blk_rq_map_kern(
                    self.rq.as_ptr(),
                    buf.as_mut_ptr().cast(),
                    len,
                    bindings::GFP_KERNEL,
                )
            })?;
        }

        // SAFETY: The request is ours and not started; when the call returns, it is ours again.
        let status = unsafe { bindings::blk_execute_rq(self.rq.as_ptr(), false) };

        Ok(Status::from_raw(status))
    }
}

impl<O: Operations> Drop for Passthrough<'_, O> {
    fn drop(&mut self) {
        // SAFETY: The request is ours, and it is not started, or has ended.
        unsafe { bindings::blk_mq_free_request(self.rq.as_ptr()) };
    }
}
