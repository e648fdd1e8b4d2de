// SPDX-License-Identifier: GPL-2.0

//! A queue with its lock and its handler.
//!
//! A [`Channel`] can be shared with code that outlives the device, such as a disk that is still
//! open: it has nothing to give then. Who sets channels up and takes them down is
//! [`crate::Queues`].

use core::{
    ops::Deref,
    sync::atomic::{
        AtomicU64,
        Ordering, //
    },
};

use bindings_ext as bindings;
use kernel::{
    new_spinlock_irq,
    prelude::*,
    revocable::{
        Revocable,
        RevocableGuard, //
    },
    sync::SpinLockIrq, //
};

use crate::{
    buffer::Violation,
    queue::Queue,
    snapshot::Snapshot,
    virtqueue::Virtqueue, //
};

/// What a driver does when a queue's device has used buffers, and what it keeps for the queue.
///
/// The handler itself is shared without a lock, so that memory which belongs to one buffer can be
/// prepared before the lock is taken; what needs the lock is in [`State`](Self::State).
pub trait Handler: Send + Sync + Sized + 'static {
    /// What goes into the queue with each buffer.
    type Token: Send;

    /// What the driver keeps under the lock of the queue.
    type State: Send;

    /// Takes back what has been used. Called from interrupts, and may be called for nothing.
    fn used(&self, live: &Live<Self>);

    /// Gets back a buffer that the device never used, after the reset of device or queue. Must not
    /// sleep.
    fn unused(&self, live: &Live<Self>, token: Self::Token, why: Unused) {
        let _ = (live, token, why);
    }
}

/// Why a buffer comes back that the device has not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unused {
    /// The device has lost its state, or that of the queue; it will take the buffer again when it is
    /// in use again. Until then the queue is [broken](crate::AddError::Broken).
    Stopped,
    /// The device will not be used any more.
    Closed,
}

/// What is to be done after the lock of a channel has been given back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Submission {
    /// Tell the device about what was added, if it wants to know.
    Notify,
    /// Nothing; more will follow.
    Hold,
}

/// A queue of a device that is there.
#[pin_data(PinnedDrop)]
pub struct Live<H: Handler> {
    #[pin]
    locked: SpinLockIrq<Locked<H>>,
    handler: H,
}

/// What the lock protects.
struct Locked<H: Handler> {
    queue: Queue<H::Token>,
    state: H::State,
}

// Nothing behind the lock is pinned.
impl<H: Handler> Unpin for Locked<H> {}

impl<H: Handler> Live<H> {
    /// Returns the handler.
    #[inline]
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// Uses the queue under its lock, then, if asked to, notifies the device without it.
    #[inline]
    pub fn with<R>(
        &self,
        f: impl FnOnce(&mut Queue<H::Token>, &mut H::State) -> (R, Submission),
    ) -> R {
        let mut guard = self.locked.lock();
        let locked = &mut *guard;
        let (result, submission) = f(&mut locked.queue, &mut locked.state);
        if submission == Submission::Notify
            && locked.queue.virtqueue().is_live()
            && locked.queue.prepare_notify()
        {
            let vq: *const Virtqueue = locked.queue.virtqueue();
            drop(guard);
            // SAFETY: The queue behind the lock, which is in `self`, has a share of it and never
            // exchanges that.
            unsafe { (*vq).notify() };
        }
        result
    }

    /// Notifies the device of what was added and held back, if it wants to know.
    pub fn notify(&self) {
        self.with(|_, _| ((), Submission::Notify));
    }

    /// Takes the queue out of use: it is not notified, and no interrupt is handled any more.
    pub(crate) fn break_queue(&self) {
        self.with(|queue, _| {
            queue.virtqueue().break_queue();
            ((), Submission::Hold)
        });
    }

