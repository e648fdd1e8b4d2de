// SPDX-License-Identifier: GPL-2.0

//! Making disks.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use crate::{
    attribute::AttributeGroup,
    disk::DiskData,
    foreign::Foreign,
    vtable::VTable,
    DiskAttribute,
    Features,
    Major,
    NewDisk,
    Operations,
    QueueLimits,
    TagSet, //
};
use bindings_ext as bindings;
use core::ptr::NonNull;
use kernel::{
    error::from_err_ptr,
    fmt::{
        self,
        Write, //
    },
    prelude::*,
    str::NullTerminatedFormatter,
    sync::{
        static_lock_class,
        Arc, //
    },
};

/// The most sectors of a disk: its size in bytes is a signed number.
const MAX_SECTORS: u64 = i64::MAX as u64 >> 9;

/// What a disk is to be.
pub struct DiskBuilder<O: Operations> {
    major: u32,
    first_minor: u32,
    minors: u32,
    capacity_sectors: u64,
    is_read_only: bool,
    attributes: &'static [&'static DiskAttribute<O>],
}

impl<O: Operations> Default for DiskBuilder<O> {
    fn default() -> Self {
        Self::new()
    }
}

impl<O: Operations> DiskBuilder<O> {
    /// The operations need an address for as long as there are disks.
    const FOPS: &'static bindings::block_device_operations = &VTable::<O>::DISK;

    /// An empty disk, whose number the block layer chooses.
    pub fn new() -> Self {
        Self {
            major: 0,
            first_minor: 0,
            minors: 0,
            capacity_sectors: 0,
            is_read_only: false,
            attributes: &[],
        }
    }

    /// Chooses the number: `minors` of them, for the disk and its partitions. New drivers should
    /// leave that to the block layer.
    pub fn numbers(mut self, major: &Major, first_minor: u32, minors: u32) -> Self {
        self.major = major.number();
        self.first_minor = first_minor;
        self.minors = minors;
        self
    }

    /// The size in sectors of 512 bytes.
    pub fn capacity_sectors(mut self, sectors: u64) -> Self {
        self.capacity_sectors = sectors;
        self
    }

    /// Whether the disk can only be read.
    pub fn read_only(mut self, is_read_only: bool) -> Self {
        self.is_read_only = is_read_only;
        self
    }

    /// What the disk has in sysfs besides what all disks have.
    pub fn attributes(mut self, attributes: &'static [&'static DiskAttribute<O>]) -> Self {
        self.attributes = attributes;
        self
    }

    /// Makes the disk, with a queue for the requests of `tag_set`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a name that is too long, numbers out of range, a size beyond 2^63 bytes or
    /// limits that make no sense; `ENOMEM`. Zones need [`Operations::report_zones`].
    pub fn build(
        self,
        name: fmt::Arguments<'_>,
        tag_set: Arc<TagSet<O>>,
        limits: &QueueLimits,
        queue_data: O::QueueData,
    ) -> Result<NewDisk<O>> {
        let max_numbers = bindings::MINORMASK + 1;
        let has_numbers = self.major != 0;

        limits.check()?;
        if self.capacity_sectors > MAX_SECTORS
            || has_numbers != (self.minors != 0)
            || (limits.features().contains(Features::ZONED) && !O::HAS_REPORT_ZONES)
            || self.first_minor > max_numbers
            || self.minors > max_numbers - self.first_minor
        {
            return Err(EINVAL);
        }

        let set = tag_set.as_raw();
        let data = KBox::new(
            DiskData {
                queue_data: Foreign::new(queue_data),
                attributes: AttributeGroup::new(self.attributes)?,
                _tag_set: tag_set,
            },
            GFP_KERNEL,
        )?;
        let mut lim = limits.to_raw();

        // SAFETY: The tag set is valid, and `data` keeps it and the driver's data.
        let disk = from_err_ptr(unsafe {
            bindings::__blk_mq_alloc_disk(
                set,
                &mut lim,
                data.queue_data.as_ptr(),
                static_lock_class!().as_ptr(),
            )
        })?;
        let disk = NonNull::new(disk).ok_or(ENOMEM)?;

        // SAFETY: The disk is valid, and ours alone.
        let raw = unsafe { &mut *disk.as_ptr() };

        raw.private_data = KBox::into_raw(data).cast();
        raw.fops = Self::FOPS;
        // CAST: Checked above to be less than 2^21; majors are even smaller.
        raw.major = self.major as c_int;
        raw.first_minor = self.first_minor as c_int;
        raw.minors = self.minors as c_int;

        let named = NullTerminatedFormatter::new(&mut raw.disk_name)
            .ok_or(EINVAL)
            .and_then(|mut writer| writer.write_fmt(name).map_err(|_| EINVAL));

        // INVARIANT: The disk is complete, not added, and we have got its reference.
        // SAFETY: As above.
        let disk = unsafe { NewDisk::from_raw(disk) };

        // An error drops the disk.
        named?;
        disk.set_capacity_and_notify(self.capacity_sectors);
        disk.set_read_only(self.is_read_only);
        Ok(disk)
    }
}
