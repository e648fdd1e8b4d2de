// SPDX-License-Identifier: GPL-2.0

//! The tagged configuration space of the first virtio patches.
//!
//! There, a device described itself by a list of fields, each of them a type, a length and as many
//! bytes: `[type u8][len u8][bytes]`. No version of the specification has it; transports that
//! still describe devices this way, and tests, find it here.
//!
//! A field that was found is used up: looking for its type again finds the next field of that type.
//! Values are little-endian. A field of feature bits has the bits the device offers in its first
//! half and, mirrored in the second half, those that the driver acknowledges.
//!
//! The bytes may come from a device. Whatever they are, nothing outside of them is accessed; a
//! field that does not fit into what is left ends the list.

use core::fmt;
use core::ops::Range;

/// Why there is no such field or value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// The device has no field of the type, or no more (`ENOENT`).
    NotFound,
    /// There is one, but of the wrong size (`EIO`). It is not used up.
    WrongSize,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "no such field",
            Self::WrongSize => "field of the wrong size",
        })
    }
}

/// A number that a field can hold.
pub trait Value: Copy + private::Sealed {
    /// Decodes little-endian bytes, or returns [`None`] if there are too many or too few.
    fn from_le(bytes: &[u8]) -> Option<Self>;
}

mod private {
    /// Keeps the set of values closed.
    pub trait Sealed {}
}

macro_rules! impl_value {
    ($($int:ty),*) => {$(
        impl private::Sealed for $int {}
        impl Value for $int {
            fn from_le(bytes: &[u8]) -> Option<Self> {
                Some(<$int>::from_le_bytes(bytes.try_into().ok()?))
            }
        }
    )*};
}

impl_value!(u8, u16, u32, u64);

/// A configuration space.
///
/// Only its first 65535 bytes are looked at; the format has no use for more.
pub struct Space<'a> {
    bytes: &'a mut [u8],
    /// For each type, where to go on looking for it.
    resume: [u16; 256],
}

/// A field of feature bits in a [`Space`].
///
/// This only says where it is and stays valid as long as the space does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureField {
    start: u16,
    /// The length of either half.
    half: u8,
}

impl FeatureField {
    /// The number of bits that the device could offer.
    pub fn bits(&self) -> u32 {
        u32::from(self.half) * 8
    }
}

impl<'a> Space<'a> {
    /// Bytes before the data of a field: type and length.
    const HEADER: usize = 2;

    /// Looks at `bytes` as a configuration space of which nothing is used up.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self {
            bytes,
            resume: [0; 256],
        }
    }

    /// Finds the next field of type `kind`, uses it up and returns its data.
    ///
    /// # Errors
    ///
    /// [`FieldError::NotFound`] if there is no more field of the type.
    pub fn find(&mut self, kind: u8) -> Result<&[u8], FieldError> {
        let range = self.take(kind, |_| true)?;
        self.bytes.get(range).ok_or(FieldError::NotFound)
    }

    /// Finds the next field of type `kind`, uses it up and returns it as a number.
    ///
    /// # Errors
    ///
    /// [`FieldError::NotFound`] as for [`Self::find`], and [`FieldError::WrongSize`] if the size is
    /// not that of `T`; then the field can still be found.
    pub fn value<T: Value>(&mut self, kind: u8) -> Result<T, FieldError> {
        let range = self.take(kind, |data| T::from_le(data).is_some())?;
        let data = self.bytes.get(range).ok_or(FieldError::NotFound)?;
        T::from_le(data).ok_or(FieldError::WrongSize)
    }

    /// Finds the next field of type `kind` and uses it up as a field of feature bits.
    ///
    /// # Errors
    ///
    /// [`FieldError::NotFound`] as for [`Self::find`], and [`FieldError::WrongSize`] if the length
    /// is odd; then the field can still be found.
    pub fn features(&mut self, kind: u8) -> Result<FeatureField, FieldError> {
        let range = self.take(kind, |data| data.len() % 2 == 0)?;
        match (u16::try_from(range.start), u8::try_from(range.len() / 2)) {
            (Ok(start), Ok(half)) => Ok(FeatureField { start, half }),
            // Fields lie within 65535 bytes and have at most 255, so this does not happen.
            _ => Err(FieldError::WrongSize),
        }
    }

    /// Returns whether the device offers feature `bit`, and acknowledges it if so.
    ///
    /// Nothing but the byte with the acknowledgement is written.
    pub fn use_bit(&mut self, field: FeatureField, bit: u32) -> bool {
        if bit >= field.bits() {
            return false;
        }
        // CAST: Less than 128 bytes by the comparison, and a `usize` has 32 bits at least.
        let offset = usize::from(field.start) + (bit / 8) as usize;
        let mask = 1u8 << (bit % 8);
        if self.bytes.get(offset).is_none_or(|offer| offer & mask == 0) {
            return false;
        }
        match self.bytes.get_mut(offset + usize::from(field.half)) {
            Some(acknowledged) => {
                *acknowledged |= mask;
                true
            }
            None => false,
        }
    }

    /// Finds the next field of type `kind` and uses it up if its data is `fit`.
    fn take(
        &mut self,
        kind: u8,
        fit: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Range<usize>, FieldError> {
        let resume = self
            .resume
            .get_mut(usize::from(kind))
            .ok_or(FieldError::NotFound)?;
        let mut offset = usize::from(*resume);
        loop {
            let (found, data) = Self::field_at(self.bytes, offset).ok_or(FieldError::NotFound)?;
            let start = offset + Self::HEADER;
            let end = start + data.len();
            if found != kind {
                offset = end;
                continue;
            }
            if !fit(data) {
                return Err(FieldError::WrongSize);
            }
            *resume = u16::try_from(end).map_err(|_| FieldError::NotFound)?;
            return Ok(start..end);
        }
    }

    /// The type and the data of the field at `offset`, if there is a complete one.
    fn field_at(bytes: &[u8], offset: usize) -> Option<(u8, &[u8])> {
        let [kind, len, rest @ ..] = bytes.get(offset..)? else {
            return None;
        };
        Some((*kind, rest.get(..usize::from(*len))?))
    }
}
