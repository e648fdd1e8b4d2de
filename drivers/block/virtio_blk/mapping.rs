// SPDX-License-Identifier: GPL-2.0

//! What a request of the block layer is to the device, and in which ranges it gets there.
//!
//! Implements VIRTIO 1.4, 5.2.6 "Device Operation". Nothing here has a state or touches hardware, so
//! that the KUnit suite `virtio_blk` compiles this file too.

use blk_mq::{
    CmdFlags,
    DmaRange,
    Op, //
};
use virtio_ring::{
    AddError,
    Descriptors,
    Segment, //
};

use crate::wire::{
    Kind,
    UNMAP, //
};

/// What a request becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mapped {
    /// One with the same data, if any.
    Plain(Kind),
    /// One whose data is a list of areas, all of them with these flags.
    Areas(Kind, u32),
}

/// Maps the operations that most requests have; nothing for the others.
#[inline]
pub(crate) fn common_kind(op: Op) -> Option<Kind> {
    match op {
        Op::READ => Some(Kind::Read),
        Op::WRITE => Some(Kind::Write),
        Op::FLUSH => Some(Kind::Flush),
        _ => None,
    }
}

impl Mapped {
    /// Maps an operation of the block layer; nothing for one that devices do not know (D28, K16),
    /// nor for those that the driver makes itself. `may_unmap` says whether the device can free what
    /// it fills with zeroes.
    #[cold]
    pub(crate) fn new(op: Op, flags: CmdFlags, may_unmap: bool) -> Option<Self> {
        if let Some(kind) = common_kind(op) {
            return Some(Self::Plain(kind));
        }
        Some(match op {
            Op::ZONE_APPEND => Self::Plain(Kind::ZoneAppend),
            Op::ZONE_OPEN => Self::Plain(Kind::ZoneOpen),
            Op::ZONE_CLOSE => Self::Plain(Kind::ZoneClose),
            Op::ZONE_FINISH => Self::Plain(Kind::ZoneFinish),
            Op::ZONE_RESET => Self::Plain(Kind::ZoneReset),
            Op::ZONE_RESET_ALL => Self::Plain(Kind::ZoneResetAll),
            Op::DISCARD => Self::Areas(Kind::Discard, 0),
            Op::SECURE_ERASE => Self::Areas(Kind::SecureErase, 0),
            Op::WRITE_ZEROES if may_unmap && !flags.contains(CmdFlags::NOUNMAP) => {
                Self::Areas(Kind::WriteZeroes, UNMAP)
            }
            Op::WRITE_ZEROES => Self::Areas(Kind::WriteZeroes, 0),
            _ => return None,
        })
    }
}

/// A request being described to the device: header, data, answer (SPLIT-FRAME-1).
#[must_use = "the device needs a place for its answer"]
pub(crate) struct Description<'a, D> {
    to: &'a mut D,
    is_read: bool,
}

impl<'a, D: Descriptors> Description<'a, D> {
    /// Begins with the header.
    ///
    /// # Errors
    ///
    /// Those of [`Descriptors`], here and below.
    #[inline]
    pub(crate) fn begin(to: &'a mut D, kind: Kind, header: Segment) -> Result<Self, AddError> {
        to.push_readable(header)?;
        let is_read = kind.is_read();
        Ok(Self { to, is_read })
    }

    /// Goes on with a range of the data.
    #[inline]
    pub(crate) fn data(&mut self, range: DmaRange) -> Result<(), AddError> {
        let segment = Segment::new(range.addr, range.len);
        if self.is_read {
            self.to.push_writable(segment)
        } else {
            self.to.push_readable(segment)
        }
    }

    /// Ends with the place of the answer.
    #[inline]
    pub(crate) fn end(self, answer: Segment) -> Result<(), AddError> {
        self.to.push_writable(answer)
    }
}

/// Cuts a range into pieces of up to `max_len` bytes; never into more than the segments that the
/// range was made of, since these are no longer.
#[inline]
pub(crate) fn pieces(range: DmaRange, max_len: u32) -> impl Iterator<Item = DmaRange> {
    let mut rest = range;
    core::iter::from_fn(move || {
        if rest.len == 0 {
            return None;
        }
        let len = rest.len.min(max_len);
        let piece = DmaRange {
            addr: rest.addr,
            len,
        };
        rest.addr = rest.addr.wrapping_add(len.into());
        // No overflow: `len` is no larger.
        rest.len = rest.len.wrapping_sub(len);
        Some(piece)
    })
}
