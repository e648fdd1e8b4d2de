// SPDX-License-Identifier: GPL-2.0

//! The core-only files of the virtio stack, compiled for the host, and what their tests share.
//!
//! The files are those of the kernel modules, included by path and not copied. Around them there is
//! a ring in ordinary memory ([`Driver`]) with a device of our own on the other side ([`Device`]),
//! and the body of the fuzzer ([`hostile`]). The tests are in `tests/`, a file per subject.

pub mod bus;
pub mod ring;

pub mod hostile;

mod barriers;
mod device;
mod driver;
mod memory;

pub use self::barriers::{
    Barrier,
    Fences,
    Recorder, //
};
pub use self::device::Device;
pub use self::driver::Driver;
pub use self::memory::Shared;
