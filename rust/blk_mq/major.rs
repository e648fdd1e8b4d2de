// SPDX-License-Identifier: GPL-2.0

//! Numbers for block devices.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use bindings_ext as bindings;
use kernel::{
    prelude::*,
    str::CStr,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// A major number for the disks of a driver; a static, as every probe needs it.
pub struct Major {
    name: &'static CStr,
    number: Atomic<u32>,
}

impl Major {
    /// No number yet; `name` is for `/proc/devices`.
    pub const fn new(name: &'static CStr) -> Self {
        Self {
            name,
            number: Atomic::new(0),
        }
    }

    /// Gets a number, until the result is dropped.
    ///
    /// # Errors
    ///
    /// `EBUSY` if there is no free number, or this has one already; `ENOMEM`.
    pub fn register(&'static self) -> Result<MajorRegistration> {
        // SAFETY: The name is terminated; it is copied.
        let number = unsafe { bindings::__register_blkdev(0, self.name.as_char_ptr(), None) };
        let number = match u32::try_from(number) {
            Ok(number) => number,
            Err(_) => return Err(Error::from_errno(number)),
        };
        // Made first, so that an error gives back the number.
        let registration = MajorRegistration {
            major: self,
            number,
        };

        if self.number.load(Relaxed) != 0 {
            return Err(EBUSY);
        }
        self.number.store(number, Relaxed);
        Ok(registration)
    }

    /// The number, or 0 if there is none.
    pub fn number(&self) -> u32 {
        self.number.load(Relaxed)
    }
}

/// Holds a major number; belongs into the module, before the driver's registration is dropped and
/// after it was made. Disks do not use the number again once they are there.
pub struct MajorRegistration {
    major: &'static Major,
    number: u32,
}

impl Drop for MajorRegistration {
    fn drop(&mut self) {
        if self.major.number.load(Relaxed) == self.number {
            self.major.number.store(0, Relaxed);
        }
        // SAFETY: The number was registered under this name, and is unregistered once.
        unsafe { bindings::unregister_blkdev(self.number, self.major.name.as_char_ptr()) };
    }
}
