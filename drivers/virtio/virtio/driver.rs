// SPDX-License-Identifier: GPL-2.0

//! Virtio drivers: the trait that a driver implements and its registration with the bus.
//!
//! The recipe is that of [`kernel::driver`]: [`Driver`] is the trait, [`Adapter`] puts it behind
//! `struct virtio_driver`, [`module_virtio_driver!`](crate::module_virtio_driver) makes a module
//! of it.
//!
//! C header: [`include/linux/virtio.h`](srctree/include/linux/virtio.h)

use core::{
    marker::PhantomData,
    mem::offset_of, //
};

use bindings_ext as bindings;
use kernel::{
    device::{
        self,
        Bound, //
    },
    device_id::RawDeviceId,
    driver,
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    types::{
        ForeignOwnable,
        Opaque, //
    },
};

use crate::{
    bus,
    debug,
    features,
    id,
    probe,
    registration,
    Device,
    Features, //
};

/// The features of one device type that a driver can use.
///
/// A driver implements this for an enum of its own, so that asking for a feature that it has not
/// declared does not compile.
pub trait Feature: Copy + 'static {
    /// Every feature that the driver can use.
    const ALL: &'static [Self];

    /// The number of the feature's bit (VIRTIO 1.4, 2.2 "Feature Bits").
    fn bit(self) -> u32;

    /// The name of the feature in the specification.
    fn name(self) -> &'static str;

    /// Another feature that this one is of no use without: if that is not agreed on, nor is this
    /// one (CORE-FEAT-2).
    fn needs(self) -> Option<Self> {
        None
    }
}

impl Device<Bound> {
    /// Returns whether the device offers the feature at this moment, agreed on or not: one that was
    /// reset may be another than before. Root can keep features from drivers, these as well.
    pub fn offers(&self, feature: impl Feature) -> bool {
        debug::filter(self, self.offered_features()).contains(feature.bit())
    }
}

/// The features that were agreed on with a device, as its driver sees them; in
/// [`Driver::validate`] those that may be.
pub struct Negotiated<F> {
    features: Features,
    driver: PhantomData<F>,
}

impl<F> Clone for Negotiated<F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Negotiated<F> {}

impl<F: Feature> Negotiated<F> {
    /// Reads what was agreed on with `dev`, whose driver knows the features `F`.
    pub(crate) fn of(dev: &Device<Bound>) -> Self {
        Self {
            features: dev.features(),
            driver: PhantomData,
        }
    }

    /// Returns whether both sides have agreed to use the feature.
    pub fn has(&self, feature: F) -> bool {
        self.features.contains(feature.bit())
    }

    /// Returns the same features but one.
    #[must_use]
    pub fn without(self, feature: F) -> Self {
        Self {
            features: self.features.without(feature.bit()),
            ..self
        }
    }
}

/// A driver for virtio devices.
pub trait Driver: 'static {
    /// The features of the device type that the driver can use.
    type Feature: Feature;

    /// The data of a bound device.
    type Data<'bound>: Send + Sync + 'bound;

    /// The devices that the driver serves.
    const ID_TABLE: IdTable;

    /// Chooses among the features that both sides know, by what the device's configuration says.
    ///
    /// Called before the features are agreed on; the fields of those that are offered can be read
    /// already (VIRTIO 1.4, 3.1.1 "Driver Requirements: Device Initialization"). Called with the
    /// device's lock held, may sleep.
    ///
    /// # Errors
    ///
    /// The device is marked as failed.
    fn validate(
        dev: &Device<Bound>,
        common: Negotiated<Self::Feature>,
    ) -> Result<Negotiated<Self::Feature>> {
        let _ = dev;
        Ok(common)
    }

    /// Makes the data of a device, and with it the driver's use of the device.
    ///
    /// The features have been agreed on and `FEATURES_OK` is set: this sets up the queues and
    /// makes them ready (see `virtio_ring`), which sets `DRIVER_OK`. Called with the device's lock
    /// held, may sleep. On an error the device is marked as failed.
    fn probe<'bound>(
        dev: &'bound Device<device::Core<'_>>,
        features: Negotiated<Self::Feature>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound;

    /// Hears that the device's configuration has changed, once for changes that come close
    /// together. Called from a work item, may sleep; never after `unbind` has started.
    fn config_changed<'bound>(dev: &'bound Device<Bound>, data: Pin<&Self::Data<'bound>>) {
        let _ = (dev, data);
    }

    /// Stops the use of the device, which is going to lose its state: the system is suspended, or
    /// the transport resets the device. [`restore`](Self::restore) or [`unbind`](Self::unbind)
    /// follows. Called with the device's lock held, may sleep.
    ///
    /// # Errors
    ///
    /// The device goes on being used, and is not suspended. Where a reset comes all the same, the
    /// driver is taken off before it and bound again after it. A driver without this operation says
    /// `EOPNOTSUPP`.
    fn freeze<'bound>(dev: &'bound Device<Bound>, data: Pin<&Self::Data<'bound>>) -> Result {
        let _ = (dev, data);
        Err(EOPNOTSUPP)
    }

    /// Uses the device again after [`freeze`](Self::freeze). It has been reset, the features are
    /// those of `probe`, and `FEATURES_OK` is set. Called with the device's lock held, may sleep.
    ///
    /// # Errors
    ///
    /// The device is marked as failed.
    fn restore<'bound>(dev: &'bound Device<Bound>, data: Pin<&Self::Data<'bound>>) -> Result {
        let _ = (dev, data);
        Err(EOPNOTSUPP)
    }

    /// Hears that the system goes down. Nothing waits for requests from now on; afterwards the
    /// device is reset, and nothing else is called. May sleep.
    fn shutdown<'bound>(dev: &'bound Device<Bound>, data: Pin<&Self::Data<'bound>>) {
        let _ = (dev, data);
    }

    /// Ends the use of the device, before the data is dropped; the device is reset in between.
    ///
    /// May sleep. What needs a working device, such as letting requests finish, belongs here.
    fn unbind<'bound>(dev: &'bound Device<device::Core<'_>>, data: Pin<&Self::Data<'bound>>) {
        let _ = (dev, data);
    }
}

