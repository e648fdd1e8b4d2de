// SPDX-License-Identifier: GPL-2.0

//! PCI drivers whose devices lose their state and get it back: system sleep, hibernation, and
//! function resets.
//!
//! [`kernel::pci::Driver`] has no operations for these. A driver implements [`Driver`] beside it
//! and is registered with [`Adapter`] instead of [`kernel::pci::Adapter`].
//!
//! TODO: send upstream as optional operations of `pci::Driver`.
//!
//! C headers: [`include/linux/pm.h`](srctree/include/linux/pm.h),
//! [`include/linux/pci.h`](srctree/include/linux/pci.h)

use core::marker::PhantomData;

use kernel::{
    bindings,
    container_of,
    device::{
        self,
        Bound, //
    },
    driver,
    error::from_result,
    pci,
    prelude::*,
    types::Opaque, //
};

/// What a driver does about its device's state.
///
/// All operations are called with the lock of the PCI device held, while the driver is bound, and
/// may sleep. The PCI core saves and restores the configuration space and the MSI-X table.
pub trait Driver: pci::Driver {
    /// Stops the device before a sleep in which its memory stays powered.
    ///
    /// # Errors
    ///
    /// The system stays awake.
    fn suspend<'bound>(dev: &'bound pci::Device<Bound>, data: Pin<&Self::Data<'bound>>) -> Result;

    /// Undoes [`suspend`](Self::suspend).
    ///
    /// # Errors
    ///
    /// They are logged.
    fn resume<'bound>(dev: &'bound pci::Device<Bound>, data: Pin<&Self::Data<'bound>>) -> Result;

    /// Stops the device before an image of the memory is taken, or the power is switched off.
    ///
    /// # Errors
    ///
    /// There is no hibernation.
    fn freeze<'bound>(dev: &'bound pci::Device<Bound>, data: Pin<&Self::Data<'bound>>) -> Result;

    /// Undoes [`freeze`](Self::freeze), maybe in another boot.
    ///
    /// # Errors
    ///
    /// They are logged.
    fn thaw<'bound>(dev: &'bound pci::Device<Bound>, data: Pin<&Self::Data<'bound>>) -> Result;

    /// Stops the device before it is reset.
    fn reset_prepare<'bound>(dev: &'bound pci::Device<Bound>, data: Pin<&Self::Data<'bound>>);

    /// Uses the device again after the reset.
    fn reset_done<'bound>(dev: &'bound pci::Device<Bound>, data: Pin<&Self::Data<'bound>>);
}

/// An adapter for the registration of a [`Driver`].
pub struct Adapter<T: Driver>(PhantomData<T>);

// SAFETY: That of the adapter below, which everything is passed on to.
unsafe impl<T: Driver> driver::DriverLayout for Adapter<T> {
    type DriverType = <pci::Adapter<T> as driver::DriverLayout>::DriverType;
    type DriverData<'bound> = <pci::Adapter<T> as driver::DriverLayout>::DriverData<'bound>;
    const DEVICE_DRIVER_OFFSET: usize =
        <pci::Adapter<T> as driver::DriverLayout>::DEVICE_DRIVER_OFFSET;
}

// SAFETY: As above.
unsafe impl<T: Driver> driver::RegistrationOps for Adapter<T> {
    unsafe fn register(
        driver: &Opaque<Self::DriverType>,
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result {
        // SAFETY: The structure is ours until it is registered; both tables are static.
        unsafe {
            let driver = driver.get();
            (*driver).driver.pm = Self::PM;
            (*driver).err_handler = Self::ERRORS;
        }
        // SAFETY: The caller's promise.
        unsafe { <pci::Adapter<T> as driver::RegistrationOps>::register(driver, name, module) }
    }

    unsafe fn unregister(driver: &Opaque<Self::DriverType>) {
        // SAFETY: The caller's promise.
        unsafe { <pci::Adapter<T> as driver::RegistrationOps>::unregister(driver) }
    }
}

impl<T: Driver> Adapter<T> {
    const PM: &'static bindings::dev_pm_ops = &bindings::dev_pm_ops {
        suspend: Some(Self::suspend),
        resume: Some(Self::resume),
        freeze: Some(Self::freeze),
        thaw: Some(Self::thaw),
        poweroff: Some(Self::freeze),
        restore: Some(Self::thaw),
        ..pin_init::zeroed()
    };

    const ERRORS: &'static bindings::pci_error_handlers = &bindings::pci_error_handlers {
        reset_prepare: Some(Self::reset_prepare),
        reset_done: Some(Self::reset_done),
        ..pin_init::zeroed()
    };

    /// Calls `f` with a device and the data of its driver.
    ///
    /// # Safety
    ///
    /// `pdev` is bound to this driver and stays so during the call.
    unsafe fn with_data<R>(
        pdev: *mut bindings::pci_dev,
        f: impl for<'bound> FnOnce(&'bound pci::Device<Bound>, Pin<&T::Data<'bound>>) -> R,
    ) -> R {
        // SAFETY: The caller's promise; `Device` is a transparent wrapper, and a bound device has
        // the data that `probe` made.
        unsafe {
            let dev = &*pdev.cast::<pci::Device<device::CoreInternal<'_>>>();
            let data = dev.as_ref().drvdata_borrow::<T::Data<'_>>();
            f(dev, data)
        }
    }

    /// Calls `f` with a device that is being put to sleep or woken up, and the data of its driver.
    ///
    /// # Safety
    ///
    /// `dev` is part of a PCI device that is bound to this driver and stays so during the call.
    unsafe fn with_sleeper(
        dev: *mut bindings::device,
        f: impl for<'bound> FnOnce(&'bound pci::Device<Bound>, Pin<&T::Data<'bound>>) -> Result,
    ) -> c_int {
        // SAFETY: The caller's promise.
        from_result(|| unsafe {
            let pdev = container_of!(dev, bindings::pci_dev, dev);
            Self::with_data(pdev, f).map(|()| 0)
        })
    }

    extern "C" fn suspend(dev: *mut bindings::device) -> c_int {
        // SAFETY: The PM core calls this with the lock of a bound device held.
        unsafe { Self::with_sleeper(dev, |dev, data| T::suspend(dev, data)) }
    }

    extern "C" fn resume(dev: *mut bindings::device) -> c_int {
        // SAFETY: As in `suspend`.
        unsafe { Self::with_sleeper(dev, |dev, data| T::resume(dev, data)) }
    }

    extern "C" fn freeze(dev: *mut bindings::device) -> c_int {
        // SAFETY: As in `suspend`.
        unsafe { Self::with_sleeper(dev, |dev, data| T::freeze(dev, data)) }
    }

    extern "C" fn thaw(dev: *mut bindings::device) -> c_int {
        // SAFETY: As in `suspend`.
        unsafe { Self::with_sleeper(dev, |dev, data| T::thaw(dev, data)) }
    }

    extern "C" fn reset_prepare(pdev: *mut bindings::pci_dev) {
        // SAFETY: The PCI core calls this with the lock of a bound device held.
        unsafe { Self::with_data(pdev, |dev, data| T::reset_prepare(dev, data)) }
    }

    extern "C" fn reset_done(pdev: *mut bindings::pci_dev) {
        // SAFETY: As in `reset_prepare`.
        unsafe { Self::with_data(pdev, |dev, data| T::reset_done(dev, data)) }
    }
}
