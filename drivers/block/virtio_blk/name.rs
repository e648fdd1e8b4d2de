// SPDX-License-Identifier: GPL-2.0

//! Names of disks: `vda` … `vdz`, `vdaa` and on. *Core-only*.

/// The longest name, with room for any index.
const MAX_LEN: usize = 10;

/// The name of a disk.
pub struct Name {
    bytes: [u8; MAX_LEN],
    start: usize,
}

impl Name {
    /// Makes the name of the disk with the given index: letters count in base 26 without a zero.
    pub fn new(index: u32) -> Self {
        let mut bytes = [0; MAX_LEN];
        let mut start = MAX_LEN;
        let mut rest = Some(index);
        let mut put = |byte: u8| {
            start = start.saturating_sub(1);
            if let Some(place) = bytes.get_mut(start) {
                *place = byte;
            }
        };
        while let Some(value) = rest {
            // CAST: Less than 26.
            put(b'a' + (value % 26) as u8);
            rest = (value / 26).checked_sub(1);
        }
        put(b'd');
        put(b'v');
        Self { bytes, start }
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        let letters = self.bytes.get(self.start..).unwrap_or_default();
        core::str::from_utf8(letters).unwrap_or_default()
    }
}