/// One entry of a driver's table of devices.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct DeviceId(bindings::virtio_device_id);

impl DeviceId {
    /// Any vendor's devices of the type `device` (VIRTIO 1.4, 5 "Device Types").
    pub const fn new(device: u32) -> Self {
        Self(bindings::virtio_device_id {
            device,
            vendor: id::ANY,
        })
    }

    /// The devices of the type `device` of one vendor.
    pub const fn with_vendor(device: u32, vendor: u32) -> Self {
        Self(bindings::virtio_device_id { device, vendor })
    }
}

// SAFETY: `DeviceId` is a transparent wrapper of the C structure.
unsafe impl RawDeviceId for DeviceId {
    type RawType = bindings::virtio_device_id;
}

/// A driver's table of devices; made by [`virtio_device_table!`](crate::virtio_device_table).
pub type IdTable = &'static dyn kernel::device_id::IdTable<DeviceId, ()>;

/// Declares a driver's table of devices, with the aliases by which the module is found.
#[macro_export]
macro_rules! virtio_device_table {
    ($name:ident, [$($id:expr),* $(,)?]) => {
        ::kernel::module_device_table!(
            "virtio",
            $crate::driver::DeviceId,
            $name,
            @none,
            [$($id),*]
        );
    };
}

/// Declares a module that is one virtio driver.
#[macro_export]
macro_rules! module_virtio_driver {
    ($($f:tt)*) => {
        ::kernel::module_driver!(<T>, $crate::driver::Adapter<T>, { $($f)* });
    };
}

/// Puts a [`Driver`] behind the C structure.
pub struct Adapter<T: Driver>(PhantomData<T>);

// SAFETY:
// - `struct virtio_driver` is a C structure.
// - The driver's data is kept by this file, not by the driver core, so there is none of its.
// - The offset is that of the `struct device_driver` inside.
unsafe impl<T: Driver> driver::DriverLayout for Adapter<T> {
    type DriverType = bindings::virtio_driver;
    type DriverData<'bound> = ();
    const DEVICE_DRIVER_OFFSET: usize = offset_of!(bindings::virtio_driver, driver);
}

/// What is kept for a device while it is bound to a driver.
///
/// # Invariants
///
/// `work` is initialized, and runs [`Adapter::work`].
#[pin_data]
struct Binding<'bound, T: Driver> {
    #[pin]
    work: Opaque<bindings::work_struct>,
    dev: &'bound Device<Bound>,
    #[pin]
    data: T::Data<'bound>,
    /// Nothing depends on it.
    _agreement: Option<debug::AgreementFile>,
}

/// The bits of a driver's features, in the form that the C structure points to.
struct FeatureTable<F>(PhantomData<F>);

impl<F: Feature> FeatureTable<F> {
    /// More than there are bits.
    const CAPACITY: usize = 128;
}

