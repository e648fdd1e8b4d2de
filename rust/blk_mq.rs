// SPDX-License-Identifier: GPL-2.0

//! Drivers for block devices with many queues.
//!
//! This crate wraps the C interfaces of blk-mq that a driver for real hardware needs. It knows no
//! device; it is shaped to stand beside `kernel::block::mq`, whose refcounted requests it replaces
//! by owned ones.
//!
//! # The parts
//!
//! - A driver implements [`Operations`] for a type of its own.
//! - [`TagSet`] allocates the requests, with the driver's private data in each.
//! - [`DiskBuilder`] makes a [`NewDisk`] on a tag set; [`NewDisk::add`] makes it a [`Disk`] that
//!   others can open; dropping that removes it.
//! - [`QueueLimits`] says what requests the device can take.
//!
//! # Who owns a request
//!
//! A [`Request`] is the right, and the duty, to finish one request. The block layer gives it to
//! [`Operations::queue_rq`] or through a [`RequestList`]; the driver keeps it by value while the
//! device works, and consumes it by one of [`Request::end`], [`Request::complete`],
//! [`Request::requeue`], [`Request::reject`] or [`CompletionBatch::add`]. There is no second
//! handle, so a request cannot be finished twice, and one that is dropped ends with an I/O error.
//! It has the size of a pointer and no reference count.
//!
//! # Order of teardown
//!
//! Removing a disk waits for its requests. So a driver first sees to it that requests in flight
//! come back (a dead device: it ends those that it holds), then drops the [`Disk`], then what the
//! requests used. The disk's own memory, and with it the driver's
//! [`QueueData`](Operations::QueueData) and the tag set, lives until the last opener is gone,
//! and the module has to stay as long: see [`LiveDisks`].
//!
//! C header: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h)

#[path = "blk_mq/attribute.rs"]
mod attribute;
#[path = "blk_mq/batch.rs"]
mod batch;
#[path = "blk_mq/disk.rs"]
mod disk;
#[path = "blk_mq/disk_builder.rs"]
mod disk_builder;
#[path = "blk_mq/dma.rs"]
mod dma;
#[path = "blk_mq/foreign.rs"]
mod foreign;
#[path = "blk_mq/hw_ctx.rs"]
mod hw_ctx;
#[path = "blk_mq/limits.rs"]
mod limits;
#[path = "blk_mq/limits_update.rs"]
mod limits_update;
#[path = "blk_mq/list.rs"]
mod list;
#[path = "blk_mq/live_disks.rs"]
mod live_disks;
#[path = "blk_mq/major.rs"]
mod major;
#[path = "blk_mq/op.rs"]
mod op;
#[path = "blk_mq/operations.rs"]
mod operations;
#[path = "blk_mq/passthrough.rs"]
mod passthrough;
#[path = "blk_mq/payload.rs"]
mod payload;
#[path = "blk_mq/pdu.rs"]
mod pdu;
#[path = "blk_mq/queue_map.rs"]
mod queue_map;
#[path = "blk_mq/ranges.rs"]
mod ranges;
#[path = "blk_mq/request.rs"]
mod request;
#[path = "blk_mq/status.rs"]
mod status;
#[path = "blk_mq/tag_set.rs"]
mod tag_set;
#[path = "blk_mq/vtable.rs"]
mod vtable;
#[path = "blk_mq/zone.rs"]
mod zone;

pub use self::{
    attribute::{
        AttributeMode,
        DiskAttribute,
        TextBuffer, //
    },
    batch::{
        CompletionBatch,
        OwnedBatch, //
    },
    disk::{
        Disk,
        FreezeGuard,
        GenDisk,
        NewDisk, //
    },
    disk_builder::DiskBuilder,
    dma::{
        dma_max_mapping_size,
        DmaConfig, //
    },
    foreign::Borrowed,
    hw_ctx::HwCtx,
    limits::{
        Features,
        QueueLimits,
        MAX_BLOCK_SIZE, //
    },
    limits_update::LimitsUpdate,
    list::RequestList,
    live_disks::{
        AwaitedDisks,
        LiveDisks, //
    },
    major::{
        Major,
        MajorRegistration, //
    },
    op::{
        CmdFlags,
        Op, //
    },
    operations::{
        Geometry,
        Operations,
        TimeoutAction, //
    },
    passthrough::Passthrough,
    payload::SectorRange,
    queue_map::{
        possible_queues,
        QueueKind,
        QueueMaps,
        Spread, //
    },
    ranges::DmaRange,
    request::{
        Rejected,
        Request,
        RequestInfo,
        TimedOut, //
    },
    status::Status,
    tag_set::{
        TagSet,
        TagSetConfig,
        TagSetFlags, //
    },
    zone::{
        Zone,
        ZoneCondition,
        ZoneReport,
        ZoneType, //
    },
};
