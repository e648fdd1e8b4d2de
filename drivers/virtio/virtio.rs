// SPDX-License-Identifier: GPL-2.0

//! The virtio bus.
//!
//! Transports register virtio devices here, drivers register for the device types that they
//! serve, and this crate brings the two together: it matches them, leads each device through
//! the initialization that VIRTIO 1.4, 3.1 "Device Initialization" demands, and shows the devices
//! in sysfs.
//!
//! # Who owns what
//!
//! - [`registration::Registration`] owns a device; the transport drops it when the hardware goes.
//! - [`Device`] is the view of a device that drivers get. Its context says what may be done with
//!   it: see [`kernel::device::DeviceContext`].
//! - The data of a driver lives from `probe` to `unbind`. The device is reset after `unbind` and
//!   before the data is dropped, so that no memory is given back while the device may write it.
//!
//! The queues are in the crate `virtio_ring`, the transports in crates of their own.
//!
//! C headers: [`include/linux/virtio.h`](srctree/include/linux/virtio.h),
//! [`include/linux/virtio_config.h`](srctree/include/linux/virtio_config.h).

#[path = "virtio/attributes.rs"]
mod attributes;
#[path = "virtio/bus.rs"]
mod bus;
#[path = "virtio/config.rs"]
pub mod config;
#[path = "virtio/connection.rs"]
mod connection;
#[path = "virtio/debug.rs"]
mod debug;
#[path = "virtio/device.rs"]
mod device;
#[path = "virtio/driver.rs"]
pub mod driver;
#[path = "virtio/features.rs"]
pub mod features;
#[path = "virtio/id.rs"]
pub mod id;
#[path = "virtio/ops.rs"]
mod ops;
#[path = "virtio/pm.rs"]
mod pm;
#[path = "virtio/probe.rs"]
mod probe;
#[path = "virtio/registration.rs"]
pub mod registration;
#[path = "virtio/status.rs"]
pub mod status;
#[path = "virtio/tagged.rs"]
pub mod tagged;
#[path = "virtio/transport.rs"]
pub mod transport;

pub use self::device::Device;
pub use self::driver::Driver;
pub use self::features::Features;
pub use self::status::Status;

use bindings_ext as bindings;
use kernel::prelude::*;

module! {
    type: VirtioModule,
    name: "virtio",
    authors: ["The Rust virtio authors"],
    description: "Virtio bus in Rust",
    license: "GPL",
}

/// The module: while it lives, the bus is registered.
#[pin_data]
struct VirtioModule {
    #[pin]
    _bus: bus::Registration,
    _debug: debug::Root,
    _workqueue: Workqueue,
}

/// The workqueue of all work items of the stack.
struct Workqueue(());

impl Workqueue {
    fn new() -> Result<Self> {
        // SAFETY: Called once, by the module's initialization.
        kernel::error::to_result(unsafe { bindings::rust_ext_workqueue_create() })?;
        Ok(Self(()))
    }
}

impl Drop for Workqueue {
    fn drop(&mut self) {
        // SAFETY: It was created; every device is gone, and with it what could queue work.
        unsafe { bindings::rust_ext_workqueue_destroy() };
    }
}

impl kernel::InPlaceModule for VirtioModule {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _workqueue: Workqueue::new()?,
            // SAFETY: A module is initialized once.
            _debug: unsafe { debug::Root::new() },
            _bus <- bus::Registration::new(),
        })
    }
}
