// SPDX-License-Identifier: GPL-2.0

//! The zones of a host-managed disk.
//!
//! VIRTIO 1.4, 5.2.6 "Device Operation", what it says of `VIRTIO_BLK_F_ZONED`. Errors are the status
//! of the request.

use super::{
    blk::{
        IOERR,
        UNSUPP, //
    },
    fault::Fault, //
};

/// Append to a zone (`VIRTIO_BLK_T_ZONE_APPEND`).
pub const APPEND: u32 = 15;
/// Tell what zones there are (`VIRTIO_BLK_T_ZONE_REPORT`).
pub const REPORT: u32 = 16;
/// Open a zone (`VIRTIO_BLK_T_ZONE_OPEN`).
pub const OPEN: u32 = 18;
/// Close a zone (`VIRTIO_BLK_T_ZONE_CLOSE`).
pub const CLOSE: u32 = 20;
/// Make a zone full (`VIRTIO_BLK_T_ZONE_FINISH`).
pub const FINISH: u32 = 22;
/// Make a zone empty (`VIRTIO_BLK_T_ZONE_RESET`).
pub const RESET: u32 = 24;
/// Make all zones empty (`VIRTIO_BLK_T_ZONE_RESET_ALL`).
pub const RESET_ALL: u32 = 26;

/// Not possible for such a zone (`VIRTIO_BLK_S_ZONE_INVALID_CMD`).
const INVALID_CMD: u8 = 3;
/// Not at the write pointer (`VIRTIO_BLK_S_ZONE_UNALIGNED_WP`).
const UNALIGNED_WP: u8 = 4;
/// Too many zones would be open (`VIRTIO_BLK_S_ZONE_OPEN_RESOURCE`).
const OPEN_RESOURCE: u8 = 5;
/// Too many zones would be active (`VIRTIO_BLK_S_ZONE_ACTIVE_RESOURCE`).
const ACTIVE_RESOURCE: u8 = 6;

/// Bytes of the head of a report, and of a descriptor in it.
pub const ENTRY: usize = 64;

/// What all zones of a disk have in common. Sizes are in sectors.
#[derive(Clone, Copy, Debug, Default)]
pub struct ZoneLimits {
    /// The size of a zone.
    pub size: u64,
    /// How much of it can be written.
    pub capacity: u64,
    /// How many zones at the start of the disk can be written in any order.
    pub conventional: u64,
    /// How many zones may be open; 0 for any number.
    pub max_open: usize,
    /// How many may be open or closed; 0 for any number.
    pub max_active: usize,
    /// The most that can be appended at once; 0 for a disk that cannot.
    pub max_append: u64,
    /// What is written has to be a multiple of it.
    pub granularity: u64,
}

/// What a zone is like: `VIRTIO_BLK_ZS_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum State {
    NotWritePointer = 0,
    Empty = 1,
    ImplicitOpen = 2,
    ExplicitOpen = 3,
    Closed = 4,
    Full = 14,
}

impl State {
    fn is_open(self) -> bool {
        matches!(self, Self::ImplicitOpen | Self::ExplicitOpen)
    }

    fn is_active(self) -> bool {
        self.is_open() || self == Self::Closed
    }
}

/// One zone.
#[derive(Clone, Copy, Debug)]
pub struct Zone {
    state: State,
    /// How many sectors are written.
    written: u64,
}

impl Zone {
    /// Makes the zone with the given number, as it is at first.
    pub fn new(number: u64, limits: &ZoneLimits) -> Self {
        Self {
            state: if number < limits.conventional {
                State::NotWritePointer
            } else {
                State::Empty
            },
            written: 0,
        }
    }

    fn is_conventional(self) -> bool {
        self.state == State::NotWritePointer
    }
}

/// All zones of a disk.
pub struct Zones<'a> {
    /// What they have in common.
    pub limits: ZoneLimits,
    /// The zones in their order.
    pub zones: &'a mut [Zone],
    /// The size of the disk in sectors.
    pub sectors: u64,
    /// What is wrong with the answers.
    pub fault: Fault,
}

