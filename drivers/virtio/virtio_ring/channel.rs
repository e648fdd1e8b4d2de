// SPDX-License-Identifier: GPL-2.0

//! Queues with their locks and handlers, from set-up to reset.
//!
//! [`Queues::find`] creates the queues of a device while its driver is being bound,
//! [`Queues::ready`] sets `DRIVER_OK` and lets interrupts through, and dropping [`ReadyQueues`]
//! resets the device and takes the queues down. A [`Channel`] can be shared with code that
//! outlives the device, such as a disk that is still open: it has nothing to give then.

use core::ops::Deref;

use bindings_ext as bindings;
use kernel::{
    device::Bound,
    error::to_result,
    new_spinlock_irq,
    prelude::*,
    revocable::{
        Revocable,
        RevocableGuard, //
    },
    str::CString,
    sync::{
        Arc,
        SpinLockIrq, //
    },
};
use virtio::{
    transport::IrqAffinity,
    Device, //
};

use crate::{
    queue::Queue,
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

    /// Gets back a buffer that the device never used, after the reset. May sleep.
    fn unused(&self, token: Self::Token) {
        drop(token);
    }
}

/// One queue that a driver asks for.
pub struct QueueSpec<H: Handler> {
    /// The name, which is part of the interrupt's name.
    pub name: CString,
    /// What handles the queue.
    pub handler: H,
    /// What the handler starts with under the lock.
    pub state: H::State,
    /// Whether the queue is only polled, and has no interrupt.
    pub is_polled: bool,
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
        if submission == Submission::Notify && locked.queue.prepare_notify() {
            let vq: *const Virtqueue = locked.queue.virtqueue();
            drop(guard);
            // SAFETY: The transport's queue outlives `self`, by the invariant of `Queues`.
            unsafe { (*vq).notify() };
        }
        result
    }
}

#[pinned_drop]
impl<H: Handler> PinnedDrop for Live<H> {
    /// Gives back what is in flight. The device has been reset, and nobody else uses the queue.
    fn drop(self: Pin<&mut Self>) {
        let mut guard = self.locked.lock();
        while let Some(token) = guard.queue.detach() {
            drop(guard);
            self.handler.unused(token);
            guard = self.locked.lock();
        }
    }
}

/// A queue, for as long as its device is there.
#[pin_data]
pub struct Channel<H: Handler> {
    #[pin]
    live: Revocable<Live<H>>,
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
    fn new(queue: Queue<H::Token>, state: H::State, handler: H) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            live <- Revocable::new(pin_init!(Live {
                locked <- new_spinlock_irq!(Locked { queue, state }, "virtqueue"),
                handler,
            })),
        })
    }

    /// Returns the queue, or nothing if its device is gone.
    #[inline]
    pub fn access(&self) -> Option<Access<'_, H>> {
        self.live.try_access().map(Access)
    }

    /// Gives up the queue with all that is in flight, when nobody is inside it any more. The
    /// device has been reset. Sleeps.
    fn close(&self) {
        self.live.revoke();
    }

    /// The C callback of the queue.
    unsafe extern "C" fn callback(vq: *mut bindings::virtqueue) {
        // SAFETY: The transport calls this with a queue that is alive, and that is of this crate.
        let context = unsafe { Virtqueue::from_raw(vq) }.context();
        // SAFETY: The context is the channel, which `Queues` keeps until interrupts are freed. It
        // is set before the first interrupt is let through.
        let channel = unsafe { &*context.cast::<Self>() };
        if let Some(live) = channel.access() {
            live.handler.used(&live);
        }
    }
}

/// The queues of a device, all with handlers of one type.
///
/// # Invariants
///
/// The queues behind the channels exist until this is dropped.
pub struct Queues<'bound, H: Handler> {
    dev: &'bound Device<Bound>,
    channels: KVec<Arc<Channel<H>>>,
}

