// SPDX-License-Identifier: GPL-2.0

//! What a driver implements.
//!
//! C header: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h)

use crate::{
    Borrowed,
    CompletionBatch,
    GenDisk,
    HwCtx,
    LiveDisks,
    QueueMaps,
    Rejected,
    Request,
    RequestList,
    TimedOut,
    ZoneReport, //
};
use kernel::{
    error::VTABLE_DEFAULT_ERROR,
    prelude::*,
    types::ForeignOwnable, //
};

/// What the block layer shall do about a request that has timed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutAction {
    /// Wait for it once more.
    ResetTimer,
    /// Nothing: the driver has finished it, or will.
    Done,
}

/// The geometry that partitioning tools of old ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Cylinders.
    pub cylinders: u16,
    /// Heads.
    pub heads: u8,
    /// Sectors per track.
    pub sectors: u8,
}

/// A driver's side of blk-mq.
///
/// Methods for requests may run on several processors at once, in any context: they must not
/// sleep unless it says so.
#[vtable]
pub trait Operations: Sized + 'static {
    /// The disks of the driver's module, which [waits](LiveDisks::awaited) for them when it goes.
    const LIVE_DISKS: &'static LiveDisks;

    /// The driver's data of a disk. It lives until the last opener of the disk is gone.
    type QueueData: ForeignOwnable + Send + Sync;

    /// The driver's data of a tag set.
    type TagSetData: ForeignOwnable + Send + Sync;

    /// The driver's data of a request. It is made with the request, stays at its address, and
    /// outlives the many uses of a request, so it holds whatever the last use has left.
    type RequestData: Send + Sync;

    /// Makes the private data of a request. May sleep.
    ///
    /// `hw_queue` is a hint: with an I/O scheduler, a request moves between queues.
    fn new_request_data(
        tag_set: Borrowed<'_, Self::TagSetData>,
        hw_queue: u32,
    ) -> impl PinInit<Self::RequestData, Error>;

    /// Takes a request, which has been started.
    ///
    /// If not `is_last`, more will follow, or [`Self::commit_rqs`]: notifying the device can wait.
    ///
    /// # Errors
    ///
    /// The request itself, by [`Request::reject`], if it cannot be queued.
    fn queue_rq(
        hctx: &HwCtx<Self>,
        data: Borrowed<'_, Self::QueueData>,
        rq: Request<Self>,
        is_last: bool,
    ) -> Result<(), Rejected<Self>>;

    /// Notifies the device of what has been queued: the last request did not come after all.
    fn commit_rqs(hctx: &HwCtx<Self>, data: Borrowed<'_, Self::QueueData>);

    /// Ends a request, after [`Request::complete`] or [`CompletionBatch::add`].
    fn complete(rq: Request<Self>);

    /// Takes a list of requests of one disk, maybe of different hardware queues. There is no
    /// further call, so this notifies the device as well.
    fn queue_rqs(_data: Borrowed<'_, Self::QueueData>, _list: &mut RequestList<'_, Self>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Looks for finished requests in a queue without interrupts; returns how many there were.
    fn poll(
        _hctx: &HwCtx<Self>,
        _data: Borrowed<'_, Self::QueueData>,
        _batch: &mut CompletionBatch<'_, Self>,
    ) -> u32 {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Reacts to a request that takes too long. May sleep.
    ///
    /// The request may be completing at this very moment; the [`Request`] is where the driver has
    /// put it, and whoever takes it from there finishes it.
    fn timeout(_data: Borrowed<'_, Self::QueueData>, _rq: &TimedOut<'_>) -> TimeoutAction {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Maps processors to hardware queues. May sleep.
    fn map_queues(_data: Borrowed<'_, Self::TagSetData>, _maps: &mut QueueMaps<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Reports the zones from the one at `sector` on, until the report wants no more or there are
    /// no more. May sleep; an opener may ask after the device has gone.
    fn report_zones(
        _disk: &GenDisk<Self>,
        _sector: u64,
        _report: &mut ZoneReport<'_, Self>,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The geometry of the disk. May sleep; an opener may ask after the device has gone.
    fn getgeo(_disk: &GenDisk<Self>) -> Result<Geometry> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}
