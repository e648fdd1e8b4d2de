// SPDX-License-Identifier: GPL-2.0

//! What happens to the queues of a device that fails, is suspended, or goes.
//!
//! A queue that is only stuck is reset [alone](queue_reset) where that can be done.
//!
//! A device that breaks the rules of a ring, says that it needs a reset, or that its driver has found
//! to be stuck, is reset from a work item, which looks at it after each change of its configuration.
//! What it had in flight is given back to the handlers, and the device is led through its
//! initialization again (VIRTIO 1.4, 2.1.1 "Driver Requirements: Device Status Field"). One that
//! fails again and again is given up. The same steps serve a device that its transport has lost and
//! found again, and a driver whose device loses its state while the system is suspended.

#[path = "queue_reset.rs"]
mod queue_reset;

use core::ptr::NonNull;

use bindings_ext as bindings;
use debugfs_file::{
    File,
    Show, //
};
use kernel::{
    device::Bound,
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        Arc,
        Mutex, //
    },
    time::{
        Delta,
        Instant,
        Monotonic, //
    },
    types::Opaque, //
};
use virtio::{
    Device,
    Status, //
};

use self::queue_reset::Outcome;
use crate::channel::{
    Channel,
    Handler, //
};

/// How often a device may be reset within [`WINDOW`], and how often its queues, all together.
const MAX_RESTARTS: u32 = 5;
const WINDOW: Delta = Delta::from_secs(60);

/// How often it is looked whether a device that is being taken down still does something, and how
/// often it may have done nothing.
const WATCH_INTERVAL_MS: c_uint = 1000;
const MAX_IDLE: u32 = 30;

/// The restarts of a device, or of its queues, in the current window.
struct Restarts {
    since: Option<Instant<Monotonic>>,
    count: u32,
}

impl Restarts {
    /// Returns whether there may be one more.
    fn allow(&mut self) -> bool {
        let is_over = match &self.since {
            Some(since) => since.elapsed() > WINDOW,
            None => true,
        };
        if is_over {
            self.since = Some(Instant::now());
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.count <= MAX_RESTARTS
    }
}

/// What a device that is being taken down has done lately.
struct Watched {
    used: u16,
    idle: u32,
}

/// What a device is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// All that it can do.
    Live,
    /// Nothing, for now.
    Suspended,
    /// What is in flight and what still comes; the next failure is the end.
    Retired,
    /// Nothing any more.
    Closed,
}

/// Puts back what a driver had written to the configuration of its device.
pub(crate) type Configure = KBox<dyn Fn(&Device<Bound>) -> Result + Send + Sync>;

/// A file that shows a channel.
type DebugFile<H> = Pin<KBox<File<Arc<Channel<H>>>>>;

/// The channels of a device, and the work that ends or restarts its use of them.
///
/// # Invariants
///
/// `work` and `watch` are initialized, and run [`Guard::run`] and [`Guard::look`].
#[pin_data(PinnedDrop)]
pub(crate) struct Guard<'bound, H: Handler> {
    #[pin]
    work: Opaque<bindings::work_struct>,
    #[pin]
    watch: Opaque<bindings::delayed_work>,
    dev: &'bound Device<Bound>,
    channels: KVec<Arc<Channel<H>>>,
    #[pin]
    restarts: Mutex<Restarts>,
    /// Those of single queues.
    #[pin]
    queue_restarts: Mutex<Restarts>,
    #[pin]
    watched: Mutex<Watched>,
    /// What the driver puts back into the configuration after a reset.
    #[pin]
    configure: Mutex<Option<Configure>>,
    /// Held for every change of what the device is used for, so that one ends before the next.
    #[pin]
    mode: Mutex<Mode>,
    _debugfs: KVec<DebugFile<H>>,
}

