// SPDX-License-Identifier: GPL-2.0

//! The registers of the common configuration.
//!
//! Implements VIRTIO 1.4, 4.1.4.3 "Common configuration structure layout". Every field is accessed
//! in its own width, those of 64 bits as two halves (PCI-ACCESS-1 to PCI-ACCESS-4). Some registers
//! are behind a selector; a lock keeps the selector and the access together.

use kernel::{
    fmt,
    new_mutex,
    prelude::*,
    sync::Mutex, //
};
use pci_io::Window;
use virtio::{
    Features,
    Status, //
};

use crate::capability;

/// The bytes of the structure that every device has.
pub(crate) const LEN: usize = capability::COMMON_LEN as usize;

/// What stands for no vector in the vector registers.
const NO_VECTOR: u16 = 0xffff;

/// Offsets of the registers.
mod register {
    pub(super) const DEVICE_FEATURE_SELECT: usize = 0;
    pub(super) const DEVICE_FEATURE: usize = 4;
    pub(super) const DRIVER_FEATURE_SELECT: usize = 8;
    pub(super) const DRIVER_FEATURE: usize = 12;
    pub(super) const CONFIG_MSIX_VECTOR: usize = 16;
    pub(super) const NUM_QUEUES: usize = 18;
    pub(super) const DEVICE_STATUS: usize = 20;
    pub(super) const CONFIG_GENERATION: usize = 21;
    pub(super) const QUEUE_SELECT: usize = 22;
    pub(super) const QUEUE_SIZE: usize = 24;
    pub(super) const QUEUE_MSIX_VECTOR: usize = 26;
    pub(super) const QUEUE_ENABLE: usize = 28;
    pub(super) const QUEUE_NOTIFY_OFF: usize = 30;
    pub(super) const QUEUE_DESC: usize = 32;
    pub(super) const QUEUE_DRIVER: usize = 40;
    pub(super) const QUEUE_DEVICE: usize = 48;
    /// Only there with `VIRTIO_F_RING_RESET`.
    pub(super) const QUEUE_RESET: usize = 58;
}

use self::register::*;

/// How many selectable windows of 32 features there are to look at.
const FEATURE_WINDOWS: u32 = Features::BITS / 32;

/// Why a queue cannot be set up.
#[derive(Clone, Copy)]
pub(crate) enum QueueRefusal {
    /// The device has only so many.
    Beyond(u16),
    /// The device does not have this one.
    Missing,
    /// The queue is in use already.
    InUse,
}

impl fmt::Display for QueueRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beyond(count) => write!(f, "device has only {count} queues"),
            Self::Missing => f.write_str("not available"),
            Self::InUse => f.write_str("in use before it was set up"),
        }
    }
}

impl From<QueueRefusal> for Error {
    fn from(refusal: QueueRefusal) -> Self {
        match refusal {
            QueueRefusal::Beyond(_) => EINVAL,
            QueueRefusal::Missing | QueueRefusal::InUse => ENOENT,
        }
    }
}

/// A queue as the device describes it before it is set up.
#[derive(Clone, Copy)]
pub(crate) struct QueueInfo {
    /// The largest number of descriptors that the device allows.
    pub(crate) max_size: u16,
    /// Where the queue's notification register is, in units of the multiplier.
    pub(crate) notify_off: u16,
}

/// What the device is told about a queue.
pub(crate) struct QueueSetup {
    /// The number of descriptors.
    pub(crate) size: u16,
    /// The address of the descriptor area.
    pub(crate) desc: u64,
    /// The address of the driver area.
    pub(crate) driver: u64,
    /// The address of the device area.
    pub(crate) device: u64,
    /// The interrupt vector, if the queue has one.
    pub(crate) vector: Option<u16>,
}

/// The common configuration of a device.
#[pin_data]
pub(crate) struct CommonConfig {
    window: Window<LEN>,
    /// Held while a selector says which queue or window of features is meant.
    #[pin]
    selection: Mutex<()>,
}

impl CommonConfig {
    /// Takes the mapped structure.
    pub(crate) fn new(window: Window<LEN>) -> impl PinInit<Self> {
        pin_init!(Self {
            window,
            selection <- new_mutex!((), "virtio_pci::CommonConfig::selection"),
        })
    }

    /// Reads the features that the device offers.
    pub(crate) fn device_features(&self) -> Features {
        let _selection = self.selection.lock();
        let mut words = [0u64; 2];
        for (word, windows) in words.iter_mut().zip([[0, 1], [2, 3]]) {
            let [low, high] = windows.map(|window: u32| {
                self.window.write::<u32, DEVICE_FEATURE_SELECT>(window);
                u64::from(self.window.read::<u32, DEVICE_FEATURE>())
            });
            *word = low | high << 32;
        }
        Features::from_words(words)
    }

    /// Writes the features that the driver accepts.
    pub(crate) fn set_driver_features(&self, features: Features) {
        let _selection = self.selection.lock();
        let halves = features.words().into_iter().flat_map(|word| {
            // CAST: The lower and the upper half.
            [word as u32, (word >> 32) as u32]
        });
        for (window, half) in (0..FEATURE_WINDOWS).zip(halves) {
            self.window.write::<u32, DRIVER_FEATURE_SELECT>(window);
            self.window.write::<u32, DRIVER_FEATURE>(half);
        }
    }

