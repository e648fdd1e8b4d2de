// SPDX-License-Identifier: GPL-2.0

//! The parts of requests that the device sees besides the data: header, status, descriptors.
//!
//! Every tag of a queue has a slot in one area of shared memory, made when the queue is set up, so
//! that a request allocates nothing. A slot has a table of indirect descriptors that is large
//! enough for common requests; [`Slots::spare`] gives the few larger tables that a queue has.
//!
//! ```text
//! 0       header          device reads
//! 16      status          device writes
//! 32      descriptors     device reads
//! ```

use kernel::{
    device::Bound,
    prelude::*, //
};
use virtio::Device;
use virtio_ring::{
    Area,
    Segment,
    Table, //
};

use crate::{
    limits::EXTRA_DESCRIPTORS,
    wire::{
        DeviceStatus,
        HEADER_LEN, //
    },
};

const STATUS: usize = HEADER_LEN;
const TABLE: usize = 32;
const DESC_LEN: usize = 16;

/// How many segments of data fit into the table of a slot: a request of 64 KiB in single pages.
const SLOT_SEGMENTS: u16 = 16;
const SLOT_CAPACITY: u16 = SLOT_SEGMENTS + EXTRA_DESCRIPTORS;
const SLOT_LEN: usize = TABLE + DESC_LEN * SLOT_CAPACITY as usize;

/// How many requests of a queue can be larger than that at the same time, and how much memory
/// their tables may take.
const MAX_SPARES: usize = 32;
const MAX_SPARES_LEN: usize = 1 << 20;

/// The slots of one queue.
pub(crate) struct Slots {
    area: Area,
    count: usize,
    spares: Option<Spares>,
}

/// The larger tables of a queue.
struct Spares {
    area: Area,
    capacity: u16,
}

/// The right to use one of the larger tables.
pub(crate) struct Spare(u16);

impl Slots {
    /// Makes slots for `count` tags and requests of up to `max_segments` segments, and the rights
    /// to use the larger tables. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        dev: &Device<Bound>,
        count: u16,
        max_segments: u16,
    ) -> Result<(Self, KVec<Spare>)> {
        let mut rights = KVec::new();
        let spares = if max_segments > SLOT_SEGMENTS {
            let capacity = max_segments.saturating_add(EXTRA_DESCRIPTORS);
            let table_len = usize::from(capacity) * DESC_LEN;
            let number = usize::from(count)
                .min(MAX_SPARES)
                .min(MAX_SPARES_LEN / table_len)
                .max(1);
            for index in 0..number {
                // CAST: At most `MAX_SPARES`.
                rights.push(Spare(index as u16), GFP_KERNEL)?;
            }
            let len = number * table_len;
            let area = Area::new(dev, len)?;
            Some(Spares { area, capacity })
        } else {
            None
        };
        let count = usize::from(count);
        let area = Area::new(dev, count * SLOT_LEN)?;
        let slots = Self {
            area,
            count,
            spares,
        };
        Ok((slots, rights))
    }

    /// Returns the slot of a tag.
    #[inline]
    pub(crate) fn get(&self, tag: u32) -> Option<Slot<'_>> {
        let index = usize::try_from(tag).ok()?;
        (index < self.count).then(|| Slot {
            area: &self.area,
            start: index * SLOT_LEN,
        })
    }

    /// Returns a larger table.
    pub(crate) fn spare(&self, spare: &Spare) -> Option<TablePlace<'_>> {
        let spares = self.spares.as_ref()?;
        Some(TablePlace {
            area: &spares.area,
            offset: usize::from(spare.0) * usize::from(spares.capacity) * DESC_LEN,
            capacity: spares.capacity,
        })
    }
}

/// Where a table of descriptors can be made.
#[derive(Clone, Copy)]
pub(crate) struct TablePlace<'a> {
    area: &'a Area,
    offset: usize,
    capacity: u16,
}

impl<'a> TablePlace<'a> {
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

/// The slot of one tag.
#[derive(Clone, Copy)]
pub(crate) struct Slot<'a> {
    area: &'a Area,
    start: usize,
}

impl<'a> Slot<'a> {
    /// Returns whether the slot's own table is large enough for so many segments of data.
    #[inline]
    pub(crate) fn has_room_for(segments: u16) -> bool {
        segments <= SLOT_SEGMENTS
    }

    /// Fills in the header, and presets the status (H7, D33).
    #[inline]
    pub(crate) fn prepare(&self, [first, second]: [u64; 2]) {
        self.area.write_le64(self.start, first);
        self.area.write_le64(self.start + 8, second);
        self.area
            .write(self.start + STATUS, &[DeviceStatus::PENDING.0]);
    }

    /// Returns the header as the device is told about it.
    #[inline]
    pub(crate) fn header(&self) -> Option<Segment> {
        self.area.segment(self.start, HEADER_LEN as u32)
    }

    /// Returns the status as the device is told about it.
    #[inline]
    pub(crate) fn status_byte(&self) -> Option<Segment> {
        self.area.segment(self.start + STATUS, 1)
    }

    /// Reads what the device wrote as the status.
    #[inline]
    pub(crate) fn status(&self) -> DeviceStatus {
        self.area
            .read_u8(self.start + STATUS)
            .map_or(DeviceStatus::PENDING, DeviceStatus)
    }

    /// Returns the slot's own table.
    #[inline]
    pub(crate) fn table(&self) -> TablePlace<'a> {
        TablePlace {
            area: self.area,
            offset: self.start + TABLE,
            capacity: SLOT_CAPACITY,
        }
    }
}
