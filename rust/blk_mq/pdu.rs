// SPDX-License-Identifier: GPL-2.0

//! The private area behind each `struct request`.
//!
//! blk-mq allocates `cmd_size` bytes behind every request. They hold, in this order: padding, if
//! the driver's data wants more alignment than a request has; a [`Pdu`]; and the array of DMA
//! ranges that suffices for common requests. It lives from `init_request` to `exit_request`, thus
//! across many uses of the request.

use crate::{
    dma::DmaContext,
    ranges::DmaRange,
    Operations, //
};
use bindings_ext as bindings;
use core::{
    mem::{
        align_of,
        offset_of,
        size_of, //
    },
    ptr::NonNull,
};
use kernel::prelude::*;
use pin_init::PinInit;

/// What this crate and the driver keep with a request.
///
/// # Invariants
///
/// - `dma` is null or points to the context of the tag set, which outlives its requests.
/// - If `mapping.nr_ranges` is not 0, the request's data is mapped for the device of `dma`, and
///   `ranges` points to the ranges of that mapping: to the array behind this [`Pdu`] or to one
///   from the pool of `dma`.
#[repr(C)]
pub(crate) struct Pdu<O: Operations> {
    pub(crate) mapping: bindings::rust_ext_blk_mapping,
    pub(crate) ranges: *mut DmaRange,
    pub(crate) dma: *const DmaContext,
    pub(crate) data: O::RequestData,
}

impl<O: Operations> Pdu<O> {
    /// The alignment that the memory behind a request has in any case.
    const NATURAL_ALIGN: usize = align_of::<u64>();

    /// How much is lost to alignment at most.
    const MAX_PADDING: usize = align_of::<Self>().saturating_sub(Self::NATURAL_ALIGN);

    /// The `cmd_size` of a tag set whose requests have `inline_ranges` ranges at hand.
    ///
    /// # Errors
    ///
    /// `EOVERFLOW` if that is more than C can express.
    pub(crate) fn cmd_size(inline_ranges: usize) -> Result<u32> {
        const {
            assert!(size_of::<bindings::request>() == bindings::RUST_EXT_BLK_REQUEST_SIZE);
            assert!(size_of::<bindings::request>() % align_of::<u64>() == 0);
        }

        inline_ranges
            .checked_mul(size_of::<DmaRange>())
            .and_then(|ranges| ranges.checked_add(Self::MAX_PADDING + size_of::<Self>()))
            .and_then(|size| u32::try_from(size).ok())
            .ok_or(EOVERFLOW)
    }

    /// The private area of a request.
    ///
    /// # Safety
    ///
    /// `rq` must point to a request of a [`TagSet<O>`](crate::TagSet).
    #[inline(always)]
    pub(crate) unsafe fn of(rq: NonNull<bindings::request>) -> NonNull<Self> {
        // SAFETY: The tag set asked for `cmd_size()` bytes behind the request.
        let behind = unsafe { rq.add(1) }.cast::<u8>();

        if align_of::<Self>() <= Self::NATURAL_ALIGN {
            behind.cast()
        } else {
            let padding = behind.as_ptr().align_offset(align_of::<Self>());

            // SAFETY: `cmd_size()` has room for padding, which is at most `MAX_PADDING` as the
            // memory has the natural alignment.
            unsafe { behind.add(padding) }.cast()
        }
    }

    /// The ranges behind a private area.
    ///
    /// # Safety
    ///
    /// `this` must come from [`Self::of`].
    #[inline]
    pub(crate) unsafe fn inline_ranges(this: NonNull<Self>) -> *mut DmaRange {
        const { assert!(align_of::<Self>() >= align_of::<DmaRange>()) };

        // SAFETY: `cmd_size()` has counted what is behind the area, or this is its very end.
        unsafe { this.add(1) }.cast().as_ptr()
    }

    /// Initialises the private area of a request.
    ///
    /// # Safety
    ///
    /// - `rq` must point to a request of a tag set of `O` that has no initialised private area.
    /// - `dma` must be null or point to the context of that tag set.
    pub(crate) unsafe fn init(
        rq: NonNull<bindings::request>,
        dma: *const DmaContext,
        data: impl PinInit<O::RequestData, Error>,
    ) -> Result {
        // SAFETY: By the requirements of this function.
        let this = unsafe { Self::of(rq) }.as_ptr();

        // INVARIANT: There is no mapping yet, and the caller vouches for `dma`.
        // SAFETY: The area is ours, and the writes initialise what they point to.
        unsafe {
            (&raw mut (*this).mapping).write(pin_init::zeroed());
            (&raw mut (*this).ranges).write(core::ptr::null_mut());
            (&raw mut (*this).dma).write(dma);
        }

        // SAFETY:
        // - The memory is valid for writes and aligned, and an error is not followed by use.
        // - It is pinned: it is dropped in place, by `exit`.
        unsafe { data.__init(this.cast::<u8>().add(offset_of!(Self, data)).cast()) }
    }

    /// Drops the driver's data of a request.
    ///
    /// # Safety
    ///
    /// [`Self::init`] must have succeeded for the request, which is neither in use nor used again
    /// before another [`Self::init`].
    pub(crate) unsafe fn exit(rq: NonNull<bindings::request>) {
        // SAFETY: By the requirements of this function, the data is initialised, and not used.
        unsafe { core::ptr::drop_in_place(&raw mut (*Self::of(rq).as_ptr()).data) };
    }
}
