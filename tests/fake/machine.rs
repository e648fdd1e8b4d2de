// SPDX-License-Identifier: GPL-2.0

//! A device: registers, queues, and what it does when it is notified.
//!
//! What it does is its [`Nature`]: a disk serves requests by itself, from a work item, and
//! interrupts when the driver wants that; a puppet of the tests does nothing until it is told to.
//!
//! # Order of locks
//!
//! The queues' lock is held while the device works, and while the driver's handlers run. Those
//! notify the device, so a notification takes only the registers' lock, which is innermost.

use kernel::{
    bindings, impl_has_work,
    interrupt::local_interrupt_disable,
    new_mutex, new_spinlock_irq, new_work,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        Mutex,
        SpinLockIrq, //
    },
    workqueue::{
        self,
        Work,
        WorkItem, //
    },
};
use virtio::Device;
use virtio_ring::Virtqueue;

use super::{
    device::{
        fault::Fault,
        registers::{
            Complaints,
            Registers, //
        },
        ring::Ring, //
    },
    mapping::Physical,
    trace::{
        Event,
        Trace, //
    },
};

/// The device's side of a queue.
pub type DeviceRing = Ring<Physical>;

/// A queue as both sides have it.
pub struct Queue {
    /// The driver's.
    pub vq: Arc<Virtqueue>,
    /// The device's; none once the device has been reset.
    pub ring: Option<DeviceRing>,
}

impl Queue {
    /// Raises the interrupt of the queue, as hardware does: with interrupts off. Returns whether
    /// anybody handled it.
    pub fn interrupt(&self) -> bool {
        let _disabled = local_interrupt_disable();
        Virtqueue::interrupt(&self.vq)
    }
}

/// What a device does.
pub trait Nature: Send + Sync + Sized + 'static {
    /// Whether it works when notified, or only when told to by a test.
    const IS_ALIVE: bool;

    /// Works on a queue, number `index`. Returns whether to interrupt the driver.
    fn serve(&self, machine: &Machine<Self>, index: u16, ring: &mut DeviceRing) -> bool;
}

/// A device.
#[pin_data]
pub struct Machine<N: Nature> {
    #[pin]
    registers: SpinLockIrq<Registers>,
    #[pin]
    queues: Mutex<KVec<Option<Queue>>>,
    /// Who hears of changes of the configuration, while there are queues.
    #[pin]
    listener: SpinLockIrq<Option<ARef<Device>>>,
    #[pin]
    work: Work<Self>,
    trace: Arc<Trace>,
    nature: N,
}

impl_has_work! {
    impl{N: Nature} HasWork<Self> for Machine<N> { self.work }
}

impl<N: Nature> WorkItem for Machine<N> {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.work();
    }
}

impl<N: Nature> Machine<N> {
    /// Makes a device.
    pub fn new(registers: Registers, nature: N) -> Result<Arc<Self>> {
        let trace = Trace::new()?;
        Arc::pin_init(
            try_pin_init!(Self {
                registers <- new_spinlock_irq!(registers, "virtio_fake::registers"),
                queues <- new_mutex!(KVec::new(), "virtio_fake::queues"),
                listener <- new_spinlock_irq!(None, "virtio_fake::listener"),
                work <- new_work!("virtio_fake::work"),
                trace,
                nature,
            }),
            GFP_KERNEL,
        )
    }

    /// What the device does.
    pub fn nature(&self) -> &N {
        &self.nature
    }

    /// What happened to the device.
    pub fn trace(&self) -> &Arc<Trace> {
        &self.trace
    }

    /// Uses the registers. In any context.
    pub fn registers<R>(&self, f: impl FnOnce(&mut Registers) -> R) -> R {
        f(&mut self.registers.lock())
    }

    /// What the driver has done wrong.
    pub fn complaints(&self) -> Complaints {
        self.registers(|registers| registers.complaints())
    }

    /// Uses the queues. May sleep.
    pub fn queues<R>(&self, f: impl FnOnce(&mut KVec<Option<Queue>>) -> R) -> R {
        f(&mut self.queues.lock())
    }

    /// Uses one queue with the device's side of it, if the device has not been reset.
    pub fn queue<R>(&self, index: usize, f: impl FnOnce(&mut DeviceRing) -> R) -> Option<R> {
        let mut queues = self.queues.lock();
        let queue = queues.get_mut(index)?.as_mut()?;
        queue.ring.as_mut().map(f)
    }

    /// Raises the interrupt of a queue. Returns whether anybody handled it.
    pub fn interrupt(&self, index: usize) -> bool {
        let queues = self.queues.lock();
        match queues.get(index) {
            Some(Some(queue)) => queue.interrupt(),
            _ => false,
        }
    }

    /// Sets who hears of changes of the configuration.
    pub fn set_listener(&self, listener: Option<ARef<Device>>) {
        let old = core::mem::replace(&mut *self.listener.lock(), listener);
        // Not under the lock: this may be the last reference.
        drop(old);
    }

    /// Raises the interrupt for changes of the configuration.
    pub fn config_changed(&self) {
        let listener = self.listener.lock().clone();
        if let Some(device) = listener {
            device.config_changed();
        }
    }

    /// Hears a notification. In any context.
    pub fn notified(self: &Arc<Self>, index: u16) {
        self.trace.note(Event::Notify(index));
        if self.registers(Registers::notified) && N::IS_ALIVE {
            self.wake();
        }
    }

    /// Has the device look what there is to do. In any context.
    pub fn wake(self: &Arc<Self>) {
        // If it is queued already, it has not yet begun, and will see what there is.
        let _ = workqueue::system_long().enqueue(self.clone());
    }

    /// Works on all queues. May sleep.
    fn work(&self) {
        let mut queues = self.queues.lock();
        for (index, queue) in (0..).zip(queues.iter_mut()) {
            let Some(queue) = queue else {
                continue;
            };
            if self.registers(|registers| registers.fault()) == Fault::Spurious {
                queue.interrupt();
            }
            // A reset takes the ring away, under the lock that is held here.
            let wants_interrupt = match &mut queue.ring {
                Some(ring) if self.registers(|registers| registers.is_live()) => {
                    self.nature.serve(self, index, ring)
                }
                _ => false,
            };
            if wants_interrupt {
                queue.interrupt();
            }
        }
    }

    /// Waits until the device does not work any more. It must not be notified again. Sleeps.
    pub fn finish(&self) {
        // SAFETY: The work item is initialized, and `self` keeps it.
        unsafe { bindings::flush_work(Work::raw_get(&raw const self.work)) };
    }

    /// Resets one queue. After this the device does not use it. May sleep.
    pub fn reset_queue(&self, index: u16) -> Result {
        self.trace.note(Event::ResetQueue(index));
        if !self.registers(Registers::queue_reset) {
            return Err(ETIMEDOUT);
        }
        let mut queues = self.queues.lock();
        let queue = queues.get_mut(usize::from(index)).and_then(Option::as_mut);
        queue.ok_or(EINVAL)?.ring = None;
        Ok(())
    }

    /// Resets the device. After this it uses no memory and raises no interrupt. May sleep.
    pub fn reset(&self) -> Result {
        self.trace.note(Event::Reset);
        let is_done = self.registers(Registers::reset);
        // One that does not finish does no harm either: it loses the memory of its queues.
        for queue in self.queues.lock().iter_mut().flatten() {
            queue.ring = None;
        }
        let is_gone = self.registers(|registers| registers.fault()) == Fault::Gone;
        if is_done || is_gone {
            Ok(())
        } else {
            Err(ETIMEDOUT)
        }
    }
}
