// SPDX-License-Identifier: GPL-2.0

//! A fake device on the bus, with all that a test wants to know about it.

use core::sync::atomic::{
    AtomicU32,
    Ordering, //
};

use kernel::{
    device::Bound,
    faux,
    prelude::*,
    str::CString,
    sync::{
        aref::ARef,
        Arc,
        Completion, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
    workqueue,
};
use virtio::{
    driver::Adapter,
    features,
    id::DeviceId,
    registration::Registration,
    transport::SharedMemory,
    Device,
    Features, //
};
use virtio_ring::{
    AddError,
    Channel,
    Live,
    Queue,
    Segment,
    Submission, //
};

use crate::{
    core_device,
    device::{
        fault::Fault,
        registers::{
            Complaints,
            Registers, //
        },
    },
    driver::{
        self,
        Plan,
        Script,
        TestDriver,
        TestQueue,
        Token, //
    },
    machine::{
        DeviceRing,
        Machine,
        Nature, //
    },
    trace::{
        Event,
        Step,
        Trace, //
    },
    transport::{
        FakeTransport,
        QueueOffer, //
    },
};

/// A device that does only what a test makes it do.
pub struct Puppet;

impl Nature for Puppet {
    const IS_ALIVE: bool = false;

    fn serve(&self, _machine: &Machine<Self>, _index: u16, _ring: &mut DeviceRing) -> bool {
        false
    }
}

/// What a device is like.
#[derive(Clone, Copy)]
pub struct Offer<'a> {
    /// What it is.
    pub id: DeviceId,
    /// What it offers.
    pub features: Features,
    /// Its configuration space.
    pub config: &'a [u8],
    /// Its queues.
    pub queues: QueueOffer,
    /// What is wrong with it.
    pub fault: Fault,
    /// The memory that it shares, and the id of that.
    pub shared_memory: Option<(u8, SharedMemory)>,
}

impl Offer<'_> {
    /// A modern device with two queues of 8 descriptors, and nothing more.
    pub const PLAIN: Offer<'static> = Offer {
        id: DeviceId::new(driver::ANY_VENDOR, 0x1af4),
        features: Features::EMPTY.with(features::VERSION_1),
        config: &[],
        queues: QueueOffer { count: 2, size: 8 },
        fault: Fault::None,
        shared_memory: None,
    };

    /// The same with other queues.
    pub fn size(self, size: u32) -> Self {
        Self {
            queues: QueueOffer {
                size,
                ..self.queues
            },
            ..self
        }
    }

    /// The same with one more feature.
    pub fn with(self, feature: u32) -> Self {
        Self {
            features: self.features.with(feature),
            ..self
        }
    }

    /// The same with something wrong.
    pub fn fault(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }
}

/// A device on the bus. The device goes before what it hangs from.
pub struct Rig {
    device: Registration<FakeTransport<Puppet>>,
    machine: Arc<Machine<Puppet>>,
    script: Arc<Script>,
    _parent: faux::Registration,
}

impl Rig {
    /// Puts a device on the bus, and lets the driver do what `plan` says when it is bound.
    pub fn new(offer: Offer<'_>, plan: Plan) -> Result<Self> {
        let registers = Registers::new(offer.features.words(), offer.config, offer.fault);
        let machine = Machine::new(registers, Puppet)?;
        Self::with_machine(offer, plan, machine)
    }

