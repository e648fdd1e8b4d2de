// SPDX-License-Identifier: GPL-2.0

//! KUnit suites for the bus and the rings, against the fake device, and for the block driver's
//! mapping of requests.
//!
//! The suites run when this module is loaded, if the kernel was booted with `kunit.enable=1`. They
//! use the crates `virtio` and `virtio_ring` by their public interfaces only. The device is the
//! one in `tests/fake`, which judges the driver while it is being driven. Of the block driver, the
//! files that decide and do not act are compiled here once more.
//!
//! A failed `check!` ends its case with an error instead of stopping the thread, as KUnit's own
//! assertions do: what the case has set up is taken down, and the cases after it have a chance.
//!
//! - [`rig`] puts a fake device on the bus, [`driver`] is the driver that binds to it.
//! - [`core_device`] has the few calls of the driver core that a test needs and no driver may use.
//! - The others are suites, one subject each.

#[path = "../fake/device.rs"]
pub mod device;
#[path = "../fake/machine.rs"]
pub mod machine;
#[path = "../fake/mapping.rs"]
pub mod mapping;
#[path = "../fake/trace.rs"]
pub mod trace;
#[path = "../fake/transport.rs"]
pub mod transport;

#[path = "../../drivers/block/virtio_blk/mapping.rs"]
mod block_mapping;
#[path = "../../drivers/block/virtio_blk/wire.rs"]
pub mod wire;

/// Ends the case with an error unless the condition holds.
macro_rules! check {
    ($condition:expr $(,)?) => {
        if !$condition {
            pr_err!(
                "{}:{}: not so: {}\n",
                file!(),
                line!(),
                stringify!($condition)
            );
            return Err(EINVAL);
        }
    };
}

/// Ends the case with an error unless both are equal.
macro_rules! check_eq {
    ($left:expr, $right:expr $(,)?) => {
        match (&$left, &$right) {
            (left, right) => {
                if *left != *right {
                    pr_err!(
                        "{}:{}: {} is {:?}, not {:?}\n",
                        file!(),
                        line!(),
                        stringify!($left),
                        left,
                        right
                    );
                    return Err(EINVAL);
                }
            }
        }
    };
}

pub mod core_device;
pub mod driver;
pub mod rig;

mod block;
mod bus;
mod config;
mod connection;
mod features;
mod hostile;
mod notice;
mod notify;
mod pm;
mod queue_reset;
mod queues;
mod ring;
mod status;
mod tagged;

use kernel::prelude::*;
use virtio::driver::Adapter;

module! {
    type: Tests,
    name: "virtio_kunit",
    authors: ["The Rust virtio authors"],
    description: "KUnit suites for virtio",
    license: "GPL",
}

/// The module: the driver that the suites use is registered while it lives.
#[pin_data]
pub struct Tests {
    #[pin]
    _driver: kernel::driver::Registration<Adapter<driver::TestDriver>>,
}

impl kernel::InPlaceModule for Tests {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        // SAFETY: The module is initialized once, before anything uses the lock.
        unsafe { driver::CURRENT.init() };
        try_pin_init!(Self {
            _driver <- kernel::driver::Registration::new(c"virtio_kunit", module),
        })
    }
}
