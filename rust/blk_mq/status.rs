// SPDX-License-Identifier: GPL-2.0

//! How a request ended, or why it could not start.
//!
//! C header: [`include/linux/blk_types.h`](srctree/include/linux/blk_types.h)

use bindings_ext as bindings;
use kernel::{
    error::to_result,
    prelude::*, //
};

/// The result of a request, a `blk_status_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Status(bindings::blk_status_t);

impl Status {
    /// Done.
    pub const OK: Self = Self(bindings::RUST_EXT_BLK_STS_OK);
    /// The device does not know this operation.
    pub const NOTSUPP: Self = Self(bindings::RUST_EXT_BLK_STS_NOTSUPP);
    /// The device did not answer in time.
    pub const TIMEOUT: Self = Self(bindings::RUST_EXT_BLK_STS_TIMEOUT);
    /// The device is full.
    pub const NOSPC: Self = Self(bindings::RUST_EXT_BLK_STS_NOSPC);
    /// The way to the device failed; another path may work.
    pub const TRANSPORT: Self = Self(bindings::RUST_EXT_BLK_STS_TRANSPORT);
    /// The device failed for good.
    pub const TARGET: Self = Self(bindings::RUST_EXT_BLK_STS_TARGET);
    /// The medium failed.
    pub const MEDIUM: Self = Self(bindings::RUST_EXT_BLK_STS_MEDIUM);
    /// Integrity data did not match.
    pub const PROTECTION: Self = Self(bindings::RUST_EXT_BLK_STS_PROTECTION);
    /// The system lacks a resource, such as memory; the block layer tries again after a while.
    pub const RESOURCE: Self = Self(bindings::RUST_EXT_BLK_STS_RESOURCE);
    /// An error without a better name.
    pub const IOERR: Self = Self(bindings::RUST_EXT_BLK_STS_IOERR);
    /// The request would have to wait, and must not.
    pub const AGAIN: Self = Self(bindings::RUST_EXT_BLK_STS_AGAIN);
    /// The device lacks a resource, such as room in its queue, and a request in flight will free
    /// it; the block layer tries again when one completes, or when a stopped queue is started.
    pub const DEV_RESOURCE: Self = Self(bindings::RUST_EXT_BLK_STS_DEV_RESOURCE);
    /// Too many zones are open.
    pub const ZONE_OPEN_RESOURCE: Self = Self(bindings::RUST_EXT_BLK_STS_ZONE_OPEN_RESOURCE);
    /// Too many zones are active.
    pub const ZONE_ACTIVE_RESOURCE: Self = Self(bindings::RUST_EXT_BLK_STS_ZONE_ACTIVE_RESOURCE);
    /// The device is there, but does not serve requests.
    pub const OFFLINE: Self = Self(bindings::RUST_EXT_BLK_STS_OFFLINE);
    /// The request is not valid for this device.
    pub const INVAL: Self = Self(bindings::RUST_EXT_BLK_STS_INVAL);

    /// Wraps what C returned.
    #[inline]
    pub(crate) fn from_raw(raw: bindings::blk_status_t) -> Self {
        Self(raw)
    }

    /// What C expects.
    #[inline]
    pub(crate) fn into_raw(self) -> bindings::blk_status_t {
        self.0
    }

    /// Whether the request was done.
    #[inline]
    pub fn is_ok(self) -> bool {
        self == Self::OK
    }

    /// The same as a [`Result`], with the error code that a program would see.
    ///
    /// # Errors
    ///
    /// One for every status but [`Status::OK`]; `EIO` for those without a code of their own.
    pub fn to_result(self) -> Result {
        // SAFETY: The function reads a table, and maps unknown values to `-EIO`.
        to_result(unsafe { bindings::blk_status_to_errno(self.0) })
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        // SAFETY: The function reads a table, and maps unknown values to `BLK_STS_IOERR`.
        Self(unsafe { bindings::errno_to_blk_status(error.to_errno()) })
    }
}