    /// As [`new`](Self::new), with a device that the test has made.
    pub fn with_machine(
        offer: Offer<'_>,
        plan: Plan,
        machine: Arc<Machine<Puppet>>,
    ) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = CString::try_from_fmt(fmt!("virtio_kunit.{number}"))?;
        let parent = faux::Registration::new(&name, None)?;
        let script = Script::begin(plan, machine.clone())?;
        let transport =
            FakeTransport::new(machine.clone(), offer.queues).sharing(offer.shared_memory);
        let parent_dev: &kernel::device::Device<Bound> = parent.as_ref().as_ref();
        core_device::allow_dma(parent_dev)?;
        let device = Registration::new(parent_dev, offer.id, Ok(transport))?;
        Ok(Self {
            device,
            machine,
            script,
            _parent: parent,
        })
    }

    /// A plain device with a driver that has made its queues ready.
    pub fn plain() -> Result<Self> {
        Self::new(Offer::PLAIN, Plan::NORMAL)
    }

    /// The device.
    pub fn device(&self) -> &Device {
        self.device.device()
    }

    /// The device as its driver has it.
    pub fn bound(&self) -> &Device<Bound> {
        // SAFETY: The device is registered while `self` exists.
        unsafe { core_device::bound(self.device()) }
    }

    /// Has the driver stop its use of the device.
    pub fn freeze(&self) -> Result {
        self.device.freeze()
    }

    /// Has the driver use the device again.
    pub fn restore(&self) -> Result {
        self.device.restore()
    }

    /// Has the transport lose the device.
    pub fn cut_off(&self) {
        self.device.cut_off();
    }

    /// Returns whether the first queue is out of use.
    pub fn is_broken(&self) -> bool {
        self.driver(|queue| (queue.virtqueue().is_broken(), Submission::Hold))
            .unwrap_or(true)
    }

    /// Has the transport find the device again.
    pub fn reconnect(&mut self) -> Result {
        self.device.reconnect()
    }

    /// Has the transport reset the device.
    pub fn reset_by_transport(&mut self) -> Result {
        self.device.prepare_reset();
        self.machine.reset()?;
        self.device.finish_reset()
    }

    /// The device's side.
    pub fn machine(&self) -> &Arc<Machine<Puppet>> {
        &self.machine
    }

    /// What the driver does.
    pub fn script(&self) -> &Arc<Script> {
        &self.script
    }

    /// What happened, up to now: reports of config changes are on their way no longer.
    pub fn trace(&self) -> &Trace {
        if self.has_driver() {
            Adapter::<TestDriver>::flush_config_changes(self.bound());
        }
        self.machine.trace()
    }

    /// Returns whether a driver is bound.
    pub fn has_driver(&self) -> bool {
        core_device::has_driver(self.device())
    }

    /// The status, as the device has it.
    pub fn status(&self) -> u8 {
        self.machine.registers(|registers| registers.status())
    }

    /// Returns whether the driver has broken no rule so far.
    pub fn is_content(&self) -> bool {
        let complaints = self.machine.complaints();
        if complaints != Complaints::NONE {
            pr_info!("complaints: {:?}\n", complaints);
        }
        complaints == Complaints::NONE
    }

    /// A queue of the driver.
    pub fn channel(&self, index: usize) -> Result<Arc<Channel<TestQueue>>> {
        self.script.channel(index).ok_or(ENOENT)
    }

    /// Uses the driver's side of the first queue.
    pub fn driver<R>(&self, f: impl FnOnce(&mut Queue<Token>) -> (R, Submission)) -> Result<R> {
        let channel = self.channel(0)?;
        let live = channel.access().ok_or(ENODEV)?;
        Ok(live.with(|queue, ()| f(queue)))
    }

    /// Adds a buffer of so many readable and writable segments of 512 bytes to the first queue, and
    /// tells the device. Returns what is wrong if it is not added.
    pub fn add(&self, number: u32, readable: u32, writable: u32) -> Result<Option<AddError>> {
        let token = self.script.token(number);
        let segment = |i: u32| Segment::new(0x10_0000 + u64::from(i) * 512, 512);
        self.driver(|queue| {
            let result = queue.add(
                token,
                (0..readable).map(segment),
                (readable..readable + writable).map(segment),
            );
            match result {
                Ok(()) => (None, Submission::Notify),
                Err(refused) => (Some(refused.reason), Submission::Hold),
            }
        })
    }

    /// Uses the device's side of the first queue.
    pub fn ring<R>(&self, f: impl FnOnce(&mut DeviceRing) -> R) -> Result<R> {
        self.machine.queue(0, f).ok_or(ENODEV)
    }

    /// Lets the device use one buffer, of which it says it has written `len` bytes. Returns whether
    /// there was one and whether the driver wants an interrupt about it.
    pub fn serve(&self, len: u32) -> Result<Option<bool>> {
        self.ring(|ring| ring.pop().map(|head| ring.finish(head, len)))
    }

    /// Raises the interrupt of the first queue. Returns whether anybody handled it.
    pub fn interrupt(&self) -> bool {
        self.machine.interrupt(0)
    }

    /// Has the device break the rules of the first queue. Returns whether its interrupt was handled.
    pub fn break_rules(&self) -> Result<bool> {
        self.ring(|ring| ring.finish_id(77, 0))?;
        Ok(self.interrupt())
    }

    /// Returns what has come back so far, and forgets it.
    pub fn returned(&self) -> Result<KVec<(u32, u32)>> {
        let mut taken = KVec::with_capacity(64, GFP_KERNEL)?;
        self.script.returned(|returned| {
            let result = returned
                .used
                .iter()
                .try_for_each(|&entry| taken.push_within_capacity(entry));
            returned.used.clear();
            result.map_err(|_| ENOSPC)
        })?;
        Ok(taken)
    }

    /// Returns how often the queue's interrupt was handled, and how often it met an error.
    pub fn interrupts(&self) -> (u32, u32) {
        self.script
            .returned(|returned| (returned.interrupts, returned.errors))
    }

    /// Waits until the device has been given up. Returns whether that happened in time.
    pub fn wait_for_failure(&self) -> Result<bool> {
        let channel = self.channel(0)?;
        Ok(self.wait_for(|| channel.access().is_none()))
    }

    /// Waits until the device is used again after it broke the rules. Returns whether that happened
    /// in time.
    pub fn wait_for_recovery(&self) -> bool {
        self.wait_for(|| {
            self.machine.trace().count(Event::RestoreQueues) > 0 && self.status() == 0xf
        })
    }

    /// Waits until something is so and all tokens are gone.
    pub fn wait_for(&self, is_so: impl Fn() -> bool) -> bool {
        eventually(|| is_so() && self.script.tokens() == 0)
    }

    /// Has the first queue fail, and the reset that follows, of which `reset` tells, last until
    /// `is_enough`.
    pub fn hold_reset(
        &self,
        reset: Event,
        fail: fn(&Live<TestQueue>),
        is_enough: impl Fn() -> bool + Send + 'static,
    ) -> Result {
        let is_held = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
        let machine = self.machine.clone();
        let holder = is_held.clone();
        workqueue::system_long().try_spawn(GFP_KERNEL, move || {
            // A reset needs this lock.
            machine.queues(|_| {
                holder.complete_all();
                eventually(is_enough);
            });
        })?;
        is_held.wait_for_completion();
        fail(&*self.channel(0)?.access().ok_or(ENODEV)?);
        check!(eventually(|| self.machine.trace().count(reset) == 1));
        Ok(())
    }

    /// The same, until the driver is at a step.
    pub fn hold_reset_until(&self, step: Step, reset: Event, fail: fn(&Live<TestQueue>)) -> Result {
        let trace = self.machine.trace().clone();
        self.hold_reset(reset, fail, move || trace.count(Event::Driver(step)) > 0)
    }

    /// The same, and the transport loses the device meanwhile. Returns when all has been done about it
    /// that is done before the device is found.
    pub fn lose_during_reset(&self, reset: Event, fail: fn(&Live<TestQueue>)) -> Result {
        let device: ARef<Device> = self.device().into();
        self.hold_reset(reset, fail, move || {
            // SAFETY: The lock of the queues is held, and the device's queues are deleted under it
            // before it goes.
            let bound = unsafe { core_device::bound(&device) };
            bound.is_cut_off()
        })?;
        self.cut_off();
        fsleep(Delta::from_millis(50));
        Ok(())
    }

    /// Takes the device off the bus, and returns whether the driver has broken no rule and all
    /// tokens are gone.
    pub fn finish(self) -> bool {
        let (machine, script) = (self.machine.clone(), self.script.clone());
        drop(self);
        let complaints = machine.complaints();
        let tokens = script.tokens();
        if complaints != Complaints::NONE || tokens != 0 {
            pr_info!("complaints: {:?}, tokens left: {}\n", complaints, tokens);
            machine.trace().print();
        }
        complaints == Complaints::NONE && tokens == 0
    }
}

/// Waits until something is so. Returns whether that happened in time.
pub fn eventually(is_so: impl Fn() -> bool) -> bool {
    for _ in 0..5000 {
        if is_so() {
            return true;
        }
        fsleep(Delta::from_millis(2));
    }
    false
}

impl Drop for Rig {
    fn drop(&mut self) {
        // The script must outlive the device, which the driver core unbinds only after this; the
        // driver's data keeps it.
        Script::end();
    }
}
