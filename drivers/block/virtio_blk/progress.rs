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

/// What the device has said, and how far the block layer has come with it.
#[derive(Debug)]
pub struct Progress {
    /// What the device said last.
    told: Told,
    /// What the block layer goes by.
    in_force: Told,
    /// How often the device may have begun or ended to cache. This wraps, as do the others.
    changes: u32,
    /// Up to which of these changes a flush has ended.
    tried: u32,
    /// Up to which of them one has succeeded, so that nothing is cached that has had none.
    flushed: u32,
}

impl Progress {
    /// Takes what a disk is made with.
    pub fn new(made_with: Told) -> Self {
        Self {
            told: made_with,
            in_force: made_with,
            changes: 0,
            tried: 0,
            flushed: 0,
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
            self.note_change();
        }
    }

    /// Notes that the device may begin or end to cache, whatever it says then.
    pub fn note_change(&mut self) {
        self.changes = self.changes.wrapping_add(1);
    }

    /// Notes that the device does not cache since its reset, but may have done so before without a word. One
    /// flush that is due is enough for that, so that a device that fails because of it is not asked again.
    pub fn note_end_of_cache(&mut self) {
        if self.changes == self.flushed {
            self.note_change();
        }
    }

    /// Returns what the block layer is to go by, if it does not yet: what the device said last, with
    /// flushes in any case if `with_flushes`, or if one is due.
    pub fn next(&self, with_flushes: bool) -> Option<Told> {
        let is_flush_due = self.changes != self.flushed;
        let has_write_cache = self.told.has_write_cache || with_flushes || is_flush_due;
        let next = Told {
            has_write_cache,
            ..self.told
        };
        let is_new = self.in_force.limits.differ(&next.limits)
            || self.in_force.has_write_cache != has_write_cache;
        is_new.then_some(next)
    }

    /// Takes what the block layer goes by from now on. No request is in flight.
    pub fn put_in_force(&mut self, next: Told) {
        self.in_force = next;
    }

    /// Returns whether there is something to be done: the block layer does not go by
    /// [`next`](Self::next), or there is a flush to be sent, or on its way.
    pub fn is_behind(&self) -> bool {
        self.next(false).is_some() || self.changes != self.tried
    }

    /// Returns up to which change a flush is to be sent now, for [`flush_ended`](Self::flush_ended). One
    /// that has failed is not sent again before the next change, or [`retry_flush`](Self::retry_flush).
    ///
    /// While the device caches and the block layer sends no flushes, none is to be sent: it would miss
    /// what is written until they begin.
    pub fn flush_to_send(&self) -> Option<u32> {
        let would_miss_some = self.told.has_write_cache && !self.in_force.has_write_cache;
        (self.changes != self.tried && !would_miss_some).then_some(self.changes)
    }

    /// Takes how a flush has ended.
    pub fn flush_ended(&mut self, up_to: u32, has_succeeded: bool) {
        self.tried = up_to;
        if has_succeeded {
            self.flushed = up_to;
        }
    }

    /// Has a flush that has failed be sent again.
    pub fn retry_flush(&mut self) {
        self.tried = self.flushed;
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
