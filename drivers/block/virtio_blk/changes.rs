// SPDX-License-Identifier: GPL-2.0

//! What changes about a disk while it is there, and what the log has of it.

use core::sync::atomic::Ordering;

use blk_mq::GenDisk;
use kernel::{
    device::Bound,
    prelude::*, //
};
use virtio::Device;

use crate::{
    limits::SECTOR_SIZE,
    operations::Disks,
    settings::Heard,
    size::Size, //
};

/// Makes a disk read-only if its device has become so by a reset. One that was so at first does not
/// come back otherwise: a feature that was agreed on must still be offered.
pub(crate) fn follow_read_only(disk: &GenDisk<Disks>) {
    disk.set_read_only(disk.queue_data().is_read_only.load(Ordering::Relaxed));
}

/// Gives a disk the size that its device has now, if that can be followed, and listens to what else has
/// changed. Sleeps.
pub(crate) fn follow(dev: &Device<Bound>, disk: &GenDisk<Disks>) {
    let shared = disk.queue_data();
    let Some(heard) = shared.settings.listen(dev) else {
        return;
    };
    let sectors = heard.now.limits.capacity_sectors;
    let is_refused = heard.capacity_sectors.is_err();
    let has_new_size = !is_refused && sectors != disk.capacity();
    if has_new_size {
        disk.set_capacity_and_notify(sectors);
    }
    let was_refused = shared.is_refused.swap(is_refused, Ordering::Relaxed);
    let is_news = has_new_size || (is_refused && !was_refused);
    if (is_news || heard.has_new_limits() || heard.has_new_cache_type()) && may_log(disk) {
        log_changes(dev, disk, &heard, is_news);
    }
}

fn log_changes(dev: &Device<Bound>, disk: &GenDisk<Disks>, heard: &Heard, is_news: bool) {
    match &heard.capacity_sectors {
        Ok(sectors) if is_news => log_size(dev, disk, "new size: ", *sectors),
        Err(reason) if is_news => dev_err!(dev, "[{}] {}\n", disk.name(), reason),
        _ => {}
    }
    if heard.has_new_limits() {
        match heard.now.limits.shortfall(&heard.before.limits) {
            Some(field) => {
                dev_notice!(dev, "[{}] new limits, smaller: {}\n", disk.name(), field);
            }
            None => dev_notice!(dev, "[{}] new limits\n", disk.name()),
        }
    }
    if heard.has_new_cache_type() {
        dev_notice!(
            dev,
            "[{}] new cache type: {}\n",
            disk.name(),
            heard.now.cache_type()
        );
    }
}

/// Returns whether the log may have one more line that a device can cause at will.
fn may_log(disk: &GenDisk<Disks>) -> bool {
    disk.queue_data().log_limit.allows(c"virtio_blk")
}

/// Has the block layer go by what a device said last; if this `is_last`, a flush that has failed is sent
/// again. Waits for requests.
pub(crate) fn take_over(disk: &GenDisk<Disks>, is_last: bool) {
    let shared = disk.queue_data();
    if let Err(error) = shared.settings.take_over(disk, is_last) {
        // That a device which has been given up does nothing is no news.
        let mut channels = shared.channels.iter();
        if channels.any(|channel| channel.access().is_some()) && may_log(disk) {
            dev_err!(
                shared.dev,
                "[{}] new limits or cache type are not used: {:?}\n",
                disk.name(),
                error
            );
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
