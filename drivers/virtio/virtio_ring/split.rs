// SPDX-License-Identifier: GPL-2.0

//! The split virtqueue, driver side.
//!
//! VIRTIO 1.4, 2.7 "Split Virtqueues".
//!
//! A [`Ring`] adds chains of descriptors for the device to work on and takes back those the device
//! is done with. A chain is known by its head, the index of its first descriptor; what belongs to
//! it, such as the request or the memory, is kept by the owner of the ring in a table of its own.
//!
//! # The device is not trusted
//!
//! Descriptors and rings are write-only for this code, except for the fields that the device is
//! there to write: `idx`, the entries and `flags` or `avail_event` of the used ring. Each of them
//! is read once and checked before use. Links, lengths and the state of every chain are kept in
//! private memory ([`DescState`]); no path follows anything that the device could have changed. The
//! first [`Violation`] is final: from then on nothing is taken from the device.
//!
//! # Ordering
//!
//! | First                            | Barrier | Then                             |
//! |----------------------------------|---------|----------------------------------|
//! | fill descriptors and entries     | write   | store the available `idx`        |
//! | store the available `idx`        | full    | read `flags` or `avail_event`    |
//! | read the used `idx`              | read    | read the entries up to it        |
//! | ask for a notification           | full    | read the used `idx` once more    |
//!
//! The owner serialises all calls; `&mut self` makes sure of it.

use core::ops::DerefMut;
use core::ptr::NonNull;

use super::barrier::Barriers;
pub use super::buffer::{
    AddError,
    Segment,
    Used,
    Violation, //
};
use super::event::need_event;
use super::layout::Layout;
use super::memory::Memory;
use super::state::Chains;
pub use super::state::DescState;
use super::wire::{
    AVAIL_F_NO_INTERRUPT,
    DESC_F_INDIRECT,
    DESC_F_NEXT,
    DESC_F_WRITE,
    USED_F_NO_NOTIFY, //
};

/// From so many entries on, 16-bit indices cannot tell whether the device asked for one of them.
const TOO_MANY_TO_TELL: u64 = u16::MAX as u64;

/// What a queue has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// How many buffers were added.
    pub added: u64,
    /// How often the device was to be notified of some.
    pub notifications: u64,
    /// How often it did not want to be.
    pub suppressed: u64,
    /// The most buffers that the device had used when the driver looked.
    pub largest_batch: u16,
}

/// How far driver and device have come in the rings. The indices wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The available index: up to which chains were added.
    pub avail: u16,
    /// The used index as the device has stored it, which may be anything.
    pub used: u16,
    /// The used index up to which chains were taken back.
    pub last_used: u16,
}

/// A split virtqueue.
///
/// `S` is the memory for the private bookkeeping, such as a boxed slice of [`DescState`].
///
/// # Invariants
///
/// - There are `avail_idx - last_used` chains in flight, which is at most the queue size.
/// - The used entries from `last_used` up to `used_seen` have been exposed by the device and are as
///   many as chains in flight, or fewer.
pub struct Ring<B: Barriers, S: DerefMut<Target = [DescState]>> {
    memory: Memory,
    chains: Chains<S>,
    barriers: B,
    /// Used index up to which chains were taken back.
    last_used: u16,
    /// Used index as last read from the device.
    used_seen: u16,
    /// How many chains were ever added; the low part is the available index. The rest lets
    /// [`Self::prepare_notify`] notice that the 16-bit index went all the way round.
    avail_idx: u64,
    /// What `avail_idx` was when the device was last considered for a notification.
    notified: u64,
    /// How many chains had been added when the queue was restarted.
    added_before: u64,
    notifications: u64,
    suppressed: u64,
    largest_batch: u16,
    event_idx: bool,
    callbacks: bool,
    /// A `used_event` was written and no full barrier has followed.
    event_unordered: bool,
    broken: Option<Violation>,
}

