// SPDX-License-Identifier: GPL-2.0

//! The parts of requests that the device sees besides the data: header, status, descriptors.
//!
//! Every tag of a queue has a slot in one area of shared memory, made when the queue is set up, so
//! that a common request allocates nothing. A slot has a table of indirect descriptors that is
//! large enough for a few segments; [`crate::tables`] has larger ones.
//!
//! ```text
//! 0       header          device reads
//! 16      append sector   device writes, if asked to append to a zone
//! 24      status          device writes
//! 32      descriptors     device reads
//! ```

use kernel::{
    device::Bound,
    prelude::*, //
};
use virtio::Device;
use virtio_ring::{
    Area,
    Segment, //
};

use crate::{
    limits::EXTRA_DESCRIPTORS,
    tables::{
        TablePlace,
        DESC_LEN, //
    },
    wire::{
        DeviceStatus,
        Kind,
        HEADER_LEN, //
    },
};

const APPEND_SECTOR: usize = HEADER_LEN;
const STATUS: usize = APPEND_SECTOR + 8;
const TABLE: usize = 32;

/// How many segments of data fit into the table of a slot, which is thereby two cache lines long.
const SLOT_SEGMENTS: u16 = 4;
const SLOT_CAPACITY: u16 = SLOT_SEGMENTS + EXTRA_DESCRIPTORS;
const SLOT_LEN: usize = TABLE + DESC_LEN * SLOT_CAPACITY as usize;

/// The slots of one queue.
pub(crate) struct Slots {
    area: Area,
    count: usize,
}

impl Slots {
    /// Makes slots for `count` tags. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(dev: &Device<Bound>, count: u16) -> Result<Self> {
        let count = usize::from(count);
        let area = Area::new(dev, count * SLOT_LEN)?;
        Ok(Self { area, count })
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

    /// Returns what the device writes besides data, as it is told about it: the status, and in
    /// front of it where data was appended.
    #[inline]
    pub(crate) fn answer(&self, kind: Kind) -> Option<Segment> {
        let start = if kind == Kind::ZoneAppend {
            APPEND_SECTOR
        } else {
            STATUS
        };
        // CAST: At most nine bytes.
        self.area
            .segment(self.start + start, (STATUS + 1 - start) as u32)
    }

    /// Reads where the device says that it has appended the data.
    pub(crate) fn append_sector(&self) -> Option<u64> {
        let mut sector = [0; 8];
        self.area
            .read(self.start + APPEND_SECTOR, &mut sector)
            .then(|| u64::from_le_bytes(sector))
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
        TablePlace::new(self.area, self.start + TABLE, SLOT_CAPACITY)
    }
}
