// SPDX-License-Identifier: GPL-2.0

//! The queues of a device, from set-up to reset.
//!
//! Each step is a type, and consumes the one before:
//!
//! 1. [`Found`]: the transport has created the queues (step 7 of VIRTIO 1.4, 3.1.1).
//! 2. [`Queues`]: each queue has its lock and its handler. Interrupts are not let through yet.
//! 3. [`ReadyQueues`]: `DRIVER_OK` is set, the device is live.
//!
//! Dropping any of them resets the device before anything is freed. What happens to a device that
//! fails meanwhile is in [`crate::recovery`].

use core::marker::PhantomData;

use bindings_ext as bindings;
use kernel::{
    cpumask::Cpumask,
    device::Bound,
    error::to_result,
    prelude::*,
    str::CString,
    sync::Arc, //
};
use virtio::{
    transport::IrqAffinity,
    Device, //
};

use crate::{
    channel::{
        Channel,
        Handler, //
    },
    queue::Queue,
    recovery::{
        self,
        Guard, //
    },
    virtqueue::Virtqueue,
};

/// One queue that a driver asks for.
pub struct QueueSpec {
    /// The name, which is part of the interrupt's name.
    pub name: CString,
    /// Whether the queue is only polled, and has no interrupt.
    pub is_polled: bool,
}

/// The queues of a device, waiting for handlers of the type `H`.
///
/// # Invariants
///
/// The callback of the queues is that of channels with `H`.
pub struct Found<'bound, H: Handler> {
    dev: &'bound Device<Bound>,
    vqs: KVec<Arc<Virtqueue>>,
    handler: PhantomData<fn(H)>,
}

impl<'bound, H: Handler> Found<'bound, H> {
    /// Creates the queues that a driver asks for.
    ///
    /// `affinity` asks for interrupts that are spread over the CPUs. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOENT` for a queue that the device does not have, `EINVAL` for more queues than it has or
    /// for one of an impossible size, `ENOMEM`, and what the transport says.
    pub fn new(
        dev: &'bound Device<Bound>,
        specs: &[QueueSpec],
        mut affinity: Option<IrqAffinity>,
    ) -> Result<Self> {
        let count = specs.len();
        let mut infos = KVec::with_capacity(count, GFP_KERNEL)?;
        for spec in specs {
            let mut info: bindings::virtqueue_info = pin_init::zeroed();
            info.name = spec.name.as_char_ptr();
            if !spec.is_polled {
                info.callback = Some(Channel::<H>::callback);
            }
            infos.push(info, GFP_KERNEL)?;
        }
        let mut raw: KVec<*mut bindings::virtqueue> =
            KVec::from_elem(core::ptr::null_mut(), count, GFP_KERNEL)?;
        let mut vqs = KVec::with_capacity(count, GFP_KERNEL)?;

        // SAFETY: The device is registered, so that its table is valid.
        let find_vqs = unsafe { (*(*dev.as_raw()).config).find_vqs }.ok_or(EOPNOTSUPP)?;
        // SAFETY: Both tables have `count` entries; the names outlive the call.
        to_result(unsafe {
            find_vqs(
                dev.as_raw(),
                c_uint::try_from(count)?,
                raw.as_mut_ptr(),
                infos.as_mut_ptr(),
                affinity
                    .as_mut()
                    .map_or(core::ptr::null_mut(), IrqAffinity::as_raw),
            )
        })?;
        for vq in raw.into_iter().filter(|vq| !vq.is_null()) {
            // SAFETY: `Transport` promises queues of this crate; there are no other transports
            // behind the devices of Rust drivers.
            let vq = unsafe { Virtqueue::from_raw(vq) };
            vqs.push_within_capacity(vq.into()).map_err(|_| EINVAL)?;
        }
        // INVARIANT: The callback is the one in `infos`.
        let this = Self {
            dev,
            vqs,
            handler: PhantomData,
        };
        if this.vqs.len() == count {
            Ok(this)
        } else {
            Err(ENOENT)
        }
    }

    /// Returns the queues, in the order in which they were asked for.
    pub fn virtqueues(&self) -> impl Iterator<Item = &Virtqueue> {
        self.vqs.iter().map(|vq| &**vq)
    }

    fn set_affinity(&self, queue: usize, mask: Option<&Cpumask>) -> Result {
        let vq = self.vqs.get(queue).ok_or(ENOENT)?;
        // SAFETY: The device is registered, so that its table is valid.
        let set = unsafe { (*(*self.dev.as_raw()).config).set_vq_affinity }.ok_or(EOPNOTSUPP)?;
        let mask = mask.map_or(core::ptr::null(), |mask| mask.as_raw().cast_const());
        // SAFETY: The queue is one of the device's until it is deleted, which is when `self` is
        // dropped; the mask is valid for the call.
        to_result(unsafe { set(Virtqueue::as_raw(vq), mask) })
    }

