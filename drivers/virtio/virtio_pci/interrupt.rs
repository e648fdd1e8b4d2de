// SPDX-License-Identifier: GPL-2.0

//! The interrupts of a device: what each of them does.
//!
//! Implements VIRTIO 1.4, 4.1.5.3 "Used Buffer Notifications" and 4.1.5.4 "Notification of Device
//! Configuration Changes". A handler owns a share of all that it touches.

use kernel::{
    irq::{
        Handler,
        IrqReturn, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
};
use pci_io::Window;
use virtio_ring::Virtqueue;

use crate::hardware::ISR_LEN;

/// The bit of the interrupt status for changes of the configuration.
const ISR_CONFIG: u8 = 1 << 1;
/// What is read of a device that is not there any more.
const ISR_GONE: u8 = 0xff;

/// A queue and the vector that it is mapped to.
pub(crate) struct Queue {
    /// The queue itself.
    pub(crate) queue: Arc<Virtqueue>,
    /// Its interrupt vector, if it has one.
    pub(crate) vector: Option<u16>,
}

/// Queues of a device in the order of their numbers.
pub(crate) type Queues = KVec<Arc<Queue>>;

/// What an interrupt stands for.
pub(crate) enum Source {
    /// A change of the configuration.
    Config(ARef<virtio::Device>),
    /// Used buffers in one queue.
    Queue(Arc<Queue>),
    /// Used buffers in any of some queues.
    Queues(Queues),
    /// Any of these; the interrupt status says which, and whether it is this device's at all.
    Line {
        /// The interrupt status.
        isr: Arc<Window<ISR_LEN>>,
        /// The device that hears of changes of its configuration.
        dev: ARef<virtio::Device>,
        /// All queues.
        queues: Queues,
    },
}

impl Handler for Source {
    fn handle(&self) -> IrqReturn {
        match self {
            Self::Config(dev) => {
                dev.config_changed();
                IrqReturn::Handled
            }
            // PCI-ISR-1: with MSI-X, the interrupt status is left alone.
            Self::Queue(queue) => handled(Virtqueue::interrupt(&queue.queue)),
            Self::Queues(queues) => handled(interrupt_all(queues)),
            Self::Line { isr, dev, queues } => {
                // This acknowledges the interrupt, so it comes before all else: what happens from
                // here on raises it again.
                let status = isr.read::<u8, 0>();
                if matches!(status, 0 | ISR_GONE) {
                    return IrqReturn::None;
                }
                // PCI-CFGIRQ-1: both may be meant.
                if status & ISR_CONFIG != 0 {
                    dev.config_changed();
                }
                interrupt_all(queues);
                IrqReturn::Handled
            }
        }
    }
}

fn handled(is_handled: bool) -> IrqReturn {
    if is_handled {
        IrqReturn::Handled
    } else {
        IrqReturn::None
    }
}

/// Lets each queue look for used buffers, and returns whether any of them did.
fn interrupt_all(queues: &Queues) -> bool {
    queues
        .iter()
        .fold(false, |any, queue| Virtqueue::interrupt(&queue.queue) | any)
}
