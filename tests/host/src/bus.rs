// SPDX-License-Identifier: GPL-2.0

//! The core-only files of the crate `virtio`.

#[path = "../../../drivers/virtio/virtio/features.rs"]
pub mod features;
#[path = "../../../drivers/virtio/virtio/id.rs"]
pub mod id;
#[path = "../../../drivers/virtio/virtio/tagged.rs"]
pub mod tagged;
