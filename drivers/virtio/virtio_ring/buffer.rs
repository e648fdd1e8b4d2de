// SPDX-License-Identifier: GPL-2.0

//! What goes into a ring, what comes out of it, and what can be wrong with either.
//!
//! VIRTIO 1.4, 2.7.4 "Message Framing" and 2.7.8 "The Virtqueue Used Ring".
//!
//! Two kinds of failure are kept apart. An [`AddError`] is about what the driver asked for; the
//! ring is as it was. A [`Violation`] is about what the device did; the ring takes nothing from it
//! any more.

use core::fmt;

/// A range of memory as the device addresses it.
///
/// This is plain data. That the memory stays there for as long as the device may use it is up to
/// whoever adds it to a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it starts.
    pub addr: u64,
    /// How many bytes it has; a ring takes no segment of zero bytes.
    pub len: u32,
}

impl Segment {
    /// Describes `len` bytes at `addr`.
    #[inline]
    pub const fn new(addr: u64, len: u32) -> Self {
        Self { addr, len }
    }
}

/// Why a buffer was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddError {
    /// Not enough descriptors are free now; there will be more when the device has used some.
    Full,
    /// The buffer has no segment, or a segment has no bytes.
    Empty,
    /// A device-readable segment follows a device-writable one.
    Order,
    /// The buffer has 2^32 bytes or more, or more segments than the queue or the table has
    /// descriptors.
    TooLong,
    /// The queue is out of use; what is added now would never come back.
    Broken,
    /// The feature that this takes was not agreed on.
    NotAgreed,
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "not enough free descriptors",
            Self::Empty => "empty buffer or segment",
            Self::Order => "device-readable segment after a device-writable one",
            Self::TooLong => "buffer too long",
            Self::Broken => "queue out of use",
            Self::NotAgreed => "feature not agreed on",
        })
    }
}

/// A buffer that the device is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// The head of its chain, as returned when it was added.
    pub head: u16,
    /// How many bytes the device wrote, counted from the start of the device-writable part.
    pub len: u32,
}

/// What a device did that it must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A used entry names a descriptor that the ring does not have.
    IdOutOfRange(u32),
    /// A used entry names a descriptor that is not the head of a chain the device owns.
    IdNotInFlight(u32),
    /// A used entry reports more bytes written than there were to write.
    LengthTooLong {
        /// The head of the chain.
        head: u16,
        /// What the device reported.
        len: u32,
        /// The number of device-writable bytes of the chain.
        offered: u32,
    },
    /// The used index moved past all that was made available, or backwards.
    IndexTooFar {
        /// The index that the device stored.
        idx: u16,
        /// The index up to which buffers were taken.
        last: u16,
        /// How many buffers the device owned.
        in_flight: u16,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::IdOutOfRange(id) => write!(f, "used id {id} is out of range"),
            Self::IdNotInFlight(id) => write!(f, "used id {id} is not in flight"),
            Self::LengthTooLong { head, len, offered } => {
                write!(f, "used id {head} has length {len}, offered were {offered}")
            }
            Self::IndexTooFar {
                idx,
                last,
                in_flight,
            } => {
                write!(
                    f,
                    "used index {idx} is too far from {last} with {in_flight} in flight"
                )
            }
        }
    }
}
