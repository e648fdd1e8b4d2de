// SPDX-License-Identifier: GPL-2.0

//! Binding a driver to a device, and taking it off again.
//!
//! Implements the driver's part of VIRTIO 1.4, 3.1.1 "Driver Requirements: Device
//! Initialization" and 3.3 "Device Cleanup". The driver core calls these under the device's lock.

use bindings_ext as bindings;
use kernel::{
    device::Bound,
    prelude::*, //
};

use crate::{
    debug,
    features::{
        self,
        Refusal, //
    },
    registration,
    status::{
        Acknowledged,
        FeaturesOk,
        Handshake,
        HasDriver,
        StatusField, //
    },
    Device, Features, Status,
};

/// The virtio driver that a device is bound to.
///
/// # Invariants
///
/// The table is the one that the driver registered, and stays valid while the device is bound.
#[derive(Clone, Copy)]
pub(crate) struct BoundDriver<'a>(&'a bindings::virtio_driver);

impl<'a> BoundDriver<'a> {
    /// Returns the driver of a device, if it has one.
    pub(crate) fn of(dev: &'a Device<Bound>) -> Option<Self> {
        // SAFETY: The driver core keeps the driver of a bound device valid, and every driver on
        // this bus is a `struct virtio_driver`.
        unsafe {
            let driver = (*dev.as_raw()).dev.driver;
            if driver.is_null() {
                return None;
            }
            let driver = kernel::container_of!(driver, bindings::virtio_driver, driver);
            // INVARIANT: See above.
            Some(Self(&*driver))
        }
    }

    /// Returns the driver's table.
    pub(crate) fn raw(self) -> &'a bindings::virtio_driver {
        self.0
    }

    /// Returns whether the driver has this function for its probe, which no other driver has.
    pub(crate) fn probe_is(
        self,
        probe: unsafe extern "C" fn(*mut bindings::virtio_device) -> c_int,
    ) -> bool {
        self.0
            .probe
            .is_some_and(|own| core::ptr::fn_addr_eq(own, probe))
    }

    /// Returns the features that the driver can use.
    fn features(self) -> Features {
        let mut known = Features::EMPTY;
        for i in 0..self.0.feature_table_size as usize {
            // SAFETY: The driver's table has as many entries as it says.
            let bit = unsafe { self.0.feature_table.add(i).read() };
            known = known.with(bit);
        }
        known
    }
}

/// Leads a device to `DRIVER_OK` with the driver that the driver core has found for it.
pub(crate) fn probe(dev: &Device<Bound>) -> Result {
    let driver = BoundDriver::of(dev).ok_or(ENODEV)?;

    // A failed attempt before this one has left its mark; only a reset takes it off (D6). One that
    // was lost may be in any state.
    if dev.take_found() || dev.status() != Status::ACKNOWLEDGE {
        dev.reset()?;
        dev.add_status(Status::ACKNOWLEDGE);
    }

    let result = negotiate(dev, driver).and_then(|step| bind(dev, driver, step));
    if let Err(error) = result {
        // The driver has dropped its queues, and dropping them has reset the device (H10).
        dev.add_status(Status::ACKNOWLEDGE | Status::DRIVER | Status::FAILED);
        return Err(error);
    }

    // SAFETY: The driver's own operation, called once after its probe.
    unsafe {
        if let Some(scan) = driver.0.scan {
            scan(dev.as_raw());
        }
    }
    dev.set_config_core_enabled(true);
    Ok(())
}

/// Agrees with the device on the features, up to `FEATURES_OK`.
fn negotiate<'a>(
    dev: &'a Device<Bound>,
    driver: BoundDriver<'_>,
) -> Result<Handshake<'a, Device<Bound>, FeaturesOk>> {
    let step = Handshake::<_, Acknowledged>::resume(dev).driver();

    let offered = debug::filter(dev, dev.offered_features());
    let wanted = features::negotiate(offered, driver.features(), Features::TRANSPORT).map_err(
        |refusal| match refusal {
            Refusal::NotModern => {
                dev_err!(
                    dev,
                    "device does not offer VIRTIO_F_VERSION_1, or it is filtered\n"
                );
                EINVAL
            }
        },
    )?;
    dev.set_features(wanted);
    dev.finalize_features()?;

    if let Some(validate) = driver.0.validate {
        let before = dev.features();
        // SAFETY: The driver's own operation, called before its probe.
        kernel::error::to_result(unsafe { validate(dev.as_raw()) })?;
        let after = dev.features();
        if after != before {
            dev.finalize_features()?;
        }
    }

    features_ok(dev, step)
}

