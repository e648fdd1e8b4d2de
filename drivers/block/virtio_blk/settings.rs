// SPDX-License-Identifier: GPL-2.0

//! What the device says of itself, and how the block layer comes to go by it.
//!
//! The device is listened to at once. Going by what it says takes longer: requests that were made for
//! something else have to end first. Whoever takes the device down must not wait for that, so that it
//! is done by work of the disk's own, or by whoever writes to sysfs.

use blk_mq::{
    GenDisk,
    QueueLimits, //
};
use kernel::{
    device::Bound,
    fmt,
    new_mutex,
    prelude::*,
    sync::Mutex, //
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
        Refusal, //
    },
    operations::{
        ask,
        Disks, //
    },
    progress::{
        Progress,
        Told, //
    },
    wire::Kind,
};

/// Written data is lost without a flush.
pub(crate) const WRITE_BACK: &str = "write back";
/// Written data is safe.
pub(crate) const WRITE_THROUGH: &str = "write through";

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

impl Told {
    /// Returns the word for it in `cache_type`.
    pub(crate) fn cache_type(&self) -> &'static str {
        if self.has_write_cache {
            WRITE_BACK
        } else {
            WRITE_THROUGH
        }
    }

    /// Returns the limits of a new disk.
    pub(crate) fn queue_limits(&self) -> QueueLimits {
        let mut queue = QueueLimits::new();
        if let Some(zones) = self.limits.zones {
            let features = queue.features().with(blk_mq::Features::ZONED, true);
            queue
                .set_features(features)
                .set_chunk_sectors(zones.zone_sectors)
                .set_max_open_zones(zones.max_open_zones)
                .set_max_active_zones(zones.max_active_zones)
                .set_max_hw_zone_append_sectors(zones.max_append_sectors)
                .set_zone_write_granularity(zones.write_granularity);
        }
        self.put_into(&mut queue);
        queue
    }

    /// Puts this into the block layer's form, but for what is said about zones: that stays, and the
    /// block layer has made its own of it.
    fn put_into(&self, queue: &mut QueueLimits) {
        let limits = &self.limits;
        let features = queue
            .features()
            .with(blk_mq::Features::WRITE_CACHE, self.has_write_cache);
        queue
            .set_features(features)
            .set_max_hw_sectors(limits.max_sectors)
            .set_max_segments(limits.max_segments)
            .set_max_segment_size(limits.max_segment_size)
            .set_logical_block_size(limits.logical_block_size)
            // The block layer takes no less than a logical block.
            .set_physical_block_size(limits.physical_block_size.unwrap_or(0))
            .set_alignment_offset(limits.alignment_offset)
            .set_io_min(limits.io_min)
            .set_io_opt(limits.io_opt)
            .set_max_hw_discard_sectors(limits.max_discard_sectors)
            .set_max_discard_segments(limits.max_discard_segments)
            .set_discard_granularity(limits.discard_granularity)
            .set_max_write_zeroes_sectors(limits.max_write_zeroes_sectors)
            .set_max_secure_erase_sectors(limits.max_secure_erase_sectors);
        if limits.may_unmap {
            queue.set_max_hw_wzeroes_unmap_sectors(limits.max_write_zeroes_sectors);
        }
    }
}

/// What the device has said by now, and what is done about it.
#[pin_data]
pub(crate) struct Settings {
    bounds: Bounds,
    features: Negotiated<Feature>,
    /// What the disk was made with.
    first: Limits,
    /// Held while the device is asked, and while the block layer changes over, in a frozen queue. Taken
    /// last; whoever has it waits for no requests, and allocates nothing.
    #[pin]
    progress: Mutex<Progress>,
    /// Held while the block layer takes something over, so that one ends before the next. A reset of
    /// the device does without: it may be what makes the requests end that are waited for.
    #[pin]
    taking_over: Mutex<()>,
}

