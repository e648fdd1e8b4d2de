// SPDX-License-Identifier: GPL-2.0

//! What happened to a device, in order.

use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::{
        Arc,
        SpinLockIrq, //
    },
};

/// Something that happened to a device, or, for its driver's own part, in its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The device was reset.
    Reset,
    /// The status was written.
    Status(u8),
    /// Features were written.
    Features,
    /// The configuration was written at this offset.
    Config(usize),
    /// So many queues were set up.
    FindQueues(usize),
    /// The device was told about its queues again.
    RestoreQueues,
    /// This queue was reset.
    ResetQueue(u16),
    /// The device was told about this queue again.
    RestoreQueue(u16),
    /// The queues were freed.
    DeleteQueues,
    /// The device was notified of this queue.
    Notify(u16),
    /// The driver did something.
    Driver(Step),
}

/// What a driver of the tests did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its probe began.
    Probe,
    /// It heard that the configuration has changed.
    ConfigChanged,
    /// It was told to stop its use of the device for a while.
    Freeze,
    /// It was told to go on.
    Restore,
    /// It put its settings back into the configuration.
    Configure,
    /// It was told that its use of the device ends.
    Unbind,
    /// Its data is being dropped.
    Drop,
    /// A buffer came back unused.
    Unused,
}

/// A list of events.
#[pin_data]
pub struct Trace {
    #[pin]
    events: SpinLockIrq<KVec<Event>>,
}

impl Trace {
    /// How many events are kept; those after are not.
    const CAPACITY: usize = 256;

    /// Begins a list.
    pub fn new() -> Result<Arc<Self>> {
        let events = KVec::with_capacity(Self::CAPACITY, GFP_KERNEL)?;
        Arc::pin_init(
            pin_init!(Self { events <- new_spinlock_irq!(events, "virtio_fake::trace") }),
            GFP_KERNEL,
        )
    }

    /// Notes an event. In any context. A reset of a device that has just been reset is not worth a
    /// note.
    pub fn note(&self, event: Event) {
        let mut events = self.events.lock();
        if event != Event::Reset || events.last() != Some(&Event::Reset) {
            // No allocation: there is room for this many. More are dropped.
            let _ = events.push_within_capacity(event);
        }
    }

    /// Forgets all events.
    pub fn clear(&self) {
        self.events.lock().clear();
    }

    /// Returns whether the events are exactly these.
    pub fn is(&self, expected: &[Event]) -> bool {
        let events = self.events.lock();
        if **events == *expected {
            return true;
        }
        drop(events);
        self.print();
        false
    }

    /// Returns how many events there are like this one.
    pub fn count(&self, event: Event) -> usize {
        let events = self.events.lock();
        events.iter().filter(|&&other| other == event).count()
    }

    /// Returns the place of the first event like this one.
    pub fn first(&self, event: Event) -> Option<usize> {
        self.events.lock().iter().position(|&other| other == event)
    }

    /// Returns the place of the last event like this one.
    pub fn last(&self, event: Event) -> Option<usize> {
        self.events.lock().iter().rposition(|&other| other == event)
    }

    /// Writes the list to the log, for whoever has to find out what went wrong.
    pub fn print(&self) {
        let len = self.events.lock().len();
        for i in 0..len {
            let event = self.events.lock().get(i).copied();
            if let Some(event) = event {
                pr_info!("event {}: {:?}\n", i, event);
            }
        }
    }
}
