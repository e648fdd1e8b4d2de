// SPDX-License-Identifier: GPL-2.0

//! A split virtqueue from the device's side.
//!
//! VIRTIO 1.4, 2.7 "Split Virtqueues". The honest verbs are [`Ring::pop`], [`Ring::walk`] and
//! [`Ring::finish`]; those below "Hostile" write what no device may write.

use super::{
    chain::Chain,
    memory::{
        Memory,
        Window, //
    },
};

/// The chain goes on (`VIRTQ_DESC_F_NEXT`).
const NEXT: u16 = 1;
/// The driver asks for no interrupt (`VIRTQ_AVAIL_F_NO_INTERRUPT`).
const NO_INTERRUPT: u16 = 1;
/// The device asks for no notification (`VIRTQ_USED_F_NO_NOTIFY`).
const NO_NOTIFY: u16 = 1;
/// Offsets in either ring.
const FLAGS: usize = 0;
const IDX: usize = 2;
const ENTRIES: usize = 4;

/// Where the driver says that the parts of a queue are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The descriptor table.
    pub desc: u64,
    /// The available ring.
    pub avail: u64,
    /// The used ring.
    pub used: u64,
}

/// What was agreed on about a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// `VIRTIO_F_EVENT_IDX`.
    pub event_idx: bool,
    /// `VIRTIO_F_INDIRECT_DESC`.
    pub indirect: bool,
}

/// A queue.
pub struct Ring<M: Memory> {
    memory: M,
    size: u16,
    agreed: Agreed,
    desc: M::Window,
    avail: M::Window,
    used: M::Window,
    next_avail: u16,
    next_used: u16,
}

impl<M: Memory> Ring<M> {
    /// Gets access to a queue of `size` descriptors.
    ///
    /// Returns nothing if the size is not a power of two, if a part is not aligned (SPLIT-ALIGN-1
    /// to SPLIT-ALIGN-3) or not in memory, and if the driver has not cleared `flags` of the used
    /// ring (SPLIT-AVAILNOTIF-1).
    pub fn new(memory: M, addresses: Addresses, size: u16, agreed: Agreed) -> Option<Self> {
        let entries = usize::from(size);
        if !size.is_power_of_two()
            || addresses.desc % 16 != 0
            || addresses.avail % 2 != 0
            || addresses.used % 4 != 0
        {
            return None;
        }
        let desc = memory.map(addresses.desc, 16 * entries)?;
        let avail = memory.map(addresses.avail, ENTRIES + 2 * entries + 2)?;
        let used = memory.map(addresses.used, ENTRIES + 8 * entries + 2)?;
        (used.read16(FLAGS) == 0).then_some(Self {
            memory,
            size,
            agreed,
            desc,
            avail,
            used,
            next_avail: 0,
            next_used: 0,
        })
    }

    /// The number of descriptors.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// The memory that addresses refer to.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// What was agreed on.
    pub fn agreed(&self) -> Agreed {
        self.agreed
    }

    /// The descriptor table.
    pub(super) fn table(&self) -> &M::Window {
        &self.desc
    }

    fn slot(&self, idx: u16) -> usize {
        usize::from(idx.checked_rem(self.size).unwrap_or_default())
    }

    /// `flags` of the available ring.
    pub fn avail_flags(&self) -> u16 {
        self.avail.read16(FLAGS)
    }

    /// `idx` of the available ring.
    pub fn avail_idx(&self) -> u16 {
        self.avail.read16(IDX)
    }

    /// `used_event`, which the driver writes behind the available ring.
    pub fn used_event(&self) -> u16 {
        self.avail.read16(ENTRIES + 2 * usize::from(self.size))
    }

    /// `idx` of the used ring.
    pub fn used_idx(&self) -> u16 {
        self.used.read16(IDX)
    }

    /// How many buffers have been taken from the available ring and not been given back.
    pub fn taken(&self) -> u16 {
        self.next_avail.wrapping_sub(self.next_used)
    }

    /// Returns how many buffers the driver has made available that were not taken yet.
    pub fn pending(&self) -> u16 {
        self.avail_idx().wrapping_sub(self.next_avail)
    }

