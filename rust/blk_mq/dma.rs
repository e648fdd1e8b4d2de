// SPDX-License-Identifier: GPL-2.0

//! Mapping a request's data through the DMA API.
//!
//! A mapping takes in all of the data or nothing, its ranges are kept with the request, and the
//! request undoes it exactly once: when it is ended, requeued, rejected or dropped, or before, if
//! the driver asks. Few ranges have room behind the request; for more there is an array from a
//! pool with a reserve, so that writing out memory cannot wait for memory.
//!
//! C header: [`include/linux/blk-mq-dma.h`](srctree/include/linux/blk-mq-dma.h)

use crate::{
    pdu::Pdu,
    ranges::DmaRange,
    Operations,
    Request,
    Status, //
};
use bindings_ext as bindings;
use core::ptr::NonNull;
use kernel::{
    device::{
        Bound,
        Device,
        DeviceContext, //
    },
    prelude::*,
    sync::aref::ARef, //
};

/// How many ranges a request has room for without an allocation.
const INLINE_RANGES: u32 = 8;

/// The raw pointer of a device.
// TODO: `Device::as_raw` is private to the kernel crate; use it once it is public.
pub(crate) fn device_as_raw<Ctx: DeviceContext>(dev: &Device<Ctx>) -> *mut bindings::device {
    // CAST: `Device` is a transparent wrapper of an `Opaque<bindings::device>`.
    core::ptr::from_ref(dev).cast_mut().cast()
}

/// The longest range that can be mapped for a device, in bytes.
///
/// Where the data passes through bounce buffers, a longer one never maps, so this bounds
/// [`QueueLimits::max_segment_size`](crate::QueueLimits::max_segment_size).
pub fn dma_max_mapping_size(dev: &Device<Bound>) -> usize {
    // SAFETY: The device is valid and bound.
    unsafe { bindings::rust_ext_blk_dma_max_mapping_size(device_as_raw(dev)) }
}

/// How the requests of a tag set are mapped.
pub struct DmaConfig<'a> {
    /// The device that accesses the data.
    pub dev: &'a Device<Bound>,
    /// The most segments that the queue's limits let a request have.
    pub max_segments: u16,
}

/// What mapping needs, shared by all requests of a tag set.
///
/// # Invariants
///
/// `pool` is null, or points to a pool of arrays of `max_ranges` ranges; it is null only if
/// `max_ranges <= INLINE_RANGES`.
pub(crate) struct DmaContext {
    dev: ARef<Device>,
    pool: *mut bindings::mempool,
    max_ranges: u32,
}

// SAFETY: A pool serialises access by itself.
unsafe impl Send for DmaContext {}

// SAFETY: As above.
unsafe impl Sync for DmaContext {}

impl DmaContext {
    /// Prepares the mapping of requests.
    ///
    /// # Errors
    ///
    /// `EINVAL` for no segments, `ENOMEM` if there is no memory for the reserve.
    pub(crate) fn new(config: &DmaConfig<'_>) -> Result<Self> {
        let max_ranges = u32::from(config.max_segments);
        let mut pool = core::ptr::null_mut();

        if max_ranges == 0 {
            return Err(EINVAL);
        }
        if max_ranges > INLINE_RANGES {
            // SAFETY: There is nothing to uphold.
            pool = unsafe { bindings::rust_ext_blk_range_pool_create(max_ranges) };
            if pool.is_null() {
                return Err(ENOMEM);
            }
        }
        // INVARIANT: The pool was made for `max_ranges` where these are many.
        Ok(Self {
            dev: ARef::<Device>::from(&**config.dev),
            pool,
            max_ranges,
        })
    }

    /// How many ranges the private area of a request needs room for.
    pub(crate) fn inline_ranges(&self) -> usize {
        self.max_ranges.min(INLINE_RANGES) as usize
    }
}

impl Drop for DmaContext {
    fn drop(&mut self) {
        if !self.pool.is_null() {
            // SAFETY: The pool is ours, and every request has given back its array: requests end
            // before the tag set goes.
            unsafe { bindings::mempool_destroy(self.pool) };
        }
    }
}

