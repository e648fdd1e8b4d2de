// SPDX-License-Identifier: GPL-2.0

//! Device ids: which driver serves which device.
//!
//! VIRTIO 1.4, 5 "Device Types" lists the types. The vendor comes from the transport, such as the
//! PCI subsystem vendor.
//!
//! C header: [`include/linux/mod_devicetable.h`](srctree/include/linux/mod_devicetable.h)

/// Stands for every type or every vendor in a driver's table (`VIRTIO_DEV_ANY_ID`).
pub const ANY: u32 = 0xffff_ffff;

/// What a device is and who made it, or, in a driver's table, which devices are meant.
///
/// Both parts have 32 bits everywhere, in tables as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceId {
    /// The type of device; 0 is no device and ends a driver's table.
    pub device: u32,
    /// The vendor.
    pub vendor: u32,
}

impl DeviceId {
    /// Pairs a type with a vendor, either of which may be [`ANY`] in a driver's table.
    #[inline]
    pub const fn new(device: u32, vendor: u32) -> Self {
        Self { device, vendor }
    }

    /// Returns whether this entry of a driver's table means `device`.
    pub const fn matches(&self, device: &DeviceId) -> bool {
        (self.device == ANY || self.device == device.device)
            && (self.vendor == ANY || self.vendor == device.vendor)
    }

    /// Returns whether this entry ends a driver's table.
    pub const fn is_end(&self) -> bool {
        self.device == 0
    }
}

/// Returns where in a driver's table the first entry is that means `device`.
///
/// The table ends before the first entry with a type of 0, or where the iterator does. The
/// iterator is not asked for anything behind that entry.
pub fn position(table: impl IntoIterator<Item = DeviceId>, device: DeviceId) -> Option<usize> {
    table
        .into_iter()
        .take_while(|entry| !entry.is_end())
        .position(|entry| entry.matches(&device))
}

/// Returns whether any entry of a driver's table means `device`; see [`position`].
pub fn matches_any(table: impl IntoIterator<Item = DeviceId>, device: DeviceId) -> bool {
    position(table, device).is_some()
}
