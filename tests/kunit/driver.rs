// SPDX-License-Identifier: GPL-2.0

//! The driver of the tests: it does what a [`Script`] says and notes what happens to it.
//!
//! The cases of a suite run one after the other, so there is one script at a time, in [`CURRENT`].

use core::sync::atomic::{
    AtomicU32,
    Ordering, //
};

use kernel::{
    device::{
        self,
        Bound, //
    },
    new_mutex, new_spinlock_irq,
    prelude::*,
    str::CString,
    sync::{
        global_lock,
        Arc,
        Completion,
        Mutex,
        SpinLockIrq, //
    },
};
use virtio::{
    driver::{
        self as virtio_driver,
        DeviceId,
        Feature,
        IdTable,
        Negotiated, //
    },
    transport::IrqAffinity,
    Device, //
};
use virtio_ring::{
    Channel,
    Found,
    Handler,
    Live,
    QueueSpec,
    ReadyQueues,
    Segment,
    Submission,
    Unused, //
};

use crate::{
    device::registers::Registers,
    machine::Machine,
    rig::Puppet,
    trace::{
        Event,
        Step, //
    },
};

/// A type of device that every vendor may make.
pub const ANY_VENDOR: u32 = 0xfa01;
/// A type of which only [`VENDOR`] makes devices that the driver serves.
pub const ONE_VENDOR: u32 = 0xfa02;
/// That vendor.
pub const VENDOR: u32 = 0x1234_5678;
/// A type for which there is no driver.
pub const NO_DRIVER: u32 = 0xfa03;
/// A type for which a driver is registered by the case that needs it.
pub const LATE_DRIVER: u32 = 0xfa04;

global_lock! {
    // SAFETY: Initialized by the module before anything else.
    /// What the driver is to do with the next device.
    pub unsafe(uninit) static CURRENT: Mutex<Option<Arc<Script>>> = None;
}

/// The features that the driver knows.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum TestFeature {
    /// A feature with a field of the configuration.
    Low = 0,
    /// Another.
    Fifth = 5,
    /// One that is of no use without the first.
    Dependent = 6,
    /// The last one below the transport's.
    Below = 27,
    /// The first one above the transport's.
    Above = 42,
    /// One in the second word.
    High = 70,
    /// One that is the transport's business, which a driver has no say in.
    Transport = 38,
}

impl Feature for TestFeature {
    const ALL: &'static [Self] = &[
        Self::Low,
        Self::Fifth,
        Self::Dependent,
        Self::Below,
        Self::Above,
        Self::High,
        Self::Transport,
    ];

    fn bit(self) -> u32 {
        self as u32
    }

    fn name(self) -> &'static str {
        "TEST_F"
    }

    fn needs(self) -> Option<Self> {
        matches!(self, Self::Dependent).then_some(Self::Low)
    }
}

/// What the driver is to do.
#[derive(Clone, Copy)]
pub struct Plan {
    /// How many queues to ask for.
    pub queues: usize,
    /// Whether to make them ready; if not, they are dropped again.
    pub is_ready: bool,
    /// Whether the device is reset when the queues are ready, as if it had broken the rules.
    pub is_reset: bool,
    /// Whether the device then says that it needs a reset. The probe ends in the middle of that,
    /// which goes on after [`Script::go_on`].
    pub needs_reset: bool,
    /// How many probes fail at their end before one succeeds.
    pub failures: u32,
    /// Whether a buffer goes into the first queue before `DRIVER_OK`, and its interrupt comes.
    pub is_early: bool,
    /// How often the configuration changes during the probe.
    pub changes: u32,
    /// Whether the queues are polled.
    pub is_polled: bool,
    /// What the driver says when it is to stop for a while, if it refuses.
    pub refusal: Option<Error>,
}

impl Plan {
    /// One queue, and all goes well.
    pub const NORMAL: Self = Self {
        queues: 1,
        is_ready: true,
        is_reset: false,
        needs_reset: false,
        failures: 0,
        is_early: false,
        changes: 0,
        is_polled: false,
        refusal: None,
    };
}

/// What the driver does with a device, and what came of it.
#[pin_data]
pub struct Script {
    plan: Plan,
    machine: Arc<Machine<Puppet>>,
    probes: AtomicU32,
    /// Tokens that exist.
    tokens: AtomicU32,
    #[pin]
    results: Mutex<Results>,
    #[pin]
    returned: SpinLockIrq<Returned>,
    /// The queues are being set up again.
    #[pin]
    is_configuring: Completion,
    /// That may end.
    #[pin]
    may_go_on: Completion,
}

