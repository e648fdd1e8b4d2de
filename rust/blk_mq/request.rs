// SPDX-License-Identifier: GPL-2.0

//! Requests: a read-only view, and the owned handle.
//!
//! C header: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h)

use crate::{
    hw_ctx::HwCtx,
    op::{
        CmdFlags,
        Op, //
    },
    pdu::Pdu,
    Operations,
    Status, //
};
use bindings_ext as bindings;
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// A look at a request that nobody else finishes meanwhile.
///
/// # Invariants
///
/// The request belongs to a hardware queue of a disk, and to whoever lends this.
#[repr(transparent)]
pub struct RequestInfo(Opaque<bindings::request>);

// SAFETY: All methods only read, and what they read changes hands with the request only.
unsafe impl Sync for RequestInfo {}

impl RequestInfo {
    /// Looks at a raw request.
    ///
    /// # Safety
    ///
    /// The invariants of [`RequestInfo`] must hold for `rq` during `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(rq: NonNull<bindings::request>) -> &'a Self {
        // SAFETY: By the requirements of this function; the wrapper is transparent.
        unsafe { rq.cast().as_ref() }
    }

    /// The pointer for C code.
    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::request {
        self.0.get()
    }

    /// What is asked for.
    #[inline]
    pub fn op(&self) -> Op {
        // SAFETY: The request is valid by the type invariant.
        Op::from_cmd_flags(unsafe { (*self.as_raw()).cmd_flags })
    }

    /// How it is asked for.
    #[inline]
    pub fn flags(&self) -> CmdFlags {
        // SAFETY: The request is valid by the type invariant.
        CmdFlags::from_cmd_flags(unsafe { (*self.as_raw()).cmd_flags })
    }

    /// Whether data goes to the device.
    #[inline]
    pub fn is_write(&self) -> bool {
        self.op().is_write()
    }

    /// Whether the driver itself made this request.
    #[inline]
    pub fn is_passthrough(&self) -> bool {
        self.op().is_passthrough()
    }

    /// The first sector, in units of 512 bytes; all ones for requests that have none, such as those
    /// of the driver itself.
    #[inline]
    pub fn sector(&self) -> u64 {
        // SAFETY: The request is valid by the type invariant.
        unsafe { (*self.as_raw()).__sector }
    }

    /// The length in bytes of what the request is about; for a discard, of the area discarded.
    #[inline]
    pub fn bytes(&self) -> u32 {
        // SAFETY: The request is valid by the type invariant.
        unsafe { (*self.as_raw()).__data_len }
    }

    /// The length in bytes of the data that is transferred.
    #[inline]
    pub fn payload_bytes(&self) -> u32 {
        if self.has_special_payload() {
            // SAFETY: The request is valid, and the flag says that this is the active field.
            unsafe { (*self.as_raw()).__bindgen_anon_3.special_vec.bv_len }
        } else {
            match self.op() {
                Op::DISCARD | Op::SECURE_ERASE | Op::WRITE_ZEROES => 0,
                _ => self.bytes(),
            }
        }
    }

    /// The I/O priority: a class in the upper bits, a level in the lower.
    #[inline]
    pub fn ioprio(&self) -> u16 {
        // SAFETY: The request is valid by the type invariant, and so is its bio if it has one.
        unsafe { (*self.as_raw()).bio.as_ref() }.map_or(0, |bio| bio.bi_ioprio)
    }

    /// How many ranges the data has at most.
    #[inline]
    pub fn nr_phys_segments(&self) -> u16 {
        if self.has_special_payload() {
            1
        } else {
            // SAFETY: The request is valid by the type invariant.
            unsafe { (*self.as_raw()).nr_phys_segments }
        }
    }

    /// The number of this request among those of its hardware queue.
    #[inline]
    pub fn tag(&self) -> u32 {
        // CAST: A request that a driver sees has a tag, which is not negative.
        // SAFETY: The request is valid by the type invariant.
        unsafe { (*self.as_raw()).tag as u32 }
    }

    /// The index of the hardware queue.
    #[inline]
    pub fn hw_queue(&self) -> u32 {
        // SAFETY: The request is valid by the type invariant, and belongs to a hardware queue.
        unsafe { (*(*self.as_raw()).mq_hctx).queue_num }
    }

    /// Whether fault injection wants this completion to get lost.
    ///
    /// A driver that asks keeps the request, as if the device had not answered, until
    /// [`Operations::timeout`].
    #[inline]
    pub fn should_fake_timeout(&self) -> bool {
        // SAFETY: The request is valid by the type invariant.
        cfg!(CONFIG_FAIL_IO_TIMEOUT)
            && unsafe { bindings::rust_ext_blk_should_fake_timeout(self.as_raw()) }
    }

    /// Whether the data is a buffer of the driver instead of the bios' pages.
    #[inline]
    pub(crate) fn has_special_payload(&self) -> bool {
        // SAFETY: The request is valid by the type invariant.
        unsafe { (*self.as_raw()).rq_flags & (1 << bindings::rqf_flags___RQF_SPECIAL_PAYLOAD) != 0 }
    }
}