    /// Takes the next buffer, and returns the head of its chain.
    ///
    /// When there is none, the device asks to be notified of the next one.
    pub fn pop(&mut self) -> Option<u16> {
        if self.pending() == 0 {
            self.ask_for_notification();
            if self.pending() == 0 {
                return None;
            }
        }
        self.memory.barrier();
        let head = self.avail.read16(ENTRIES + 2 * self.slot(self.next_avail));
        self.next_avail = self.next_avail.wrapping_add(1);
        Some(head)
    }

    /// Walks the descriptors of the buffer with the given head.
    pub fn walk(&self, head: u16) -> Chain<'_, M> {
        Chain::new(self, head)
    }

    /// Gives a buffer back, of which `len` bytes were written.
    ///
    /// Returns whether the driver wants an interrupt.
    pub fn finish(&mut self, head: u16, len: u32) -> bool {
        self.finish_id(head.into(), len)
    }

    /// Returns whether the driver wants an interrupt about what was used since `old`.
    ///
    /// VIRTIO 1.4, 2.7.7 "Used Buffer Notification Suppression".
    fn wants_interrupt(&self, old: u16) -> bool {
        self.memory.barrier();
        if self.agreed.event_idx {
            let placed = self.next_used.wrapping_sub(old);
            self.used_event().wrapping_sub(old) < placed
        } else {
            self.avail_flags() & NO_INTERRUPT == 0
        }
    }

    /// Asks for a notification of the next buffer made available.
    pub fn ask_for_notification(&mut self) {
        if self.agreed.event_idx {
            self.set_avail_event(self.next_avail);
        } else {
            self.used.write16(FLAGS, 0);
        }
        self.memory.barrier();
    }

    /// Asks for no notification.
    pub fn refuse_notifications(&mut self) {
        if self.agreed.event_idx {
            // As far away as an index can be.
            self.set_avail_event(self.next_avail.wrapping_add(0x8000));
        } else {
            self.used.write16(FLAGS, NO_NOTIFY);
        }
    }

    /// Writes `avail_event`, behind the used ring.
    pub fn set_avail_event(&mut self, idx: u16) {
        self.used.write16(ENTRIES + 8 * usize::from(self.size), idx);
    }

    /// Writes `flags` of the used ring, whatever was agreed on.
    pub fn set_used_flags(&mut self, flags: u16) {
        self.used.write16(FLAGS, flags);
    }

    // Hostile.

    /// Gives something back that may be no buffer at all.
    pub fn finish_id(&mut self, id: u32, len: u32) -> bool {
        let old = self.next_used;
        let offset = ENTRIES + 8 * self.slot(old);
        self.used.write(offset, &id.to_le_bytes());
        self.used.write(offset + 4, &len.to_le_bytes());
        self.memory.barrier();
        self.next_used = old.wrapping_add(1);
        self.used.write16(IDX, self.next_used);
        self.wants_interrupt(old)
    }

    /// Moves `idx` of the used ring ahead, with nothing in the entries passed.
    pub fn jump(&mut self, by: u16) {
        self.next_used = self.next_used.wrapping_add(by);
        self.used.write16(IDX, self.next_used);
    }

    /// Sets every flag in every descriptor, and points them all at the first.
    pub fn scribble(&mut self) {
        for index in 0..self.size {
            self.scribble_one(index, 0);
        }
    }

    /// Does the same to the descriptors of one chain only, each of which then follows itself.
    pub fn scribble_chain(&mut self, head: u16) {
        let mut index = head;
        for _ in 0..self.size {
            let offset = 16 * self.slot(index);
            let (flags, next) = (self.desc.read16(offset + 12), self.desc.read16(offset + 14));
            self.scribble_one(index, index);
            if flags & NEXT == 0 {
                break;
            }
            index = next;
        }
    }

    fn scribble_one(&mut self, index: u16, next: u16) {
        let offset = 16 * self.slot(index);
        self.desc.write16(offset + 12, 0xffff);
        self.desc.write16(offset + 14, next);
    }
}