/// What a probe has got.
#[derive(Default)]
pub struct Results {
    channels: KVec<Arc<Channel<TestQueue>>>,
    negotiated: Option<Negotiated<TestFeature>>,
}

/// What has come back from the queues.
#[derive(Default)]
pub struct Returned {
    /// How often an interrupt was handled.
    pub interrupts: u32,
    /// Number of token and length, in order.
    pub used: KVec<(u32, u32)>,
    /// How often a queue said that the device broke the rules.
    pub errors: u32,
}

impl Script {
    /// How much can come back between two looks.
    const CAPACITY: usize = 1024;

    /// Makes a script, which is the current one from now on.
    pub fn begin(plan: Plan, machine: Arc<Machine<Puppet>>) -> Result<Arc<Self>> {
        let returned = Returned {
            used: KVec::with_capacity(Self::CAPACITY, GFP_KERNEL)?,
            ..Returned::default()
        };
        let this = Arc::pin_init(
            try_pin_init!(Self {
                plan,
                machine,
                probes: AtomicU32::new(0),
                tokens: AtomicU32::new(0),
                results <- new_mutex!(Results::default(), "virtio_kunit::results"),
                returned <- new_spinlock_irq!(returned, "virtio_kunit::returned"),
                is_configuring <- Completion::new(),
                may_go_on <- Completion::new(),
            }),
            GFP_KERNEL,
        )?;
        *CURRENT.lock() = Some(this.clone());
        Ok(this)
    }

    /// Ends what [`begin`](Self::begin) began.
    pub fn end() {
        *CURRENT.lock() = None;
    }

    /// Lets a reset go on that was to wait; see [`Plan::needs_reset`].
    pub fn go_on(&self) {
        self.may_go_on.complete_all();
    }

    /// Returns a channel that the last probe has made.
    pub fn channel(&self, index: usize) -> Option<Arc<Channel<TestQueue>>> {
        self.results.lock().channels.get(index).cloned()
    }

    /// Returns what the last probe was told about features.
    pub fn negotiated(&self) -> Option<Negotiated<TestFeature>> {
        self.results.lock().negotiated
    }

    /// How many probes there were.
    pub fn probes(&self) -> u32 {
        self.probes.load(Ordering::Relaxed)
    }

    /// How many tokens there are.
    pub fn tokens(&self) -> u32 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// Looks at what has come back.
    pub fn returned<R>(&self, f: impl FnOnce(&mut Returned) -> R) -> R {
        f(&mut self.returned.lock())
    }

    /// Makes a token.
    pub fn token(self: &Arc<Self>, number: u32) -> Token {
        self.tokens.fetch_add(1, Ordering::Relaxed);
        Token {
            number,
            script: self.clone(),
        }
    }

    fn note(&self, step: Step) {
        self.machine.trace().note(Event::Driver(step));
    }
}

/// Something that goes into a queue with a buffer. The script counts them.
pub struct Token {
    /// Its number.
    pub number: u32,
    script: Arc<Script>,
}

impl Drop for Token {
    fn drop(&mut self) {
        self.script.tokens.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the driver keeps for a queue.
pub struct TestQueue {
    script: Arc<Script>,
}

impl Handler for TestQueue {
    type Token = Token;
    type State = ();

    fn used(&self, live: &Live<Self>) {
        self.script.returned(|returned| returned.interrupts += 1);
        live.with(|queue, ()| {
            loop {
                match queue.pop() {
                    Ok(Some((token, len))) => self.script.returned(|returned| {
                        // Room was made in `begin`.
                        let _ = returned.used.push_within_capacity((token.number, len));
                    }),
                    Ok(None) => break,
                    Err(_) => {
                        self.script.returned(|returned| returned.errors += 1);
                        break;
                    }
                }
            }
            ((), Submission::Hold)
        });
    }

    fn unused(&self, live: &Live<Self>, token: Token, why: Unused) {
        self.script.note(Step::Unused);
        drop(token);
        if why == Unused::Stopped {
            // A driver that polls may look at any time. A buffer found by that would not be noted.
            let _ = live.with(|queue, ()| (queue.pop(), Submission::Hold));
        }
    }
}

/// Notes that the data of a device is being dropped.
struct DropNote(Arc<Script>);

impl Drop for DropNote {
    fn drop(&mut self) {
        self.0.note(Step::Drop);
    }
}

/// The data of a bound device. The note comes first, so that it is dropped first.
pub struct Data<'bound> {
    note: DropNote,
    queues: Option<ReadyQueues<'bound, TestQueue>>,
}

/// The driver.
pub struct TestDriver;

impl TestDriver {
    fn specs(script: &Script) -> Result<KVec<QueueSpec>> {
        let mut specs = KVec::new();
        for index in 0..script.plan.queues {
            let name = CString::try_from_fmt(fmt!("test.{index}"))?;
            let is_polled = script.plan.is_polled;
            specs.push(QueueSpec { name, is_polled }, GFP_KERNEL)?;
        }
        Ok(specs)
    }