impl Settings {
    /// Takes what a disk is made with.
    pub(crate) fn new(
        bounds: Bounds,
        features: Negotiated<Feature>,
        made_with: Told,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            bounds,
            features,
            first: made_with.limits,
            progress <- new_mutex!(Progress::new(made_with)),
            taking_over <- new_mutex!(()),
        })
    }

    /// Returns what the device said last.
    pub(crate) fn told(&self) -> Told {
        self.progress.lock().told()
    }

    /// Returns whether there is something to be taken over.
    pub(crate) fn is_behind(&self) -> bool {
        self.progress.lock().is_behind()
    }

    /// Listens to the device again, which has said that something has changed (BLK-OP-1). Returns
    /// nothing if it was reset meanwhile, after which it says so again. Sleeps.
    pub(crate) fn listen(&self, dev: &Device<Bound>) -> Option<Heard> {
        let mut progress = self.progress.lock();
        let config = Config::read(dev, self.features);
        if dev.is_gone() {
            return None;
        }
        let before = progress.told();
        let result = config
            .map_err(|_| NotFollowed::Unreadable)
            .and_then(|config| {
                // That is so, whatever is wrong with the rest.
                progress.hear_write_cache(config.has_write_cache);
                progress.hear_limits(self.follow_limits(&config)?);
                Ok(config.device.capacity_sectors)
            });
        Some(Heard {
            before,
            now: progress.told(),
            capacity_sectors: result,
        })
    }

    /// Returns the limits by which a disk in use can go.
    ///
    /// # Errors
    ///
    /// Nothing of a configuration is followed that makes no sense, or of which a field is another that
    /// cannot become so while the disk is in use.
    fn follow_limits(&self, config: &Config) -> Result<Limits, NotFollowed> {
        let limits = Limits::new(&config.device, &self.bounds.queue, &self.bounds.kernel)
            .map_err(NotFollowed::Refused)?;
        let limits = limits.within(&self.first).map_err(NotFollowed::Fixed)?;
        if limits.zones.is_some() && limits.capacity_sectors > self.first.capacity_sectors {
            return Err(NotFollowed::MoreZones);
        }
        Ok(limits)
    }

    /// Has the block layer go by what the device said last. Waits for requests.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the block layer does not take it; then it goes by what it did before. As [`ask`] if a
    /// flush is needed and fails. Then the block layer sends flushes, if it takes the rest, and this one
    /// is sent again when the cache changes once more, or is asked for, or if this `is_last`.
    pub(crate) fn take_over(&self, disk: &GenDisk<Disks>, is_last: bool) -> Result {
        let _turn = self.taking_over.lock();
        if is_last {
            self.progress.lock().retry_flush();
        }
        self.change_over(disk)
    }

    /// As [`take_over`](Self::take_over), for whoever has `taking_over`.
    fn change_over(&self, disk: &GenDisk<Disks>) -> Result {
        // What was written while the device cached has not become safe by its end (BLK-WCE-2).
        let before = self.flush(disk);
        let done = self.put_in_force(disk, false);
        // What was written before flushes began has had none.
        let after = self.flush(disk);
        before.and(done).and(after)
    }

    /// Has the block layer go by [`Progress::next`]. Waits for requests.
    fn put_in_force(&self, disk: &GenDisk<Disks>, with_flushes: bool) -> Result {
        if self.progress.lock().next(with_flushes).is_none() {
            return Ok(());
        }
        // While an update waits for requests, sysfs cannot show limits. Most of them are waited for before.
        drop(disk.freeze());
        let mut update = disk.start_limits_update();
        // A device that is reset meanwhile says other things, and is held to what is in force.
        let mut progress = self.progress.lock();
        let Some(next) = progress.next(with_flushes) else {
            return Ok(());
        };
        next.put_into(&mut update);
        let _frozen = update.commit()?;
        progress.put_in_force(next);
        Ok(())
    }

    /// Sends a flush if one is due, for what has been written by now. Waits for requests.
    fn flush(&self, disk: &GenDisk<Disks>) -> Result {
        let Some(up_to) = self.progress.lock().flush_to_send() else {
            return Ok(());
        };
        drop(disk.freeze());
        let result = ask(disk, Kind::Flush, 0, None).and_then(|status| status.to_result());
        self.progress.lock().flush_ended(up_to, result.is_ok());
        result
    }

    /// Looks whether a device that was reset, and is not used again yet, still takes what it took before
    /// (U15, H12; VIRTIO 1.4, 5.2.5 "Device Initialization"): the requests that wait for it were made for
    /// that. One whose configuration makes no sense is refused as a new one is.
    ///
    /// # Errors
    ///
    /// `ENODEV`, with a line in the log, if it takes less; and as [`Config::read`] and
    /// [`Bounds::limits`].
    pub(crate) fn check_again(&self, dev: &Device<Bound>) -> Result {
        let now = self
            .bounds
            .limits(dev, &Config::read_or_log(dev, self.features)?)?;
        let result = self.progress.lock().check_again(&now, &self.first);
        result.map_err(|field| {
            dev_err!(dev, "device takes less than before: {}\n", field);
            ENODEV
        })
    }

    /// Asks the device to cache what is written, or not to, and has the block layer go by what it says
    /// then: the device has the last word. Waits for requests.
    ///
    /// # Errors
    ///
    /// `EIO` if the device is out of use, as while it is reset; as [`Device::try_bound`],
    /// [`Config::set_write_cache`] and [`take_over`](Self::take_over).
    pub(crate) fn set_write_cache(&self, disk: &GenDisk<Disks>, wanted: bool) -> Result {
        // Before anything is waited for, which must not keep the device from being unbound.
        drop(disk.queue_data().dev.try_bound()?);
        let _turn = self.taking_over.lock();
        if wanted {
            // Flushes come before the cache that needs them. A write that waits for the queue meanwhile
            // has lost its own, whatever the driver; what has come through by the end is flushed then.
            self.put_in_force(disk, true)?;
        }
        let asked = self.ask_for_write_cache(&disk.queue_data().dev, wanted);
        let done = self.change_over(disk);
        asked.and(done)
    }

    fn ask_for_write_cache(&self, dev: &Device, wanted: bool) -> Result {
        let dev = &*dev.try_bound()?;
        let mut progress = self.progress.lock();
        if dev.is_gone() {
            return Err(EIO);
        }
        progress.note_change();
        let has_write_cache = Config::set_write_cache(dev, self.features, wanted)?;
        // One that was reset meanwhile has forgotten what it was asked for.
        if dev.is_gone() {
            return Err(EIO);
        }
        progress.hear_write_cache(has_write_cache);
        Ok(())
    }

    /// Has a device that was reset cache what is written if it did before and the block layer sends
    /// flushes, and not do so otherwise.
    ///
    /// # Errors
    ///
    /// `EIO` if the device does so all the same where no flushes are sent.
    pub(crate) fn restore_write_cache(&self, dev: &Device<Bound>) -> Result {
        if !self.features.has(Feature::ConfigWce) {
            return Ok(());
        }
        let mut progress = self.progress.lock();
        let wanted = progress.sends_flushes() && progress.told().has_write_cache;
        if !wanted {
            progress.note_end_of_cache();
        }
        let has_write_cache = Config::set_write_cache(dev, self.features, wanted)?;
        if has_write_cache && !progress.sends_flushes() {
            dev_err!(dev, "device does not write through any more\n");
            return Err(EIO);
        }
        progress.hear_write_cache(has_write_cache);
        Ok(())
    }
}

