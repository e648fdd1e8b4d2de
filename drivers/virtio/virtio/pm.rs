// SPDX-License-Identifier: GPL-2.0

//! Devices that lose their state, and get it back: suspend, and a reset by the transport.
//!
//! A transport calls these on its [`Registration`]; they take the device's lock and may sleep. Only
//! [`restart`](Device::restart) is called by `virtio_ring`, at any time. The way back repeats the
//! initialization sequence (VIRTIO 1.4, 3.1.1 "Driver Requirements: Device Initialization") with
//! the features that were agreed on before, as the driver has built on these.

use core::mem;

use bindings_ext as bindings;
use kernel::{
    device::Bound,
    error::to_result,
    prelude::*, //
};

use crate::{
    probe::{
        self,
        BoundDriver, //
    },
    registration::Registration,
    status::{
        FeaturesOk,
        Handshake,
        Status,
        StatusField, //
    },
    transport::Transport,
    Device,
};

impl<T: Transport> Registration<T> {
    /// Has the driver stop its use of the device before the system is suspended.
    ///
    /// # Errors
    ///
    /// What the driver says; the device is in use as before, then.
    pub fn freeze(&self) -> Result {
        self.with_lock(Device::freeze)
    }

    /// Sets the device up again after the system was suspended, and has the driver use it again.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT` if the device does not finish its reset, `ENODEV` if it does not offer the
    /// features any more that were agreed on, and what the driver says. `FAILED` is set, then.
    pub fn restore(&self) -> Result {
        self.with_lock(Device::restore)
    }

    /// Has the driver stop its use of the device before the transport resets it.
    ///
    /// A driver that cannot do that would be left with a dead device. It is taken off instead, and
    /// [`finish_reset`](Self::finish_reset) binds it again.
    pub fn prepare_reset(&mut self) {
        self.let_go();
        let Err(error) = self.with_lock(Device::prepare_reset) else {
            return;
        };
        dev_info!(
            self.device(),
            "driver cannot stop for a reset ({:?}), it is bound again afterwards\n",
            error
        );
        self.detach_driver();
        self.is_driver_due = true;
    }

    /// Sets the device up again after the transport has reset it, and has the driver use it again.
    ///
    /// # Errors
    ///
    /// As [`restore`](Self::restore), and what the driver core says.
    pub fn finish_reset(&mut self) -> Result {
        let is_driver_due = mem::take(&mut self.is_driver_due);
        if is_driver_due {
            // One that was bound meanwhile has met a device in the middle of its reset.
            self.detach_driver();
        }
        self.with_lock(Device::finish_reset)?;
        if is_driver_due {
            self.attach_driver()?;
        }
        Ok(())
    }
}

/// One of a driver's operations.
type Operation = unsafe extern "C" fn(*mut bindings::virtio_device) -> c_int;

impl Device<Bound> {
    fn freeze(&self) -> Result {
        self.stop(BoundDriver::of(self).and_then(|driver| driver.raw().freeze))
    }

    fn restore(&self) -> Result {
        let operation = BoundDriver::of(self).and_then(|driver| driver.raw().restore);
        self.set_up_again(operation)
    }

    /// `EOPNOTSUPP` if the driver cannot stop.
    fn prepare_reset(&self) -> Result {
        let prepare = match BoundDriver::of(self) {
            Some(driver) => Some(driver.raw().reset_prepare.ok_or(EOPNOTSUPP)?),
            None => None,
        };
        self.stop(prepare)
    }

    fn finish_reset(&self) -> Result {
        let done = match BoundDriver::of(self) {
            Some(driver) => Some(driver.raw().reset_done.ok_or(EOPNOTSUPP)?),
            None => None,
        };
        self.set_up_again(done)
    }

    /// Has the driver stop, and keeps what the device will have forgotten.
    fn stop(&self, operation: Option<Operation>) -> Result {
        self.set_config_core_enabled(false);
        let status = self.status();
        // SAFETY: The field is only used in this file, with the device's lock held.
        unsafe { (*self.as_raw()).failed = !status.is_gone() && status.contains(Status::FAILED) };
        self.call(operation)
            .inspect_err(|_| self.set_config_core_enabled(true))
    }

    fn call(&self, operation: Option<Operation>) -> Result {
        match operation {
            // SAFETY: The driver's own operation, called while it is bound.
            Some(operation) => to_result(unsafe { operation(self.as_raw()) }),
            None => Ok(()),
        }
    }

    fn set_up_again(&self, operation: Option<Operation>) -> Result {
        if self.is_cut_off() {
            // It is set up when it is found.
            self.call(operation)?;
            self.set_config_core_enabled(true);
            return Ok(());
        }
        if BoundDriver::of(self).is_none() {
            self.reset()
                .inspect_err(|_| self.add_status(Status::FAILED))?;
            Handshake::start(self).acknowledge();
            // With a driver this is a new beginning, which CORE-STATUS-3 asks for.
            // SAFETY: As in `stop`.
            if unsafe { (*self.as_raw()).failed } {
                self.add_status(Status::FAILED);
            }
            return Ok(());
        }
        let result = self.agree_again().and_then(|step| {
            self.call(operation)?;
            probe::driver_ok(self, step);
            Ok(())
        });
        result.inspect_err(|_| {
            // What the driver still has would wait for ever.
            let shutdown = BoundDriver::of(self).and_then(|driver| driver.raw().shutdown);
            if let Some(shutdown) = shutdown {
                // SAFETY: The driver's own operation, called while it is bound.
                unsafe { shutdown(self.as_raw()) };
            }
            // Not before: until then its queues may be in a reset of their own (D4).
            self.add_status(Status::ACKNOWLEDGE | Status::DRIVER | Status::FAILED);
        })?;
        self.set_config_core_enabled(true);
        Ok(())
    }

    /// Resets the device and repeats its initialization with the features that it had; `use_again`
    /// is called for its queues after `FEATURES_OK`, and sets `DRIVER_OK`. Called by `virtio_ring`,
    /// for a device whose queues are out of use. Sleeps.
    ///
    /// # Errors
    ///
    /// As [`Registration::restore`], with `use_again` for the driver.
    pub fn restart(&self, use_again: impl FnOnce() -> Result) -> Result {
        self.agree_again()
            .and_then(|_| use_again())
            .inspect_err(|_| self.add_status(Status::FAILED))
    }

    /// Resets the device and leads it to `FEATURES_OK` with the features that it had.
    fn agree_again(&self) -> Result<Handshake<'_, Self, FeaturesOk>> {
        self.reset()?;
        let step = Handshake::start(self).acknowledge().driver();
        let agreed = self.features();
        if !agreed.and_not(self.offered_features()).is_empty() {
            dev_err!(self, "device offers fewer features than before\n");
            return Err(ENODEV);
        }
        self.finalize_features()?;
        probe::features_ok(self, step)
    }
}
