// SPDX-License-Identifier: GPL-2.0

//! A configuration space in the form of 2007: fields of type, length and bytes.

use super::{
    memory::copy,
    registers::CONFIG_MAX, //
};

/// A configuration space being written.
pub struct Writer {
    bytes: [u8; CONFIG_MAX],
    len: usize,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// Begins an empty one.
    pub const fn new() -> Self {
        Self {
            bytes: [0; CONFIG_MAX],
            len: 0,
        }
    }

    /// Appends a field. Returns whether there was room for it.
    pub fn field(&mut self, kind: u8, data: &[u8]) -> bool {
        let Ok(len) = u8::try_from(data.len()) else {
            return false;
        };
        let end = self.len + 2 + data.len();
        match self.bytes.get_mut(self.len..end) {
            Some([kind_byte, len_byte, rest @ ..]) => {
                *kind_byte = kind;
                *len_byte = len;
                copy(rest, data);
                self.len = end;
                true
            }
            _ => false,
        }
    }

    /// The space as it is so far.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// The space, with zeroes behind it.
    pub fn all(&self) -> &[u8; CONFIG_MAX] {
        &self.bytes
    }
}
