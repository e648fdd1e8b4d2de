// SPDX-License-Identifier: GPL-2.0

//! The bus type `virtio`: what the driver core calls to match, bind and announce devices.
//!
//! C header: [`include/linux/device/bus.h`](srctree/include/linux/device/bus.h)

use core::cell::UnsafeCell;

use bindings_ext as bindings;
use kernel::{
    device::Bound,
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
};

use crate::{
    attributes,
    id::{
        self,
        DeviceId, //
    },
    probe, Device,
};

/// The structure that the driver core keeps a pointer to.
#[repr(transparent)]
struct BusType(UnsafeCell<bindings::bus_type>);

// SAFETY: The driver core serializes its use of the structure; this crate never reads it.
unsafe impl Sync for BusType {}

#[expect(
    clippy::disallowed_methods,
    reason = "`as_char_ptr` is no constant function"
)]
static BUS: BusType = BusType(UnsafeCell::new(bindings::bus_type {
    name: c"virtio".as_ptr().cast(),
    dev_groups: attributes::GROUPS.as_ptr(),
    match_: Some(match_callback),
    uevent: Some(uevent_callback),
    probe: Some(probe_callback),
    remove: Some(remove_callback),
    shutdown: Some(shutdown_callback),
    irq_get_affinity: Some(irq_get_affinity_callback),
    num_vf: Some(num_vf_callback),
    driver_override: true,
    ..pin_init::zeroed()
}));

/// Returns the bus for the `bus` field of a device or a driver.
pub(crate) fn bus_type() -> *const bindings::bus_type {
    BUS.0.get()
}

/// The bus is registered while this exists.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration {}

impl Registration {
    /// Registers the bus.
    ///
    /// # Errors
    ///
    /// Whatever `bus_register()` says, `EEXIST` if there is a bus `virtio` already.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _: {
                // SAFETY: `BUS` is static, and the module's init runs once.
                to_result(unsafe { bindings::bus_register(BUS.0.get()) })?;
            },
        })
    }
}

#[pinned_drop]
impl PinnedDrop for Registration {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The bus was registered in `new`. Drivers and transports hold a reference to this
        // module, so that none of them is left.
        unsafe { bindings::bus_unregister(BUS.0.get()) };
    }
}

/// Turns the driver core's device into ours.
///
/// # Safety
///
/// `dev` is a device on this bus, registered for as long as `'a` lasts.
unsafe fn device<'a>(dev: *const bindings::device) -> &'a Device<Bound> {
    // SAFETY: Every device on this bus is embedded in a `struct virtio_device`; the caller
    // vouches for the rest.
    unsafe {
        Device::from_raw(kernel::container_of!(
            dev.cast_mut(),
            bindings::virtio_device,
            dev
        ))
    }
}

extern "C" fn match_callback(
    dev: *mut bindings::device,
    driver: *const bindings::device_driver,
) -> c_int {
    // SAFETY: The driver core matches registered devices with registered drivers.
    let overridden = unsafe { bindings::rust_ext_device_match_driver_override(dev, driver) };
    // Negative if root has not named a driver.
    if overridden >= 0 {
        return overridden;
    }
    // SAFETY: As above.
    let dev = unsafe { device(dev) };
    // SAFETY: Every driver on this bus is embedded in a `struct virtio_driver`, and its table ends
    // with an entry whose device is 0.
    let table = unsafe {
        let driver = kernel::container_of!(driver.cast_mut(), bindings::virtio_driver, driver);
        let mut entry = (*driver).id_table;
        core::iter::from_fn(move || {
            if entry.is_null() {
                return None;
            }
            let id = entry.read();
            entry = entry.add(1);
            Some(DeviceId::new(id.device, id.vendor))
        })
    };
    id::matches_any(table, dev.id()).into()
}

extern "C" fn uevent_callback(
    dev: *const bindings::device,
    env: *mut bindings::kobj_uevent_env,
) -> c_int {
    // SAFETY: The driver core announces registered devices only.
    let id = unsafe { device(dev) }.id();
    // SAFETY: The format takes two unsigned integers.
    unsafe {
        bindings::add_uevent_var(
            env,
            c"MODALIAS=virtio:d%08Xv%08X".as_char_ptr(),
            id.device,
            id.vendor,
        )
    }
}

extern "C" fn probe_callback(dev: *mut bindings::device) -> c_int {
    // SAFETY: The driver core has chosen a driver for this registered device.
    let dev = unsafe { device(dev) };
    from_result(|| probe::probe(dev).map(|()| 0))
}

extern "C" fn remove_callback(dev: *mut bindings::device) {
    // SAFETY: The device is still registered while its driver is taken off.
    probe::remove(unsafe { device(dev) });
}

extern "C" fn shutdown_callback(dev: *mut bindings::device) {
    // SAFETY: The driver core shuts down registered devices only.
    probe::shutdown(unsafe { device(dev) });
}

extern "C" fn irq_get_affinity_callback(
    dev: *mut bindings::device,
    vector: c_uint,
) -> *const bindings::cpumask {
    // SAFETY: The block layer asks for registered devices only.
    let dev = unsafe { device(dev) };
    let Ok(index) = c_int::try_from(vector) else {
        return core::ptr::null();
    };
    // SAFETY: By the invariant of `Device` the table is valid, and the operation is its own.
    unsafe {
        match (*(*dev.as_raw()).config).get_vq_affinity {
            Some(get) => get(dev.as_raw(), index),
            None => core::ptr::null(),
        }
    }
}

extern "C" fn num_vf_callback(dev: *mut bindings::device) -> c_int {
    // SAFETY: A virtio device has a parent, whose bus knows the number of its functions, if any.
    unsafe {
        let parent = (*dev).parent;
        if parent.is_null() || (*parent).bus.is_null() {
            return 0;
        }
        match (*(*parent).bus).num_vf {
            Some(num_vf) => num_vf(parent),
            None => 0,
        }
    }
}
