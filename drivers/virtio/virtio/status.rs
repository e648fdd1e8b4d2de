// SPDX-License-Identifier: GPL-2.0

//! The device status field and the order in which it is filled.
//!
//! Implements VIRTIO 1.4, 2.1 "Device Status Field" and the steps of 3.1.1 "Driver Requirements:
//! Device Initialization".
//!
//! A [`Handshake`] is the one way to move a device forward: each step consumes the one before, so
//! a step can be neither skipped nor repeated. It does not choose features; it only writes status.

use core::{
    marker::PhantomData,
    ops::BitOr, //
};

/// The device status field: a set of status bits, as the device shows them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Status(u8);

impl Status {
    /// No bit is set: the device has been reset.
    pub const RESET: Self = Self(0);
    /// The guest has found the device.
    pub const ACKNOWLEDGE: Self = Self(1);
    /// The guest has a driver for the device.
    pub const DRIVER: Self = Self(2);
    /// The driver is set up, and the device may be used.
    pub const DRIVER_OK: Self = Self(4);
    /// The features have been agreed on.
    pub const FEATURES_OK: Self = Self(8);
    /// The device has met an error that only a reset cures.
    pub const NEEDS_RESET: Self = Self(0x40);
    /// The guest has given the device up.
    pub const FAILED: Self = Self(0x80);
    /// What a device that is no longer there reads as.
    pub const GONE: Self = Self(0xff);

    /// Takes the byte that a device reported.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Returns the byte to write to the device.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Returns whether every bit of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether the device answers at all.
    pub const fn is_gone(self) -> bool {
        self.0 == Self::GONE.0
    }
}

impl BitOr for Status {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Access to the device status field of one device.
pub trait StatusField {
    /// Reads the field from the device.
    fn status(&self) -> Status;

    /// Writes the field. `status` is never [`Status::RESET`]: a reset waits for its end, which a
    /// plain write cannot do.
    fn set_status(&self, status: Status);

    /// Sets bits and keeps those that are set already (CORE-STATUS-2).
    fn add_status(&self, bits: Status) {
        self.set_status(self.status() | bits);
    }
}

/// The device has been reset, and nothing is set.
pub struct Reset;
/// The device has been found.
pub struct Acknowledged;
/// A driver has been found too.
pub struct HasDriver;
/// The device has agreed to the features; its queues can be set up.
pub struct FeaturesOk;

/// The device did not keep `FEATURES_OK`: it does not work with the features chosen.
#[derive(Debug)]
pub struct FeaturesRefused(pub Status);

/// A device on its way to `DRIVER_OK`, at step `Step`.
///
/// A handshake that is dropped leaves the status as it is; [`give_up`](Self::give_up) marks the
/// device as failed.
pub struct Handshake<'a, F: StatusField + ?Sized, Step> {
    field: &'a F,
    step: PhantomData<Step>,
}

impl<'a, F: StatusField + ?Sized, Step> Handshake<'a, F, Step> {
    fn at(field: &'a F) -> Self {
        Self {
            field,
            step: PhantomData,
        }
    }

    fn advance<Next>(self, bit: Status) -> Handshake<'a, F, Next> {
        self.field.add_status(bit);
        Handshake::at(self.field)
    }

    /// Sets `FAILED` (CORE-INIT-12); the only way on is a reset (CORE-STATUS-3).
    pub fn give_up(self) {
        self.field.add_status(Status::FAILED);
    }
}

impl<'a, F: StatusField + ?Sized> Handshake<'a, F, Reset> {
    /// Starts with a device that has just been reset (CORE-INIT-1).
    pub fn start(field: &'a F) -> Self {
        Self::at(field)
    }

    /// Sets `ACKNOWLEDGE` (CORE-INIT-2).
    pub fn acknowledge(self) -> Handshake<'a, F, Acknowledged> {
        self.advance(Status::ACKNOWLEDGE)
    }
}

impl<'a, F: StatusField + ?Sized> Handshake<'a, F, Acknowledged> {
    /// Goes on with a device that was acknowledged when it was registered.
    pub fn resume(field: &'a F) -> Self {
        Self::at(field)
    }

    /// Sets `DRIVER` (CORE-INIT-3).
    pub fn driver(self) -> Handshake<'a, F, HasDriver> {
        self.advance(Status::DRIVER)
    }
}

impl<'a, F: StatusField + ?Sized> Handshake<'a, F, HasDriver> {
    /// Sets `FEATURES_OK` and reads it back (CORE-INIT-7, CORE-INIT-9). The features have been
    /// written before, and none is accepted after (CORE-INIT-8).
    ///
    /// # Errors
    ///
    /// The device has taken the bit back: `FAILED` is set, and the handshake has ended.
    pub fn features_ok(self) -> Result<Handshake<'a, F, FeaturesOk>, FeaturesRefused> {
        let next = self.advance(Status::FEATURES_OK);
        let status = next.field.status();
        if status.contains(Status::FEATURES_OK) && !status.is_gone() {
            Ok(next)
        } else {
            next.give_up();
            Err(FeaturesRefused(status))
        }
    }
}

impl<F: StatusField + ?Sized> Handshake<'_, F, FeaturesOk> {
    /// Sets `DRIVER_OK` (CORE-INIT-11), unless the driver has done so in its probe. A device that
    /// was reset since then, because it broke the rules at once, stays as it is.
    pub fn driver_ok(self) {
        let status = self.field.status();
        if status.contains(Status::FEATURES_OK) && !status.contains(Status::DRIVER_OK) {
            self.field.add_status(Status::DRIVER_OK);
        }
    }
}
