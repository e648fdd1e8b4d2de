// SPDX-License-Identifier: GPL-2.0

//! How far the block layer has come with what the device says. *Core-only*.
//!
//! The block layer changes over once all requests in flight have ended. Until then they were made for what
//! was in force before, and the device is held to that, not to what it said last.

use crate::limits::Limits;

/// What a device says of itself that a disk goes by, besides its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// What requests the device takes.
    pub limits: Limits,
    /// Whether written data may be lost until it is flushed.
    pub has_write_cache: bool,
}

impl Told {
    /// Returns whether this is another thing for the block layer, whatever the size of the disk.
    fn differs(&self, other: &Self) -> bool {
        self.limits.differ(&other.limits) || self.has_write_cache != other.has_write_cache
    }
}

/// What the device has said, and how far the block layer has come with it.
#[derive(Debug)]
pub struct Progress {
    /// What the device said last.
    told: Told,
    /// What the block layer goes by.
    in_force: Told,
    /// Whether the device may have cached what no flush was sent for, or will be.
    is_flush_due: bool,
}

impl Progress {
    /// Takes what a disk is made with.
    pub fn new(made_with: Told) -> Self {
        Self {
            told: made_with,
            in_force: made_with,
            is_flush_due: false,
        }
    }

    /// Returns what the device said last.
    pub fn told(&self) -> Told {
        self.told
    }

    /// Takes the limits that the device says now.
    pub fn hear_limits(&mut self, limits: Limits) {
        self.told.limits = limits;
    }

    /// Takes whether the device says now that it caches what is written.
    pub fn hear_write_cache(&mut self, has_write_cache: bool) {
        if self.told.has_write_cache != has_write_cache {
            self.told.has_write_cache = has_write_cache;
            self.is_flush_due = true;
        }
    }

    /// Returns what the block layer is to go by: what the device said last, with flushes in any case if
    /// `with_flushes`, or if it sends them and one is still due.
    pub fn next(&self, with_flushes: bool) -> Told {
        let keeps_flushes = self.in_force.has_write_cache && self.is_flush_due;
        Told {
            has_write_cache: self.told.has_write_cache || with_flushes || keeps_flushes,
            ..self.told
        }
    }

    /// Returns whether the block layer goes by something else than [`next`](Self::next) says.
    pub fn is_next_new(&self, with_flushes: bool) -> bool {
        self.next(with_flushes).differs(&self.in_force)
    }

    /// Returns whether there is something to be done about what the device has said.
    pub fn is_behind(&self) -> bool {
        self.told.differs(&self.in_force) || self.is_flush_due
    }

    /// Takes what the block layer goes by from now on, and returns what that was before. No request is in
    /// flight.
    pub fn put_in_force(&mut self, now: Told) -> Told {
        core::mem::replace(&mut self.in_force, now)
    }

    /// Returns, once, whether a flush is due. Whoever asks sends it, or else calls
    /// [`needs_flush`](Self::needs_flush).
    pub fn take_flush(&mut self) -> bool {
        core::mem::take(&mut self.is_flush_due)
    }

    /// Has a flush be due.
    pub fn needs_flush(&mut self) {
        self.is_flush_due = true;
    }

    /// Holds a device that was reset, and takes `now`, to what requests in flight were made for. What it has
    /// only said is not so any more. `first` is what the disk was made with.
    ///
    /// # Errors
    ///
    /// The name of a field of which there is too little.
    pub fn check_again(&mut self, now: &Limits, first: &Limits) -> Result<(), &'static str> {
        if let Some(field) = now.shortfall(&self.in_force.limits) {
            return Err(field);
        }
        if now.shortfall(&self.told.limits).is_some() {
            self.told.limits = now.within(first)?;
        }
        Ok(())
    }

    /// Returns whether the block layer sends flushes, so that the device may cache what is written. What
    /// root has told it in `queue/write_cache` is apart from this.
    pub fn sends_flushes(&self) -> bool {
        self.in_force.has_write_cache
    }
}
