// SPDX-License-Identifier: GPL-2.0

//! Three drivers' rings with one device.
//!
//! [`Ours`] is the ring of `virtio_ring`, [`Kernels`] that of the kernel's C stack, and [`Theirs`]
//! that of the crate `virtio-drivers`, which serves small systems. Each goes once around: a buffer is added, the device is asked whether it
//! wants to know, uses the buffer, and the driver takes it back. The [`Peer`] that plays the device
//! is the same for all. The C ring allocates each indirect table, here by malloc.
//!
//! `virtio-drivers` is told of slices and asks for their addresses; here that is the identity, and
//! costs it a call for each range. Ours is told of addresses.

mod kernels;
mod ours;
mod peer;
mod theirs;

pub use self::{
    kernels::Kernels,
    ours::Ours,
    peer::Peer,
    theirs::Theirs, //
};

/// The number of descriptors of the rings.
pub const SIZE: usize = 256;

/// Bytes of a range.
pub const RANGE: usize = 4096;

/// How a buffer is described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A descriptor of the ring for each range.
    Direct,
    /// One descriptor, which refers to a table.
    Indirect,
}

/// A ring to go around.
pub trait Ring {
    /// Sets a queue up.
    fn new(form: Form) -> Self;

    /// Sends a buffer of so many ranges there and back; the last one is for the device to write.
    fn round(&mut self, ranges: usize);
}