/// Sets `FEATURES_OK`; a device that takes it back is refused with a line in the log, as is one that
/// would reach all memory where the platform keeps it from that.
pub(crate) fn features_ok<'a>(
    dev: &'a Device<Bound>,
    step: Handshake<'a, Device<Bound>, HasDriver>,
) -> Result<Handshake<'a, Device<Bound>, FeaturesOk>> {
    if needs_restricted_access(dev) && !dev.features().contains(features::ACCESS_PLATFORM) {
        dev_warn!(dev, "device must provide VIRTIO_F_ACCESS_PLATFORM\n");
        return Err(ENODEV);
    }
    step.features_ok().map_err(|refused| {
        dev_err!(dev, "device refuses features: {:x}\n", refused.0.bits());
        ENODEV
    })
}

/// Returns whether the platform, a confidential guest's for example, lets a device access only the
/// memory that it is given through the DMA API.
fn needs_restricted_access(dev: &Device<Bound>) -> bool {
    // SAFETY: The platform sets it before there are devices.
    let check = unsafe { bindings::virtio_check_mem_acc_cb };
    // SAFETY: It takes any device.
    check.is_some_and(|check| unsafe { check(dev.as_raw()) })
}

/// Sets `DRIVER_OK` for a driver without queues. One that has queues set it with them, and its
/// device may be in the middle of a reset by now (D4). Called with the device's lock held.
pub(crate) fn driver_ok(dev: &Device<Bound>, step: Handshake<'_, Device<Bound>, FeaturesOk>) {
    if !registration::can_recover(dev) {
        step.driver_ok();
    }
}

/// Calls the driver's probe, and sets `DRIVER_OK` if that did not.
fn bind(
    dev: &Device<Bound>,
    driver: BoundDriver<'_>,
    step: Handshake<'_, Device<Bound>, FeaturesOk>,
) -> Result {
    let probe = driver.0.probe.ok_or(EINVAL)?;
    // SAFETY: The driver's own operation; the device is ready for it.
    kernel::error::to_result(unsafe { probe(dev.as_raw()) })?;
    driver_ok(dev, step);
    Ok(())
}

/// Takes the driver off the device and leaves it ready for another.
pub(crate) fn remove(dev: &Device<Bound>) {
    dev.set_config_core_enabled(false);
    // Reports that this driver holds back are not held back from the next one.
    dev.enable_config_changes();
    if let Some(remove) = BoundDriver::of(dev).and_then(|driver| driver.0.remove) {
        // SAFETY: The driver's own operation, called once after a successful probe.
        unsafe { remove(dev.as_raw()) };
    }
    let status = dev.status();
    if status != Status::RESET && !status.is_gone() {
        dev_warn!(
            dev,
            "driver left the device in use (status {:#x})\n",
            status.bits()
        );
    }
    dev.add_status(Status::ACKNOWLEDGE);
}

/// Stops a device when the system goes down: no access to memory and no interrupt after this.
pub(crate) fn shutdown(dev: &Device<Bound>) {
    let Some(driver) = BoundDriver::of(dev) else {
        return;
    };
    match driver.0.shutdown {
        // SAFETY: The driver's own operation, called while it is bound.
        Some(shutdown) => unsafe { shutdown(dev.as_raw()) },
        None => silence(dev),
    }
}

/// Takes a device's queues out of use and resets it.
pub(crate) fn silence(dev: &Device<Bound>) {
    // First of all, so that nothing is added or completed behind the reset (CORE-INIT-14).
    registration::end_recovery(dev);
    registration::break_queues(dev);
    dev.synchronize_callbacks();
    if dev.reset().is_err() {
        dev_warn!(dev, "device does not finish its reset\n");
    }
}
