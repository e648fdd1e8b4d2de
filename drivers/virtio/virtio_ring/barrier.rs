// SPDX-License-Identifier: GPL-2.0

//! The memory barriers a ring needs, named by what they order.
//!
//! VIRTIO 1.4, 2.7.13.3.1 "Driver Requirements: Updating idx", 2.7.13.4.1 "Driver Requirements:
//! Notifying The Device" and 6 "Reserved Feature Bits" (`VIRTIO_F_ORDER_PLATFORM`).
//!
//! The other side is a device. It may run on another CPU even if this system has only one, and it
//! may be hardware that needs stronger barriers than another CPU does, so which instruction serves
//! is decided by whoever builds the ring.

/// Barriers between this driver and a device that shares memory with it.
///
/// An implementation must also keep the compiler from moving memory accesses across a call. All of
/// them are called from any context and must not sleep.
pub trait Barriers {
    /// Makes earlier writes visible before later writes.
    ///
    /// Stands between filling descriptors and ring entries and storing the index that exposes
    /// them.
    fn write(&self);

    /// Performs earlier reads before later reads.
    ///
    /// Stands between reading the index of the used ring and reading the entries it exposes.
    fn read(&self);

    /// Orders all earlier accesses before all later ones, writes before reads included.
    ///
    /// Stands between telling the device something and reading whether it had looked before: after
    /// the available index and before the wish for notifications is read, after asking for a
    /// notification and before the used index is read again.
    fn full(&self);
}
