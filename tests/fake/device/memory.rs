// SPDX-License-Identifier: GPL-2.0

//! Memory as the device sees it: by the addresses that the driver told it.

/// The memory of the system.
pub trait Memory {
    /// A piece of it that the device has access to.
    type Window: Window;

    /// Gets access to `len` bytes at `addr`, or nothing if there is no such memory.
    fn map(&self, addr: u64, len: usize) -> Option<Self::Window>;

    /// Orders all earlier accesses before all later ones.
    fn barrier(&self);
}

/// A piece of memory. Accesses beyond its end read zeroes and write nothing.
pub trait Window {
    /// The number of bytes.
    fn len(&self) -> usize;

    /// Returns whether there are no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads a little-endian field of 16 bits at an even offset, in one access.
    fn read16(&self, offset: usize) -> u16;

    /// Writes a little-endian field of 16 bits at an even offset, in one access.
    fn write16(&self, offset: usize, value: u16);

    /// Copies bytes out.
    fn read(&self, offset: usize, bytes: &mut [u8]);

    /// Copies bytes in.
    fn write(&self, offset: usize, bytes: &[u8]);

    /// Copies `N` bytes out.
    fn bytes<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut bytes = [0; N];
        self.read(offset, &mut bytes);
        bytes
    }
}

/// Copies bytes as far as both slices go; unlike `copy_from_slice`, this cannot panic.
pub fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}