/// A request that takes too long, which the driver or the device may be finishing right now.
///
/// # Invariants
///
/// The request belongs to a hardware queue, and stays allocated to one I/O while this is borrowed.
/// Its data may be gone.
pub struct TimedOut<'a>(&'a RequestInfo);

impl<'a> TimedOut<'a> {
    /// Looks at a raw request.
    ///
    /// # Safety
    ///
    /// The invariants of [`TimedOut`] must hold for `rq` during `'a`.
    pub(crate) unsafe fn from_raw(rq: NonNull<bindings::request>) -> Self {
        // SAFETY: By the requirements of this function. Only what stays is used.
        Self(unsafe { RequestInfo::from_raw(rq) })
    }

    /// What is asked for.
    pub fn op(&self) -> Op {
        self.0.op()
    }

    /// The index of the hardware queue.
    pub fn hw_queue(&self) -> u32 {
        self.0.hw_queue()
    }

    /// The number of the request among those of its hardware queue; none if it is being queued
    /// again.
    pub fn tag(&self) -> Option<u32> {
        // SAFETY: The request is valid by the type invariant. The field may change meanwhile.
        u32::try_from(unsafe { (&raw const (*self.0.as_raw()).tag).read_volatile() }).ok()
    }
}

/// A request that the driver owns, and has to finish.
///
/// It has been started: its timeout is running. Dropping it ends it with [`Status::IOERR`].
///
/// # Invariants
///
/// - `rq` points to a request of a disk of `O`, started, in no list and ended by nobody.
/// - This is the only handle to it, and thereby to its private area.
#[repr(transparent)]
pub struct Request<O: Operations> {
    rq: NonNull<bindings::request>,
    _owned: PhantomData<O>,
}

// SAFETY: A request may be finished on any processor and in any context. The private data, the
// only part of the driver's, may change threads as `O::RequestData` is `Send`.
unsafe impl<O: Operations> Send for Request<O> {}

// SAFETY: A shared reference reads fields that do not change, and gives `&O::RequestData`, which
// is `Sync`.
unsafe impl<O: Operations> Sync for Request<O> {}

impl<O: Operations> Request<O> {
    /// Takes over a request.
    ///
    /// # Safety
    ///
    /// The invariants of [`Request`] must hold for `rq`, and the caller gives up its ownership.
    #[inline]
    pub(crate) unsafe fn from_raw(rq: NonNull<bindings::request>) -> Self {
        // INVARIANT: By the requirements of this function.
        Self {
            rq,
            _owned: PhantomData,
        }
    }

    /// Starts a request and takes it over.
    ///
    /// # Safety
    ///
    /// As for [`Self::from_raw`], but that the request must not have been started.
    #[inline]
    pub(crate) unsafe fn start(rq: NonNull<bindings::request>) -> Self {
        // SAFETY: The request is valid, and not started.
        unsafe { bindings::blk_mq_start_request(rq.as_ptr()) };
        // SAFETY: It is started now; the rest is required of the caller.
        unsafe { Self::from_raw(rq) }
    }

    /// The private area.
    #[inline]
    pub(crate) fn pdu(&self) -> NonNull<Pdu<O>> {
        // SAFETY: By the type invariant, the request is one of `O`.
        unsafe { Pdu::of(self.rq) }
    }

    /// Undoes what this use of the request has set up: its mapping and its payload.
    #[inline]
    pub(crate) fn clean_up(&mut self) {
        self.unmap_dma();
        if self.has_special_payload() {
            self.free_payload();
        }
    }

    /// Cleans up, and hands over the request to C code.
    #[inline]
    pub(crate) fn into_raw(self) -> *mut bindings::request {
        let mut this = ManuallyDrop::new(self);

        this.clean_up();
        this.rq.as_ptr()
    }

