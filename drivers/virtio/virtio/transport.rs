// SPDX-License-Identifier: GPL-2.0

//! What a transport gives to the bus: the operations on a device.
//!
//! A transport (PCI, MMIO, the fake one of the tests) implements [`Transport`] for the type that
//! holds its access to the hardware and registers one
//! [`Registration`](crate::registration::Registration) for each device that it finds.

use bindings_ext as bindings;
use kernel::{
    cpumask::Cpumask,
    device::Bound,
    prelude::*, //
};

use crate::{
    Device,
    Features,
    Status, //
};

/// One queue that a driver asks for, as the C table passes it.
#[repr(transparent)]
pub struct QueueRequest(bindings::virtqueue_info);

impl QueueRequest {
    /// Returns the queue's name, or nothing for a queue that the driver does not want.
    pub fn name(&self) -> Option<&CStr> {
        let name = self.0.name;
        // SAFETY: The driver's names are C strings that outlive the call.
        (!name.is_null()).then(|| unsafe { CStr::from_char_ptr(name) })
    }

    /// Returns the function to call when the device has used buffers; none for a polled queue.
    pub fn callback(&self) -> bindings::vq_callback_t {
        self.0.callback
    }
}

/// How a driver wants the interrupts of its queues spread over the CPUs.
#[repr(transparent)]
pub struct IrqAffinity(bindings::irq_affinity);

impl IrqAffinity {
    /// Spreads all vectors of the queues.
    pub fn spread() -> Self {
        Self(pin_init::zeroed())
    }

    /// Returns the C structure, for `find_vqs`.
    pub fn as_raw(&mut self) -> *mut bindings::irq_affinity {
        &raw mut self.0
    }

    /// Returns the C structure with `pre_vectors` more vectors in front that are not spread.
    pub fn with_pre_vectors(&self, pre_vectors: u32) -> bindings::irq_affinity {
        let mut affinity = self.0;
        affinity.pre_vectors = affinity.pre_vectors.saturating_add(pre_vectors);
        affinity
    }
}

/// A region of memory that a device shares with its driver (VIRTIO 1.4, 2.10 "Shared Memory
/// Regions"). It is not empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SharedMemory {
    /// The physical address of the region.
    pub addr: u64,
    /// Its length in bytes.
    pub len: u64,
}

/// Access to one virtio device over some kind of hardware.
///
/// All operations are called from a context that may sleep. The device's lock of the driver core
/// serializes `find_vqs` and `del_vqs`; the others may be called at any time between registration
/// and its end.
///
/// # Safety
///
/// - What [`find_vqs`](Self::find_vqs) writes are queues of the crate `virtio_ring`, which stay
///   valid until [`del_vqs`](Self::del_vqs) returns, with the callbacks that were asked for.
/// - When [`reset`](Self::reset) has returned `Ok`, the device touches none of the memory that it
///   was told about; when it has returned an error, the transport has cut it off.
/// - When [`reset_vq`](Self::reset_vq) has returned `Ok`, the device has said that it touches none of
///   the memory of that queue until it is told about it again.
/// - When [`synchronize_callbacks`](Self::synchronize_callbacks) or `del_vqs` returns, no callback
///   that began before still runs; after `del_vqs` none begins.
/// - Queues are broken, so that nobody notifies the device, before `del_vqs` returns.
/// - [`break_queues`](Self::break_queues) excludes [`restore_vqs`](Self::restore_vqs) and
///   [`restore_vq`](Self::restore_vq).
#[vtable]
pub unsafe trait Transport: Send + Sync + Sized {
    /// The length of the device configuration space in bytes, 0 if there is none.
    fn config_len(&self) -> usize;

    /// Reads the configuration space at `offset` in the width that the field has: 1, 2, 4 or 8
    /// bytes, or any other length byte by byte. The caller has checked the range.
    fn read_config(&self, offset: usize, buf: &mut [u8]);