    /// Returns what the queue is like now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.with(|queue, _| (Snapshot::new(queue), Submission::Hold))
    }

    /// Returns whether the queue is out of use.
    pub(crate) fn is_broken(&self) -> bool {
        self.with(|queue, _| (queue.virtqueue().is_broken(), Submission::Hold))
    }

    /// Lets the device be notified, now that it is live, and does so for what was added before.
    pub(crate) fn set_live(&self) {
        self.with(|queue, _| {
            queue.virtqueue().set_live();
            ((), Submission::Notify)
        });
    }

    /// Returns what the device did wrong, if anything, since the queue was new.
    fn violation(&self) -> Option<Violation> {
        self.with(|queue, _| (queue.violation(), Submission::Hold))
    }

    /// Gives back what is in flight. Device or queue have been reset, and the queue is out of use.
    fn give_back(&self, why: Unused) {
        while let Some(token) = self.with(|queue, _| (queue.detach(), Submission::Hold)) {
            self.handler.unused(self, token, why);
        }
    }

    /// Makes the queue new, after it or the device has been reset and all buffers are back.
    pub(crate) fn restart(&self) {
        self.with(|queue, _| {
            queue.restart();
            ((), Submission::Hold)
        });
    }

    /// The same, if there is still nothing wrong but that the queue was stuck. Returns whether it was
    /// done.
    pub(crate) fn restart_stuck(&self) -> bool {
        self.with(|queue, _| {
            let is_stuck = queue.is_stuck();
            if is_stuck {
                queue.restart();
            }
            (is_stuck, Submission::Hold)
        })
    }

    /// Returns how many buffers the device has, and how many it has ever used, which wraps.
    pub(crate) fn progress(&self) -> (u16, u16) {
        self.with(|queue, _| ((queue.in_flight(), queue.used_count()), Submission::Hold))
    }

    /// Has the device reset, because it does not do what it should.
    pub fn fail(&self) {
        self.with(|queue, _| {
            queue.fail();
            ((), Submission::Hold)
        });
    }

    /// Has the queue reset, because the device does not use what it has in it; the device as a whole
    /// if that cannot be done, or has not helped. What the device has of other queues stays with it.
    pub fn fail_queue(&self) {
        self.with(|queue, _| {
            queue.fail_stuck();
            ((), Submission::Hold)
        });
    }

    /// Returns whether it may help to reset the queue and not the device.
    pub(crate) fn may_be_reset_alone(&self) -> bool {
        self.with(|queue, _| (queue.may_be_reset_alone(), Submission::Hold))
    }

    /// Takes back what the device has done before it, or the queue, was reset, and gives what it has
    /// not done back to the handler for now. Whoever looks for used buffers meanwhile, as poll does,
    /// finds none.
    ///
    /// # Errors
    ///
    /// What the device did wrong until then.
    pub(crate) fn take_back(&self) -> Result<(), Violation> {
        if self.violation().is_none() {
            self.handler.used(self);
        }
        // Of a ring that is being taken apart nothing can be said any more.
        let violation = self.violation();
        self.give_back(Unused::Stopped);
        violation.map_or(Ok(()), Err)
    }

    /// Lets interrupts through, now that the driver is ready for them.
    pub(crate) fn set_ready(&self) {
        self.with(|queue, _| {
            queue.virtqueue().set_ready();
            ((), Submission::Hold)
        });
    }
}

#[pinned_drop]
impl<H: Handler> PinnedDrop for Live<H> {
    /// Gives back what is in flight. The device has been reset, and nobody else uses the queue.
    fn drop(self: Pin<&mut Self>) {
        self.give_back(Unused::Closed);
    }
}

/// A queue, for as long as its device is there.
#[pin_data]
pub struct Channel<H: Handler> {
    #[pin]
    live: Revocable<Live<H>>,
    index: u16,
    interrupts: AtomicU64,
}

/// Keeps a [`Channel`] from going away; must not be held while sleeping.
pub struct Access<'a, H: Handler>(RevocableGuard<'a, Live<H>>);

impl<H: Handler> Deref for Access<'_, H> {
    type Target = Live<H>;

    #[inline]
    fn deref(&self) -> &Live<H> {
        &self.0
    }
}

impl<H: Handler> Channel<H> {
    pub(crate) fn new(
        queue: Queue<H::Token>,
        state: H::State,
        handler: H,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            index: queue.virtqueue().index(),
            live <- Revocable::new(pin_init!(Live {
                locked <- new_spinlock_irq!(Locked { queue, state }, "virtqueue"),
                handler,
            })),
            interrupts: AtomicU64::new(0),
        })
    }

    /// Returns the queue, or nothing if its device is gone.
    #[inline]
    pub fn access(&self) -> Option<Access<'_, H>> {
        self.live.try_access().map(Access)
    }

    /// Returns the number of the queue.
    pub(crate) fn index(&self) -> u16 {
        self.index
    }

    /// Gives up the queue with all that is in flight, when nobody is inside it any more. The
    /// device has been reset. Sleeps.
    pub(crate) fn close(&self) {
        self.live.revoke();
    }

    /// Writes what the queue is and does, for people.
    pub(crate) fn show(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        let Some(live) = self.access() else {
            return f.write_str("closed\n");
        };
        live.snapshot().list(f)?;
        writeln!(f, "interrupts: {}", self.interrupts.load(Ordering::Relaxed))
    }

    /// The C callback of the queue.
    ///
    /// # Safety
    ///
    /// `vq` is alive, of this crate, and its context is a channel with this handler.
    pub(crate) unsafe extern "C" fn callback(vq: *mut bindings::virtqueue) {
        // SAFETY: The transport calls this with a queue that is alive, and that is of this crate.
        let vq = unsafe { Virtqueue::from_raw(vq) };
        let context = vq.context();
        // SAFETY: The context is the channel, which is kept until the queue has been broken and
        // handlers that run have been waited for; a broken queue has no more of them. It is set
        // before the first interrupt is let through.
        let channel = unsafe { &*context.cast::<Self>() };
        // Not one step: if two interrupts of a queue should meet, one is not counted.
        let interrupts = channel.interrupts.load(Ordering::Relaxed);
        channel
            .interrupts
            .store(interrupts.wrapping_add(1), Ordering::Relaxed);
        if let Some(live) = channel.access() {
            live.handler.used(&live);
        }
    }
}
