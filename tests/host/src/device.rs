// SPDX-License-Identifier: GPL-2.0

//! The device's side of a split virtqueue.
//!
//! VIRTIO 1.4, 2.7 "Split Virtqueues". Written from the point of view of the other side, with none
//! of the driver's code: offsets come from the specification's structures, and event indices are
//! compared by counting.

use std::rc::Rc;

use crate::ring::layout::Layout;
use crate::ring::wire::{
    Desc,
    DESC_F_NEXT,
    DESC_F_WRITE, //
};
use crate::Shared;

/// A device that does what a test tells it to, with raw access to every field.
pub struct Device {
    memory: Rc<Shared>,
    layout: Layout,
    event_idx: bool,
    next_avail: u16,
    next_used: u16,
}

impl Device {
    /// Puts a device on a queue that was just set up.
    pub fn new(memory: Rc<Shared>, layout: Layout, event_idx: bool) -> Self {
        Self {
            memory,
            layout,
            event_idx,
            next_avail: 0,
            next_used: 0,
        }
    }

    /// The memory of the queue.
    pub fn memory(&self) -> &Shared {
        &self.memory
    }

    /// The memory of the queue, to keep.
    pub fn share(&self) -> Rc<Shared> {
        self.memory.clone()
    }

    /// How the memory is laid out.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    fn slot(&self, idx: u16) -> usize {
        usize::from(idx % self.layout.size())
    }

    fn get(&self, offset: usize) -> u16 {
        u16::from_le(self.memory.read(offset))
    }

    fn set(&self, offset: usize, value: u16) {
        self.memory.write(offset, value.to_le());
    }

    /// `flags` of the available ring.
    pub fn avail_flags(&self) -> u16 {
        self.get(self.layout.avail())
    }

    /// `idx` of the available ring.
    pub fn avail_idx(&self) -> u16 {
        self.get(self.layout.avail() + 2)
    }

    /// The entry of the available ring for index `idx`.
    pub fn avail_entry(&self, idx: u16) -> u16 {
        self.get(self.layout.avail() + 4 + 2 * self.slot(idx))
    }

    /// `used_event`, behind the available ring.
    pub fn used_event(&self) -> u16 {
        self.get(self.layout.used_event())
    }

    /// `flags` of the used ring.
    pub fn used_flags(&self) -> u16 {
        self.get(self.layout.used())
    }

    /// `idx` of the used ring.
    pub fn used_idx(&self) -> u16 {
        self.get(self.layout.used() + 2)
    }

    /// Descriptor `index`.
    pub fn desc(&self, index: u16) -> Desc {
        self.memory.read(self.layout.desc() + 16 * self.slot(index))
    }

    /// Overwrites descriptor `index`.
    pub fn set_desc(&self, index: u16, desc: Desc) {
        self.memory
            .write(self.layout.desc() + 16 * self.slot(index), desc);
    }

    /// Sets `flags` of the used ring.
    pub fn set_used_flags(&self, flags: u16) {
        self.set(self.layout.used(), flags);
    }

    /// Sets `idx` of the used ring.
    pub fn set_used_idx(&self, idx: u16) {
        self.set(self.layout.used() + 2, idx);
    }

    /// Sets the entry of the used ring for index `idx`.
    pub fn set_used_entry(&self, idx: u16, id: u32, len: u32) {
        let offset = self.layout.used() + 4 + 8 * self.slot(idx);
        self.memory.write(offset, id.to_le());
        self.memory.write(offset + 4, len.to_le());
    }

    /// Sets `avail_event`, behind the used ring.
    pub fn set_avail_event(&self, idx: u16) {
        self.set(self.layout.avail_event(), idx);
    }

    /// Takes the next chain that was made available, and returns its head.
    pub fn take(&mut self) -> Option<u16> {
        if self.next_avail == self.avail_idx() {
            return None;
        }
        let head = self.avail_entry(self.next_avail);
        self.next_avail = self.next_avail.wrapping_add(1);
        Some(head)
    }

    /// Follows a chain through the descriptor table.
    pub fn chain(&self, head: u16) -> Vec<Desc> {
        let mut chain = vec![self.desc(head)];
        while let Some(last) = chain
            .last()
            .filter(|desc| desc.flags.get() & DESC_F_NEXT != 0)
        {
            assert!(chain.len() < usize::from(self.layout.size()), "a loop");
            assert!(last.next.get() < self.layout.size(), "a wild link");
            chain.push(self.desc(last.next.get()));
        }
        chain
    }

    /// Returns how many bytes of a chain are for the device to write.
    pub fn writable(&self, head: u16) -> u32 {
        self.chain(head)
            .iter()
            .filter(|desc| desc.flags.get() & DESC_F_WRITE != 0)
            .map(|desc| desc.len.get())
            .sum()
    }

    /// Gives a chain back, and returns whether that brings an interrupt.
    pub fn finish(&mut self, head: u16, len: u32) -> bool {
        self.finish_id(head.into(), len)
    }

    /// Like [`Self::finish`], with an id that no honest device would write.
    pub fn finish_id(&mut self, id: u32, len: u32) -> bool {
        let entry = self.next_used;
        self.set_used_entry(entry, id, len);
        self.next_used = entry.wrapping_add(1);
        self.set_used_idx(self.next_used);
        if self.event_idx {
            entry == self.used_event()
        } else {
            self.avail_flags() & 1 == 0
        }
    }

    /// Takes the next chain and gives it back with nothing written.
    pub fn serve(&mut self) -> Option<u16> {
        let head = self.take()?;
        self.finish(head, 0);
        Some(head)
    }
}
