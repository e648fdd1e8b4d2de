// SPDX-License-Identifier: GPL-2.0

//! The core-only files of the crate `virtio_ring`.

#[path = "../../../drivers/virtio/virtio_ring/barrier.rs"]
pub mod barrier;
#[path = "../../../drivers/virtio/virtio_ring/buffer.rs"]
pub mod buffer;
#[path = "../../../drivers/virtio/virtio_ring/event.rs"]
pub mod event;
#[path = "../../../drivers/virtio/virtio_ring/indirect.rs"]
pub mod indirect;
#[path = "../../../drivers/virtio/virtio_ring/layout.rs"]
pub mod layout;
#[path = "../../../drivers/virtio/virtio_ring/memory.rs"]
mod memory;
#[path = "../../../drivers/virtio/virtio_ring/split.rs"]
pub mod split;
#[path = "../../../drivers/virtio/virtio_ring/state.rs"]
mod state;
#[path = "../../../drivers/virtio/virtio_ring/wire.rs"]
pub mod wire;
