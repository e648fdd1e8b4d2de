// SPDX-License-Identifier: GPL-2.0

//! What changes about a device while its disk is there: it says so, or it was reset and may be
//! another one by now.

use core::sync::atomic::Ordering;

use blk_mq::GenDisk;
use kernel::{
    device::Bound,
    fmt,
    prelude::*, //
};
use virtio::{
    driver::Negotiated,
    Device, //
};

use crate::{
    config::{
        Config,
        Feature, //
    },
    limits::{
        KernelConfig,
        Limits,
        QueueConfig,
        Refusal,
        SECTOR_SIZE, //
    },
    operations::{
        Disks,
        Shared, //
    },
    size::Size,
};

/// What bounds a disk besides its device's configuration; none of it changes.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// What the queues allow.
    pub(crate) queue: QueueConfig,
    /// What the kernel allows.
    pub(crate) kernel: KernelConfig,
}

impl Bounds {
    /// Returns the limits of a disk.
    ///
    /// # Errors
    ///
    /// `EINVAL`, with a line in the log, for a configuration that makes no sense.
    pub(crate) fn limits(&self, dev: &Device<Bound>, config: &Config) -> Result<Limits> {
        Limits::new(&config.device, &self.queue, &self.kernel).map_err(|refusal| {
            dev_err!(dev, "{}\n", refusal);
            EINVAL
        })
    }
}

/// Looks whether a device that was reset, and is not used again yet, still takes what it took before
/// (U15, H12; VIRTIO 1.4, 5.2.5 "Device Initialization"): its disk was made for that, and so were the
/// requests that wait for it. One whose configuration makes no sense is refused as a new one is.
///
/// # Errors
///
/// `ENODEV`, with a line in the log, if it takes less; and as [`Config::read`] and
/// [`Bounds::limits`].
pub(crate) fn check_again(
    dev: &Device<Bound>,
    shared: &Shared,
    bounds: &Bounds,
    before: &Limits,
) -> Result {
    let now = bounds.limits(dev, &Config::read(dev, shared.features)?)?;
    let is_read_only = dev.offers(Feature::Ro);
    shared.is_read_only.store(is_read_only, Ordering::Relaxed);
    match now.shortfall(before) {
        Some(field) => {
            dev_err!(dev, "device takes less than before: {}\n", field);
            Err(ENODEV)
        }
        None => Ok(()),
    }
}

/// Has a device that was reset cache what is written, or not, as the block layer takes it to.
///
/// # Errors
///
/// `EIO` if the device caches now what it did not.
pub(crate) fn restore_cache_type(dev: &Device<Bound>, shared: &Shared) -> Result {
    if !shared.features.has(Feature::ConfigWce) {
        return Ok(());
    }
    let wanted = shared.has_write_cache.lock();
    if Config::set_write_cache(dev, shared.features, *wanted)? && !*wanted {
        dev_err!(dev, "device does not write through any more\n");
        return Err(EIO);
    }
    Ok(())
}

/// Makes a disk read-only if its device has become so by a reset. One that was so at first does not
/// come back otherwise: a feature that was agreed on must still be offered.
pub(crate) fn follow_read_only(disk: &GenDisk<Disks>) {
    disk.set_read_only(disk.queue_data().is_read_only.load(Ordering::Relaxed));
}

/// Gives a disk the size that its device has now.
///
/// # Errors
///
/// A size that cannot be read or makes no sense is not followed.
pub(crate) fn follow_capacity(
    dev: &Device<Bound>,
    features: Negotiated<Feature>,
    disk: &GenDisk<Disks>,
) -> Result<(), BadSize> {
    let told = Config::capacity_sectors(dev, features).map_err(|_| BadSize::Unreadable)?;
    let block = disk.logical_block_size();
    let sectors = Limits::usable_sectors(told, block).map_err(BadSize::Refused)?;
    let reporting = &disk.queue_data().reporting;
    if reporting
        .as_ref()
        .is_some_and(|zones| !zones.covers(sectors))
    {
        return Err(BadSize::MoreZones);
    }
    if sectors != disk.capacity() {
        disk.set_capacity_and_notify(sectors);
        log_size(dev, disk, "new size: ", told);
    }
    Ok(())
}

/// Why a new size is not followed.
pub(crate) enum BadSize {
    /// The device does not let it be read.
    Unreadable,
    /// It makes no sense.
    Refused(Refusal),
    /// The block layer has no place for more zones than there were at first.
    MoreZones,
}

impl fmt::Display for BadSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("cannot read the new size"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::MoreZones => f.write_str("zones beyond the first size are not used"),
        }
    }
}

/// Says how large a disk is, and what is not used of the sectors that the device told.
pub(crate) fn log_size(dev: &Device<Bound>, disk: &GenDisk<Disks>, change: &str, told: u64) {
    let block = disk.logical_block_size();
    // The limits have seen to it that this does not overflow.
    let bytes = disk.capacity().saturating_mul(SECTOR_SIZE.into());
    dev_notice!(
        dev,
        "[{}] {}{} {}-byte logical blocks ({})\n",
        disk.name(),
        change,
        bytes / u64::from(block.max(1)),
        block,
        Size(bytes)
    );
    let rest = told.saturating_sub(disk.capacity());
    if rest > 0 {
        dev_warn!(
            dev,
            "[{}] the last {} sectors are no whole block and not used\n",
            disk.name(),
            rest
        );
    }
}
