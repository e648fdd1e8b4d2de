// SPDX-License-Identifier: GPL-2.0

//! Devices that their transport loses and finds again, as after an error on a bus.
//!
//! A lost device is found without its lock: whoever has that may be waiting for the very device.
//! What it has in flight stays with it until it was reset, as it may be at work on that.

use kernel::{
    device::Bound,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Release, //
    },
};

use crate::{
    registration::{
        self,
        Registration, //
    },
    transport::Transport,
    Device,
};

/// Whether a transport gets through to its device.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum State {
    /// It does, which all zeroes stand for.
    Connected = 0,
    /// It does not, for the time being.
    CutOff = 1,
    /// It does again, but the device may have lost its state, and what it had under way.
    Found = 2,
}

/// The state of the connection to one device.
pub(crate) struct Connection(Atomic<u32>);

impl Connection {
    fn is(&self, state: State) -> bool {
        self.0.load(Acquire) == state as u32
    }

    fn set(&self, state: State) {
        self.0.store(state as u32, Release);
    }
}

impl<T: Transport> Registration<T> {
    /// Takes a device out of use to which the transport does not get through for the time being. Its
    /// queues are broken, and it is not reset, until [`reconnect`](Self::reconnect). May sleep.
    pub fn cut_off(&self) {
        if let Some(connection) = registration::connection(self.bound()) {
            connection.set(State::CutOff);
        }
        // After that: who makes them whole again, which the transport does not let happen at the same
        // time, looks at the state afterwards.
        self.transport().break_queues();
    }

    /// Ends [`cut_off`](Self::cut_off) for a transport that is about to wait for the device's lock,
    /// so that whoever waits for the device comes to an end.
    pub(crate) fn let_go(&self) {
        if self.bound().is_cut_off() {
            self.find();
        }
    }

    /// Has the device reset by its recovery, soon. Returns whether it has any.
    fn find(&self) -> bool {
        if let Some(connection) = registration::connection(self.bound()) {
            connection.set(State::Found);
        }
        registration::schedule_recovery(self.bound())
    }

    /// Ends [`cut_off`](Self::cut_off): the device is reset and used again, and what it had in flight
    /// is asked for again. One that does not answer any more is given up. May sleep.
    ///
    /// # Errors
    ///
    /// Those of [`finish_reset`](Self::finish_reset), for a device that has no
    /// [recovery](Device::set_recovery). The log says what else goes wrong, later.
    pub fn reconnect(&mut self) -> Result {
        if self.find() {
            return Ok(());
        }
        // A driver that is bound just now may get its recovery meanwhile, and looks for itself.
        self.prepare_reset();
        let result = self.finish_reset();
        self.bound().take_found();
        result
    }
}

impl Device<Bound> {
    /// Returns whether the transport does not get through to the device, and whoever would reset it
    /// leaves that for later.
    pub fn is_cut_off(&self) -> bool {
        registration::connection(self).is_some_and(|connection| connection.is(State::CutOff))
    }

    /// Returns whether nothing has befallen the device that has not been put right.
    pub fn is_connected(&self) -> bool {
        registration::connection(self).is_none_or(|connection| connection.is(State::Connected))
    }

    /// Returns, once, whether the transport has found the device again, which has to be reset then.
    /// Called by `virtio_ring`.
    pub fn take_found(&self) -> bool {
        registration::connection(self).is_some_and(|connection| {
            let (from, to) = (State::Found as u32, State::Connected as u32);
            connection.0.cmpxchg(from, to, Full).is_ok()
        })
    }
}