impl<B: Barriers, S: DerefMut<Target = [DescState]>> Ring<B, S> {
    /// Sets up an empty queue, with callbacks enabled.
    ///
    /// Returns [`None`] if `state` has not exactly one entry per descriptor. `event_idx` says
    /// whether `VIRTIO_F_EVENT_IDX` was negotiated. The memory is cleared.
    ///
    /// # Safety
    ///
    /// `mem` is aligned to 16 and valid for reads and writes of `layout.bytes()` bytes while the
    /// ring lives. It is shared with nobody but the device, which does not know of it before this
    /// function returns.
    pub unsafe fn new(
        mem: NonNull<u8>,
        layout: Layout,
        event_idx: bool,
        barriers: B,
        state: S,
    ) -> Option<Self> {
        let chains = Chains::new(state, layout.size())?;
        Some(Self {
            // SAFETY: The requirements of this function include those of that one.
            memory: unsafe { Memory::new(mem, &layout) },
            // INVARIANT: Nothing is in flight or used.
            chains,
            barriers,
            last_used: 0,
            used_seen: 0,
            avail_idx: 0,
            notified: 0,
            added_before: 0,
            notifications: 0,
            suppressed: 0,
            largest_batch: 0,
            event_idx,
            callbacks: true,
            event_unordered: false,
            broken: None,
        })
    }

    /// The number of descriptors.
    #[inline]
    pub fn size(&self) -> u16 {
        // No overflow: The mask is at most 32767.
        self.memory.mask().wrapping_add(1)
    }

    /// The number of free descriptors.
    #[inline]
    pub fn num_free(&self) -> u16 {
        self.chains.num_free()
    }

    /// The number of chains that were added and not yet taken back.
    #[inline]
    pub fn in_flight(&self) -> u16 {
        // CAST: The invariants bound the difference, so its low half is all of it.
        (self.avail_idx as u16).wrapping_sub(self.last_used)
    }

    /// The used index up to which chains were taken back.
    #[inline]
    pub fn last_used(&self) -> u16 {
        self.last_used
    }

    /// What the device did wrong, if it did.
    #[inline]
    pub fn violation(&self) -> Option<Violation> {
        self.broken
    }

