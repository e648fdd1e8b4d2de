// SPDX-License-Identifier: GPL-2.0

//! How far the block layer has come with what the device says. *Core-only*.
//!
//! The block layer changes over once all requests in flight have ended, and until then some may have been
//! made for what was in force before. What a device is held to is therefore not what it said last.

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
    /// What the block layer is changing over to, if it is.
    next: Option<Told>,
    /// What it goes by, or did until then.
    in_force: Told,
}

impl Progress {
    /// Takes what a disk is made with.
    pub fn new(made_with: Told) -> Self {
        Self {
            told: made_with,
            next: None,
            in_force: made_with,
        }
    }

    /// Returns what the device said last.
    pub fn told(&self) -> Told {
        self.told
    }

    /// Takes what the device says now, and returns what it had said before. The block layer is to change
    /// over.
    pub fn hear(&mut self, now: Told) -> Told {
        core::mem::replace(&mut self.told, now)
    }

    /// Takes whether the device caches now what is written.
    pub fn hear_write_cache(&mut self, has_write_cache: bool) {
        self.told.has_write_cache = has_write_cache;
    }

    /// Returns what the block layer is to go by now: what the device said last, or also flushes if
    /// `with_flushes`. One change ends before the next begins.
    pub fn begin(&mut self, with_flushes: bool) -> Told {
        let next = Told {
            has_write_cache: self.told.has_write_cache || with_flushes,
            ..self.told
        };
        self.next = Some(next);
        next
    }

    /// Ends what [`begin`](Self::begin) began: requests are made for that only, or not at all.
    pub fn end(&mut self, is_done: bool) {
        if let Some(next) = self.next.take() {
            if is_done {
                self.in_force = next;
            }
        }
    }

    /// Returns what requests in flight may have been made for.
    fn in_use(&self) -> impl Iterator<Item = &Told> {
        core::iter::once(&self.in_force).chain(&self.next)
    }

    /// Holds a device that was reset, and takes `now`, to what requests in flight may have been made for.
    /// What it has only said is not so any more. `first` is what the disk was made with.
    ///
    /// # Errors
    ///
    /// The name of a field of which there is too little.
    pub fn check_again(&mut self, now: &Limits, first: &Limits) -> Result<(), &'static str> {
        if let Some(field) = self.in_use().find_map(|told| now.shortfall(&told.limits)) {
            return Err(field);
        }
        if now.shortfall(&self.told.limits).is_some() {
            self.told.limits = now.within(first)?;
        }
        Ok(())
    }

    /// Returns whether the block layer is changing over to sending no flushes any more.
    pub fn stops_flushes(&self) -> bool {
        let next = self.next.is_some_and(|next| !next.has_write_cache);
        next && self.in_force.has_write_cache
    }

    /// Returns whether every request in flight was made by a block layer that sends flushes, so that the
    /// device may cache what is written.
    pub fn sends_flushes(&self) -> bool {
        self.in_use().all(|told| told.has_write_cache)
    }
}
