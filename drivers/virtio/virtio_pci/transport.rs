// SPDX-License-Identifier: GPL-2.0

//! The operations of the bus on a PCI device.
//!
//! Implements VIRTIO 1.4, 4.1.5 "PCI-specific Initialization And Device Operation" for the
//! operations of [`Transport`].

use bindings_ext as bindings;
use kernel::{
    cpumask::Cpumask,
    device::Bound,
    io::poll::read_poll_timeout,
    new_mutex,
    pci,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    time::Delta, //
};
use pci_io::Window;
use virtio::{
    features,
    transport::{
        IrqAffinity,
        QueueRequest,
        SharedMemory,
        Transport, //
    },
    Features,
    Status, //
};
use virtio_ring::Virtqueue;

use crate::{
    common::CommonConfig,
    hardware::{
        self,
        Hardware,
        ISR_LEN, //
    },
    notify::NotifyArea,
    queues::{
        Active,
        Request, //
    },
};

/// How long a device may take to reset itself.
const RESET_TIMEOUT: Delta = Delta::from_secs(10);
/// How long to sleep before looking again whether it has.
const RESET_INTERVAL: Delta = Delta::from_millis(1);

/// The features of the transport itself that are implemented.
const OWN_FEATURES: Features = Features::EMPTY.with(features::RING_RESET);

/// The structures of a device that its queues and interrupts use.
#[pin_data]
pub(crate) struct Parts {
    /// The common configuration.
    #[pin]
    pub(crate) common: CommonConfig,
    /// The interrupt status.
    pub(crate) isr: Arc<Window<ISR_LEN>>,
    /// The notification registers.
    pub(crate) notify: NotifyArea,
}

/// A PCI device on the virtio bus.
#[pin_data]
pub(crate) struct PciTransport<'a> {
    /// The queues of the driver that is bound, if it has set them up.
    #[pin]
    active: Mutex<Option<Active<'a>>>,
    parts: Arc<Parts>,
    /// The device configuration, if there is any.
    config: Option<Window>,
    dev: &'a pci::Device<Bound>,
}

impl<'a> PciTransport<'a> {
    /// Makes a transport of what was mapped of a device.
    pub(crate) fn new(
        dev: &'a pci::Device<Bound>,
        hardware: Hardware,
    ) -> impl PinInit<Self, Error> + 'a {
        let Hardware {
            common,
            isr,
            notify,
            device,
        } = hardware;
        try_pin_init!(Self {
            active <- new_mutex!(None, "virtio_pci::PciTransport::active"),
            parts: Arc::pin_init(
                pin_init!(Parts {
                    common <- CommonConfig::new(common),
                    isr,
                    notify,
                }),
                GFP_KERNEL,
            )?,
            config: device,
            dev,
        })
    }

    /// Reads integers of one width, one after the other, into `buf`.
    fn read_words<const N: usize, W: pci_io::Word>(
        window: &Window,
        offset: usize,
        buf: &mut [u8],
        to_bytes: fn(W) -> [u8; N],
    ) {
        for (place, chunk) in (offset..).step_by(N).zip(buf.chunks_exact_mut(N)) {
            if let Ok(value) = window.try_read(place) {
                chunk.copy_from_slice(&to_bytes(value));
            }
        }
    }

    /// Writes integers of one width, one after the other, from `buf`.
    fn write_words<const N: usize, W: pci_io::Word>(
        window: &Window,
        offset: usize,
        buf: &[u8],
        from_bytes: fn([u8; N]) -> W,
    ) {
        for (place, chunk) in (offset..).step_by(N).zip(buf.chunks_exact(N)) {
            if let Ok(bytes) = chunk.try_into() {
                // The caller has checked the range, and `width` the alignment.
                let _ = window.try_write(place, from_bytes(bytes));
            }
        }
    }
}

/// The width in which a field is accessed.
enum Width {
    Byte,
    Word,
    Long,
}

impl Width {
    /// Chooses the width for a field (PCI-ACCESS-1 to PCI-ACCESS-4): its own if that is 1, 2 or 4,
    /// halves of one of 8, and bytes for all else, such as arrays of bytes.
    fn of(offset: usize, len: usize) -> Self {
        match len {
            2 if offset % 2 == 0 => Self::Word,
            4 | 8 if offset % 4 == 0 => Self::Long,
            _ => Self::Byte,
        }
    }
}

