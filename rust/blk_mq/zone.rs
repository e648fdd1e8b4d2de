// SPDX-License-Identifier: GPL-2.0

//! Zones: areas of a disk that are written from start to end.
//!
//! C header: [`include/linux/blkzoned.h`](srctree/include/linux/blkzoned.h)

use crate::{
    GenDisk,
    NewDisk,
    Operations, //
};
use bindings_ext as bindings;
use kernel::prelude::*;

/// How a zone can be written, a `BLK_ZONE_TYPE_*` value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneType {
    /// In any order.
    Conventional,
    /// From start to end only.
    SequentialRequired,
    /// Best from start to end.
    SequentialPreferred,
}

impl ZoneType {
    /// What C expects.
    fn into_raw(self) -> bindings::blk_zone_type {
        match self {
            Self::Conventional => bindings::blk_zone_type_BLK_ZONE_TYPE_CONVENTIONAL,
            Self::SequentialRequired => bindings::blk_zone_type_BLK_ZONE_TYPE_SEQWRITE_REQ,
            Self::SequentialPreferred => bindings::blk_zone_type_BLK_ZONE_TYPE_SEQWRITE_PREF,
        }
    }
}

/// What a zone is like now, a `BLK_ZONE_COND_*` value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneCondition {
    /// It has no write pointer.
    NotWritePointer,
    /// Nothing is written.
    Empty,
    /// Opened by a write.
    ImplicitOpen,
    /// Opened by a request.
    ExplicitOpen,
    /// Written in part, and closed.
    Closed,
    /// It can only be read.
    ReadOnly,
    /// Written to its end.
    Full,
    /// It is of no use.
    Offline,
}

impl ZoneCondition {
    /// What C expects.
    fn into_raw(self) -> bindings::blk_zone_cond {
        match self {
            Self::NotWritePointer => bindings::blk_zone_cond_BLK_ZONE_COND_NOT_WP,
            Self::Empty => bindings::blk_zone_cond_BLK_ZONE_COND_EMPTY,
            Self::ImplicitOpen => bindings::blk_zone_cond_BLK_ZONE_COND_IMP_OPEN,
            Self::ExplicitOpen => bindings::blk_zone_cond_BLK_ZONE_COND_EXP_OPEN,
            Self::Closed => bindings::blk_zone_cond_BLK_ZONE_COND_CLOSED,
            Self::ReadOnly => bindings::blk_zone_cond_BLK_ZONE_COND_READONLY,
            Self::Full => bindings::blk_zone_cond_BLK_ZONE_COND_FULL,
            Self::Offline => bindings::blk_zone_cond_BLK_ZONE_COND_OFFLINE,
        }
    }
}

/// A zone. All numbers are in sectors of 512 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Where it starts.
    pub start: u64,
    /// Its length.
    pub len: u64,
    /// How much of that can be used.
    pub capacity: u64,
    /// Where the next write goes; `u64::MAX` if that has no meaning.
    pub write_pointer: u64,
    /// How it can be written.
    pub zone_type: ZoneType,
    /// What it is like now.
    pub condition: ZoneCondition,
}

/// Takes the zones that [`Operations::report_zones`] finds.
///
/// # Invariants
///
/// `disk` and `args` are those of a call of the C callback that is still running.
pub struct ZoneReport<'a, O: Operations> {
    disk: &'a GenDisk<O>,
    args: *mut bindings::blk_report_zones_args,
    reported: u32,
    max: u32,
}

impl<'a, O: Operations> ZoneReport<'a, O> {
    /// Begins a report of `max` zones at most.
    ///
    /// # Safety
    ///
    /// `args` must come from the C callback for `disk`, which must run during `'a`.
    pub(crate) unsafe fn from_raw(
        disk: &'a GenDisk<O>,
        args: *mut bindings::blk_report_zones_args,
        max: u32,
    ) -> Self {
        // INVARIANT: By the requirements of this function. More than C can count are not asked
        // for in earnest.
        Self {
            disk,
            args,
            reported: 0,
            max: max.min(c_int::MAX as u32),
        }
    }

    /// How many zones were reported.
    pub fn reported(&self) -> u32 {
        self.reported
    }

    /// How many zones are still wanted.
    pub fn wanted(&self) -> u32 {
        self.max - self.reported
    }

    /// Reports the next zone, in the order of the disk.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if no more are wanted; else what whoever asked returns, such as `ENODEV` for a
    /// zone that cannot be. The report should end with this error.
    pub fn push(&mut self, zone: &Zone) -> Result {
        if self.wanted() == 0 {
            return Err(ENOSPC);
        }

        // CAST: The values are single bytes in C as well.
        let mut raw = bindings::blk_zone {
            start: zone.start,
            len: zone.len,
            wp: zone.write_pointer,
            type_: zone.zone_type.into_raw() as u8,
            cond: zone.condition.into_raw() as u8,
            capacity: zone.capacity,
            ..pin_init::zeroed()
        };

        Self::report(self.disk, &mut raw, self.reported, self.args)?;
        // Cannot overflow: less than `max`.
        self.reported += 1;
        Ok(())
    }

    /// Hands a zone to whoever asked.
    #[cfg(CONFIG_BLK_DEV_ZONED)]
    fn report(
        disk: &GenDisk<O>,
        zone: &mut bindings::blk_zone,
        index: u32,
        args: *mut bindings::blk_report_zones_args,
    ) -> Result {
        // SAFETY: By the type invariant, disk and arguments belong to the running callback.
        kernel::error::to_result(unsafe {
            bindings::disk_report_zone(disk.as_raw(), zone, index, args)
        })
    }

    /// Nobody asks for zones in a kernel without.
    #[cfg(not(CONFIG_BLK_DEV_ZONED))]
    fn report(
        _disk: &GenDisk<O>,
        _zone: &mut bindings::blk_zone,
        _index: u32,
        _args: *mut bindings::blk_report_zones_args,
    ) -> Result {
        Err(EOPNOTSUPP)
    }
}

impl<O: Operations> NewDisk<O> {
    /// Reads all zones and prepares to manage them; needed once before a disk with
    /// [`Features::ZONED`](crate::Features::ZONED) is added. Requests must work.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a disk without zones, `ENODEV` for zones that cannot be, `ENOMEM`,
    /// `EOPNOTSUPP` if the kernel does not manage zones, and what
    /// [`Operations::report_zones`] returns.
    pub fn revalidate_zones(&self) -> Result {
        if !self.is_zoned() {
            return Err(EINVAL);
        }
        self.revalidate()
    }

    /// Whether the zones have been read.
    pub(crate) fn has_zones(&self) -> bool {
        #[cfg(CONFIG_BLK_DEV_ZONED)]
        // SAFETY: The disk is valid, and not in use by others.
        return unsafe { (*self.as_raw()).nr_zones != 0 };

        #[cfg(not(CONFIG_BLK_DEV_ZONED))]
        return false;
    }

    /// Has C code read the zones.
    #[cfg(CONFIG_BLK_DEV_ZONED)]
    fn revalidate(&self) -> Result {
        // SAFETY: The disk is valid, has zones, and the callback to report them.
        kernel::error::to_result(unsafe { bindings::blk_revalidate_disk_zones(self.as_raw()) })
    }

    /// There are no zones to read in a kernel without.
    #[cfg(not(CONFIG_BLK_DEV_ZONED))]
    fn revalidate(&self) -> Result {
        Err(EOPNOTSUPP)
    }
}