impl<O: Operations> Request<O> {
    /// Maps the data of this request for the device of the tag set.
    ///
    /// The ranges are then at [`Self::dma_ranges`]. A request that is mapped already stays so.
    ///
    /// # Errors
    ///
    /// - [`Status::RESOURCE`] if memory, address space or bounce buffers are used up. Some of it
    ///   comes back when other requests end, so the request should be given back with this status.
    /// - [`Status::INVAL`] for memory that the device cannot reach.
    /// - [`Status::IOERR`] if the tag set was made without a device, or for fewer segments.
    pub fn map_dma(&mut self) -> Result<(), Status> {
        let pdu = self.pdu();
        // SAFETY: The private area is initialised, and this owner of the request may access it;
        // the fields used here are not the driver's. `dma` is null or valid by its invariant.
        let (mapped, dma) = unsafe {
            (
                (*pdu.as_ptr()).mapping.nr_ranges,
                (*pdu.as_ptr()).dma.as_ref(),
            )
        };
        let dma = dma.ok_or(Status::IOERR)?;
        let segments = u32::from(self.nr_phys_segments());

        if mapped != 0 {
            return Ok(());
        }

        let (ranges, max) = if segments <= dma.max_ranges.min(INLINE_RANGES) {
            // SAFETY: The area is that of this request.
            (
                unsafe { Pdu::inline_ranges(pdu) },
                dma.max_ranges.min(INLINE_RANGES),
            )
        } else if segments <= dma.max_ranges {
            // SAFETY: By its invariant the pool is there, as there are more ranges than fit inline.
            let ranges = unsafe { bindings::rust_ext_blk_range_pool_alloc(dma.pool) };

            if ranges.is_null() {
                return Err(Status::RESOURCE);
            }
            (ranges.cast::<DmaRange>(), dma.max_ranges)
        } else {
            return Err(Status::IOERR);
        };

        // INVARIANT: On success, `mapping` and `ranges` describe the mapping; else, or if there is
        // no data, the helper leaves no ranges.
        // SAFETY: The request is ours, the device is valid, and `ranges` has room for `max`.
        let status = Status::from_raw(unsafe {
            (*pdu.as_ptr()).ranges = ranges;
            bindings::rust_ext_blk_dma_map(
                self.as_raw(),
                device_as_raw(&dma.dev),
                &raw mut (*pdu.as_ptr()).mapping,
                ranges.cast(),
                max,
            )
        });

        // SAFETY: As above.
        if unsafe { (*pdu.as_ptr()).mapping.nr_ranges } == 0 {
            // SAFETY: There is no mapping, and `ranges` comes from this context.
            unsafe { Self::free_ranges(pdu, dma) };
        }
        if status.is_ok() {
            Ok(())
        } else {
            Err(status)
        }
    }

    /// The ranges of the data, as the device shall see them; none unless [`Self::map_dma`] has
    /// succeeded.
    #[inline]
    pub fn dma_ranges(&self) -> &[DmaRange] {
        let pdu = self.pdu().as_ptr();

        // SAFETY: The private area is initialised, and `self` is borrowed from its owner.
        let (ranges, len) = unsafe { ((*pdu).ranges, (*pdu).mapping.nr_ranges as usize) };

        if len == 0 {
            &[]
        } else {
            // SAFETY: By the invariant of `Pdu` there are that many initialised ranges, which stay
            // until the mapping is undone, for which `self` must be mutable.
            unsafe { core::slice::from_raw_parts(ranges, len) }
        }
    }

    /// Undoes [`Self::map_dma`], so that the processor sees what the device has written.
    ///
    /// This need not be called: whatever consumes the request does so too.
    #[inline]
    pub fn unmap_dma(&mut self) {
        let pdu = self.pdu();

        // SAFETY: The private area is initialised, and this owner of the request may access it.
        if unsafe { (*pdu.as_ptr()).mapping.nr_ranges } != 0 {
            self.unmap_ranges(pdu);
        }
    }

    /// Undoes a mapping that is there.
    #[cold]
    fn unmap_ranges(&mut self, pdu: NonNull<Pdu<O>>) {
        // SAFETY: By the invariant of `Pdu`, a mapping implies a context, and ranges of it.
        unsafe {
            let dma = &*(*pdu.as_ptr()).dma;

            bindings::rust_ext_blk_dma_unmap(
                self.as_raw(),
                device_as_raw(&dma.dev),
                &raw mut (*pdu.as_ptr()).mapping,
                (*pdu.as_ptr()).ranges.cast(),
            );
            Self::free_ranges(pdu, dma);
        }
    }

    /// Gives back the array of ranges.
    ///
    /// # Safety
    ///
    /// `pdu` must be that of a request without mapping, whose `ranges` come from `dma`.
    unsafe fn free_ranges(pdu: NonNull<Pdu<O>>, dma: &DmaContext) {
        // SAFETY: `pdu` is valid by the requirements of this function.
        let ranges =
            unsafe { core::mem::replace(&mut (*pdu.as_ptr()).ranges, core::ptr::null_mut()) };

        // SAFETY: As above.
        if ranges != unsafe { Pdu::inline_ranges(pdu) } {
            // SAFETY: What is not inline comes from the pool.
            unsafe { bindings::mempool_free(ranges.cast(), dma.pool) };
        }
    }
}
