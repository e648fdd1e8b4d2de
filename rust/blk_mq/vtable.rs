// SPDX-License-Identifier: GPL-2.0

//! From the callbacks of C to the methods of [`Operations`].

use crate::{
    disk::DiskData,
    pdu::Pdu,
    Borrowed,
    CompletionBatch,
    GenDisk,
    HwCtx,
    Operations,
    QueueMaps,
    Request,
    RequestList,
    Status,
    TagSet,
    TimedOut,
    TimeoutAction,
    ZoneReport, //
};
use bindings_ext as bindings;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::from_result,
    module::this_module,
    prelude::*,
    types::ForeignOwnable, //
};

/// The tables of callbacks of `O`.
///
/// The safety requirements of the callbacks are those of the C interface: blk-mq calls them for
/// queues, requests and tag sets that are alive and were made with these tables, thus by this
/// crate for `O`.
pub(crate) struct VTable<O: Operations>(PhantomData<O>);

/// The driver's data of a queue.
///
/// # Safety
///
/// `q` must be the live queue of a disk of `O`, which must not be released during `'a`.
#[inline(always)]
pub(crate) unsafe fn queue_data<'a, O: Operations>(
    q: *mut bindings::request_queue,
) -> Borrowed<'a, O::QueueData> {
    // SAFETY: `DiskBuilder::build` has set `queuedata` to what it got from `into_foreign`. That is
    // converted back when the disk is released.
    unsafe { O::QueueData::borrow((*q).queuedata) }
}

impl<O: Operations> VTable<O> {
    /// The operations of a tag set.
    pub(crate) const TAG_SET: bindings::blk_mq_ops = bindings::blk_mq_ops {
        queue_rq: Some(Self::queue_rq),
        commit_rqs: Some(Self::commit_rqs),
        queue_rqs: if O::HAS_QUEUE_RQS {
            Some(Self::queue_rqs)
        } else {
            None
        },
        timeout: if O::HAS_TIMEOUT {
            Some(Self::timeout)
        } else {
            None
        },
        poll: if O::HAS_POLL { Some(Self::poll) } else { None },
        complete: Some(Self::complete),
        init_request: Some(Self::init_request),
        exit_request: Some(Self::exit_request),
        map_queues: if O::HAS_MAP_QUEUES {
            Some(Self::map_queues)
        } else {
            None
        },
        ..pin_init::zeroed()
    };

