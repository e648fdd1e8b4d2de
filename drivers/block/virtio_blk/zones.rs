// SPDX-License-Identifier: GPL-2.0

//! What a zoned device says of its zones.
//!
//! Implements the passive part of VIRTIO 1.4, 5.2.4 "Device configuration layout" and 5.2.6 "Device
//! Operation" as far as `VIRTIO_BLK_F_ZONED` is about it. Nothing here is believed: what makes no
//! sense is refused. *Core-only*.

use core::fmt;

use crate::limits::SECTOR_SIZE;

/// The model of devices whose zones must be written from start to end (`VIRTIO_BLK_Z_HM`).
pub const HOST_MANAGED: u8 = 1;

/// Drive-managed (`VIRTIO_BLK_Z_NONE`) and host-aware (`VIRTIO_BLK_Z_HA`) devices, which can be used
/// like any other disk (BLK-INIT-10, BLK-INIT-11).
const ORDINARY: [u8; 2] = [0, 2];

/// The most zones that a disk may have: the block layer keeps some hundred bytes for each that is
/// written in part. These are 64 TiB in zones of 256 MiB.
const MAX_ZONES: u64 = 1 << 18;

/// The most open or active zones that are made use of: the block layer wants a worker for each, of
/// which a queue of work has no more.
const MAX_OPEN_ZONES: u32 = 2048;

/// The characteristics of a zoned device: `VIRTIO_BLK_F_ZONED`.
#[derive(Clone, Copy, Debug)]
pub struct Zoned {
    /// The size of a zone in sectors.
    pub zone_sectors: u32,
    /// How many zones may be open; 0 for any number.
    pub max_open_zones: u32,
    /// How many zones may be open or closed with something in them; 0 for any number.
    pub max_active_zones: u32,
    /// The most sectors in a zone append; 0 if the device does not know such requests.
    pub max_append_sectors: u32,
    /// What writes into a zone are multiples of, in bytes.
    pub write_granularity: u32,
    /// Which kind of zones these are.
    pub model: u8,
}

/// The limits of a disk with zones, all checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneLimits {
    /// The size of a zone in sectors, a power of two.
    pub zone_sectors: u32,
    /// How many zones may be open; 0 for any number.
    pub max_open_zones: u32,
    /// How many zones may be active; 0 for any number.
    pub max_active_zones: u32,
    /// The most sectors in a zone append; 0 if the block layer has to make writes of them.
    pub max_append_sectors: u32,
    /// What writes into a zone are multiples of, in bytes: a power of two.
    pub write_granularity: u32,
}

/// Why a zoned device is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A model that the specification does not know.
    Model(u8),
    /// The size of a zone in sectors is no power of two, or less than a block.
    ZoneSize(u32),
    /// The unit of writing in bytes is no power of two, or more than a zone.
    WriteGranularity(u32),
    /// A zone append of so many sectors is less than a unit of writing.
    AppendSectors(u32),
    /// More zones may be open than active.
    OpenZones(u32),
    /// There are more zones than can be kept.
    Count(u64),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Model(model) => write!(f, "unsupported zone model {model:#x}"),
            Self::ZoneSize(sectors) => write!(f, "invalid zone size: {sectors} sectors"),
            Self::WriteGranularity(bytes) => {
                write!(f, "invalid write granularity of zones: {bytes} bytes")
            }
            Self::AppendSectors(sectors) => {
                write!(f, "invalid zone append limit: {sectors} sectors")
            }
            Self::OpenZones(count) => {
                write!(
                    f,
                    "invalid zone limits: {count} may be open, but fewer active"
                )
            }
            Self::Count(count) => write!(f, "too many zones: {count}"),
        }
    }
}

