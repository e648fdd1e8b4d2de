// SPDX-License-Identifier: GPL-2.0

//! Boots guests under QEMU and runs commands in them, for the tests beside this crate.
//!
//! A test says what the guest shall be, boots it, and asks it things:
//!
//! ```no_run
//! use guest::{Disk, Guest};
//!
//! let mut vm = Guest::new().cpus(4).disk(Disk::blank(64)).boot();
//! assert_eq!(vm.ok("cat /sys/block/vda/size"), "131072");
//! ```
//!
//! Everything here panics, at the line of the test that called, when the guest does not do what it
//! should. When a [`Vm`] is dropped the guest is powered off and its console is searched for
//! warnings, see [`console`]; a test cannot turn that off.
//!
//! Paths and choices come from environment variables, which `scripts/test` sets, see [`config`].

mod agent;
pub mod config;
pub mod console;
mod disk;
pub mod fake;
pub mod files;
mod guest;
mod stack;
mod vm;

pub use crate::{
    agent::Output,
    config::Stack,
    disk::Disk,
    guest::Guest,
    vm::Vm, //
};
