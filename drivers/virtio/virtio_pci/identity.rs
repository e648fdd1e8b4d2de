// SPDX-License-Identifier: GPL-2.0

//! Which virtio device a PCI device is.
//!
//! Implements VIRTIO 1.4, 4.1.2 "PCI Device Discovery". *Core-only*: the host's tests compile this
//! file too.

/// The first PCI device id of devices that can do the legacy interface too.
const TRANSITIONAL: u16 = 0x1000;
/// The PCI device id of the virtio device type 0; the others follow.
const MODERN: u16 = 0x1040;
/// The last PCI device id that is set aside for virtio.
const LAST: u16 = 0x107f;

/// Returns the virtio device type, or nothing for a device that is not virtio's.
///
/// The vendor has many devices; what says that one is ours is the range of its id. A transitional
/// device has its type in the subsystem device id, others in their device id (PCI-DISC-1,
/// PCI-DISC-2). The revision says nothing (PCI-DISC-3).
pub(crate) fn virtio_type(device_id: u16, subsystem_device_id: u16) -> Option<u32> {
    match device_id {
        TRANSITIONAL..MODERN => Some(subsystem_device_id.into()),
        MODERN..=LAST => Some((device_id - MODERN).into()),
        _ => None,
    }
}
