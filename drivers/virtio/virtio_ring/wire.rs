// SPDX-License-Identifier: GPL-2.0

//! Wire types of the split virtqueue: little-endian integers, the descriptor and its flag bits.
//!
//! VIRTIO 1.4, 1.4 "Structure Specifications" and 2.7.5 "The Virtqueue Descriptor Table".
//!
//! Everything here is plain data with the layout that the specification gives it. Who may access
//! shared memory of these types, and when, is said in `memory.rs`.
//!
//! C header: [`include/uapi/linux/virtio_ring.h`](srctree/include/uapi/linux/virtio_ring.h)

use core::fmt;

macro_rules! little_endian {
    ($(#[$attr:meta])* $name:ident, $int:ty) => {
        $(#[$attr])*
        #[repr(transparent)]
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
        pub struct $name($int);

        impl $name {
            /// Stores `value` in the byte order of the wire.
            #[inline]
            pub const fn new(value: $int) -> Self {
                Self(value.to_le())
            }

            /// Returns the value in the byte order of the CPU.
            #[inline]
            pub const fn get(self) -> $int {
                <$int>::from_le(self.0)
            }
        }

        impl From<$int> for $name {
            #[inline]
            fn from(value: $int) -> Self {
                Self::new(value)
            }
        }

        impl From<$name> for $int {
            #[inline]
            fn from(value: $name) -> Self {
                value.get()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.get(), f)
            }
        }

        const _: () = assert!(size_of::<$name>() == size_of::<$int>());
        const _: () = assert!(align_of::<$name>() == align_of::<$int>());
    };
}

little_endian!(
    /// A 16-bit little-endian integer (`le16`), naturally aligned.
    Le16,
    u16
);
little_endian!(
    /// A 32-bit little-endian integer (`le32`), naturally aligned.
    Le32,
    u32
);
little_endian!(
    /// A 64-bit little-endian integer (`le64`), naturally aligned.
    Le64,
    u64
);

/// A descriptor (`struct virtq_desc`).
///
/// VIRTIO 1.4, 2.7.5 "The Virtqueue Descriptor Table". The same layout is used in the descriptor
/// table of a ring and in an indirect table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Desc {
    /// Where the buffer starts, as the device addresses it.
    pub addr: Le64,
    /// How many bytes it has.
    pub len: Le32,
    /// `DESC_F_*` bits.
    pub flags: Le16,
    /// Index of the next descriptor of the chain; without meaning unless [`DESC_F_NEXT`] is set.
    pub next: Le16,
}

/// An entry of the used ring (`struct virtq_used_elem`).
///
/// VIRTIO 1.4, 2.7.8 "The Virtqueue Used Ring".
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsedElem {
    /// Index of the head of the chain that the device is done with.
    pub id: Le32,
    /// How many bytes the device wrote into the chain.
    pub len: Le32,
}

const _: () = assert!(size_of::<Desc>() == 16);
const _: () = assert!(core::mem::offset_of!(Desc, addr) == 0);
const _: () = assert!(core::mem::offset_of!(Desc, len) == 8);
const _: () = assert!(core::mem::offset_of!(Desc, flags) == 12);
const _: () = assert!(core::mem::offset_of!(Desc, next) == 14);
const _: () = assert!(size_of::<UsedElem>() == 8);
const _: () = assert!(core::mem::offset_of!(UsedElem, id) == 0);
const _: () = assert!(core::mem::offset_of!(UsedElem, len) == 4);

/// The chain goes on at `next` (`VIRTQ_DESC_F_NEXT`).
pub const DESC_F_NEXT: u16 = 1;
/// The device writes this buffer; without the bit it reads it (`VIRTQ_DESC_F_WRITE`).
pub const DESC_F_WRITE: u16 = 2;
/// The buffer holds a table of descriptors (`VIRTQ_DESC_F_INDIRECT`).
pub const DESC_F_INDIRECT: u16 = 4;

/// The driver asks for no used buffer notification (`VIRTQ_AVAIL_F_NO_INTERRUPT`).
pub const AVAIL_F_NO_INTERRUPT: u16 = 1;
/// The device asks for no available buffer notification (`VIRTQ_USED_F_NO_NOTIFY`).
pub const USED_F_NO_NOTIFY: u16 = 1;
