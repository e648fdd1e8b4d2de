// SPDX-License-Identifier: GPL-2.0

//! Virtio devices on the PCI bus: the modern interface.
//!
//! Implements VIRTIO 1.4, 4.1 "Virtio Over PCI Bus". For each PCI device of virtio's vendor this
//! driver registers a device on the virtio bus, and serves as its [transport](PciTransport).
//!
//! # The parts
//!
//! - [`identity`], [`capability`] and [`plan`] decide: what the device is, where its registers
//!   are, which vector serves what. They are *core-only*: the host's tests compile them too.
//! - [`hardware`] maps what was found; [`common`] and [`notify`] are the registers in it.
//! - [`queues`] sets queues up for a driver, with the handlers of [`interrupt`].
//! - [`transport`] is what the bus calls.
//!
//! # Who owns what
//!
//! The data of the PCI driver owns the registration of the virtio device, which owns the
//! transport. The transport owns the queues in use; these own the handlers, which share whatever
//! they touch. Unbinding drops the registration: the virtio driver is taken off, which resets the
//! device and deletes the queues, then the mappings, the claim on the BARs, and the device's
//! being enabled go.
//!
//! After an error on the bus the device is cut off, until the bus has recovered and the device is
//! reset by whoever has its queues.
//!
//! Not done: the legacy interface, and virtual functions.

#[path = "virtio_pci/capability.rs"]
mod capability;
#[path = "virtio_pci/common.rs"]
mod common;
#[path = "virtio_pci/hardware.rs"]
mod hardware;
#[path = "virtio_pci/identity.rs"]
mod identity;
#[path = "virtio_pci/interrupt.rs"]
mod interrupt;
#[path = "virtio_pci/notify.rs"]
mod notify;
#[path = "virtio_pci/plan.rs"]
mod plan;
#[path = "virtio_pci/queues.rs"]
mod queues;
#[path = "virtio_pci/transport.rs"]
mod transport;

use kernel::{
    device::{
        Bound,
        Core, //
    },
    driver,
    new_mutex,
    pci,
    prelude::*,
    sync::{
        atomic::{
            AtomicFlag,
            Relaxed, //
        },
        Mutex, //
    },
    InPlaceModule, //
};
use pci_pm::{
    ChannelState,
    Recovery, //
};
use virtio::{
    id::DeviceId,
    registration::Registration,
    transport::Transport, //
};

use self::{
    hardware::Hardware,
    transport::PciTransport, //
};

/// Every device of the vendor; [`identity::virtio_type`] says which of them are virtio devices.
const ANY_DEVICE: u32 = u32::MAX;

kernel::pci_device_table!(
    PCI_TABLE,
    <PciDriver as pci::Driver>::IdInfo,
    [(
        pci::DeviceId::from_id(pci::Vendor::REDHAT_QUMRANET, ANY_DEVICE),
        ()
    )]
);

/// The driver of virtio devices on the PCI bus.
struct PciDriver;

/// What the driver keeps for a PCI device.
#[pin_data]
struct DriverData<'bound> {
    /// The virtio device, until it is unbound.
    #[pin]
    registration: Mutex<Option<Registration<PciTransport<'bound>>>>,
    /// Whether the device was left as it was when the system was suspended.
    is_state_kept: AtomicFlag,
}

impl pci::Driver for PciDriver {
    type IdInfo = ();
    type Data<'bound> = DriverData<'bound>;
    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        dev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        pin_init::pin_init_scope(move || {
            let registration = register(dev)?;
            Ok(try_pin_init!(DriverData {
                registration <- new_mutex!(
                    Some(registration),
                    "virtio_pci::DriverData::registration"
                ),
                is_state_kept: AtomicFlag::new(false),
            }))
        })
    }

    fn unbind<'bound>(dev: &'bound pci::Device<Core<'_>>, this: Pin<&Self::Data<'bound>>) {
        // The data itself is dropped when the PCI core has already let go of the device.
        let Some(registration) = this.registration.lock().take() else {
            return;
        };
        if !pci_io::is_present(dev) {
            registration.transport().break_queues();
        }
        drop(registration);
    }
}