    /// Gives each queue its handler, and what that keeps under the lock. May sleep.
    ///
    /// # Errors
    ///
    /// Those of `make`, and `ENOMEM`.
    pub fn with_handlers(
        self,
        mut make: impl FnMut(&Virtqueue) -> Result<(H, H::State)>,
    ) -> Result<Queues<'bound, H>> {
        let mut channels = KVec::with_capacity(self.vqs.len(), GFP_KERNEL)?;
        for vq in &self.vqs {
            let (handler, state) = make(vq)?;
            let queue = Queue::new(vq.clone())?;
            let channel = Arc::pin_init(Channel::new(queue, state, handler), GFP_KERNEL)?;
            vq.set_context(Arc::as_ptr(&channel).cast_mut().cast());
            channels.push(channel, GFP_KERNEL)?;
        }
        let guard = KBox::pin_init(Guard::new(self.dev, channels), GFP_KERNEL)?;
        for vq in self.virtqueues() {
            vq.set_failure(guard.work().as_ptr());
        }
        // SAFETY: The work is initialized, and the guard takes it back before it goes. Queues are
        // set up and dropped while their driver is being bound or taken off.
        unsafe { self.dev.set_recovery(Some(guard.work())) };
        Ok(Queues { guard, found: self })
    }
}

impl<H: Handler> Drop for Found<'_, H> {
    fn drop(&mut self) {
        recovery::reset(self.dev);
        // SAFETY: The device is registered; its queues are not used any more.
        unsafe {
            if let Some(del_vqs) = (*(*self.dev.as_raw()).config).del_vqs {
                del_vqs(self.dev.as_raw());
            }
        }
    }
}

/// The queues of a device, with handlers of one type.
///
/// Fields are dropped in this order: no channel uses a queue that is gone.
pub struct Queues<'bound, H: Handler> {
    guard: Pin<KBox<Guard<'bound, H>>>,
    found: Found<'bound, H>,
}

impl<'bound, H: Handler> Queues<'bound, H> {
    /// Returns the channels, in the order in which the queues were asked for.
    pub fn channels(&self) -> &[Arc<Channel<H>>] {
        self.guard.channels()
    }

    /// Has `configure` called whenever the device is used again after a reset, before `DRIVER_OK`:
    /// it puts back what the driver had written to the configuration. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`. What `configure` returns makes the device unusable.
    pub fn on_restart(
        self,
        configure: impl Fn(&Device<Bound>) -> Result + Send + Sync + 'static,
    ) -> Result<Self> {
        self.guard
            .set_configure(KBox::new(configure, GFP_KERNEL)? as recovery::Configure);
        Ok(self)
    }

    /// Makes the device live: interrupts are let through, and `DRIVER_OK` is set (CORE-INIT-11).
    ///
    /// The device is notified of what was added before only now (CORE-INIT-14).
    pub fn ready(self) -> ReadyQueues<'bound, H> {
        self.guard.start();
        ReadyQueues(self)
    }
}

/// The queues of a live device.
pub struct ReadyQueues<'bound, H: Handler>(Queues<'bound, H>);

// SAFETY: Everything in it can be used and dropped from any thread, the work item too.
unsafe impl<H: Handler> Send for ReadyQueues<'_, H> {}
// SAFETY: As above.
unsafe impl<H: Handler> Sync for ReadyQueues<'_, H> {}

impl<H: Handler> ReadyQueues<'_, H> {
    /// Returns the channels, in the order in which the queues were asked for.
    pub fn channels(&self) -> &[Arc<Channel<H>>] {
        self.0.channels()
    }

    /// Has the interrupt of a queue, numbered as it was asked for, go to the CPUs in `mask`; with
    /// none it stays where it is, and user space is not told any more that it should. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is no such queue, `EINVAL` if it has no interrupt, or one that was spread
    /// over the CPUs when the queues were asked for, `ENOMEM`, and what the transport says.
    pub fn set_affinity(&self, queue: usize, mask: Option<&Cpumask>) -> Result {
        self.0.found.set_affinity(queue, mask)
    }

    /// Returns whether the device has been given up.
    pub fn is_closed(&self) -> bool {
        self.0.guard.is_closed()
    }

    /// Waits until the device is used again, or given up, if it is being reset just now. Sleeps.
    pub fn settle(&self) {
        self.0.guard.settle();
    }

    /// Gives the device up: it is reset, and all that it had is given back to the handlers. The
    /// channels have nothing to give from now on. Sleeps.
    pub fn fail(&self) {
        self.0.guard.fail();
    }

    /// Stops the use of a device that is going to lose its state, for
    /// [`Driver::freeze`](virtio::Driver::freeze): it is reset, and all that it had is given back
    /// to the handlers as [`Unused::Stopped`](crate::Unused::Stopped). Nothing is waited for that
    /// the device might never do. Sleeps.
    pub fn suspend(&self) {
        self.0.guard.suspend();
    }

    /// Uses the device again, for [`Driver::restore`](virtio::Driver::restore). Sleeps.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the queues were not suspended, `ENODEV` if the device had been given up, and what
    /// the transport says.
    pub fn restart(&self) -> Result {
        self.0.guard.restart()
    }

    /// Has the next failure end the use of the device, for a driver that is about to take it down
    /// and waits for what is in flight. A device that has something to do and does nothing for 30 s
    /// has failed, too.
    pub fn retire(&self) {
        self.0.guard.retire();
    }
}