    /// Begins a chain, one descriptor per segment.
    ///
    /// The ring is unchanged until [`Chain::publish`] succeeds; dropping the chain instead is
    /// enough to give up.
    #[inline]
    pub fn begin(&mut self) -> Chain<'_, B, S> {
        Chain {
            next: self.chains.free_head(),
            last: self.chains.free_head(),
            last_flags: 0,
            count: 0,
            bytes: 0,
            writable: 0,
            ring: self,
        }
    }

    /// Adds a chain that consists of one indirect table and returns its head.
    ///
    /// `table` and `writable_bytes` are what [`super::indirect::Table::finish`] says of the table,
    /// whose memory must stay as it is until the chain comes back. Only to be called if
    /// `VIRTIO_F_INDIRECT_DESC` was negotiated, and with no more descriptors in the table than the
    /// queue has (VIRTIO 1.4, 2.7.5.3.1 "Driver Requirements: Indirect Descriptors").
    ///
    /// # Errors
    ///
    /// [`AddError::Full`] if no descriptor is free, [`AddError::Empty`] if the table is.
    #[inline]
    pub fn add_indirect(&mut self, table: Segment, writable_bytes: u32) -> Result<u16, AddError> {
        if table.len == 0 {
            return Err(AddError::Empty);
        }
        let Some(head) = self.chains.take_one(writable_bytes) else {
            return Err(AddError::Full);
        };
        self.memory
            .write_desc(head, table.addr, table.len, DESC_F_INDIRECT);
        self.expose(head);
        Ok(head)
    }

    /// Makes a chain available.
    ///
    /// VIRTIO 1.4, 2.7.13.2 "Updating The Available Ring" and 2.7.13.3 "Updating idx".
    #[inline]
    fn expose(&mut self, head: u16) {
        // CAST: The ring index is the low half of the counter.
        self.memory.write_avail_entry(self.avail_idx as u16, head);
        self.avail_idx = self.avail_idx.wrapping_add(1);
        self.barriers.write();
        // CAST: As above.
        self.memory.write_avail_idx(self.avail_idx as u16);
    }

    /// Returns whether the device must be notified of what was added since the last call.
    ///
    /// VIRTIO 1.4, 2.7.10 "Available Buffer Notification Suppression" and 2.7.13.4 "Notifying The
    /// Device". The notification itself may be sent later and without holding what serialises the
    /// ring.
    #[inline]
    pub fn prepare_notify(&mut self) -> bool {
        let (old, new) = (self.notified, self.avail_idx);
        let added = new.wrapping_sub(old);
        if added == 0 {
            return false;
        }
        self.notified = new;
        self.barriers.full();
        let is_wanted = if self.event_idx {
            // CAST: Ring indices are the low parts of the counters.
            added >= TOO_MANY_TO_TELL
                || need_event(self.memory.read_avail_event(), new as u16, old as u16)
        } else {
            self.memory.read_used_flags() & USED_F_NO_NOTIFY == 0
        };
        if is_wanted {
            self.notifications = self.notifications.wrapping_add(1);
        } else {
            self.suppressed = self.suppressed.wrapping_add(1);
        }
        is_wanted
    }

    /// Returns how far driver and device have come.
    pub fn position(&self) -> Position {
        Position {
            // CAST: The low part is the index.
            avail: self.avail_idx as u16,
            used: self.memory.read_used_idx(),
            last_used: self.last_used,
        }
    }

    /// Returns what the queue has done since it was new, over restarts.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            added: self.added_before.wrapping_add(self.avail_idx),
            notifications: self.notifications,
            suppressed: self.suppressed,
            largest_batch: self.largest_batch,
        }
    }

    /// Takes back the next chain that the device is done with.
    ///
    /// VIRTIO 1.4, 2.7.14 "Receiving Used Buffers From The Device". Returns [`None`] if there is
    /// none; if callbacks are enabled, the next one then brings a notification.
    ///
    /// # Errors
    ///
    /// Returns what the device did wrong, and the same again on every later call.
    #[inline]
    pub fn pop_used(&mut self) -> Result<Option<Used>, Violation> {
        if self.used_seen == self.last_used && !self.look_for_used()? {
            return Ok(None);
        }
        let (id, len) = self.memory.read_used_entry(self.last_used);
        match self.chains.take_back(id, len) {
            Ok(head) => {
                // INVARIANT: One chain less is in flight, and its entry is read.
                self.last_used = self.last_used.wrapping_add(1);
                Ok(Some(Used { head, len }))
            }
            Err(violation) => {
                self.fail(violation);
                Err(violation)
            }
        }
    }

    /// Returns whether [`Self::pop_used`] would find a chain.
    #[inline]
    pub fn has_used(&self) -> bool {
        self.broken.is_none() && self.memory.read_used_idx() != self.last_used
    }

    /// Reads how far the device got and returns whether there is anything to take back.
    #[inline]
    fn look_for_used(&mut self) -> Result<bool, Violation> {
        if let Some(violation) = self.broken {
            return Err(violation);
        }
        if self.event_unordered {
            // The device may have used a chain before it saw the latest wish for a notification;
            // then nobody but this code will notice.
            self.event_unordered = false;
            self.barriers.full();
        }
        let idx = self.memory.read_used_idx();
        let last = self.last_used;
        let pending = idx.wrapping_sub(last);
        if pending == 0 {
            return Ok(false);
        }
        let in_flight = self.in_flight();
        if pending > in_flight {
            let violation = Violation::IndexTooFar {
                idx,
                last,
                in_flight,
            };
            self.fail(violation);
            return Err(violation);
        }
        self.barriers.read();
        self.largest_batch = self.largest_batch.max(pending);
        // INVARIANT: `pending` was compared, and the entries may be read after the barrier.
        self.used_seen = idx;
        if self.event_idx && self.callbacks {
            // The first entry behind those seen brings the next notification. This is early, as
            // they are yet to be taken, but saves asking after every single one.
            self.memory.write_used_event(idx);
            self.event_unordered = true;
        }
        Ok(true)
    }

    /// Remembers what the device did wrong, and that nothing more is to be taken from it.
    #[cold]
    #[inline(never)]
    fn fail(&mut self, violation: Violation) {
        // INVARIANT: No entries are left to read.
        self.used_seen = self.last_used;
        self.broken = Some(violation);
    }

    /// Tells the device that used buffers need no notification.
    ///
    /// VIRTIO 1.4, 2.7.7 "Used Buffer Notification Suppression". This is a hint: notifications may
    /// still come. With the event index there is no way to ask for none, so the wished-for entry is
    /// put half the index range away.
    #[inline]
    pub fn disable_callbacks(&mut self) {
        if !self.callbacks {
            return;
        }
        self.callbacks = false;
        self.event_unordered = false;
        if self.event_idx {
            self.memory.write_used_event(self.last_used ^ 0x8000);
        } else {
            self.memory.write_avail_flags(AVAIL_F_NO_INTERRUPT);
        }
    }

    /// Asks for a notification of the next used buffer.
    ///
    /// Returns where the ring stands, for [`Self::poll`]: until that was called, the device may
    /// have used a buffer before it saw the wish.
    #[inline]
    pub fn enable_callbacks_prepare(&mut self) -> u16 {
        self.enable_callbacks_at(self.last_used);
        self.last_used
    }

    /// Returns whether the device has used a buffer since [`Self::enable_callbacks_prepare`]
    /// returned `at`.
    #[inline]
    pub fn poll(&self, at: u16) -> bool {
        self.barriers.full();
        self.broken.is_none() && self.memory.read_used_idx() != at
    }

    /// Asks for a notification of the next used buffer, and returns whether that is all to be done.
    ///
    /// If not, there are used buffers already, of which no notification may come.
    #[inline]
    pub fn enable_callbacks(&mut self) -> bool {
        let at = self.enable_callbacks_prepare();
        self.event_unordered = false;
        !self.poll(at)
    }

    /// Like [`Self::enable_callbacks`], but a notification may wait until most buffers in flight
    /// have been used.
    ///
    /// Returns whether that is all to be done. If not, as many buffers are used already.
    #[inline]
    pub fn enable_callbacks_delayed(&mut self) -> bool {
        // CAST: Three quarters of what fits do so, too.
        let delay = (u32::from(self.in_flight()) * 3 / 4) as u16;
        self.enable_callbacks_at(self.last_used.wrapping_add(delay));
        self.event_unordered = false;
        self.barriers.full();
        self.broken.is_some() || self.memory.read_used_idx().wrapping_sub(self.last_used) <= delay
    }

    #[inline]
    fn enable_callbacks_at(&mut self, event: u16) {
        if self.event_idx {
            self.callbacks = true;
            self.memory.write_used_event(event);
            self.event_unordered = true;
        } else if !self.callbacks {
            self.callbacks = true;
            self.memory.write_avail_flags(0);
        }
    }

    /// Makes the queue as it was when it was new, with callbacks enabled.
    ///
    /// Only to be called after the device or the queue was reset. Chains in flight are forgotten.
    pub fn restart(&mut self) {
        self.memory.clear();
        self.chains.clear();
        // INVARIANT: Nothing is in flight or used.
        self.last_used = 0;
        self.used_seen = 0;
        self.added_before = self.added_before.wrapping_add(self.avail_idx);
        self.avail_idx = 0;
        self.notified = 0;
        self.callbacks = true;
        self.event_unordered = false;
        self.broken = None;
    }

    /// Takes back a chain that the device will not use any more, and returns its head.
    ///
    /// Only to be called after the device or the queue was reset; until then the device owns the
    /// chain. Returns [`None`] when all chains are back, whereupon the ring can only be dropped or
    /// [restarted](Self::restart).
    pub fn detach(&mut self) -> Option<u16> {
        if self.in_flight() == 0 {
            return None;
        }
        let head = self.chains.take_any()?;
        // INVARIANT: One chain less is in flight, and no entries are left to read.
        self.last_used = self.last_used.wrapping_add(1);
        self.used_seen = self.last_used;
        Some(head)
    }
}