impl<'bound, H: Handler> Guard<'bound, H> {
    /// Takes the channels of a device.
    pub(crate) fn new(
        dev: &'bound Device<Bound>,
        channels: KVec<Arc<Channel<H>>>,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            work <- Opaque::ffi_init(|work| {
                // SAFETY: The memory is pinned, and the function fits it.
                unsafe { bindings::rust_ext_init_work(work, Some(Self::run)) }
            }),
            watch <- Opaque::ffi_init(|watch| {
                // SAFETY: As above.
                unsafe { bindings::rust_ext_init_delayed_work(watch, Some(Self::look)) }
            }),
            dev,
            channels,
            restarts <- new_mutex!(Restarts { since: None, count: 0 }),
            queue_restarts <- new_mutex!(Restarts { since: None, count: 0 }),
            watched <- new_mutex!(Watched { used: 0, idle: 0 }),
            configure <- new_mutex!(None),
            mode <- new_mutex!(Mode::Suspended),
            // Nothing depends on them.
            _debugfs: show(dev, channels).unwrap_or_default(),
        })
    }

    /// Returns the channels.
    pub(crate) fn channels(&self) -> &[Arc<Channel<H>>] {
        &self.channels
    }

    /// Returns the work that a queue has done when the device breaks the rules.
    pub(crate) fn work(&self) -> NonNull<bindings::work_struct> {
        // SAFETY: It is part of `self`.
        unsafe { NonNull::new_unchecked(self.work.get()) }
    }

    /// Sets what is called before the device is used again after a reset.
    pub(crate) fn set_configure(&self, configure: Configure) {
        *self.configure.lock() = Some(configure);
    }

    /// Returns whether the device has been given up.
    pub(crate) fn is_closed(&self) -> bool {
        *self.mode.lock() == Mode::Closed
    }

    fn for_each_live(&self, f: impl Fn(&crate::Live<H>)) {
        for channel in &self.channels {
            if let Some(live) = channel.access() {
                f(&live);
            }
        }
    }

    extern "C" fn run(work: *mut bindings::work_struct) {
        // SAFETY: The work item is in a `Guard`, which waits for it before it goes.
        let this =
            unsafe { &*kernel::container_of!(Opaque::cast_from(work).cast_mut(), Self, work) };
        this.recover();
    }

    /// Resets a device that has failed and has it used again, or gives it up.
    fn recover(&self) {
        let mut mode = self.mode.lock();
        // What is suspended may have no power, and cannot be asked.
        if matches!(*mode, Mode::Suspended | Mode::Closed) {
            return;
        }
        let status = self.dev.device_status();
        let is_broken = self.has_broken_queue();
        // One that is cut off comes back here when it is found. Until then neither what it says nor
        // that its queues are broken means anything, and the driver of the bus has said so before it
        // broke them.
        if self.dev.is_cut_off() {
            return;
        }
        let was_lost = self.dev.take_found();
        let needs_reset = status.contains(Status::NEEDS_RESET);
        // One that somebody else than the transport has reset may be another device by now.
        let is_ours = !status.is_gone() && (was_lost || status.contains(Status::DRIVER_OK));
        if is_ours && !was_lost && !needs_reset && !is_broken {
            // A reset that came before has mended what this one was about.
            return;
        }
        if needs_reset && is_ours {
            dev_err!(self.dev, "device needs a reset\n");
        }
        if is_ours && *mode == Mode::Live && !was_lost && !needs_reset {
            match self.reset_stuck_queues() {
                Outcome::Done => return,
                Outcome::Lost => {
                    self.for_each_live(crate::Live::break_queue);
                    return;
                }
                Outcome::NotEnough => {}
            }
        }
        self.log_unfinished();
        if !is_ours || (*mode == Mode::Retired && !was_lost) {
            self.close(&mut mode);
            return;
        }
        // What the transport met is not the device's fault.
        if !was_lost && !self.restarts.lock().allow() {
            dev_err!(self.dev, "device fails again and again, it is given up\n");
            self.close(&mut mode);
            return;
        }
        self.quiet();
        if !self.dev.is_connected() {
            // It was lost meanwhile, and may not have heard of the reset: what it has stays with it
            // until this is done once more.
            return;
        }
        self.take_back();
        match self.dev.restart(|| self.resume()) {
            // It was lost meanwhile, or even found: this is done once more.
            _ if !self.dev.is_connected() => self.for_each_live(crate::Live::break_queue),
            Ok(()) => {
                dev_warn!(self.dev, "device was reset and is used again\n");
                // Its configuration may be another by now.
                self.dev.config_changed();
            }
            Err(error) => {
                dev_err!(self.dev, "device cannot be used again: {:?}\n", error);
                self.close(&mut mode);
            }
        }
    }

    /// Logs where the queues are of which the device has something.
    fn log_unfinished(&self) {
        self.for_each_live(|live| {
            let snapshot = live.snapshot();
            if snapshot.in_flight != 0 {
                dev_warn!(self.dev, "{}\n", snapshot);
            }
        });
    }

    fn has_broken_queue(&self) -> bool {
        let mut channels = self.channels.iter();
        channels.any(|channel| channel.access().is_some_and(|live| live.is_broken()))
    }

    /// Gives all that a device had that was reset back to the handlers, for now.
    fn take_back(&self) {
        self.for_each_live(|live| {
            // The log has had it, or it does not matter any more.
            let _ = live.take_back();
        });
    }

    /// Has the device use its queues again, after it was reset and the features were agreed on.
    ///
    /// # Errors
    ///
    /// What the transport and the driver say.
    fn resume(&self) -> Result {
        self.for_each_live(crate::Live::restart);
        self.dev.restore_vqs()?;
        if let Some(configure) = &*self.configure.lock() {
            configure(self.dev)?;
        }
        self.go_live();
        Ok(())
    }

    /// Makes the device live for the first time.
    pub(crate) fn start(&self) {
        let mut mode = self.mode.lock();
        self.go_live();
        *mode = Mode::Live;
        // The transport may have lost the device since its queues were set up.
        self.check();
    }

    /// Lets interrupts through, sets `DRIVER_OK` (CORE-INIT-11), and only then notifies the device
    /// of what has been added (CORE-INIT-14).
    fn go_live(&self) {
        self.for_each_live(crate::Live::set_ready);
        self.dev.set_driver_ok();
        self.for_each_live(crate::Live::set_live);
    }

    /// Breaks the queues and resets the device. Sleeps.
    ///
    /// No interrupt reaches a channel after this: the queues are broken before `reset` waits for
    /// handlers that run. Nor is a device notified that has been reset (CORE-INIT-14).
    fn quiet(&self) {
        self.for_each_live(crate::Live::break_queue);
        // Whoever notifies the device at this moment has access to a channel.
        // SAFETY: Called in a context that may sleep.
        unsafe { bindings::synchronize_rcu() };
        reset(self.dev);
    }

    /// Resets the device and gives all that it had back to the handlers, for good. Sleeps.
    fn close(&self, mode: &mut Mode) {
        *mode = Mode::Closed;
        self.quiet();
        for channel in &self.channels {
            channel.close();
        }
    }

    /// Has the device looked after, as when a queue is found broken. Returns at once.
    pub(crate) fn check(&self) {
        // SAFETY: By the type invariant it is initialized.
        unsafe { bindings::rust_ext_schedule_work(self.work.get()) };
    }

    /// Waits for a reset that is at work. Sleeps.
    pub(crate) fn settle(&self) {
        // SAFETY: By the type invariant it is initialized.
        unsafe { bindings::flush_work(self.work.get()) };
    }

    /// Gives the device up. Sleeps.
    pub(crate) fn fail(&self) {
        self.close(&mut self.mode.lock());
    }

    /// Stops the use of a device that is going to lose its state. Sleeps.
    pub(crate) fn suspend(&self) {
        let mut mode = self.mode.lock();
        if *mode == Mode::Live {
            // One that is lost is out of use already, and what it has stays with it.
            if !self.dev.is_cut_off() {
                self.quiet();
                if self.dev.is_connected() {
                    self.take_back();
                }
            }
            *mode = Mode::Suspended;
        }
    }

    /// Uses the device again after [`suspend`](Self::suspend). Sleeps.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the device was not suspended, `ENODEV` if it has been given up, and as `resume`.
    pub(crate) fn restart(&self) -> Result {
        let mut mode = self.mode.lock();
        match *mode {
            Mode::Suspended => {}
            Mode::Live => return Err(EBUSY),
            Mode::Retired | Mode::Closed => return Err(ENODEV),
        }
        let was_found = self.dev.take_found();
        // After that: one that is cut off again is found again.
        if self.dev.is_cut_off() {
            // The queues stay out of use until then.
            *mode = Mode::Live;
            return Ok(());
        }
        if was_found {
            // It has been reset by now.
            self.take_back();
        }
        self.resume()
            .inspect_err(|_| self.for_each_live(crate::Live::break_queue))?;
        *mode = Mode::Live;
        // A failure that came before could do nothing.
        self.check();
        Ok(())
    }

    /// Has the next failure end the use of the device, and takes it for one if nothing in flight
    /// comes back for long.
    pub(crate) fn retire(&self) {
        let mut mode = self.mode.lock();
        match *mode {
            Mode::Live => {
                *mode = Mode::Retired;
                self.look_later();
            }
            // Nobody is going to wake it up any more.
            Mode::Suspended => self.close(&mut mode),
            Mode::Retired | Mode::Closed => {}
        }
    }

    fn look_later(&self) {
        // SAFETY: By the type invariant it is initialized.
        unsafe {
            bindings::rust_ext_schedule_delayed_work(self.watch.get(), WATCH_INTERVAL_MS);
        }
    }

    extern "C" fn look(work: *mut bindings::work_struct) {
        // SAFETY: The work item is in a `delayed_work` in a `Guard`, which waits for it before it
        // goes.
        let this = unsafe {
            let watch = kernel::container_of!(work, bindings::delayed_work, work);
            &*kernel::container_of!(Opaque::cast_from(watch).cast_mut(), Self, watch)
        };
        if !this.dev.is_cut_off() && this.is_stuck() {
            dev_err!(this.dev, "device does not answer, its requests fail\n");
            this.log_unfinished();
            this.for_each_live(crate::Live::fail);
        } else {
            this.look_later();
        }
    }

    /// Returns whether the device has done nothing for long though there is something to do.
    fn is_stuck(&self) -> bool {
        let mut in_flight = 0_u32;
        let mut used = 0_u16;
        for channel in &self.channels {
            if let Some(live) = channel.access() {
                let progress = live.progress();
                in_flight = in_flight.saturating_add(progress.0.into());
                used = used.wrapping_add(progress.1);
            }
        }
        let mut watched = self.watched.lock();
        if (in_flight == 0 && !self.has_broken_queue()) || used != watched.used {
            *watched = Watched { used, idle: 0 };
        } else {
            watched.idle = watched.idle.saturating_add(1);
        }
        watched.idle >= MAX_IDLE
    }
}

