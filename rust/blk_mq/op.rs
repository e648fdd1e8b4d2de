// SPDX-License-Identifier: GPL-2.0

//! What a request asks for: its operation and its flags.
//!
//! C header: [`include/linux/blk_types.h`](srctree/include/linux/blk_types.h)

use bindings_ext as bindings;
use core::ops::{
    BitOr,
    BitOrAssign, //
};

/// The operation of a request, a `REQ_OP_*` value.
///
/// The block layer may learn new ones, so this is open: match on the constants, with an arm for
/// the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Op(u32);

impl Op {
    /// Read sectors.
    pub const READ: Self = Self(bindings::req_op_REQ_OP_READ);
    /// Write sectors.
    pub const WRITE: Self = Self(bindings::req_op_REQ_OP_WRITE);
    /// Flush the volatile write cache.
    pub const FLUSH: Self = Self(bindings::req_op_REQ_OP_FLUSH);
    /// Discard sectors.
    pub const DISCARD: Self = Self(bindings::req_op_REQ_OP_DISCARD);
    /// Erase sectors for good.
    pub const SECURE_ERASE: Self = Self(bindings::req_op_REQ_OP_SECURE_ERASE);
    /// Write to the write pointer of a zone.
    pub const ZONE_APPEND: Self = Self(bindings::req_op_REQ_OP_ZONE_APPEND);
    /// Write zeroes without sending any.
    pub const WRITE_ZEROES: Self = Self(bindings::req_op_REQ_OP_WRITE_ZEROES);
    /// Open a zone.
    pub const ZONE_OPEN: Self = Self(bindings::req_op_REQ_OP_ZONE_OPEN);
    /// Close a zone.
    pub const ZONE_CLOSE: Self = Self(bindings::req_op_REQ_OP_ZONE_CLOSE);
    /// Make a zone full.
    pub const ZONE_FINISH: Self = Self(bindings::req_op_REQ_OP_ZONE_FINISH);
    /// Reset the write pointer of a zone.
    pub const ZONE_RESET: Self = Self(bindings::req_op_REQ_OP_ZONE_RESET);
    /// Reset all write pointers.
    pub const ZONE_RESET_ALL: Self = Self(bindings::req_op_REQ_OP_ZONE_RESET_ALL);
    /// A request of the driver itself, which reads from the device or transfers nothing.
    pub const DRV_IN: Self = Self(bindings::req_op_REQ_OP_DRV_IN);
    /// A request of the driver itself, which writes to the device.
    pub const DRV_OUT: Self = Self(bindings::req_op_REQ_OP_DRV_OUT);

    /// Takes a `REQ_OP_*` value, be it known or not; none if no operation can have it.
    #[inline]
    pub fn from_raw(op: u32) -> Option<Self> {
        (op < 1 << bindings::REQ_OP_BITS).then_some(Self(op))
    }

    /// Takes the operation out of a request's `cmd_flags`.
    #[inline]
    pub(crate) fn from_cmd_flags(cmd_flags: bindings::blk_opf_t) -> Self {
        Self(cmd_flags & ((1 << bindings::REQ_OP_BITS) - 1))
    }

    /// The `REQ_OP_*` value.
    #[inline]
    pub fn as_raw(self) -> u32 {
        self.0
    }

    /// Whether data goes to the device.
    #[inline]
    pub fn is_write(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether the driver itself made the request.
    #[inline]
    pub fn is_passthrough(self) -> bool {
        self == Self::DRV_IN || self == Self::DRV_OUT
    }
}

/// Flags of a request, `REQ_*` values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct CmdFlags(u32);

impl CmdFlags {
    /// None.
    pub const NONE: Self = Self(0);
    /// Someone waits for this request.
    pub const SYNC: Self = Self(1 << bindings::req_flag_bits___REQ_SYNC);
    /// The data shall be on the medium when the request ends.
    pub const FUA: Self = Self(1 << bindings::req_flag_bits___REQ_FUA);
    /// Read ahead: may fail at any time.
    pub const RAHEAD: Self = Self(1 << bindings::req_flag_bits___REQ_RAHEAD);
    /// The submitter polls for the end of this request.
    pub const POLLED: Self = Self(1 << bindings::req_flag_bits___REQ_POLLED);
    /// Writing zeroes shall not free the blocks.
    pub const NOUNMAP: Self = Self(1 << bindings::req_flag_bits___REQ_NOUNMAP);

    /// Takes the flags out of a request's `cmd_flags`.
    #[inline]
    pub(crate) fn from_cmd_flags(cmd_flags: bindings::blk_opf_t) -> Self {
        Self(cmd_flags & !((1 << bindings::REQ_OP_BITS) - 1))
    }

    /// Whether all flags of `other` are set.
    #[inline]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for CmdFlags {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for CmdFlags {
    #[inline]
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}
