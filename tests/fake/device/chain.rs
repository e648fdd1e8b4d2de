// SPDX-License-Identifier: GPL-2.0

//! One buffer: a chain of descriptors, some of which may be in an indirect table.
//!
//! VIRTIO 1.4, 2.7.4 "Message Framing" and 2.7.5 "The Virtqueue Descriptor Table". The walk also
//! judges the driver: the first thing that is wrong with a chain ends it, as [`Malformed`].

use super::{
    memory::{
        Memory,
        Window, //
    },
    ring::Ring,
};

/// `VIRTQ_DESC_F_NEXT`.
const NEXT: u16 = 1;
/// `VIRTQ_DESC_F_WRITE`.
const WRITE: u16 = 2;
/// `VIRTQ_DESC_F_INDIRECT`.
const INDIRECT: u16 = 4;
/// Bytes of a descriptor.
const DESC: usize = 16;

/// One element of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// Where it is.
    pub addr: u64,
    /// How many bytes it has.
    pub len: u32,
    /// Whether the device writes it.
    pub is_writable: bool,
}

/// What is wrong with a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A descriptor that the table does not have.
    OutOfRange(u16),
    /// More descriptors than the table has, so it is a loop (SPLIT-DESC-2). An indirect table may be
    /// longer than the queue here, as devices take such a one (though see SPLIT-INDIRECT-3).
    TooMany,
    /// 2^32 bytes or more (SPLIT-DESC-1).
    TooLong,
    /// A readable element after a writable one (SPLIT-FRAME-1).
    Order,
    /// An element without bytes.
    Empty,
    /// An indirect descriptor, though that was not agreed on (SPLIT-INDIRECT-1).
    NotAgreed,
    /// An indirect descriptor in an indirect table (SPLIT-INDIRECT-2).
    Nested,
    /// An indirect descriptor that is followed by another (SPLIT-INDIRECT-4).
    IndirectNext,
    /// A table that is empty, cut off in the middle of a descriptor, or not in memory.
    BadTable,
}

/// A walk over a buffer.
pub struct Chain<'a, M: Memory> {
    ring: &'a Ring<M>,
    /// The table in use and its number of descriptors, if it is not the ring's own.
    indirect: Option<(M::Window, u16)>,
    next: Option<u16>,
    count: u16,
    bytes: u32,
    writable: u32,
}

impl<'a, M: Memory> Chain<'a, M> {
    pub(super) fn new(ring: &'a Ring<M>, head: u16) -> Self {
        Self {
            ring,
            indirect: None,
            next: Some(head),
            count: 0,
            bytes: 0,
            writable: 0,
        }
    }

    /// The number of writable bytes so far.
    pub fn writable(&self) -> u32 {
        self.writable
    }

    /// Whether an indirect table has been met.
    pub fn is_indirect(&self) -> bool {
        self.indirect.is_some()
    }

    fn read(&self, index: u16) -> Result<[u8; DESC], Malformed> {
        let offset = DESC * usize::from(index);
        match &self.indirect {
            Some((table, size)) if index < *size => Ok(table.bytes(offset)),
            None if index < self.ring.size() => Ok(self.ring.table().bytes(offset)),
            _ => Err(Malformed::OutOfRange(index)),
        }
    }

    fn step(&mut self, index: u16) -> Result<Option<Element>, Malformed> {
        let [a0, a1, a2, a3, a4, a5, a6, a7, l0, l1, l2, l3, f0, f1, n0, n1] = self.read(index)?;
        let addr = u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]);
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        let flags = u16::from_le_bytes([f0, f1]);
        let next = u16::from_le_bytes([n0, n1]);

        if flags & INDIRECT != 0 {
            self.enter(addr, len, flags)?;
            return Ok(None);
        }
        let max = match &self.indirect {
            Some((_, size)) => *size,
            None => self.ring.size(),
        };
        if self.count >= max {
            return Err(Malformed::TooMany);
        }
        self.count += 1;
        if len == 0 {
            return Err(Malformed::Empty);
        }
        self.bytes = self.bytes.checked_add(len).ok_or(Malformed::TooLong)?;
        let is_writable = flags & WRITE != 0;
        if is_writable {
            // No overflow: part of `bytes`.
            self.writable += len;
        } else if self.writable != 0 {
            return Err(Malformed::Order);
        }
        self.next = (flags & NEXT != 0).then_some(next);
        Ok(Some(Element {
            addr,
            len,
            is_writable,
        }))
    }

    fn enter(&mut self, addr: u64, len: u32, flags: u16) -> Result<(), Malformed> {
        if !self.ring.agreed().indirect {
            return Err(Malformed::NotAgreed);
        }
        if self.indirect.is_some() {
            return Err(Malformed::Nested);
        }
        if flags & NEXT != 0 {
            return Err(Malformed::IndirectNext);
        }
        let len = len as usize;
        let count = u16::try_from(len / DESC).map_err(|_| Malformed::BadTable)?;
        if count == 0 || len % DESC != 0 {
            return Err(Malformed::BadTable);
        }
        let table = self
            .ring
            .memory()
            .map(addr, len)
            .ok_or(Malformed::BadTable)?;
        self.indirect = Some((table, count));
        self.next = Some(0);
        Ok(())
    }
}

impl<M: Memory> Iterator for Chain<'_, M> {
    type Item = Result<Element, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let index = self.next.take()?;
            match self.step(index) {
                Ok(None) => continue,
                Ok(Some(element)) => return Some(Ok(element)),
                Err(malformed) => return Some(Err(malformed)),
            }
        }
    }
}