    fn queues<'bound>(
        dev: &'bound Device<Bound>,
        script: &Arc<Script>,
    ) -> Result<Option<ReadyQueues<'bound, TestQueue>>> {
        let specs = Self::specs(script)?;
        let queues = Found::<TestQueue>::new(dev, &specs, Some(IrqAffinity::spread()))?
            .with_handlers(|_| {
                let script = script.clone();
                Ok((TestQueue { script }, ()))
            })?;
        let mut channels = KVec::new();
        channels.extend_from_slice(queues.channels(), GFP_KERNEL)?;
        if script.plan.is_early {
            if let Some(live) = channels.first().and_then(|channel| channel.access()) {
                let token = script.token(0);
                live.with(|queue, ()| {
                    let segment = Segment::new(0x1000, 16);
                    (queue.add(token, [], [segment]).is_ok(), Submission::Hold)
                });
            }
            script.machine.interrupt(0);
        }
        script.results.lock().channels = channels;
        let noting = script.clone();
        let queues = queues.on_restart(move |_| {
            noting.note(Step::Configure);
            noting.is_configuring.complete_all();
            if noting.plan.needs_reset {
                noting.may_go_on.wait_for_completion();
            }
            Ok(())
        })?;
        if !script.plan.is_ready {
            return Ok(None);
        }
        let queues = queues.ready();
        // The look after the start would come in the middle of what the test does.
        queues.settle();
        Ok(Some(queues))
    }

    fn set_up<'bound>(
        dev: &'bound Device<Bound>,
        features: Negotiated<TestFeature>,
    ) -> Result<Data<'bound>> {
        let script = CURRENT.lock().clone().ok_or(ENODEV)?;
        script.note(Step::Probe);
        script.results.lock().negotiated = Some(features);
        let probe = script.probes.fetch_add(1, Ordering::Relaxed);
        for _ in 0..script.plan.changes {
            dev.config_changed();
        }
        let queues = if script.plan.queues == 0 {
            None
        } else {
            Self::queues(dev, &script)?
        };
        if script.plan.is_reset {
            dev.reset()?;
        }
        if script.plan.needs_reset {
            script.machine.registers(Registers::need_reset);
            dev.config_changed();
            script.is_configuring.wait_for_completion();
        }
        if probe < script.plan.failures {
            return Err(EUCLEAN);
        }
        Ok(Data {
            note: DropNote(script),
            queues,
        })
    }
}

impl virtio_driver::Driver for TestDriver {
    type Feature = TestFeature;
    type Data<'bound> = Data<'bound>;

    const ID_TABLE: IdTable = &ID_TABLE;

    fn probe<'bound>(
        dev: &'bound Device<device::Core<'_>>,
        features: Negotiated<TestFeature>,
    ) -> impl PinInit<Data<'bound>, Error> + 'bound {
        Self::set_up(dev, features)
    }

    fn config_changed<'bound>(_dev: &'bound Device<Bound>, data: Pin<&Data<'bound>>) {
        data.note.0.note(Step::ConfigChanged);
    }

    fn freeze<'bound>(_dev: &'bound Device<Bound>, data: Pin<&Data<'bound>>) -> Result {
        data.note.0.note(Step::Freeze);
        if let Some(error) = data.note.0.plan.refusal {
            return Err(error);
        }
        if let Some(queues) = &data.queues {
            queues.suspend();
        }
        Ok(())
    }

    fn restore<'bound>(_dev: &'bound Device<Bound>, data: Pin<&Data<'bound>>) -> Result {
        data.note.0.note(Step::Restore);
        match &data.queues {
            Some(queues) => queues.restart(),
            None => Ok(()),
        }
    }

    fn unbind<'bound>(_dev: &'bound Device<device::Core<'_>>, data: Pin<&Data<'bound>>) {
        data.note.0.note(Step::Unbind);
    }
}

virtio::virtio_device_table!(
    ID_TABLE,
    [
        DeviceId::new(ANY_VENDOR),
        DeviceId::with_vendor(ONE_VENDOR, VENDOR),
    ]
);
