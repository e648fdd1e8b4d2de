// SPDX-License-Identifier: GPL-2.0

//! Tag sets: the requests of a device.
//!
//! C header: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h)

use crate::{
    dma::{
        DmaConfig,
        DmaContext, //
    },
    foreign::Foreign,
    pdu::Pdu,
    vtable::VTable,
    Borrowed,
    Operations, //
};
use bindings_ext as bindings;
use core::ops::BitOr;
use kernel::{
    container_of,
    error::to_result,
    prelude::*,
    time::Jiffies,
    types::Opaque, //
};

/// Flags of a tag set, `BLK_MQ_F_*` values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TagSetFlags(u32);

impl TagSetFlags {
    /// Take tags in turn instead of the first that is free.
    pub const TAG_RR: Self = Self(bindings::BLK_MQ_F_TAG_RR);
    /// All hardware queues share one set of tags.
    pub const TAG_HCTX_SHARED: Self = Self(bindings::BLK_MQ_F_TAG_HCTX_SHARED);
    /// A single hardware queue starts without an I/O scheduler.
    pub const NO_SCHED_BY_DEFAULT: Self = Self(bindings::BLK_MQ_F_NO_SCHED_BY_DEFAULT);
}

impl BitOr for TagSetFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a tag set is to be.
#[derive(Clone, Copy, Debug)]
pub struct TagSetConfig {
    /// How many hardware queues there are.
    pub nr_hw_queues: u32,
    /// How many requests each of them can hold.
    pub queue_depth: u32,
    /// How many kinds of queues there are, in the order of [`QueueKind`](crate::QueueKind). More
    /// than one needs [`Operations::map_queues`].
    pub nr_maps: u32,
    /// The memory node to allocate from.
    pub numa_node: i32,
    /// How long a request may take; 0 for the default of 30 seconds.
    pub timeout: Jiffies,
    /// Flags.
    pub flags: TagSetFlags,
}

impl Default for TagSetConfig {
    fn default() -> Self {
        Self {
            nr_hw_queues: 1,
            queue_depth: bindings::BLKDEV_DEFAULT_RQ,
            nr_maps: 1,
            numa_node: bindings::NUMA_NO_NODE,
            timeout: 0,
            flags: TagSetFlags::default(),
        }
    }
}

/// The requests of a device, and how its queues are laid out.
///
/// # Invariants
///
/// `inner` is an allocated tag set with the operations of `O`.
#[pin_data(PinnedDrop)]
pub struct TagSet<O: Operations> {
    #[pin]
    inner: Opaque<bindings::blk_mq_tag_set>,
    // These are dropped after `inner` is freed, as its callbacks use them.
    data: Foreign<O::TagSetData>,
    dma: Option<DmaContext>,
}

// SAFETY: C code serialises access to the tag set; the rest is `Send`.
unsafe impl<O: Operations> Send for TagSet<O> {}

// SAFETY: As above; the rest is `Sync`.
unsafe impl<O: Operations> Sync for TagSet<O> {}

impl<O: Operations> TagSet<O> {
    /// The operations need an address for as long as there are tag sets.
    const OPS: &'static bindings::blk_mq_ops = &VTable::<O>::TAG_SET;

    /// Allocates the requests, each with its [`Operations::RequestData`].
    ///
    /// `dma` is for drivers that use [`Request::map_dma`](crate::Request::map_dma).
    ///
    /// # Errors
    ///
    /// `EINVAL` for a configuration that makes no sense, `ENOMEM`, and what
    /// [`Operations::new_request_data`] returns.
    pub fn new<'a>(
        config: TagSetConfig,
        data: O::TagSetData,
        dma: Option<DmaConfig<'a>>,
    ) -> impl PinInit<Self, Error> + use<'a, O> {
        try_pin_init!(Self {
            data: Foreign::new(data),
            dma: dma.map(|dma| DmaContext::new(&dma)).transpose()?,
            // The callbacks run before this returns, so it comes last.
            inner <- {
                let inline_ranges = dma.as_ref().map_or(0, DmaContext::inline_ranges);

                Opaque::try_ffi_init(move |slot| Self::alloc(slot, config, inline_ranges))
            },
        }? Error)
    }

    /// Fills in and allocates a tag set.
    fn alloc(
        slot: *mut bindings::blk_mq_tag_set,
        config: TagSetConfig,
        inline_ranges: usize,
    ) -> Result {
        // C code has a BUG_ON for this.
        if config.nr_maps > 1 && !O::HAS_MAP_QUEUES {
            return Err(EINVAL);
        }

        let set = bindings::blk_mq_tag_set {
            ops: Self::OPS,
            nr_hw_queues: config.nr_hw_queues,
            queue_depth: config.queue_depth,
            nr_maps: config.nr_maps,
            numa_node: config.numa_node,
            timeout: c_uint::try_from(config.timeout)?,
            flags: config.flags.0,
            cmd_size: Pdu::<O>::cmd_size(inline_ranges)?,
            ..pin_init::zeroed()
        };

        // SAFETY: `slot` is valid for writes. The tag set is pinned, and it is part of a `Self`
        // whose other fields, which the callbacks use, are initialised.
        to_result(unsafe {
            slot.write(set);
            bindings::blk_mq_alloc_tag_set(slot)
        })
    }

    /// The tag set for C code.
    pub(crate) fn as_raw(&self) -> *mut bindings::blk_mq_tag_set {
        self.inner.get()
    }

    /// How many hardware queues there are; maybe fewer than asked for.
    pub fn nr_hw_queues(&self) -> u32 {
        // SAFETY: The tag set is valid by the type invariant, and only C code called by this crate
        // changes it, which it does not after allocation.
        unsafe { (*self.as_raw()).nr_hw_queues }
    }

    /// How many requests each hardware queue can hold; maybe fewer than asked for.
    pub fn queue_depth(&self) -> u32 {
        // SAFETY: As in `nr_hw_queues`.
        unsafe { (*self.as_raw()).queue_depth }
    }

    /// The driver's data.
    pub fn data(&self) -> Borrowed<'_, O::TagSetData> {
        self.data.borrow()
    }

    /// The driver's data, for a callback.
    ///
    /// # Safety
    ///
    /// `set` must be part of a [`TagSet<O>`] whose `data` is initialised, and which is not dropped
    /// during `'a`.
    pub(crate) unsafe fn data_of<'a>(
        set: *mut bindings::blk_mq_tag_set,
    ) -> Borrowed<'a, O::TagSetData> {
        // SAFETY: By the requirements of this function; other fields may be uninitialised, so no
        // reference is made to the whole.
        unsafe {
            let this = container_of!(Opaque::cast_from(set), Self, inner);

            (*this).data.borrow()
        }
    }

    /// The context for mapping of the tag set, or null.
    ///
    /// # Safety
    ///
    /// `set` must be part of a [`TagSet<O>`] whose `dma` is initialised.
    pub(crate) unsafe fn dma_context(set: *mut bindings::blk_mq_tag_set) -> *const DmaContext {
        // SAFETY: By the requirements of this function, as in `data_of`.
        let dma = unsafe {
            let this = container_of!(Opaque::cast_from(set), Self, inner);

            &(*this).dma
        };

        dma.as_ref().map_or(core::ptr::null(), core::ptr::from_ref)
    }
}

#[pinned_drop]
impl<O: Operations> PinnedDrop for TagSet<O> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The tag set is valid by the type invariant. Disks hold a reference to it, so
        // there are none left.
        unsafe { bindings::blk_mq_free_tag_set(self.as_raw()) };
    }
}