impl Zones<'_> {
    /// Finds the zone with a sector, and where in it this is.
    fn find(&self, sector: u64) -> Result<(usize, u64), u8> {
        let size = self.limits.size.max(1);
        // CAST: Bounded by the number of zones.
        let index = (sector / size) as usize;
        if index < self.zones.len() {
            Ok((index, sector % size))
        } else {
            Err(IOERR)
        }
    }

    /// Finds the zone that starts at a sector (BLK-ZONE-4, BLK-ZONE-6).
    fn find_start(&self, sector: u64) -> Result<usize, u8> {
        match self.find(sector)? {
            (index, 0) => Ok(index),
            _ => Err(INVALID_CMD),
        }
    }

    fn count(&self, which: fn(State) -> bool) -> usize {
        self.zones.iter().filter(|zone| which(zone.state)).count()
    }

    /// Opens a zone, if there are not too many; a zone that was opened by a write makes room.
    fn open(&mut self, index: usize, state: State) -> Result<(), u8> {
        let (max_open, max_active) = (self.limits.max_open, self.limits.max_active);
        let now = self.zones[index].state;
        if now == State::Full || now == State::NotWritePointer {
            return Err(INVALID_CMD);
        }
        if !now.is_active() && max_active != 0 && self.count(State::is_active) >= max_active {
            return Err(ACTIVE_RESOURCE);
        }
        if !now.is_open() && max_open != 0 && self.count(State::is_open) >= max_open {
            let other = self
                .zones
                .iter_mut()
                .find(|zone| zone.state == State::ImplicitOpen);
            other.ok_or(OPEN_RESOURCE)?.state = State::Closed;
        }
        if now != State::ExplicitOpen {
            self.zones[index].state = state;
        }
        Ok(())
    }

    /// Writes `sectors` sectors to a zone that is not conventional, from `offset` in it on.
    fn advance(&mut self, index: usize, offset: u64, sectors: u64) -> Result<(), u8> {
        let ZoneLimits {
            capacity,
            granularity,
            ..
        } = self.limits;
        let zone = self.zones[index];
        if zone.state == State::Full {
            return Err(INVALID_CMD);
        }
        // BLK-ZONE-7, BLK-ZONE-10 to BLK-ZONE-12.
        if sectors % granularity.max(1) != 0 || zone.written != offset {
            return Err(UNALIGNED_WP);
        }
        if offset + sectors > capacity {
            return Err(INVALID_CMD);
        }
        self.open(index, State::ImplicitOpen)?;
        let zone = &mut self.zones[index];
        zone.written += sectors;
        if zone.written == capacity {
            zone.state = State::Full;
        }
        Ok(())
    }

    /// Accepts a write.
    pub fn write(&mut self, sector: u64, sectors: u64) -> Result<(), u8> {
        let (index, offset) = self.find(sector)?;
        if offset + sectors > self.limits.size {
            return Err(INVALID_CMD);
        }
        if self.zones[index].is_conventional() {
            return Ok(());
        }
        self.advance(index, offset, sectors)
    }

    /// Accepts data for the zone at a sector, and returns the sector where it goes.
    pub fn append(&mut self, sector: u64, sectors: u64) -> Result<u64, u8> {
        if self.limits.max_append == 0 {
            return Err(UNSUPP);
        }
        let index = self.find_start(sector)?;
        let zone = self.zones[index];
        // BLK-ZONE-8.
        if zone.is_conventional() || sectors > self.limits.max_append {
            return Err(INVALID_CMD);
        }
        self.advance(index, zone.written, sectors)?;
        Ok(sector + zone.written)
    }

    /// What the driver is told of where its data went.
    pub fn appended_at(&self, sector: u64) -> u64 {
        match self.fault {
            Fault::AppendElsewhere => sector + self.limits.size,
            _ => sector,
        }
    }

    /// Changes a zone, or all of them. Returns the sectors that are forgotten: start and length.
    pub fn manage(&mut self, kind: u32, sector: u64) -> Result<(u64, u64), u8> {
        if kind == RESET_ALL {
            // BLK-ZONE-5.
            if sector != 0 {
                return Err(INVALID_CMD);
            }
            let first = self.limits.conventional * self.limits.size;
            for zone in self.zones.iter_mut().filter(|zone| !zone.is_conventional()) {
                (zone.state, zone.written) = (State::Empty, 0);
            }
            return Ok((first, self.sectors.saturating_sub(first)));
        }
        let index = self.find_start(sector)?;
        let zone = self.zones[index];
        if zone.is_conventional() {
            return Err(INVALID_CMD);
        }
        match kind {
            OPEN => self.open(index, State::ExplicitOpen)?,
            CLOSE if zone.state.is_open() => {
                self.zones[index].state = if zone.written == 0 {
                    State::Empty
                } else {
                    State::Closed
                };
            }
            CLOSE if zone.state == State::Closed => {}
            FINISH => self.zones[index].state = State::Full,
            RESET => {
                let zone = &mut self.zones[index];
                (zone.state, zone.written) = (State::Empty, 0);
                let end = self.sectors.min(sector + self.limits.size);
                return Ok((sector, end - sector));
            }
            _ => return Err(INVALID_CMD),
        }
        Ok((0, 0))
    }

    /// Makes a report from the zone with a sector on, in entries: a head that says how many
    /// descriptors follow, and these. `room` is how many entries there is room for.
    pub fn report(
        &self,
        sector: u64,
        room: usize,
    ) -> Result<impl Iterator<Item = [u8; ENTRY]> + '_, u8> {
        let (first, _) = self.find(sector)?;
        let count = (self.zones.len() - first).min(room.saturating_sub(1));
        let said = match self.fault {
            Fault::ZoneCount => u64::MAX,
            _ => count as u64,
        };
        let head = entry([said, 0, 0, 0]);
        let zones = (first..first + count).map(|index| self.describe(index));
        Ok(core::iter::once(head).chain(zones))
    }

    fn describe(&self, index: usize) -> [u8; ENTRY] {
        let zone = self.zones[index];
        let start = index as u64 * self.limits.size;
        let len = self.limits.size.min(self.sectors - start);
        let (capacity, zone_type) = if zone.is_conventional() {
            (len, 1)
        } else {
            (len.min(self.limits.capacity), 2)
        };
        let zone_type = match self.fault {
            Fault::ZoneType => 77,
            _ => zone_type,
        };
        let state = match self.fault {
            Fault::ZoneState => 77,
            _ => u64::from(zone.state as u8),
        };
        let told_start = match self.fault {
            Fault::ZoneOrder => start + self.limits.size,
            _ => start,
        };
        // The pointer has no meaning for a full zone.
        let pointer = match zone.state {
            State::Full => u64::MAX,
            _ => start + zone.written,
        };
        entry([capacity, told_start, pointer, zone_type | state << 8])
    }
}

/// Makes an entry that begins with four little-endian numbers.
fn entry(words: [u64; 4]) -> [u8; ENTRY] {
    let mut bytes = [0; ENTRY];
    let (chunks, _) = bytes.as_chunks_mut::<8>();
    for (chunk, word) in chunks.iter_mut().zip(words) {
        *chunk = word.to_le_bytes();
    }
    bytes
}