    /// Reads the device status field.
    pub(crate) fn status(&self) -> Status {
        Status::from_bits(self.window.read::<u8, DEVICE_STATUS>())
    }

    /// Writes the device status field; writing [`Status::RESET`] starts a reset.
    pub(crate) fn set_status(&self, status: Status) {
        self.window.write::<u8, DEVICE_STATUS>(status.bits());
    }

    /// Reads the generation of the device configuration.
    pub(crate) fn generation(&self) -> u8 {
        self.window.read::<u8, CONFIG_GENERATION>()
    }

    /// Maps configuration changes to a vector, or to none.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the device does not accept it (PCI-MSIX-5).
    pub(crate) fn set_config_vector(&self, vector: Option<u16>) -> Result {
        let wanted = vector.unwrap_or(NO_VECTOR);
        self.window.write::<u16, CONFIG_MSIX_VECTOR>(wanted);
        Self::check_vector(wanted, self.window.read::<u16, CONFIG_MSIX_VECTOR>())
    }

    /// Maps a queue to a vector, or to none.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the device does not accept it (PCI-MSIX-5).
    pub(crate) fn set_queue_vector(&self, queue: u16, vector: Option<u16>) -> Result {
        self.select(queue, || self.map_queue(vector))
    }

    /// Reads what the device says of a queue.
    ///
    /// # Errors
    ///
    /// Why the queue cannot be set up.
    pub(crate) fn queue(&self, queue: u16) -> Result<QueueInfo, QueueRefusal> {
        let count = self.window.read::<u16, NUM_QUEUES>();
        if queue >= count {
            return Err(QueueRefusal::Beyond(count));
        }
        self.select(queue, || {
            let max_size = self.window.read::<u16, QUEUE_SIZE>();
            if max_size == 0 {
                return Err(QueueRefusal::Missing);
            }
            if self.window.read::<u16, QUEUE_ENABLE>() != 0 {
                return Err(QueueRefusal::InUse);
            }
            Ok(QueueInfo {
                max_size,
                notify_off: self.window.read::<u16, QUEUE_NOTIFY_OFF>(),
            })
        })
    }

    /// Tells the device where a queue is. It is enabled later.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the device does not accept the vector.
    pub(crate) fn set_up_queue(&self, queue: u16, setup: &QueueSetup) -> Result {
        self.select(queue, || {
            self.window.write::<u16, QUEUE_SIZE>(setup.size);
            self.write64::<QUEUE_DESC, { QUEUE_DESC + 4 }>(setup.desc);
            self.write64::<QUEUE_DRIVER, { QUEUE_DRIVER + 4 }>(setup.driver);
            self.write64::<QUEUE_DEVICE, { QUEUE_DEVICE + 4 }>(setup.device);
            match setup.vector {
                Some(_) => self.map_queue(setup.vector),
                None => Ok(()),
            }
        })
    }

    /// Returns whether there is room for the register that resets a queue.
    pub(crate) fn has_queue_reset(&self) -> bool {
        self.window.len() >= QUEUE_RESET + size_of::<u16>()
    }

    /// Starts the reset of a queue. `VIRTIO_F_RING_RESET` was agreed on.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no register for that.
    pub(crate) fn start_queue_reset(&self, queue: u16) -> Result {
        self.select(queue, || self.window.try_write::<u16>(QUEUE_RESET, 1))
    }

    /// Returns whether the device has reset a queue, and does not use it any more (PCI-COMMON-7,
    /// CORE-VQRESET-1).
    ///
    /// # Errors
    ///
    /// `ENODEV` if it does not answer any more.
    pub(crate) fn is_queue_reset(&self, queue: u16) -> Result<bool> {
        self.select(queue, || {
            match self.window.try_read::<u16>(QUEUE_RESET)? {
                0 => Ok(self.window.read::<u16, QUEUE_ENABLE>() == 0),
                u16::MAX => Err(ENODEV),
                _ => Ok(false),
            }
        })
    }

    /// Lets the device use a queue that has been set up (PCI-COMMON-4). Only a reset takes that
    /// back (PCI-COMMON-6).
    pub(crate) fn enable_queue(&self, queue: u16) {
        self.select(queue, || self.window.write::<u16, QUEUE_ENABLE>(1));
    }

    fn select<R>(&self, queue: u16, access: impl FnOnce() -> R) -> R {
        let _selection = self.selection.lock();
        self.window.write::<u16, QUEUE_SELECT>(queue);
        access()
    }

    /// Maps the selected queue.
    fn map_queue(&self, vector: Option<u16>) -> Result {
        let wanted = vector.unwrap_or(NO_VECTOR);
        self.window.write::<u16, QUEUE_MSIX_VECTOR>(wanted);
        Self::check_vector(wanted, self.window.read::<u16, QUEUE_MSIX_VECTOR>())
    }

    fn check_vector(wanted: u16, got: u16) -> Result {
        if got == wanted {
            Ok(())
        } else {
            Err(EBUSY)
        }
    }

    fn write64<const LOW: usize, const HIGH: usize>(&self, value: u64) {
        // CAST: The lower and the upper half.
        self.window.write::<u32, LOW>(value as u32);
        self.window.write::<u32, HIGH>((value >> 32) as u32);
    }
}