/// Shows each channel in debugfs, as `virtio/virtioN/queueM`.
fn show<H: Handler>(
    dev: &Device<Bound>,
    channels: &[Arc<Channel<H>>],
) -> Result<KVec<DebugFile<H>>> {
    let mut files = KVec::new();
    let Some(dir) = dev.debugfs_dir() else {
        return Ok(files);
    };
    for (number, channel) in channels.iter().enumerate() {
        let name = CString::try_from_fmt(fmt!("queue{number}"))?;
        let show: Show<Arc<Channel<H>>> = |channel, f| channel.show(f);
        let file = File::new(&dir, &name, channel.clone(), Some(show), None)?;
        files.push(file, GFP_KERNEL)?;
    }
    Ok(files)
}

/// Stops the device: it raises no interrupt and touches no memory after this. May sleep.
pub(crate) fn reset(dev: &Device<Bound>) {
    if dev.reset().is_err() {
        dev_err!(dev, "device still runs while its queues are taken down\n");
    }
    dev.synchronize_callbacks();
}

#[pinned_drop]
impl<H: Handler> PinnedDrop for Guard<'_, H> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant it is initialized.
        unsafe { bindings::disable_delayed_work_sync(self.watch.get()) };
        // SAFETY: As above.
        unsafe { bindings::disable_work_sync(self.work.get()) };
        // SAFETY: None is stored; queues are dropped while their driver is taken off.
        unsafe { self.dev.set_recovery(None) };
        self.fail();
    }
}
