// SPDX-License-Identifier: GPL-2.0

//! Resets of single queues, the first stage of recovery.
//!
//! Implements VIRTIO 1.4, 2.6.1 "Virtqueue Reset". A queue is reset alone if it is stuck and nothing
//! else is wrong, if the device has used something of it since it was new or reset, and not more
//! often than a device is. In all other cases the device is reset as a whole.

use bindings_ext as bindings;
use kernel::prelude::*;

use super::Guard;
use crate::channel::{
    Channel,
    Handler, //
};

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// No queue is out of use any more.
    Done,
    /// The transport has lost the device meanwhile, or even found it: it is going to be reset as a
    /// whole, and what it has stays with it.
    Lost,
    /// The device has to be reset.
    NotEnough,
}

impl<H: Handler> Guard<'_, H> {
    /// Resets the queues that are only stuck, one by one, and has the device use them again. The
    /// others go on meanwhile. Sleeps.
    pub(super) fn reset_stuck_queues(&self) -> Outcome {
        for channel in &self.channels {
            let Some((is_stuck, snapshot)) = channel.access().and_then(|live| {
                live.is_broken()
                    .then(|| (live.may_be_reset_alone(), live.snapshot()))
            }) else {
                continue;
            };
            // After the look at the queue: whoever cuts the device off says so first.
            if !self.dev.is_connected() {
                return Outcome::Lost;
            }
            if !is_stuck || !self.queue_restarts.lock().allow() {
                return Outcome::NotEnough;
            }
            match self.reset_queue(channel) {
                Ok(()) => {
                    dev_warn!(self.dev, "{}\n", snapshot);
                    dev_warn!(
                        self.dev,
                        "queue {} was reset and is used again\n",
                        channel.index()
                    );
                }
                Err(_) if !self.dev.is_connected() => return Outcome::Lost,
                Err(EOPNOTSUPP) => return Outcome::NotEnough,
                Err(error) => {
                    dev_err!(
                        self.dev,
                        "queue {} cannot be reset alone: {:?}\n",
                        channel.index(),
                        error
                    );
                    return Outcome::NotEnough;
                }
            }
        }
        if self.dev.is_connected() {
            Outcome::Done
        } else {
            Outcome::Lost
        }
    }

    /// Resets one queue that is out of use, and has the device use it again (CORE-VQRESET-1,
    /// CORE-VQENABLE-1). Sleeps.
    ///
    /// A handler that still runs only looks at the ring, under its lock, and is not waited for.
    ///
    /// # Errors
    ///
    /// What the transport says; `ENODEV` if it has lost the device, `EIO` if the device has broken the
    /// rules of the ring. The queue is out of use then.
    fn reset_queue(&self, channel: &Channel<H>) -> Result {
        // Whoever notifies the device of this queue at this moment has access to the channel.
        // SAFETY: Called in a context that may sleep.
        unsafe { bindings::synchronize_rcu() };
        self.dev.reset_vq(channel.index())?;
        self.still_connected()?;
        let is_sound = channel.access().is_some_and(|live| {
            live.take_back();
            live.is_sound()
        });
        if !is_sound {
            return Err(EIO);
        }
        if let Some(live) = channel.access() {
            live.restart();
            live.set_ready();
        }
        let result = self
            .dev
            .restore_vq(channel.index())
            .and_then(|()| self.still_connected());
        if let Some(live) = channel.access() {
            match result {
                Ok(()) => live.set_live(),
                Err(_) => live.break_queue(),
            }
        }
        result
    }

    fn still_connected(&self) -> Result {
        if self.dev.is_connected() {
            Ok(())
        } else {
            Err(ENODEV)
        }
    }
}
