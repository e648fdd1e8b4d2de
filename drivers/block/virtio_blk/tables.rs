// SPDX-License-Identifier: GPL-2.0

//! Tables of indirect descriptors for requests that are too large for their slot.
//!
//! There are a few sizes of them. They are made when they are needed, as many at once as fit into
//! a page, and kept until the queue goes.

use kernel::{
    alloc::flags::GFP_NOWAIT,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        Arc,
        UniqueArc, //
    },
};
use virtio_ring::{
    Area,
    Queue,
    Segment,
    Table, //
};

use crate::{
    limits::EXTRA_DESCRIPTORS,
    queue::InFlight, //
};

/// The length of a descriptor in bytes.
pub(crate) const DESC_LEN: usize = 16;

/// How many descriptors the tables of each size have; those of the last one have as many as the
/// largest request needs.
const CAPACITIES: [u16; 5] = [16, 32, 64, 128, u16::MAX];

/// How much memory the tables of a queue may take.
const MAX_LEN: usize = 1 << 20;

/// Where a table of descriptors can be made.
#[derive(Clone, Copy)]
pub(crate) struct TablePlace<'a> {
    area: &'a Area,
    offset: usize,
    capacity: u16,
}

impl<'a> TablePlace<'a> {
    /// Names the place for `capacity` descriptors at `offset` of an area.
    #[inline]
    pub(crate) fn new(area: &'a Area, offset: usize, capacity: u16) -> Self {
        Self {
            area,
            offset,
            capacity,
        }
    }

    /// Starts the table.
    #[inline]
    pub(crate) fn start(&self) -> Option<Table<'a>> {
        self.area.table(self.offset, self.capacity)
    }

    /// Returns the first `bytes` of the table as the device is told about them.
    #[inline]
    pub(crate) fn segment(&self, bytes: u32) -> Option<Segment> {
        self.area.segment(self.offset, bytes)
    }
}

/// A table that is in use, or free.
pub(crate) struct LargeTable {
    area: Arc<Area>,
    /// Which of the area's tables this is.
    index: u16,
    /// Its size: a number of one of the classes.
    class: u8,
    capacity: u16,
}

impl LargeTable {
    /// Returns where the table is.
    pub(crate) fn place(&self) -> TablePlace<'_> {
        let len = usize::from(self.capacity) * DESC_LEN;
        TablePlace::new(&self.area, usize::from(self.index) * len, self.capacity)
    }
}

/// The tables of one size.
struct Class {
    capacity: u16,
    /// Those that are not in use; with room for all that were made.
    free: KVec<LargeTable>,
    made: usize,
}

/// The tables of a queue. Used under the queue's lock.
pub(crate) struct Tables {
    classes: [Class; CAPACITIES.len()],
    /// How many bytes may still be allocated.
    left: usize,
}

impl Tables {
    /// Prepares for requests of up to `max_segments` segments; 0 for no tables.
    pub(crate) fn new(max_segments: u16) -> Self {
        let largest = max_segments.saturating_add(EXTRA_DESCRIPTORS);
        Self {
            classes: CAPACITIES.map(|capacity| Class {
                capacity: capacity.min(largest),
                free: KVec::new(),
                made: 0,
            }),
            left: if max_segments == 0 { 0 } else { MAX_LEN },
        }
    }

    /// Takes a table for a request of `segments` segments, or makes one if there is memory for it
    /// at this moment. Does not sleep.
    pub(crate) fn take(&mut self, queue: &Queue<InFlight>, segments: u16) -> Option<LargeTable> {
        let needed = segments.saturating_add(EXTRA_DESCRIPTORS);
        let (number, class) = (0..)
            .zip(&mut self.classes)
            .find(|(_, class)| class.capacity >= needed)?;
        class
            .free
            .pop()
            .or_else(|| class.make(queue, number, &mut self.left))
    }

    /// Takes a table back.
    pub(crate) fn put(&mut self, table: LargeTable) {
        if let Some(class) = self.classes.get_mut(usize::from(table.class)) {
            // There is room for all that were made.
            let _ = class.free.push_within_capacity(table);
        }
    }
}

impl Class {
    /// Makes a page of tables, or one that is larger than that, and takes one of them.
    #[cold]
    fn make(
        &mut self,
        queue: &Queue<InFlight>,
        number: u8,
        left: &mut usize,
    ) -> Option<LargeTable> {
        let table_len = usize::from(self.capacity) * DESC_LEN;
        let count = PAGE_SIZE.checked_div(table_len)?.max(1);
        let rest = left.checked_sub(count * table_len)?;
        let made = self.made + count;
        // None of the tables in use may find the list full.
        self.free.reserve(made - self.free.len(), GFP_NOWAIT).ok()?;
        // The area comes last: under the lock it could not be freed.
        let place = UniqueArc::new_uninit(GFP_NOWAIT).ok()?;
        let area: Arc<_> = place.write(queue.new_area(count * table_len).ok()?).into();
        self.made = made;
        *left = rest;
        // CAST: No more than there are bytes in a page.
        for index in 0..count as u16 {
            let table = LargeTable {
                area: area.clone(),
                index,
                class: number,
                capacity: self.capacity,
            };
            let _ = self.free.push_within_capacity(table);
        }
        self.free.pop()
    }
}
