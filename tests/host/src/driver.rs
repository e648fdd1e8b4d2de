// SPDX-License-Identifier: GPL-2.0

//! A ring together with the memory it lives in.

use std::ops::{
    Deref,
    DerefMut, //
};
use std::rc::Rc;

use crate::ring::barrier::Barriers;
use crate::ring::layout::{
    Layout,
    MODERN_ALIGN, //
};
use crate::ring::split::{
    AddError,
    DescState,
    Ring,
    Segment, //
};
use crate::{
    Device,
    Fences,
    Shared, //
};

/// The driver's side of a queue: a ring in memory of its own.
pub struct Driver<B: Barriers = Fences> {
    ring: Ring<B, Vec<DescState>>,
    /// The ring has pointers into it.
    _memory: Rc<Shared>,
}

impl Driver {
    /// Makes a queue of `size` descriptors, with an honest device on the other side.
    pub fn new(size: u32, event_idx: bool) -> (Self, Device) {
        Self::with_barriers(size, event_idx, Fences)
    }
}

impl<B: Barriers> Driver<B> {
    /// Like [`Driver::new`], with barriers of the caller's choice.
    pub fn with_barriers(size: u32, event_idx: bool, barriers: B) -> (Self, Device) {
        let layout = Layout::new(size, MODERN_ALIGN).expect("a valid size");
        let memory = Rc::new(Shared::new(layout.bytes()));
        let state = vec![DescState::default(); usize::from(layout.size())];
        // SAFETY: The memory has the right size, starts at a page boundary and lives as long as
        // the ring does; nobody but the device below accesses it.
        let ring = unsafe { Ring::new(memory.start(), layout, event_idx, barriers, state) };
        let ring = ring.expect("as many states as descriptors");
        let device = Device::new(memory.clone(), layout, event_idx);
        (
            Self {
                ring,
                _memory: memory,
            },
            device,
        )
    }

    /// Adds a chain of segments with the given lengths at made-up addresses.
    pub fn add(&mut self, readable: &[u32], writable: &[u32]) -> Result<u16, AddError> {
        let mut chain = self.ring.begin();
        for (addr, &len) in (0x1000..).step_by(0x1000).zip(readable) {
            chain.push_readable(Segment::new(addr, len))?;
        }
        for (addr, &len) in (0x100_0000..).step_by(0x1000).zip(writable) {
            chain.push_writable(Segment::new(addr, len))?;
        }
        chain.publish()
    }

    /// Lets `count` chains go back and forth, so that indices are where the caller wants them.
    pub fn age(&mut self, device: &mut Device, count: u32) {
        for _ in 0..count {
            let head = self.ring.add_indirect(Segment::new(0, 16), 0);
            assert_eq!(device.serve(), head.ok());
            assert!(matches!(self.ring.pop_used(), Ok(Some(_))));
        }
    }

    /// Returns how many segments a chain takes now before an error, and the error; adds nothing.
    pub fn room(&mut self) -> (u16, AddError) {
        let mut chain = self.ring.begin();
        let mut room = 0;
        loop {
            match chain.push_readable(Segment::new(0, 1)) {
                Ok(()) => room += 1,
                Err(error) => return (room, error),
            }
        }
    }
}

impl<B: Barriers> Deref for Driver<B> {
    type Target = Ring<B, Vec<DescState>>;

    fn deref(&self) -> &Self::Target {
        &self.ring
    }
}

impl<B: Barriers> DerefMut for Driver<B> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.ring
    }
}