    /// Writes the configuration space; as [`read_config`](Self::read_config).
    fn write_config(&self, offset: usize, buf: &[u8]);

    /// The generation of the configuration space (VIRTIO 1.4, 2.5.1).
    fn generation(&self) -> u32;

    /// Reads the device status field.
    fn status(&self) -> Status;

    /// Writes the device status field; never with [`Status::RESET`].
    fn set_status(&self, status: Status);

    /// Resets the device and waits until it says so, within a bound, and until no handler runs.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT` if the device did not finish. Its memory is given back all the same, so that
    /// the transport cuts it off from memory then, as far as it can.
    fn reset(&self) -> Result;

    /// The features that the device offers.
    fn features(&self) -> Features;

    /// Writes the features to the device, less those that the transport or the ring does not
    /// know, and returns what was written.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the device cannot be driven with these.
    fn accept_features(&self, dev: &Device<Bound>, features: Features) -> Result<Features>;

    /// Creates the queues that have a name, with their interrupts, and writes each to the entry of
    /// `vqs` that has its number; the others are left alone.
    ///
    /// # Errors
    ///
    /// On any error no queue is left behind.
    fn find_vqs(
        &self,
        dev: &Device<Bound>,
        queues: &[QueueRequest],
        vqs: &mut [*mut bindings::virtqueue],
        affinity: Option<&IrqAffinity>,
    ) -> Result;

    /// Frees the interrupts and the queues. The device has been reset.
    fn del_vqs(&self, dev: &Device<Bound>);

    /// Tells a device that was reset about the queues that `find_vqs` has set up, and about their
    /// interrupts. Called between `FEATURES_OK` and `DRIVER_OK`.
    ///
    /// # Errors
    ///
    /// The device does not take what it took before. It has to be reset, then.
    fn restore_vqs(&self, dev: &Device<Bound>) -> Result;

    /// Resets one queue and waits until the device says that it has, within a bound. The queue is out
    /// of use, `VIRTIO_F_RING_RESET` was agreed on, and the device is live. After this it has said that
    /// it uses none of the queue's memory, and it does not interrupt for it (VIRTIO 1.4, 2.6.1.1).
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the transport cannot do that, and what it says of a device that does not. What
    /// the device has of the queue stays with it then, until it is reset as a whole.
    fn reset_vq(&self, index: u16) -> Result {
        let _ = index;
        Err(EOPNOTSUPP)
    }

    /// Tells a live device about one queue again after [`reset_vq`](Self::reset_vq), and lets it use
    /// it.
    ///
    /// # Errors
    ///
    /// As [`restore_vqs`](Self::restore_vqs).
    fn restore_vq(&self, dev: &Device<Bound>, index: u16) -> Result {
        let _ = (dev, index);
        Err(EOPNOTSUPP)
    }

    /// Takes all queues out of use: the device is not notified any more, and no callback begins.
    /// May sleep.
    fn break_queues(&self);

    /// Waits until no handler of an interrupt runs.
    fn synchronize_callbacks(&self);

    /// The transport's own name for the device, such as its PCI address.
    fn bus_name(&self) -> &CStr;

    /// The CPUs that the interrupt of queue `index` goes to.
    fn vq_affinity(&self, index: u32) -> Option<&Cpumask>;

    /// Has the interrupt of queue `index` go to the CPUs in `mask`; with none it stays where it is,
    /// and user space is not told any more that it should. Queues that share an interrupt share this,
    /// too.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a queue without an interrupt, or with one that the kernel has spread, `ENOMEM`.
    fn set_vq_affinity(&self, index: u16, mask: Option<&Cpumask>) -> Result {
        let _ = (index, mask);
        Err(EOPNOTSUPP)
    }

    /// Finds a region of memory that the device shares, by its id; none if it has no such region.
    fn shared_memory(&self, id: u8) -> Option<SharedMemory> {
        let _ = id;
        None
    }
}
