// SPDX-License-Identifier: GPL-2.0

//! The notification registers of the queues.
//!
//! Implements VIRTIO 1.4, 4.1.4.4 "Notification structure layout" and 4.1.5.2 "Available Buffer
//! Notifications". A small structure is mapped at once, and its mapping shared; of a large one,
//! such as one with a page for each queue, only the registers of queues that are used.

use kernel::{
    prelude::*,
    sync::Arc, //
};
use pci_io::{
    Claim,
    Window, //
};
use virtio_ring::Notify;

use crate::{
    capability::Doorbells,
    hardware, //
};

/// How the structure is mapped.
enum Mapping {
    /// At once.
    Whole(Arc<Window>),
    /// Register by register, when a queue needs it.
    Single(Arc<Claim>),
}

/// The notification structure of a device.
pub(crate) struct NotifyArea {
    doorbells: Doorbells,
    mapping: Mapping,
}

impl NotifyArea {
    /// Maps the structure, if it is small.
    ///
    /// # Errors
    ///
    /// Those of [`hardware::map`].
    pub(crate) fn new(claim: &Arc<Claim>, doorbells: Doorbells) -> Result<Self, hardware::Error> {
        let mapping = match doorbells.whole()? {
            Some(part) => Mapping::Whole(Arc::new(hardware::map(claim, part)?, GFP_KERNEL)?),
            None => Mapping::Single(claim.clone()),
        };
        Ok(Self { doorbells, mapping })
    }

    /// Returns the register of a queue for which the device says `notify_off`.
    ///
    /// # Errors
    ///
    /// Those of [`hardware::map`], and a defect if the register is outside of the structure.
    pub(crate) fn doorbell(&self, notify_off: u16) -> Result<Doorbell, hardware::Error> {
        match &self.mapping {
            Mapping::Whole(window) => Ok(Doorbell {
                offset: self.doorbells.offset_in(window.len(), notify_off)?,
                window: window.clone(),
            }),
            Mapping::Single(claim) => {
                let part = self.doorbells.single(notify_off)?;
                Ok(Doorbell {
                    offset: 0,
                    window: Arc::new(hardware::map(claim, part)?, GFP_KERNEL)?,
                })
            }
        }
    }
}

/// The notification register of one queue.
pub(crate) struct Doorbell {
    window: Arc<Window>,
    /// Aligned, and in the window with both of its bytes.
    offset: usize,
}

impl Notify for Doorbell {
    #[inline]
    fn notify(&self, index: u16) -> bool {
        // PCI-NOTIFY-1 and PCI-NOTIFY-3: the features that would change the width or the value are
        // not accepted.
        self.window.try_write::<u16>(self.offset, index).is_ok()
    }
}
