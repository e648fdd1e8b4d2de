// SPDX-License-Identifier: GPL-2.0

//! Resets of single queues, the first stage of recovery.
//!
//! Implements VIRTIO 1.4, 2.6.1 "Virtqueue Reset". Queues are reset alone if they are stuck and nothing
//! else is wrong, if the device has used something of each since it was new or reset, and not more
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
    /// Nothing is left to be done now. A queue that is out of use again by this time asks for it anew.
    Done,
    /// The transport has lost the device meanwhile, or even found it: it is going to be reset as a
    /// whole, and what it has stays with it.
    Lost,
    /// The device has to be reset.
    NotEnough,
}

impl<H: Handler> Guard<'_, H> {
    /// Resets the queues that are out of use, one by one, and has the device use them again; none of
    /// them if one is not only stuck. The others go on meanwhile. Sleeps.
    pub(super) fn reset_stuck_queues(&self) -> Outcome {
        let is_enough = self.broken_channels().all(|channel| {
            let live = channel.access();
            live.is_some_and(|live| live.may_be_reset_alone())
        });
        // After the look at the queues: whoever cuts the device off says so first.
        if !self.dev.is_connected() {
            return Outcome::Lost;
        }
        if !is_enough {
            return Outcome::NotEnough;
        }
        for channel in self.broken_channels() {
            if !self.queue_restarts.lock().allow() {
                return Outcome::NotEnough;
            }
            match self.reset_queue(channel) {
                Ok(()) => dev_warn!(
                    self.dev,
                    "queue {} was reset and is used again\n",
                    channel.index()
                ),
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

    fn broken_channels(&self) -> impl Iterator<Item = &Channel<H>> {
        let channels = self.channels.iter().map(|channel| &**channel);
        channels.filter(|channel| channel.access().is_some_and(|live| live.is_broken()))
    }

    /// Resets one queue that is out of use, and has the device use it again (CORE-VQRESET-1,
    /// CORE-VQENABLE-1). Sleeps.
    ///
    /// A handler that still runs looks at the ring, under its lock, and finds nothing: it is not
    /// waited for.
    ///
    /// # Errors
    ///
    /// What the transport says; `ENODEV` if it has lost the device, `EIO` if the device has broken the
    /// rules of the ring, or the driver wants more than this. The queue is out of use then.
    fn reset_queue(&self, channel: &Channel<H>) -> Result {
        let index = channel.index();
        let snapshot = channel.access().ok_or(EIO)?.snapshot();
        // Whoever notifies the device of this queue at this moment has access to the channel.
        // SAFETY: Called in a context that may sleep.
        unsafe { bindings::synchronize_rcu() };
        self.dev.reset_vq(index)?;
        self.still_connected()?;
        dev_warn!(self.dev, "{}\n", snapshot);
        if let Err(violation) = channel.access().ok_or(EIO)?.take_back() {
            dev_err!(self.dev, "queue {}: {}\n", index, violation);
            return Err(EIO);
        }
        {
            let live = channel.access().ok_or(EIO)?;
            if !live.restart_stuck() {
                return Err(EIO);
            }
            live.set_ready();
        }
        let result = self.dev.restore_vq(index);
        let result = result.and_then(|()| self.still_connected());
        let live = channel.access().ok_or(EIO)?;
        match result {
            Ok(()) => live.set_live(),
            Err(_) => live.break_queue(),
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