impl<'bound, H: Handler> Queues<'bound, H> {
    /// Creates the queues that a driver asks for (step 7 of VIRTIO 1.4, 3.1.1).
    ///
    /// `affinity` asks for interrupts that are spread over the CPUs. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the device has fewer queues, `EINVAL` for none or for queues of an impossible
    /// size, `ENOMEM`, and what the transport says.
    pub fn find(
        dev: &'bound Device<Bound>,
        specs: KVec<QueueSpec<H>>,
        mut affinity: Option<IrqAffinity>,
    ) -> Result<Self> {
        let count = specs.len();
        let mut infos = KVec::with_capacity(count, GFP_KERNEL)?;
        for spec in &specs {
            let mut info: bindings::virtqueue_info = pin_init::zeroed();
            info.name = spec.name.as_char_ptr();
            info.callback = (!spec.is_polled)
                .then_some(Channel::<H>::callback as unsafe extern "C" fn(*mut bindings::virtqueue));
            infos.push(info, GFP_KERNEL)?;
        }
        let mut vqs: KVec<*mut bindings::virtqueue> =
            KVec::from_elem(core::ptr::null_mut(), count, GFP_KERNEL)?;
        let mut channels = KVec::with_capacity(count, GFP_KERNEL)?;

        // SAFETY: The device is registered, so that its table is valid.
        let find_vqs = unsafe { (*(*dev.as_raw()).config).find_vqs }.ok_or(EOPNOTSUPP)?;
        // SAFETY: Both tables have `count` entries; the names outlive the call.
        to_result(unsafe {
            find_vqs(
                dev.as_raw(),
                c_uint::try_from(count)?,
                vqs.as_mut_ptr(),
                infos.as_mut_ptr(),
                affinity.as_mut().map_or(core::ptr::null_mut(), IrqAffinity::as_raw),
            )
        })?;

        // From here on, dropping `this` undoes all.
        let mut this = Self {
            dev,
            channels: KVec::new(),
        };
        for (spec, vq) in specs.into_iter().zip(vqs.iter()) {
            // SAFETY: The transport has created the queue, which lives until `del_vqs`.
            let vq = unsafe { vq.as_ref() }.ok_or(ENOENT)?;
            // SAFETY: As above; rings of C are never behind a Rust driver's device.
            let vq = unsafe { Virtqueue::from_raw(core::ptr::from_ref(vq).cast_mut()) };
            // SAFETY: The queue is given up before `del_vqs` is called.
            let queue = unsafe { Queue::new(vq) }?;
            let channel = Arc::pin_init(
                Channel::new(queue, spec.state, spec.handler),
                GFP_KERNEL,
            )?;
            vq.set_context(Arc::as_ptr(&channel).cast_mut().cast());
            channels.push(channel, GFP_KERNEL)?;
        }
        this.channels = channels;
        Ok(this)
    }

    /// Returns the channels, in the order in which they were asked for.
    pub fn channels(&self) -> &[Arc<Channel<H>>] {
        &self.channels
    }

    /// Makes the device live: interrupts are let through, and `DRIVER_OK` is set (CORE-INIT-11).
    ///
    /// What was added before is notified by the next use of the queue (CORE-INIT-14).
    pub fn ready(self) -> ReadyQueues<'bound, H> {
        for channel in &self.channels {
            if let Some(live) = channel.access() {
                live.with(|queue, _| {
                    queue.virtqueue().set_ready();
                    ((), Submission::Hold)
                });
            }
        }
        self.dev.set_driver_ok();
        ReadyQueues(self)
    }
}

impl<H: Handler> Drop for Queues<'_, H> {
    fn drop(&mut self) {
        if self.dev.reset().is_err() {
            dev_err!(self.dev, "device still runs while its queues are freed\n");
        }
        self.dev.synchronize_callbacks();
        for channel in &self.channels {
            channel.close();
        }
        // SAFETY: The device is registered; nobody uses its queues.
        unsafe {
            if let Some(del_vqs) = (*(*self.dev.as_raw()).config).del_vqs {
                del_vqs(self.dev.as_raw());
            }
        }
    }
}

/// The queues of a live device.
pub struct ReadyQueues<'bound, H: Handler>(Queues<'bound, H>);

impl<H: Handler> ReadyQueues<'_, H> {
    /// Returns the channels, in the order in which they were asked for.
    pub fn channels(&self) -> &[Arc<Channel<H>>] {
        self.0.channels()
    }
}