/// A chain under construction.
///
/// Its descriptors stay in the free list of the ring until the chain is published.
///
/// # Invariants
///
/// - The first `count` descriptors of the free list are filled, `last` is the last of them if there
///   is any, and `next` the one that follows in the free list.
/// - `writable` of `bytes` are for the device to write.
#[must_use = "a chain that is not published is given up"]
pub struct Chain<'a, B: Barriers, S: DerefMut<Target = [DescState]>> {
    ring: &'a mut Ring<B, S>,
    next: u16,
    last: u16,
    last_flags: u16,
    count: u16,
    bytes: u32,
    writable: u32,
}

impl<B: Barriers, S: DerefMut<Target = [DescState]>> Chain<'_, B, S> {
    /// Appends a segment that the device reads.
    ///
    /// # Errors
    ///
    /// [`AddError::Order`] if a writable segment precedes, else as [`Self::push_writable`].
    #[inline]
    pub fn push_readable(&mut self, segment: Segment) -> Result<(), AddError> {
        if self.writable != 0 {
            return Err(AddError::Order);
        }
        self.push(segment, 0)
    }

    /// Appends a segment that the device writes.
    ///
    /// # Errors
    ///
    /// [`AddError::Empty`] if the segment is empty, [`AddError::TooLong`] if the chain would have
    /// 2^32 bytes or more descriptors than the queue, [`AddError::Full`] if no descriptor is free
    /// now. The chain is as before, then.
    #[inline]
    pub fn push_writable(&mut self, segment: Segment) -> Result<(), AddError> {
        self.push(segment, DESC_F_WRITE)?;
        // No overflow: This is part of `bytes`.
        self.writable = self.writable.wrapping_add(segment.len);
        Ok(())
    }

    #[inline]
    fn push(&mut self, segment: Segment, flags: u16) -> Result<(), AddError> {
        if segment.len == 0 {
            return Err(AddError::Empty);
        }
        let Some(bytes) = self.bytes.checked_add(segment.len) else {
            return Err(AddError::TooLong);
        };
        let index = self.next;
        let Some(next) = self.ring.chains.following(index) else {
            // The free list is at its end.
            return Err(if self.count == self.ring.size() {
                AddError::TooLong
            } else {
                AddError::Full
            });
        };
        // INVARIANT: The next descriptor is filled, too. Should it turn out to be the last, then
        // `publish` takes back that another one follows.
        self.next = next;
        self.last = index;
        self.last_flags = flags;
        self.count = self.count.wrapping_add(1);
        self.bytes = bytes;
        let memory = &mut self.ring.memory;
        memory.write_desc(index, segment.addr, segment.len, flags | DESC_F_NEXT);
        memory.write_desc_next(index, next);
        Ok(())
    }

    /// Makes the chain available to the device and returns its head.
    ///
    /// # Errors
    ///
    /// [`AddError::Empty`] if the chain has no segment.
    #[inline]
    pub fn publish(self) -> Result<u16, AddError> {
        if self.count == 0 {
            return Err(AddError::Empty);
        }
        let ring = self.ring;
        let taken = ring.chains.take_chain(self.last, self.count, self.writable);
        let Some(head) = taken else {
            // The descriptors that were filled are in the free list, by the invariants.
            return Err(AddError::Full);
        };
        ring.memory.write_desc_flags(self.last, self.last_flags);
        ring.expose(head);
        Ok(head)
    }
}