impl pci_pm::Driver for PciDriver {
    fn suspend<'bound>(dev: &'bound pci::Device<Bound>, data: Pin<&Self::Data<'bound>>) -> Result {
        let is_kept = pci_io::keeps_state(dev);
        data.is_state_kept.store(is_kept, Relaxed);
        if is_kept {
            return Ok(());
        }
        Self::freeze(dev, data)
    }

    fn resume<'bound>(dev: &'bound pci::Device<Bound>, data: Pin<&Self::Data<'bound>>) -> Result {
        // The device may say something else by now.
        if data.is_state_kept.load(Relaxed) {
            return Ok(());
        }
        Self::thaw(dev, data)
    }

    fn freeze<'bound>(dev: &'bound pci::Device<Bound>, data: Pin<&Self::Data<'bound>>) -> Result {
        data.with_registration(|registration| registration.freeze())?;
        pci_io::stop_dma(dev);
        Ok(())
    }

    fn thaw<'bound>(_dev: &'bound pci::Device<Bound>, data: Pin<&Self::Data<'bound>>) -> Result {
        data.with_registration(|registration| registration.restore())
    }

    fn reset_prepare<'bound>(dev: &'bound pci::Device<Bound>, data: Pin<&Self::Data<'bound>>) {
        if let Some(registration) = &mut *data.registration.lock() {
            registration.prepare_reset();
        }
        pci_io::stop_dma(dev);
    }

    fn reset_done<'bound>(dev: &'bound pci::Device<Bound>, data: Pin<&Self::Data<'bound>>) {
        if let Err(error) = data.with_registration(Registration::finish_reset) {
            dev_warn!(dev, "Reset done failure: {:?}\n", error);
        }
    }

    fn error_detected<'bound>(
        dev: &'bound pci::Device<Bound>,
        data: Pin<&Self::Data<'bound>>,
        channel: ChannelState,
    ) -> Recovery {
        match channel {
            // The device can be reset without the bus. It is not used until it is clear that no
            // other device wants a reset of all.
            ChannelState::Normal => {
                data.cut_off();
                Recovery::CanRecover
            }
            ChannelState::Frozen => {
                dev_warn!(dev, "frozen state error detected, reset device\n");
                data.cut_off();
                Recovery::NeedReset
            }
            // Perhaps for the sake of another device: what this one answers decides.
            ChannelState::Failed => {
                dev_warn!(dev, "failure state error detected\n");
                data.reconnect(dev);
                Recovery::Disconnect
            }
        }
    }

    fn slot_reset<'bound>(
        dev: &'bound pci::Device<Bound>,
        data: Pin<&Self::Data<'bound>>,
    ) -> Recovery {
        // Whoever was not told of an error has used it until now.
        data.cut_off();
        if pci_io::is_present(dev) {
            Recovery::Recovered
        } else {
            Recovery::Disconnect
        }
    }

    fn error_resume<'bound>(dev: &'bound pci::Device<Bound>, data: Pin<&Self::Data<'bound>>) {
        dev_info!(dev, "restart after error\n");
        data.reconnect(dev);
    }
}

impl<'bound> DriverData<'bound> {
    /// Calls `f` with the virtio device's registration, if there still is one.
    fn with_registration(
        &self,
        f: impl FnOnce(&mut Registration<PciTransport<'bound>>) -> Result,
    ) -> Result {
        match &mut *self.registration.lock() {
            Some(registration) => f(registration),
            None => Ok(()),
        }
    }

    /// Takes the device out of use after an error on the bus.
    fn cut_off(&self) {
        if let Some(registration) = &*self.registration.lock() {
            registration.cut_off();
        }
    }

    /// Uses the device again after an error on the bus, if it answers.
    fn reconnect(&self, dev: &pci::Device<Bound>) {
        if let Err(error) = self.with_registration(Registration::reconnect) {
            dev_err!(dev, "cannot be used again after an error: {:?}\n", error);
        }
    }
}

/// Takes a PCI device over and puts it on the virtio bus.
fn register<'bound>(
    dev: &'bound pci::Device<Core<'_>>,
) -> Result<Registration<PciTransport<'bound>>> {
    let virtio_type =
        identity::virtio_type(dev.device_id(), dev.subsystem_device_id()).ok_or(ENODEV)?;
    let id = DeviceId::new(virtio_type, dev.subsystem_vendor_id().into());

    let hardware = Hardware::new(dev).map_err(|error| error.report(dev))?;
    // Registering the device may bind a driver, which needs it.
    dev.set_master();
    if let Err(error) = pci_pm::save_state(dev) {
        dev_warn!(dev, "no recovery from errors on the bus: {:?}\n", error);
    }
    let dev: &pci::Device<Bound> = dev;
    Registration::new(dev.as_ref(), id, PciTransport::new(dev, hardware))
}

module! {
    type: PciModule,
    name: "virtio_pci",
    authors: ["The Rust virtio authors"],
    description: "Virtio over PCI in Rust",
    license: "GPL",
}

/// The module: while it lives, the driver is registered.
#[pin_data]
struct PciModule {
    #[pin]
    _driver: driver::Registration<pci_pm::Adapter<PciDriver>>,
}

impl InPlaceModule for PciModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // The name that administrators know; the module's has an underscore.
            _driver <- driver::Registration::new(c"virtio-pci", module),
        })
    }
}