impl Zoned {
    /// Checks the characteristics, for a disk of so many sectors with blocks of `block` bytes. A disk
    /// that can be used like one without zones has no limits on them.
    pub fn limits(&self, capacity: u64, block: u32) -> Result<Option<ZoneLimits>, Refusal> {
        if ORDINARY.contains(&self.model) {
            return Ok(None);
        }
        if self.model != HOST_MANAGED {
            return Err(Refusal::Model(self.model));
        }
        let zone_bytes = u64::from(self.zone_sectors) * u64::from(SECTOR_SIZE);
        // The block layer knows no others.
        if !self.zone_sectors.is_power_of_two() || zone_bytes < u64::from(block) {
            return Err(Refusal::ZoneSize(self.zone_sectors));
        }
        let count = capacity.div_ceil(self.zone_sectors.into());
        if count > MAX_ZONES {
            return Err(Refusal::Count(count));
        }
        let granularity = self.write_granularity;
        if !granularity.is_power_of_two() || u64::from(granularity) > zone_bytes {
            return Err(Refusal::WriteGranularity(granularity));
        }
        let append_bytes = u64::from(self.max_append_sectors) * u64::from(SECTOR_SIZE);
        if append_bytes != 0 && append_bytes < u64::from(granularity.max(block)) {
            return Err(Refusal::AppendSectors(self.max_append_sectors));
        }
        if self.max_active_zones != 0 && self.max_open_zones > self.max_active_zones {
            return Err(Refusal::OpenZones(self.max_open_zones));
        }
        Ok(Some(ZoneLimits {
            zone_sectors: self.zone_sectors,
            max_open_zones: self.max_open_zones.min(MAX_OPEN_ZONES),
            max_active_zones: self.max_active_zones.min(MAX_OPEN_ZONES),
            max_append_sectors: self.max_append_sectors,
            write_granularity: granularity.max(block),
        }))
    }
}

impl ZoneLimits {
    /// As [`Limits::shortfall`](crate::limits::Limits::shortfall).
    pub(crate) fn shortfall(&self, before: &Self) -> Option<&'static str> {
        // 0 is no limit on how many zones may be open.
        let as_many = |now: u32, before: u32| now == 0 || (before != 0 && now >= before);
        [
            ("zone_sectors", self.zone_sectors == before.zone_sectors),
            (
                "write_granularity",
                self.write_granularity <= before.write_granularity,
            ),
            (
                "max_append_sectors",
                self.max_append_sectors >= before.max_append_sectors,
            ),
            (
                "max_open_zones",
                as_many(self.max_open_zones, before.max_open_zones),
            ),
            (
                "max_active_zones",
                as_many(self.max_active_zones, before.max_active_zones),
            ),
        ]
        .into_iter()
        .find_map(|(field, is_enough)| (!is_enough).then_some(field))
    }

    /// Returns whether a device may say that it has appended `sectors` sectors at sector `at`, when
    /// it was asked to append to the zone that starts at `zone`.
    pub fn holds(&self, zone: u64, at: u64, sectors: u64) -> bool {
        at >= zone
            && at
                .checked_add(sectors)
                .zip(zone.checked_add(self.zone_sectors.into()))
                .is_some_and(|(end, zone_end)| end <= zone_end)
    }
}

/// The length of the head of a zone report, which says how many descriptors follow.
pub const REPORT_HEADER_LEN: usize = 64;

/// The length of the descriptor of a zone.
pub const DESCRIPTOR_LEN: usize = 64;

/// Takes the number of descriptors out of the head of a report.
pub fn reported(header: &[u8; REPORT_HEADER_LEN]) -> u64 {
    let [count, ..] = words(header);
    count
}

/// What a report says of a zone, whatever that is. Numbers are in sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// How much can be written.
    pub capacity: u64,
    /// Where the zone starts.
    pub start: u64,
    /// Where the next write goes.
    pub write_pointer: u64,
    /// How the zone can be written.
    pub zone_type: u8,
    /// What the zone is like now.
    pub state: u8,
}

impl Descriptor {
    /// Takes a descriptor apart.
    pub fn parse(bytes: &[u8; DESCRIPTOR_LEN]) -> Self {
        let [capacity, start, write_pointer, rest, ..] = words(bytes);
        let [zone_type, state, ..] = rest.to_le_bytes();
        Self {
            capacity,
            start,
            write_pointer,
            zone_type,
            state,
        }
    }
}

/// Takes little-endian words out of an entry.
fn words(bytes: &[u8; 64]) -> [u64; 8] {
    let mut words = [0; 8];
    let (chunks, _) = bytes.as_chunks::<8>();
    for (word, chunk) in words.iter_mut().zip(chunks) {
        *word = u64::from_le_bytes(*chunk);
    }
    words
}