    /// The operations of a disk.
    pub(crate) const DISK: bindings::block_device_operations = bindings::block_device_operations {
        owner: this_module::<O::OwnerModule>().as_ptr(),
        getgeo: if O::HAS_GETGEO {
            Some(Self::getgeo)
        } else {
            None
        },
        report_zones: if cfg!(CONFIG_BLK_DEV_ZONED) && O::HAS_REPORT_ZONES {
            Some(Self::report_zones)
        } else {
            None
        },
        free_disk: Some(Self::free_disk),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Only for blk-mq, see [`VTable`]; the request in `bd` goes to the driver.
    unsafe extern "C" fn queue_rq(
        hctx: *mut bindings::blk_mq_hw_ctx,
        bd: *const bindings::blk_mq_queue_data,
    ) -> bindings::blk_status_t {
        // SAFETY: All are valid, and the request is ours and not started.
        let (hctx, data, rq, is_last) = unsafe {
            (
                HwCtx::<O>::from_raw(hctx),
                queue_data::<O>((*hctx).queue),
                Request::start(NonNull::new_unchecked((*bd).rq)),
                (*bd).last,
            )
        };

        match O::queue_rq(hctx, data, rq, is_last) {
            Ok(()) => Status::OK,
            Err(rejected) => rejected.into_status(),
        }
        .into_raw()
    }

    /// # Safety
    ///
    /// Only for blk-mq, see [`VTable`].
    unsafe extern "C" fn commit_rqs(hctx: *mut bindings::blk_mq_hw_ctx) {
        // SAFETY: The hardware queue is valid.
        let (hctx, data) = unsafe { (HwCtx::<O>::from_raw(hctx), queue_data::<O>((*hctx).queue)) };

        O::commit_rqs(hctx, data);
    }

    /// # Safety
    ///
    /// Only for blk-mq, see [`VTable`]; the list is not empty, and its requests are of one queue.
    unsafe extern "C" fn queue_rqs(list: *mut bindings::rq_list) {
        // SAFETY: The list is ours during the call, and has a first request.
        let (mut list, data) = unsafe {
            let q = (*(*list).head).q;

            (RequestList::<O>::from_raw(&mut *list), queue_data::<O>(q))
        };

        O::queue_rqs(data, &mut list);
    }

    /// # Safety
    ///
    /// Only for blk-mq, see [`VTable`]; the request went there by `blk_mq_complete_request_remote`.
    unsafe extern "C" fn complete(rq: *mut bindings::request) {
        // SAFETY: The handle was given up for this, see `Request::complete`.
        O::complete(unsafe { Request::from_raw(NonNull::new_unchecked(rq)) });
    }

    /// # Safety
    ///
    /// Only for blk-mq, see [`VTable`].
    unsafe extern "C" fn poll(
        hctx: *mut bindings::blk_mq_hw_ctx,
        iob: *mut bindings::io_comp_batch,
    ) -> c_int {
        // SAFETY: The hardware queue is valid, and the batch is, or is null, during the call.
        let (hctx, data, mut batch) = unsafe {
            (
                HwCtx::<O>::from_raw(hctx),
                queue_data::<O>((*hctx).queue),
                CompletionBatch::<O>::from_raw(iob),
            )
        };

        c_int::try_from(O::poll(hctx, data, &mut batch)).unwrap_or(c_int::MAX)
    }

    /// # Safety
    ///
    /// Only for blk-mq, see [`VTable`]; it holds a reference to the request.
    unsafe extern "C" fn timeout(rq: *mut bindings::request) -> bindings::blk_eh_timer_return {
        // SAFETY: The reference of the caller keeps the request allocated to its I/O.
        let (data, rq) = unsafe {
            (
                queue_data::<O>((*rq).q),
                TimedOut::from_raw(NonNull::new_unchecked(rq)),
            )
        };

        match O::timeout(data, &rq) {
            TimeoutAction::ResetTimer => bindings::blk_eh_timer_return_BLK_EH_RESET_TIMER,
            TimeoutAction::Done => bindings::blk_eh_timer_return_BLK_EH_DONE,
        }
    }

    /// # Safety
    ///
    /// Only for blk-mq, see [`VTable`]; the request has no initialised private area.
    unsafe extern "C" fn init_request(
        set: *mut bindings::blk_mq_tag_set,
        rq: *mut bindings::request,
        hw_queue: c_uint,
        _numa_node: c_int,
    ) -> c_int {
        from_result(|| {
            // SAFETY: The tag set is one of `O`, and its data is initialised before the callbacks
            // start. The request is of this tag set.
            unsafe {
                Pdu::<O>::init(
                    NonNull::new_unchecked(rq),
                    TagSet::<O>::dma_context(set),
                    O::new_request_data(TagSet::<O>::data_of(set), hw_queue),
                )?
            };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Only for blk-mq, see [`VTable`]; `init_request` has succeeded for the request.
    unsafe extern "C" fn exit_request(
        _set: *mut bindings::blk_mq_tag_set,
        rq: *mut bindings::request,
        _hw_queue: c_uint,
    ) {
        // SAFETY: The private area is initialised, and blk-mq has stopped using the request.
        unsafe { Pdu::<O>::exit(NonNull::new_unchecked(rq)) };
    }

    /// # Safety
    ///
    /// Only for blk-mq, see [`VTable`]; nobody else uses the maps during the call.
    unsafe extern "C" fn map_queues(set: *mut bindings::blk_mq_tag_set) {
        // SAFETY: The tag set is one of `O`, and its data is initialised before the callbacks
        // start. The maps are ours.
        let (data, mut maps) =
            unsafe { (TagSet::<O>::data_of(set), QueueMaps::from_raw(&mut *set)) };

        O::map_queues(data, &mut maps);
    }

    /// # Safety
    ///
    /// Only for the block layer; `disk` is one of `O` and in use, `geo` can be written.
    unsafe extern "C" fn getgeo(
        disk: *mut bindings::gendisk,
        geo: *mut bindings::hd_geometry,
    ) -> c_int {
        from_result(|| {
            // SAFETY: The disk is in use during the call.
            let geometry = O::getgeo(unsafe { GenDisk::<O>::from_raw(disk) })?;

            // SAFETY: `geo` is valid for the call.
            unsafe {
                bindings::rust_ext_blk_set_geometry(
                    geo,
                    geometry.cylinders,
                    geometry.heads,
                    geometry.sectors,
                )
            };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Only for the block layer; `disk` is one of `O` and in use, `args` are for
    /// `disk_report_zone`.
    unsafe extern "C" fn report_zones(
        disk: *mut bindings::gendisk,
        sector: bindings::sector_t,
        nr_zones: c_uint,
        args: *mut bindings::blk_report_zones_args,
    ) -> c_int {
        from_result(|| {
            // SAFETY: The disk is in use during the call.
            let disk = unsafe { GenDisk::<O>::from_raw(disk) };
            // SAFETY: The report lives as long as the call.
            let mut report = unsafe { ZoneReport::from_raw(disk, args, nr_zones) };

            O::report_zones(disk, sector, &mut report)?;
            Ok(c_int::try_from(report.reported())?)
        })
    }

    /// # Safety
    ///
    /// Only for the block layer: the last reference to the disk is gone.
    unsafe extern "C" fn free_disk(disk: *mut bindings::gendisk) {
        // SAFETY: `DiskBuilder::build` has set the pointer, and nobody can reach the disk to use
        // it any more.
        drop(unsafe { KBox::<DiskData<O>>::from_raw((*disk).private_data.cast()) });
        O::LIVE_DISKS.leave();
    }
}