// SAFETY: `unregister` undoes a `register` that has succeeded.
unsafe impl<T: Driver> driver::RegistrationOps for Adapter<T> {
    unsafe fn register(
        driver: &Opaque<Self::DriverType>,
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result {
        let mut table = KVec::with_capacity(T::Feature::ALL.len(), GFP_KERNEL)?;
        for feature in T::Feature::ALL {
            if table.len() < FeatureTable::<T::Feature>::CAPACITY {
                table.push(feature.bit(), GFP_KERNEL)?;
            }
        }
        let (features, len, _) = table.into_raw_parts();

        let drv = driver.get();
        // SAFETY: The structure is ours until it is registered. The table of features stays
        // allocated until `unregister`.
        let result = unsafe {
            (*drv).driver.name = name.as_char_ptr();
            (*drv).driver.owner = module.as_ptr();
            (*drv).driver.bus = bus::bus_type();
            (*drv).id_table = T::ID_TABLE.as_ptr();
            (*drv).feature_table = features;
            // CAST: Bounded by `CAPACITY`.
            (*drv).feature_table_size = len as c_uint;
            (*drv).validate = Some(Self::validate);
            (*drv).probe = Some(Self::probe);
            (*drv).remove = Some(Self::remove);
            (*drv).shutdown = Some(Self::shutdown);
            (*drv).freeze = Some(Self::freeze);
            (*drv).restore = Some(Self::restore);
            (*drv).reset_prepare = Some(Self::freeze);
            (*drv).reset_done = Some(Self::restore);
            (*drv).config_changed = Some(Self::config_changed);
            to_result(bindings::driver_register(&raw mut (*drv).driver))
        };
        if result.is_err() {
            // SAFETY: Nothing uses the table.
            unsafe { Self::free_features(drv) };
        }
        result
    }

    unsafe fn unregister(driver: &Opaque<Self::DriverType>) {
        let drv = driver.get();
        // SAFETY: The driver was registered; after this nothing uses the table.
        unsafe {
            bindings::driver_unregister(&raw mut (*drv).driver);
            Self::free_features(drv);
        }
    }
}

impl<T: Driver> Adapter<T> {
    /// # Safety
    ///
    /// `drv` holds the table that `register` put there, and nothing uses it.
    unsafe fn free_features(drv: *mut bindings::virtio_driver) {
        // SAFETY: The caller's promise; the capacity is not needed to free the memory.
        unsafe {
            let len = (*drv).feature_table_size as usize;
            drop(KVec::from_raw_parts(
                (*drv).feature_table.cast_mut(),
                len,
                len,
            ));
        }
    }

    fn feature_name(bit: u32) -> Option<&'static str> {
        let own = T::Feature::ALL.iter().find(|feature| feature.bit() == bit);
        own.map(|feature| feature.name()).or(features::name(bit))
    }

    /// Borrows what `probe` put into the device.
    ///
    /// # Safety
    ///
    /// The device is bound to this driver.
    unsafe fn binding<'a>(vdev: *mut bindings::virtio_device) -> Pin<&'a Binding<'a, T>> {
        // SAFETY: `priv` is what `probe` put there, and stays until `remove`.
        unsafe { Pin::<KBox<Binding<'a, T>>>::borrow((*vdev).priv_.cast()) }
    }

    /// Borrows the data that `probe` put into the device, and calls `f` with it.
    ///
    /// # Safety
    ///
    /// The device is bound to this driver, and stays so during the call.
    unsafe fn with_data<R>(
        vdev: *mut bindings::virtio_device,
        f: impl for<'a> FnOnce(&'a Device<Bound>, Pin<&T::Data<'a>>) -> R,
    ) -> R {
        // SAFETY: The caller's promise. The field is structurally pinned.
        unsafe {
            let binding = Self::binding(vdev);
            let dev = binding.dev;
            f(dev, binding.map_unchecked(|binding| &binding.data))
        }
    }

    /// Drops features that the driver does not choose, or that need one which is not there.
    extern "C" fn validate(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: The bus calls this for a registered device that it is binding to this driver.
        let dev = unsafe { Device::<Bound>::from_raw(vdev) };
        let needs = T::Feature::ALL
            .iter()
            .filter_map(|feature| Some((feature.bit(), feature.needs()?.bit())));
        from_result(|| {
            let chosen = T::validate(dev, Negotiated::of(dev))?.features;
            dev.set_features(chosen.without_orphans(needs));
            Ok(0)
        })
    }

    extern "C" fn freeze(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: The bus calls this for a device that is bound to this driver.
        unsafe {
            // No report of a change comes from now on, but the last one may still be at work.
            bindings::flush_work(Self::binding(vdev).work.get());
            from_result(|| Self::with_data(vdev, |dev, data| T::freeze(dev, data)).map(|()| 0))
        }
    }

