// SPDX-License-Identifier: GPL-2.0

//! Typed access to the device configuration space.
//!
//! Implements VIRTIO 1.4, 2.5 "Device Configuration Space". A driver declares each [`Field`] once,
//! with the feature that makes the field exist; reading it checks both the feature and the length
//! of the device's space. Values are little-endian.
//!
//! Everything here may sleep.

use core::marker::PhantomData;

use bindings_ext as bindings;
use kernel::{
    device::Bound,
    prelude::*, //
};

use crate::{
    driver::{
        Feature,
        Negotiated, //
    },
    registration, Device,
};

/// An integer that a field can hold.
pub trait Value: Copy + private::Sealed {
    /// Its bytes, little-endian.
    type Bytes: AsRef<[u8]> + AsMut<[u8]> + Default;

    /// Makes the value of its bytes.
    fn from_le_bytes(bytes: Self::Bytes) -> Self;

    /// Gives the bytes of the value.
    fn to_le_bytes(self) -> Self::Bytes;
}

mod private {
    /// Only the integers below are values.
    pub trait Sealed {}
}

macro_rules! impl_value {
    ($($int:ty),*) => {$(
        impl private::Sealed for $int {}

        impl Value for $int {
            type Bytes = [u8; size_of::<$int>()];

            fn from_le_bytes(bytes: Self::Bytes) -> Self {
                <$int>::from_le_bytes(bytes)
            }

            fn to_le_bytes(self) -> Self::Bytes {
                <$int>::to_le_bytes(self)
            }
        }
    )*};
}

impl_value!(u8, u16, u32, u64);

/// A field of the configuration space of devices whose driver knows the features `F`.
pub struct Field<V, F> {
    offset: usize,
    feature: Option<F>,
    value: PhantomData<V>,
}

impl<V: Value, F: Feature> Field<V, F> {
    /// A field that every device of the type has.
    pub const fn new(offset: usize) -> Self {
        Self {
            offset,
            feature: None,
            value: PhantomData,
        }
    }

    /// A field that is there only with `feature`.
    pub const fn with(feature: F, offset: usize) -> Self {
        Self {
            offset,
            feature: Some(feature),
            value: PhantomData,
        }
    }
}

/// The configuration space of a device, for a driver that knows the features `F`.
pub struct Config<'a, F> {
    dev: &'a Device<Bound>,
    features: Negotiated<F>,
}

impl Device<Bound> {
    /// Returns the configuration space, for the driver that is bound to the device.
    pub fn config<F: Feature>(&self, features: Negotiated<F>) -> Config<'_, F> {
        Config {
            dev: self,
            features,
        }
    }
}

impl<F: Feature> Config<'_, F> {
    /// How often a snapshot is tried before the device is taken to change it for ever.
    const MAX_TRIES: u32 = 100;

    /// Reads one field.
    ///
    /// # Errors
    ///
    /// - `ENOENT` if the feature that the field belongs to was not agreed on (CORE-CONFIG-4).
    /// - `EIO` if the device's space is too short for the field; the log says so.
    /// - `EAGAIN` if the device changes a field of more than 32 bits faster than it can be read.
    pub fn read<V: Value>(&self, field: &Field<V, F>) -> Result<V> {
        if size_of::<V>() > size_of::<u32>() {
            // CORE-CONFIG-1: such a read is not atomic.
            self.snapshot(|raw| raw.read(field))
        } else {
            Raw { config: self }.read(field)
        }
    }

    /// Reads bytes from `offset` on, as they were at one moment: for an array, or a configuration
    /// that is [no structure](crate::tagged). They are read one by one, as such fields are
    /// (PCI-ACCESS-1).
    ///
    /// # Errors
    ///
    /// `EIO` if the device's space ends before that, `EAGAIN` if it changes faster than it can be
    /// read.
    pub fn read_bytes(&self, offset: usize, buf: &mut [u8]) -> Result {
        self.check_range(offset, buf.len())?;
        self.snapshot(|raw| {
            for (offset, byte) in (offset..).zip(&mut *buf) {
                raw.get(offset, core::slice::from_mut(byte))?;
            }
            Ok(())
        })
    }

    /// Writes one field.
    ///
    /// # Errors
    ///
    /// `ENOENT` and `EIO` as [`read`](Self::read).
    pub fn write<V: Value>(&self, field: &Field<V, F>, value: V) -> Result {
        self.check(field)?;
        let set = self.ops().set.ok_or(EIO)?;
        let bytes = value.to_le_bytes();
        let bytes = bytes.as_ref();
        // SAFETY: The device is registered; the range has been checked and the buffer has its
        // length.
        unsafe {
            set(
                self.dev.as_raw(),
                field.offset as c_uint,
                bytes.as_ptr().cast(),
                bytes.len() as c_uint,
            );
        }
        Ok(())
    }

    /// Reads several fields so that they belong together: `read` is run until the generation of
    /// the space is the same before and after (CORE-CONFIG-2, CORE-CONFIG-3).
    ///
    /// # Errors
    ///
    /// Those of `read`, and `EAGAIN` if the generation never holds still.
    pub fn snapshot<T>(&self, mut read: impl FnMut(Raw<'_, F>) -> Result<T>) -> Result<T> {
        for _ in 0..Self::MAX_TRIES {
            let before = self.generation();
            let value = read(Raw { config: self })?;
            if self.generation() == before {
                return Ok(value);
            }
        }
        Err(EAGAIN)
    }

    fn ops(&self) -> &bindings::virtio_config_ops {
        // SAFETY: By the invariant of `Device` the table is valid.
        unsafe { &*(*self.dev.as_raw()).config }
    }

    fn generation(&self) -> u32 {
        match self.ops().generation {
            // SAFETY: The device is registered.
            Some(generation) => unsafe { generation(self.dev.as_raw()) },
            None => 0,
        }
    }

    fn check<V: Value>(&self, field: &Field<V, F>) -> Result {
        if field
            .feature
            .is_some_and(|feature| !self.features.has(feature))
        {
            return Err(ENOENT);
        }
        self.check_range(field.offset, size_of::<V>())
    }

    fn check_range(&self, offset: usize, field_len: usize) -> Result {
        let end = offset.checked_add(field_len).ok_or(EIO)?;
        match registration::config_len(self.dev) {
            Some(len) if end > len => {
                dev_err!(
                    self.dev,
                    "configuration of {} bytes is too short for a field at {}\n",
                    len,
                    offset
                );
                Err(EIO)
            }
            _ => Ok(()),
        }
    }
}

/// Reads inside of a [`Config::snapshot`].
pub struct Raw<'a, F> {
    config: &'a Config<'a, F>,
}

impl<F: Feature> Raw<'_, F> {
    /// Reads one field; the snapshot sees to it that it fits those read before.
    ///
    /// # Errors
    ///
    /// `ENOENT` and `EIO` as [`Config::read`].
    pub fn read<V: Value>(&self, field: &Field<V, F>) -> Result<V> {
        self.config.check(field)?;
        let mut bytes = V::Bytes::default();
        self.get(field.offset, bytes.as_mut())?;
        Ok(V::from_le_bytes(bytes))
    }

    /// Reads a range that has been checked.
    fn get(&self, offset: usize, buf: &mut [u8]) -> Result {
        let get = self.config.ops().get.ok_or(EIO)?;
        // SAFETY: The device is registered, and the buffer has the length that is given.
        unsafe {
            get(
                self.config.dev.as_raw(),
                offset as c_uint,
                buf.as_mut_ptr().cast(),
                buf.len() as c_uint,
            );
        }
        Ok(())
    }
}
