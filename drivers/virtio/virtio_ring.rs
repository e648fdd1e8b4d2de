// SPDX-License-Identifier: GPL-2.0

//! Virtqueues: how a driver and its device pass buffers to each other.
//!
//! Implements VIRTIO 1.4, 2.6 "Virtqueues" and 2.7 "Split Virtqueues".
//!
//! # The parts
//!
//! - [`split`] and the files that it names are the format: what lies in the shared memory, and
//!   what of it may be believed. They are *core-only*: the host's tests compile them too.
//! - [`Virtqueue`] is a queue as its transport has it: memory, doorbell, interrupt.
//! - [`Queue`] is the same queue as its driver has it: buffers go in with a token of the driver's
//!   own type and come out with it. A token in the queue belongs to the device.
//! - [`Channel`] keeps a queue behind its lock, together with what handles its interrupt.
//! - [`Found`], [`Queues`] and [`ReadyQueues`] are the queues of a device, from set-up to reset.
//!
//! # Order of locks and of life
//!
//! The lock of a channel is taken with interrupts off and is the innermost one. A queue dies in
//! this order: the device is reset, the channel gives the queue up, nobody is inside it any more
//! (RCU), the interrupt is freed, the memory is freed.

#[path = "virtio_ring/area.rs"]
mod area;
#[path = "virtio_ring/barrier.rs"]
pub mod barrier;
#[path = "virtio_ring/buffer.rs"]
pub mod buffer;
#[path = "virtio_ring/channel.rs"]
mod channel;
#[path = "virtio_ring/cpu_barriers.rs"]
pub mod cpu_barriers;
#[path = "virtio_ring/event.rs"]
pub mod event;
#[path = "virtio_ring/indirect.rs"]
pub mod indirect;
#[path = "virtio_ring/layout.rs"]
pub mod layout;
#[path = "virtio_ring/memory.rs"]
pub mod memory;
#[path = "virtio_ring/queue.rs"]
mod queue;
#[path = "virtio_ring/queues.rs"]
mod queues;
#[path = "virtio_ring/recovery.rs"]
mod recovery;
#[path = "virtio_ring/snapshot.rs"]
mod snapshot;
#[path = "virtio_ring/split.rs"]
pub mod split;
#[path = "virtio_ring/state.rs"]
pub mod state;
#[path = "virtio_ring/virtqueue.rs"]
mod virtqueue;
#[path = "virtio_ring/wire.rs"]
pub mod wire;

pub use self::{
    area::Area,
    buffer::{
        AddError,
        Segment,
        Violation, //
    },
    channel::{
        Access,
        Channel,
        Handler,
        Live,
        Submission,
        Unused, //
    },
    indirect::Table,
    layout::Layout,
    queue::{
        Descriptors,
        Queue,
        Refused,
        RingChain, //
    },
    queues::{
        Found,
        QueueSpec,
        Queues,
        ReadyQueues, //
    },
    virtqueue::{
        Notify,
        Virtqueue,
        VirtqueueConfig, //
    },
};

use kernel::prelude::*;
use virtio::{
    features,
    Features, //
};

/// The features of rings that this crate implements, for transports to accept.
pub fn supported_features() -> Features {
    Features::EMPTY
        .with(features::INDIRECT_DESC)
        .with(features::EVENT_IDX)
        .with(features::VERSION_1)
        .with(features::ACCESS_PLATFORM)
        .with(features::ORDER_PLATFORM)
}

module! {
    type: RingModule,
    name: "virtio_ring",
    authors: ["The Rust virtio authors"],
    description: "Virtio ring in Rust",
    license: "GPL",
}

/// The module has nothing to do but to be there.
struct RingModule;

impl kernel::Module for RingModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}
