// SPDX-License-Identifier: GPL-2.0

//! Which descriptors are free and which belong to what the device owns.
//!
//! VIRTIO 1.4, 2.7.13.1 "Placing Buffers Into The Descriptor Table" needs a list of free
//! descriptors; this is it. It lives in private memory and is the only truth about chains: what the
//! device reports is checked here, and no shared memory is read to find out what belongs together.

use core::ops::DerefMut;

use super::buffer::Violation;

/// No descriptor: the end of the free list, and the tail of what is not a head in flight.
///
/// It is out of range for every queue size, so looking it up fails as any bad index does.
const NONE: u16 = u16::MAX;

/// Private bookkeeping of one descriptor.
///
/// The owner of a ring supplies one per descriptor; a default value will do.
#[derive(Clone, Copy, Debug, Default)]
pub struct DescState {
    /// The descriptor that follows in the free list or in the chain.
    link: u16,
    /// In the head of a chain in flight the last descriptor of that chain, else [`NONE`].
    tail: u16,
    /// In the head of a chain in flight, how many bytes the device may write; in the last
    /// descriptor of a chain of several, how many descriptors the chain has.
    weight: u32,
}

/// The free list and the chains in flight.
///
/// # Invariants
///
/// - Each descriptor is in the free list or in exactly one chain in flight. The free list starts at
///   `free_head`, has `num_free` descriptors, is linked by [`DescState::link`] and ends with
///   [`NONE`].
/// - [`DescState::tail`] differs from [`NONE`] in the heads of chains in flight and only there.
pub(super) struct Chains<S> {
    state: S,
    /// First free descriptor; taken from and given back at this end, which is the warm one.
    free_head: u16,
    num_free: u16,
}

impl<S: DerefMut<Target = [DescState]>> Chains<S> {
    /// Starts with `size` descriptors, all free, or returns [`None`] if `state` has not as many.
    pub(super) fn new(mut state: S, size: u16) -> Option<Self> {
        if state.len() != usize::from(size) {
            return None;
        }
        // INVARIANT: All descriptors are linked in order, and no tail is set.
        Self::link_all(&mut state, size);
        Some(Self {
            state,
            free_head: 0,
            num_free: size,
        })
    }

    /// Frees all descriptors, whoever has them.
    pub(super) fn clear(&mut self) {
        // CAST: As many as a queue has.
        let size = self.state.len() as u16;
        // INVARIANT: As in `new`.
        Self::link_all(&mut self.state, size);
        self.free_head = 0;
        self.num_free = size;
    }

    fn link_all(state: &mut [DescState], size: u16) {
        for (following, entry) in (1..=size).zip(state.iter_mut()) {
            *entry = DescState {
                link: if following < size { following } else { NONE },
                tail: NONE,
                weight: 0,
            };
        }
    }

    /// The number of free descriptors.
    #[inline]
    pub(super) fn num_free(&self) -> u16 {
        self.num_free
    }

    /// The descriptor that would be taken first; looking it up fails if there is none.
    #[inline]
    pub(super) fn free_head(&self) -> u16 {
        self.free_head
    }

    /// What follows free descriptor `index`, or [`None`] if `index` is the end of the list.
    #[inline]
    pub(super) fn following(&self, index: u16) -> Option<u16> {
        Some(self.state.get(usize::from(index))?.link)
    }

    /// Takes one descriptor as a chain of its own and returns it, or [`None`] if none is free.
    #[inline]
    pub(super) fn take_one(&mut self, writable: u32) -> Option<u16> {
        let head = self.free_head;
        let state = self.state.get_mut(usize::from(head))?;
        // INVARIANT: The descriptor moves from the free list into a chain of one.
        self.free_head = state.link;
        self.num_free = self.num_free.wrapping_sub(1);
        state.tail = head;
        state.weight = writable;
        Some(head)
    }

    /// Takes the first `count` free descriptors, of which `last` is the last, as one chain and
    /// returns its head.
    #[inline]
    pub(super) fn take_chain(&mut self, last: u16, count: u16, writable: u32) -> Option<u16> {
        let head = self.free_head;
        let end = self.state.get_mut(usize::from(last))?;
        let next = end.link;
        end.weight = u32::from(count);
        // The head comes second, as in a chain of one it is also the last.
        let first = self.state.get_mut(usize::from(head))?;
        first.tail = last;
        first.weight = writable;
        // INVARIANT: The descriptors move from the free list into flight.
        self.free_head = next;
        self.num_free = self.num_free.wrapping_sub(count);
        Some(head)
    }

    /// Frees the chain that the device says it is done with, and returns its head.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with `id` or `len`; nothing has changed, then.
    #[inline]
    pub(super) fn take_back(&mut self, id: u32, len: u32) -> Result<u16, Violation> {
        // CAST: A `usize` has 32 bits at least.
        let Some(first) = self.state.get_mut(id as usize) else {
            return Err(Violation::IdOutOfRange(id));
        };
        // CAST: There are at most 32768 descriptors, and this is one of them.
        let head = id as u16;
        let tail = first.tail;
        if tail == NONE {
            return Err(Violation::IdNotInFlight(id));
        }
        if len > first.weight {
            return Err(Violation::LengthTooLong {
                head,
                len,
                offered: first.weight,
            });
        }
        // INVARIANT: The chain is no longer in flight. Still linked from head to tail, it precedes
        // what was free.
        first.tail = NONE;
        let count = if tail == head {
            first.link = self.free_head;
            1
        } else {
            self.link_to_free(tail)
        };
        self.free_head = head;
        self.num_free = self.num_free.wrapping_add(count);
        Ok(head)
    }

    /// Lets the free list follow the last descriptor of a chain of several, and returns how many
    /// the chain has.
    #[inline]
    fn link_to_free(&mut self, tail: u16) -> u16 {
        match self.state.get_mut(usize::from(tail)) {
            Some(last) => {
                last.link = self.free_head;
                // CAST: A chain has no more descriptors than the queue.
                last.weight as u16
            }
            // Tails are indices of descriptors, by the invariants.
            None => 0,
        }
    }

    /// Frees any chain in flight and returns its head, or [`None`] if there is none.
    pub(super) fn take_any(&mut self) -> Option<u16> {
        // Chains leave in no order, so look everywhere, beginning behind the latest find.
        let start = usize::from(self.free_head.wrapping_add(1)).min(self.state.len());
        let (before, from) = self.state.split_at_checked(start)?;
        let find = |part: &[DescState]| part.iter().position(|state| state.tail != NONE);
        let index = match find(from) {
            Some(offset) => start + offset,
            None => find(before)?,
        };
        self.take_back(u32::try_from(index).ok()?, 0).ok()
    }
}
