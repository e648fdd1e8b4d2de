// SPDX-License-Identifier: GPL-2.0

//! PCI drivers whose devices lose their state and get it back: system sleep, hibernation, function
//! resets, and errors on the bus.
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
        Bound,
        Core, //
    },
    driver,
    error::{
        from_result,
        to_result, //
    },
    pci,
    prelude::*,
    types::Opaque, //
};

/// What a driver does about its device's state.
///
/// All operations are called with the lock of the PCI device held, while the driver is bound, and
/// may sleep. The configuration space and the MSI-X table are saved and restored around them.
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

    /// Hears of an error that hardware could not correct, here or at a device beside this one, and
    /// says what the device needs (Documentation/PCI/pci-error-recovery.rst). If the devices cannot
    /// be given what they need, this is called once more, with [`ChannelState::Failed`], and nothing
    /// follows.
    fn error_detected<'bound>(
        dev: &'bound pci::Device<Bound>,
        data: Pin<&Self::Data<'bound>>,
        channel: ChannelState,
    ) -> Recovery;

    /// Hears that the device was reset, whatever it needed, and says whether it is there. Its
    /// configuration space has the contents again that were saved last, by [`save_state`] or by the
    /// PCI core.
    fn slot_reset<'bound>(
        dev: &'bound pci::Device<Bound>,
        data: Pin<&Self::Data<'bound>>,
    ) -> Recovery;

    /// Uses the device again after an error.
    fn error_resume<'bound>(dev: &'bound pci::Device<Bound>, data: Pin<&Self::Data<'bound>>);
}

/// How the way to a device is after an error: `pci_channel_state_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// It works, but something that was under way may be lost.
    Normal,
    /// Nothing comes through until a reset; registers must not be accessed.
    Frozen,
    /// There is no help.
    Failed,
}

impl ChannelState {
    fn new(state: bindings::pci_channel_state_t) -> Self {
        match state {
            bindings::pci_channel_io_normal => Self::Normal,
            bindings::pci_channel_io_frozen => Self::Frozen,
            _ => Self::Failed,
        }
    }
}

/// What a device needs after an error: the part of `pci_ers_result_t` that is of use so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Recovery {
    /// Nothing: its driver can help itself.
    CanRecover = bindings::pci_ers_result_PCI_ERS_RESULT_CAN_RECOVER,
    /// Nothing any more.
    Recovered = bindings::pci_ers_result_PCI_ERS_RESULT_RECOVERED,
    /// A reset.
    NeedReset = bindings::pci_ers_result_PCI_ERS_RESULT_NEED_RESET,
    /// More than there is.
    Disconnect = bindings::pci_ers_result_PCI_ERS_RESULT_DISCONNECT,
}

/// Keeps what the configuration space of a device holds, for after a reset. The device has been set
/// up, but for its interrupts.
///
/// # Errors
///
/// `ENOMEM`.
pub fn save_state(dev: &pci::Device<Core<'_>>) -> Result {
    let pdev: *const pci::Device<Core<'_>> = dev;
    // SAFETY: The device is valid, and `Device` is a transparent wrapper of the C structure.
    to_result(unsafe { bindings::pci_save_state(pdev.cast_mut().cast()) })
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
        error_detected: Some(Self::error_detected),
        slot_reset: Some(Self::slot_reset),
        resume: Some(Self::error_resume),
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

    extern "C" fn error_detected(
        pdev: *mut bindings::pci_dev,
        state: bindings::pci_channel_state_t,
    ) -> bindings::pci_ers_result_t {
        let channel = ChannelState::new(state);
        // SAFETY: As in `reset_prepare`.
        unsafe { Self::with_data(pdev, |dev, data| T::error_detected(dev, data, channel)) as u32 }
    }

    extern "C" fn slot_reset(pdev: *mut bindings::pci_dev) -> bindings::pci_ers_result_t {
        // SAFETY: The PCI core calls this for a device that was reset.
        unsafe { bindings::pci_restore_state(pdev) };
        // SAFETY: As in `reset_prepare`.
        unsafe { Self::with_data(pdev, |dev, data| T::slot_reset(dev, data)) as u32 }
    }

    extern "C" fn error_resume(pdev: *mut bindings::pci_dev) {
        // SAFETY: As in `reset_prepare`.
        unsafe { Self::with_data(pdev, |dev, data| T::error_resume(dev, data)) }
    }
}
