// SPDX-License-Identifier: GPL-2.0

//! Reports of the zones of a disk.
//!
//! Implements `VIRTIO_BLK_T_ZONE_REPORT` of VIRTIO 1.4, 5.2.6 "Device Operation". What the device
//! reports is checked before the block layer sees it: zones come in their order, each where it has
//! to be, with a type and a state that are known.

use core::sync::atomic::{
    AtomicBool,
    Ordering, //
};

use blk_mq::{
    GenDisk,
    Zone,
    ZoneCondition,
    ZoneReport,
    ZoneType, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

use crate::{
    limits::{
        Limits,
        SECTOR_SIZE, //
    },
    operations::{
        ask,
        Disks, //
    },
    wire::Kind,
    zones::{
        self,
        Descriptor,
        DESCRIPTOR_LEN,
        REPORT_HEADER_LEN, //
    },
};

/// The most memory for the answer to one request: a thousand zones.
const MAX_PAGES: usize = 16;

/// How the zones of a disk can be asked for.
pub(crate) struct Reporting {
    /// The size of a zone in sectors, a power of two.
    zone_sectors: u64,
    /// Whether the last report made no sense, so that the log has it once.
    is_bad: AtomicBool,
}

impl Reporting {
    /// Takes what is needed from the limits of a disk; nothing for one without zones.
    pub(crate) fn new(limits: &Limits) -> Option<Self> {
        let zones = limits.zones?;
        Some(Self {
            zone_sectors: zones.zone_sectors.into(),
            is_bad: AtomicBool::new(false),
        })
    }
}

/// Makes room for the report of so many zones, or of as many as one request within the limits can
/// read.
fn buffer(wanted: u32, limits: &Limits) -> Result<KVVec<u8>> {
    // CAST: No overflow on 64-bit kernels, and pages are larger than sectors.
    let pages_of_request = limits.max_sectors as usize / (PAGE_SIZE / SECTOR_SIZE as usize);
    let max_pages = pages_of_request
        .min(limits.max_segments.into())
        .clamp(1, MAX_PAGES);
    let wanted = (wanted as usize)
        .saturating_mul(DESCRIPTOR_LEN)
        .saturating_add(REPORT_HEADER_LEN);
    let pages = wanted.div_ceil(PAGE_SIZE).clamp(1, max_pages);
    KVVec::from_elem(0, pages * PAGE_SIZE, GFP_KERNEL).map_err(Into::into)
}

/// Reports the zones of a disk, from the one with the given sector on.
///
/// # Errors
///
/// `EOPNOTSUPP` for a disk without zones, `EINVAL` if there are none from that sector on, `ENOMEM`,
/// `EIO` for a device that fails or says what cannot be; what [`ZoneReport::push`] returns.
pub(crate) fn report_zones(
    disk: &GenDisk<Disks>,
    sector: u64,
    report: &mut ZoneReport<'_, Disks>,
) -> Result {
    let shared = disk.queue_data();
    let reporting = shared.reporting.as_ref().ok_or(EOPNOTSUPP)?;
    let mut buffer = buffer(report.wanted(), &shared.settings.told().limits)?;
    let mut start = sector & !reporting.zone_sectors.wrapping_sub(1);

    while report.wanted() > 0 && start < disk.capacity() {
        buffer.fill(0);
        ask(disk, Kind::ZoneReport, start, Some(&mut buffer))?.to_result()?;
        let (header, entries) = buffer
            .split_first_chunk::<REPORT_HEADER_LEN>()
            .ok_or(EINVAL)?;
        let (entries, _) = entries.as_chunks::<DESCRIPTOR_LEN>();
        let count = usize::try_from(zones::reported(header)).unwrap_or(usize::MAX);
        if count == 0 {
            break;
        }
        for entry in entries.iter().take(count) {
            if report.wanted() == 0 || start >= disk.capacity() {
                break;
            }
            let descriptor = Descriptor::parse(entry);
            let zone = check(&descriptor, start, reporting.zone_sectors, disk.capacity())
                .inspect_err(|_| {
                    if !reporting.is_bad.swap(true, Ordering::Relaxed) {
                        dev_err!(
                            shared.dev,
                            "[{}] zone at sector {} makes no sense: {:?}\n",
                            disk.name(),
                            start,
                            descriptor
                        );
                    }
                })?;
            report.push(&zone)?;
            // No overflow: the zone starts within the capacity.
            start += reporting.zone_sectors;
        }
    }
    if report.reported() == 0 {
        return Err(EINVAL);
    }
    reporting.is_bad.store(false, Ordering::Relaxed);
    Ok(())
}

/// Makes what the block layer knows of the descriptor of the zone that starts at `start`.
///
/// # Errors
///
/// `EIO` for what cannot be.
fn check(descriptor: &Descriptor, start: u64, zone_sectors: u64, capacity: u64) -> Result<Zone> {
    // The last zone may be smaller.
    let len = zone_sectors.min(capacity.saturating_sub(start));
    let zone_type = match descriptor.zone_type {
        1 => ZoneType::Conventional,
        2 => ZoneType::SequentialRequired,
        3 => ZoneType::SequentialPreferred,
        _ => return Err(EIO),
    };
    let condition = match descriptor.state {
        0 => ZoneCondition::NotWritePointer,
        1 => ZoneCondition::Empty,
        2 => ZoneCondition::ImplicitOpen,
        3 => ZoneCondition::ExplicitOpen,
        4 => ZoneCondition::Closed,
        13 => ZoneCondition::ReadOnly,
        14 => ZoneCondition::Full,
        15 => ZoneCondition::Offline,
        _ => return Err(EIO),
    };
    let is_conventional = zone_type == ZoneType::Conventional;
    let is_lost = matches!(condition, ZoneCondition::ReadOnly | ZoneCondition::Offline);
    if descriptor.start != start
        || descriptor.capacity == 0
        || descriptor.capacity > len
        || !is_lost && is_conventional != (condition == ZoneCondition::NotWritePointer)
    {
        return Err(EIO);
    }
    let told = descriptor.write_pointer;
    let write_pointer = match condition {
        ZoneCondition::Full => start + len,
        ZoneCondition::ReadOnly | ZoneCondition::Offline | ZoneCondition::NotWritePointer => {
            u64::MAX
        }
        ZoneCondition::Empty if told == start => told,
        ZoneCondition::ImplicitOpen | ZoneCondition::ExplicitOpen | ZoneCondition::Closed
            if (start..=start + descriptor.capacity).contains(&told) =>
        {
            told
        }
        _ => return Err(EIO),
    };
    Ok(Zone {
        start,
        len,
        capacity: descriptor.capacity,
        write_pointer,
        zone_type,
        condition,
    })
}