/// What a device said, compared with what it had said before.
pub(crate) struct Heard {
    /// What it had said before.
    pub(crate) before: Told,
    /// What it says now, as far as that is followed.
    pub(crate) now: Told,
    /// The capacity, in sectors, also what is no whole block at the end; or why limits and size are not
    /// followed.
    pub(crate) capacity_sectors: Result<u64, NotFollowed>,
}

impl Heard {
    /// Returns whether the device takes other requests, whatever the size of the disk.
    pub(crate) fn has_new_limits(&self) -> bool {
        self.before.limits.differ(&self.now.limits)
    }

    /// Returns whether the device caches now what it did not, or the other way round.
    pub(crate) fn has_new_cache_type(&self) -> bool {
        self.before.has_write_cache != self.now.has_write_cache
    }
}

/// Why a new configuration is not followed.
pub(crate) enum NotFollowed {
    /// The device does not let it be read.
    Unreadable,
    /// It makes no sense.
    Refused(Refusal),
    /// A field is another that cannot become so while the disk is in use.
    Fixed(&'static str),
    /// The block layer has no place for more zones than there were at first.
    MoreZones,
}

impl fmt::Display for NotFollowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("cannot read the new configuration"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Fixed(field) => write!(f, "{field} has changed, which is not followed"),
            Self::MoreZones => f.write_str("zones beyond the first size are not used"),
        }
    }
}