    extern "C" fn restore(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: The bus calls this for a device that is bound to this driver.
        unsafe {
            from_result(|| Self::with_data(vdev, |dev, data| T::restore(dev, data)).map(|()| 0))
        }
    }

    extern "C" fn probe(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: The bus calls this for a registered device that it is binding to this driver.
        let core = unsafe { Device::<device::CoreInternal<'_>>::from_raw(vdev) };
        from_result(|| {
            let binding = KBox::pin_init(
                try_pin_init!(Binding::<'_, T> {
                    work <- Opaque::ffi_init(|work| {
                        // SAFETY: The memory is pinned, and the function fits it.
                        unsafe { bindings::rust_ext_init_work(work, Some(Self::work)) }
                    }),
                    dev: core,
                    data <- T::probe(core, Negotiated::of(core)),
                    _agreement: debug::show_agreement(core, Self::feature_name).ok(),
                }),
                GFP_KERNEL,
            )?;
            // SAFETY: The device is bound to this driver, to which `priv` belongs; a config change
            // is not reported before this returns.
            unsafe { (*vdev).priv_ = binding.into_foreign().cast() };
            Ok(0)
        })
    }

    extern "C" fn remove(vdev: *mut bindings::virtio_device) {
        // SAFETY: The bus calls this for a registered device that is bound to this driver.
        let dev = unsafe { Device::<device::CoreInternal<'_>>::from_raw(vdev) };
        // SAFETY: As above.
        let binding = unsafe { Self::binding(vdev) };
        // SAFETY: By its invariant the work is initialized; the bus reports no change any more.
        unsafe { bindings::disable_work_sync(binding.work.get()) };
        // SAFETY: The field is structurally pinned.
        T::unbind(dev, unsafe {
            binding.map_unchecked(|binding| &binding.data)
        });
        // Until here a device that fails is looked after, for what `unbind` waits for.
        registration::end_recovery(dev);
        if dev.reset().is_err() {
            dev_err!(dev, "device does not finish its reset\n");
        }
        // SAFETY: `priv` is what `probe` put there; it is taken out once.
        let binding = unsafe {
            let binding = (*vdev).priv_;
            (*vdev).priv_ = core::ptr::null_mut();
            Pin::<KBox<Binding<'_, T>>>::from_foreign(binding.cast())
        };
        drop(binding);
    }

    extern "C" fn shutdown(vdev: *mut bindings::virtio_device) {
        // SAFETY: The bus calls this for a device that is bound to this driver.
        unsafe {
            // A report of a change may still be at work; another does no harm.
            bindings::flush_work(Self::binding(vdev).work.get());
            Self::with_data(vdev, |dev, data| {
                T::shutdown(dev, data);
                probe::silence(dev);
            });
        }
    }

    /// Hears of a config change with interrupts off, and leaves it to the work item.
    extern "C" fn config_changed(vdev: *mut bindings::virtio_device) {
        // SAFETY: The bus calls this for a device that is bound to this driver; reports end before
        // `remove` starts. The work is initialized.
        unsafe { bindings::rust_ext_schedule_work(Self::binding(vdev).work.get()) };
    }

    extern "C" fn work(work: *mut bindings::work_struct) {
        // SAFETY: The work is in a binding, which waits for it before it goes and is pinned.
        let binding = unsafe {
            Pin::new_unchecked(&*kernel::container_of!(
                Opaque::cast_from(work).cast_mut(),
                Binding<'_, T>,
                work
            ))
        };
        let dev = binding.dev;
        // SAFETY: The field is structurally pinned.
        T::config_changed(dev, unsafe {
            binding.map_unchecked(|binding| &binding.data)
        });
    }

    /// Waits until `config_changed` has been called for every change that was reported before.
    /// Sleeps. Nothing happens for a device of another driver. Not to be called from
    /// `config_changed` itself.
    pub fn flush_config_changes(dev: &Device<Bound>) {
        let is_ours = probe::BoundDriver::of(dev).is_some_and(|driver| {
            driver.probe_is(
                Self::probe as unsafe extern "C" fn(*mut bindings::virtio_device) -> c_int,
            )
        });
        // SAFETY: `priv` is null while a device is being bound.
        if is_ours && !unsafe { (*dev.as_raw()).priv_ }.is_null() {
            // SAFETY: The device is bound to this driver, and the work is initialized.
            unsafe { bindings::flush_work(Self::binding(dev.as_raw()).work.get()) };
        }
    }
}
