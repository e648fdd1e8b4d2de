// SPDX-License-Identifier: GPL-2.0

//! The device's side of virtio, honest or hostile on order.
//!
//! Written from the specification alone: nothing of the driver's code is used here, so that a
//! mistake made there is not made twice. *Core-only*: no allocation, no kernel.
//!
//! - [`registers`] is what a transport shows of a device: status, features, configuration. It also
//!   judges the driver: whatever breaks the rules of initialization is remembered.
//! - [`ring`] walks a split virtqueue, and [`chain`] one buffer in it, which is judged as well.
//! - [`memory`] is how a device gets at memory by the addresses that it was told.
//! - [`blk`] is a small disk, and [`zones`] are what it may be divided into.
//! - [`tagged`] writes a configuration space in the form of 2007.
//! - [`fault`] lists what can be wrong with the device.

#[path = "device/blk.rs"]
pub mod blk;
#[path = "device/chain.rs"]
pub mod chain;
#[path = "device/fault.rs"]
pub mod fault;
#[path = "device/memory.rs"]
pub mod memory;
#[path = "device/registers.rs"]
pub mod registers;
#[path = "device/ring.rs"]
pub mod ring;
#[path = "device/tagged.rs"]
pub mod tagged;
#[path = "device/zones.rs"]
pub mod zones;
