// SPDX-License-Identifier: GPL-2.0

//! What a queue was like at one moment, for people: in debugfs at any time, and in the log when its
//! device fails.

use kernel::fmt;

use crate::{
    queue::Queue,
    split::{
        Position,
        Statistics, //
    },
};

/// What a queue was like at one moment.
pub(crate) struct Snapshot {
    index: u16,
    size: u16,
    free: u16,
    /// How many buffers the device has.
    pub(crate) in_flight: u16,
    is_broken: bool,
    position: Position,
    statistics: Statistics,
}

impl Snapshot {
    /// Looks at a queue.
    pub(crate) fn new<T>(queue: &mut Queue<T>) -> Self {
        let vq = queue.virtqueue();
        let (index, size, is_broken) = (vq.index(), vq.size(), vq.is_broken());
        Self {
            index,
            size,
            free: queue.num_free(),
            in_flight: queue.in_flight(),
            is_broken,
            position: queue.position(),
            statistics: queue.statistics(),
        }
    }

    /// Writes all of it, a line each.
    pub(crate) fn list(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in [
            ("size", self.size.into()),
            ("free", self.free.into()),
            ("in_flight", self.in_flight.into()),
            ("broken", self.is_broken.into()),
            ("avail_idx", self.position.avail.into()),
            ("used_idx", self.position.used.into()),
            ("last_used_idx", self.position.last_used.into()),
            ("added", self.statistics.added),
            ("notifications", self.statistics.notifications),
            ("suppressed", self.statistics.suppressed),
            ("largest_batch", self.statistics.largest_batch.into()),
        ] {
            let value: u64 = value;
            writeln!(f, "{name}: {value}")?;
        }
        Ok(())
    }
}

/// What tells a device that stands still from one that was not heard, on one line.
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "queue {}: {} in flight, {} of {} descriptors free, avail_idx {}, used_idx {}, last_used_idx {}",
            self.index,
            self.in_flight,
            self.free,
            self.size,
            self.position.avail,
            self.position.used,
            self.position.last_used,
        )
    }
}