    /// Ends the request.
    #[inline]
    pub fn end(self, status: Status) {
        // SAFETY: The request is started and ours, and we give it up.
        unsafe { bindings::blk_mq_end_request(self.into_raw(), status.into_raw()) };
    }

    /// Has [`Operations::complete`] called, on the processor that submitted the request if that
    /// is worth it.
    #[inline]
    pub fn complete(self) {
        let rq = ManuallyDrop::new(self).rq;

        // The mapping stays, for whoever gets the request next.
        // SAFETY: The request is started and ours. If C code takes it, it comes back by the
        // callback for completion; else it is still ours.
        if !unsafe { bindings::blk_mq_complete_request_remote(rq.as_ptr()) } {
            // SAFETY: It is ours again, as above.
            O::complete(unsafe { Self::from_raw(rq) });
        }
    }

    /// Gives the request back, to be queued again later.
    ///
    /// Requests that wait for this are dispatched when someone kicks them: this call if `kick`,
    /// or [`Disk::kick_requeue_list`](crate::Disk::kick_requeue_list).
    #[inline]
    pub fn requeue(self, kick: bool) {
        // SAFETY: The request is started and ours, and we give it up.
        unsafe { bindings::blk_mq_requeue_request(self.into_raw(), kick) };
    }

    /// Makes this the error of [`Operations::queue_rq`], which gives the request back.
    ///
    /// With [`Status::RESOURCE`] or [`Status::DEV_RESOURCE`] it is queued again later; any other
    /// status ends it. [`Status::OK`] is no reason and counts as [`Status::IOERR`].
    #[inline]
    pub fn reject(self, status: Status) -> Rejected<O> {
        Rejected {
            rq: self,
            status: if status.is_ok() {
                Status::IOERR
            } else {
                status
            },
        }
    }

    /// The driver's data of this request.
    #[inline]
    pub fn data(&self) -> &O::RequestData {
        // SAFETY: The private area is initialised and this handle is the only way to it.
        unsafe { &(*self.pdu().as_ptr()).data }
    }

    /// The driver's data of this request, to be changed. It never moves.
    #[inline]
    pub fn data_mut(&mut self) -> Pin<&mut O::RequestData> {
        // SAFETY: As in `data`; the area is pinned until `exit_request` drops it.
        unsafe { Pin::new_unchecked(&mut (*self.pdu().as_ptr()).data) }
    }

    /// The physical address of [`Self::data`], which is contiguous.
    #[inline]
    pub fn data_phys(&self) -> u64 {
        // SAFETY: Requests are allocated from memory of the linear mapping.
        unsafe { bindings::rust_ext_blk_virt_to_phys(core::ptr::from_ref(self.data()).cast()) }
    }

    /// The hardware queue of this request.
    #[inline]
    pub fn hw_ctx(&self) -> &HwCtx<O> {
        // SAFETY: A started request belongs to a hardware queue, which stays while it is in use.
        unsafe { HwCtx::from_raw((*self.as_raw()).mq_hctx) }
    }

    /// Reports where a [`Op::ZONE_APPEND`] has written.
    #[inline]
    pub fn set_sector(&mut self, sector: u64) {
        // SAFETY: The request is ours.
        unsafe { (*self.rq.as_ptr()).__sector = sector };
    }
}

impl<O: Operations> Deref for Request<O> {
    type Target = RequestInfo;

    #[inline]
    fn deref(&self) -> &RequestInfo {
        // SAFETY: The request stays ours while `self` is borrowed.
        unsafe { RequestInfo::from_raw(self.rq) }
    }
}

impl<O: Operations> Drop for Request<O> {
    #[cold]
    fn drop(&mut self) {
        self.clean_up();
        // SAFETY: The request is started and ours, and this handle goes.
        unsafe { bindings::blk_mq_end_request(self.rq.as_ptr(), Status::IOERR.into_raw()) };
    }
}

/// A request that could not be queued, and why; see [`Request::reject`].
///
/// # Invariants
///
/// `status` is not [`Status::OK`].
pub struct Rejected<O: Operations> {
    rq: Request<O>,
    status: Status,
}

impl<O: Operations> Rejected<O> {
    /// Gives the request back to the block layer, which expects to have it by returning this.
    #[inline]
    pub(crate) fn into_status(self) -> Status {
        let _ = self.rq.into_raw();

        self.status
    }

    /// Why the request could not be queued.
    #[inline]
    pub fn status(&self) -> Status {
        self.status
    }

    /// The request again, for a caller that decides otherwise.
    #[inline]
    pub fn into_request(self) -> Request<O> {
        self.rq
    }
}