// SAFETY: The queues are those of `Active`, which `del_vqs` takes down, interrupts first. A device
// that does not finish its reset loses its access to memory; the end of the reset of a queue is read
// back.
#[vtable]
unsafe impl Transport for PciTransport<'_> {
    fn config_len(&self) -> usize {
        self.config.as_ref().map_or(0, Window::len)
    }

    fn read_config(&self, offset: usize, buf: &mut [u8]) {
        let Some(config) = &self.config else {
            return;
        };
        match Width::of(offset, buf.len()) {
            Width::Byte => Self::read_words(config, offset, buf, u8::to_le_bytes),
            Width::Word => Self::read_words(config, offset, buf, u16::to_le_bytes),
            Width::Long => Self::read_words(config, offset, buf, u32::to_le_bytes),
        }
    }

    fn write_config(&self, offset: usize, buf: &[u8]) {
        let Some(config) = &self.config else {
            return;
        };
        match Width::of(offset, buf.len()) {
            Width::Byte => Self::write_words(config, offset, buf, u8::from_le_bytes),
            Width::Word => Self::write_words(config, offset, buf, u16::from_le_bytes),
            Width::Long => Self::write_words(config, offset, buf, u32::from_le_bytes),
        }
    }

    fn generation(&self) -> u32 {
        self.parts.common.generation().into()
    }

    fn status(&self) -> Status {
        self.parts.common.status()
    }

    fn set_status(&self, status: Status) {
        self.parts.common.set_status(status);
    }

    fn reset(&self) -> Result {
        self.parts.common.set_status(Status::RESET);
        // PCI-COMMON-5. The read also pushes the write to the device, and interrupts that the
        // device has sent to the CPU. One that is gone reads as all ones for ever.
        let result = read_poll_timeout(
            || Ok(self.parts.common.status()),
            |status| *status == Status::RESET || status.is_gone(),
            RESET_INTERVAL,
            RESET_TIMEOUT,
        );
        if !matches!(result, Ok(Status::RESET)) {
            // Its queues are going to be freed, whatever it is still doing to them. One that is
            // there may say that it is gone.
            pci_io::stop_dma(self.dev);
        }
        self.synchronize_callbacks();
        result.map(|_| ())
    }

    fn features(&self) -> Features {
        self.parts.common.device_features()
    }

    fn accept_features(&self, dev: &virtio::Device<Bound>, wanted: Features) -> Result<Features> {
        let mut supported = virtio_ring::supported_features().or(OWN_FEATURES);
        if !self.parts.common.has_queue_reset() {
            supported = supported.without(features::RING_RESET);
            if wanted.contains(features::RING_RESET) {
                dev_warn!(dev, "no register for VIRTIO_F_RING_RESET, it is left out\n");
            }
        }
        let accepted = wanted.and_not(Features::TRANSPORT.and_not(supported));
        if !accepted.contains(features::VERSION_1) {
            dev_err!(
                dev,
                "the modern interface is used, but VIRTIO_F_VERSION_1 is not agreed on\n"
            );
            return Err(EINVAL);
        }
        self.parts.common.set_driver_features(accepted);
        Ok(accepted)
    }

    fn find_vqs(
        &self,
        dev: &virtio::Device<Bound>,
        queues: &[QueueRequest],
        vqs: &mut [*mut bindings::virtqueue],
        affinity: Option<&IrqAffinity>,
    ) -> Result {
        let mut slot = self.active.lock();
        if slot.is_some() {
            return Err(EBUSY);
        }
        // One that did not finish an earlier reset has lost this.
        pci_io::start_dma(self.dev);
        let request = Request {
            dev,
            queues,
            affinity,
        };
        let active = slot.insert(Active::new(self.dev, &self.parts, request)?);

        let mut found = active.queues();
        for (vq, queue) in vqs.iter_mut().zip(queues) {
            *vq = match queue.name() {
                Some(_) => found
                    .next()
                    .map_or(core::ptr::null_mut(), Virtqueue::as_raw),
                None => core::ptr::null_mut(),
            };
        }
        Ok(())
    }

    fn del_vqs(&self, _dev: &virtio::Device<Bound>) {
        // The lock is not held while this waits for handlers.
        let active = self.active.lock().take();
        drop(active);
    }

    fn restore_vqs(&self, dev: &virtio::Device<Bound>) -> Result {
        // It has been reset, and knows of no memory yet.
        pci_io::start_dma(self.dev);
        self.active.lock().as_ref().ok_or(EINVAL)?.restore(dev)
    }

    fn reset_vq(&self, index: u16) -> Result {
        let common = &self.parts.common;
        common.start_queue_reset(index)?;
        read_poll_timeout(
            || common.is_queue_reset(index),
            |is_reset| *is_reset,
            RESET_INTERVAL,
            RESET_TIMEOUT,
        )
        .map(|_| ())
    }

    fn restore_vq(&self, dev: &virtio::Device<Bound>, index: u16) -> Result {
        let active = self.active.lock();
        active.as_ref().ok_or(EINVAL)?.restore_one(dev, index)
    }

    fn break_queues(&self) {
        if let Some(active) = &*self.active.lock() {
            active.break_queues();
        }
    }

    fn synchronize_callbacks(&self) {
        if let Some(active) = &*self.active.lock() {
            active.synchronize();
        }
    }

    fn bus_name(&self) -> &CStr {
        self.dev.as_ref().name()
    }

    fn vq_affinity(&self, index: u32) -> Option<&Cpumask> {
        let active = self.active.lock();
        let (vectors, vector) = active.as_ref()?.own_vector(index)?;
        let mask = vectors.affinity(vector)?.as_raw();
        // SAFETY: The mask stays as long as the vectors, that is, until `del_vqs`. Only the driver
        // that has set the queues up asks for it, and is done with it before it deletes them.
        Some(unsafe { Cpumask::from_raw(mask) })
    }

    fn set_vq_affinity(&self, index: u16, mask: Option<&Cpumask>) -> Result {
        match &mut *self.active.lock() {
            Some(active) => active.set_affinity(index, mask),
            None => Err(EINVAL),
        }
    }

    fn shared_memory(&self, id: u8) -> Option<SharedMemory> {
        hardware::shared_memory(self.dev, id)
    }
}
