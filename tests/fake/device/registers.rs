// SPDX-License-Identifier: GPL-2.0

//! What a transport shows of a device: status, features, configuration.
//!
//! VIRTIO 1.4, 2.1 "Device Status Field", 2.2 "Feature Bits", 2.5 "Device Configuration Space" and
//! 3.1 "Device Initialization". The device notes every rule that the driver breaks, as
//! [`Complaint`]s.

use super::{
    fault::Fault,
    memory::copy, //
};

/// `ACKNOWLEDGE`.
pub const ACKNOWLEDGE: u8 = 1;
/// `DRIVER`.
pub const DRIVER: u8 = 2;
/// `DRIVER_OK`.
pub const DRIVER_OK: u8 = 4;
/// `FEATURES_OK`.
pub const FEATURES_OK: u8 = 8;
/// `DEVICE_NEEDS_RESET`.
pub const NEEDS_RESET: u8 = 0x40;
/// `FAILED`.
pub const FAILED: u8 = 0x80;
/// What a device that has gone reads as.
pub const GONE: u8 = 0xff;
/// The number of the feature bit `VIRTIO_F_VERSION_1`, in the first word.
const VERSION_1: u32 = 32;
/// The number of the feature bit `VIRTIO_F_RING_RESET`, in the first word.
const RING_RESET: u32 = 40;

/// How long a configuration space can be here.
pub const CONFIG_MAX: usize = 128;

/// A rule that the driver has broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Complaint {
    /// A status bit was taken back (CORE-STATUS-2).
    DroppedBit,
    /// A step came before the one that precedes it (CORE-INIT-1 to CORE-INIT-7, CORE-INIT-11).
    StepSkipped,
    /// Something but FAILED was set after FAILED without a reset (CORE-STATUS-3).
    AfterFailed,
    /// A feature was accepted that is not offered (CORE-FEAT-1).
    NotOffered,
    /// Features were written after `FEATURES_OK` (CORE-INIT-8).
    LateFeatures,
    /// `DRIVER_OK` was set without a look whether `FEATURES_OK` is (CORE-INIT-9).
    NotReadBack,
    /// Queues were set up before `FEATURES_OK` or after `DRIVER_OK` (CORE-INIT-10).
    QueuesOutOfStep,
    /// The configuration was written before `FEATURES_OK` (CORE-INIT-6).
    EarlyWrite,
    /// The device was notified before `DRIVER_OK` (CORE-INIT-14).
    EarlyNotification,
    /// Queues were freed while the device could use them (D18, CORE-CLEANUP-2).
    FreedLive,
    /// The configuration was accessed beyond its end.
    OutOfConfig,
    /// A queue was reset, or set up after that, which was not agreed on, or the device is not live.
    QueueReset,
}

/// The rules that a driver has broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Complaints(u32);

impl Complaints {
    /// None.
    pub const NONE: Self = Self(0);

    /// Only this one.
    pub const fn only(complaint: Complaint) -> Self {
        Self(1 << complaint as u32)
    }

    /// Returns whether there is this one.
    pub const fn contains(self, complaint: Complaint) -> bool {
        self.0 & (1 << complaint as u32) != 0
    }

    fn add(&mut self, complaint: Complaint) {
        self.0 |= 1 << complaint as u32;
    }
}

/// The registers of a device.
pub struct Registers {
    status: u8,
    offered: [u64; 2],
    accepted: [u64; 2],
    config: [u8; CONFIG_MAX],
    config_len: usize,
    /// A byte of the configuration, and what it is after a reset.
    at_reset: Option<(usize, u8)>,
    generation: u32,
    resets: u32,
    was_read_back: bool,
    fault: Fault,
    complaints: Complaints,
}

impl Registers {
    /// A device as it is before anybody has looked at it: in some state.
    pub fn new(offered: [u64; 2], config: &[u8], fault: Fault) -> Self {
        let mut this = Self {
            status: ACKNOWLEDGE | DRIVER | DRIVER_OK,
            offered,
            accepted: [0; 2],
            config: [0; CONFIG_MAX],
            config_len: config.len().min(CONFIG_MAX),
            at_reset: None,
            generation: 0,
            resets: 0,
            was_read_back: false,
            fault,
            complaints: Complaints::NONE,
        };
        for (to, from) in this.config.iter_mut().zip(config) {
            *to = *from;
        }
        this
    }

    /// Has a byte of the configuration be after each reset what it is now, whoever changes it meanwhile.
    pub fn resetting(self, offset: usize) -> Self {
        let at_reset = self.config.get(offset).map(|&byte| (offset, byte));
        Self { at_reset, ..self }
    }

    /// What the driver has done wrong so far.
    pub fn complaints(&self) -> Complaints {
        self.complaints
    }

    /// Notes that the driver has broken a rule. A device that has gone sees nothing.
    pub fn complain(&mut self, complaint: Complaint) {
        if self.fault != Fault::Gone {
            self.complaints.add(complaint);
        }
    }

    /// What is wrong with the device.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// Changes what is wrong with the device.
    pub fn set_fault(&mut self, fault: Fault) {
        self.fault = fault;
    }

    /// How often the device has been reset.
    pub fn resets(&self) -> u32 {
        self.resets
    }

    /// Reads the status.
    pub fn status(&mut self) -> u8 {
        if self.fault == Fault::Gone {
            return GONE;
        }
        if self.status & FEATURES_OK != 0 {
            self.was_read_back = true;
        }
        self.status
    }

    /// Returns whether the device may be notified and uses its queues.
    pub fn is_live(&self) -> bool {
        self.status & DRIVER_OK != 0 && self.status & NEEDS_RESET == 0 && self.fault != Fault::Gone
    }

    /// Writes the status.
    pub fn set_status(&mut self, status: u8) {
        // Of what the device sets itself, the driver can know nothing.
        let before = self.status & !NEEDS_RESET;
        let added = status & !before;
        if before & !status != 0 {
            self.complain(Complaint::DroppedBit);
        }
        if before & FAILED != 0 && added != 0 {
            self.complain(Complaint::AfterFailed);
        }
        for (step, needs) in [
            (DRIVER, ACKNOWLEDGE),
            (FEATURES_OK, ACKNOWLEDGE | DRIVER),
            (DRIVER_OK, ACKNOWLEDGE | DRIVER | FEATURES_OK),
        ] {
            // A device that is given up as FAILED may be so at any step.
            if added & step != 0 && before & needs != needs && status & FAILED == 0 {
                self.complain(Complaint::StepSkipped);
            }
        }
        if self.resets == 0 {
            self.complain(Complaint::StepSkipped);
        }
        if added & DRIVER_OK != 0 && !self.was_read_back {
            self.complain(Complaint::NotReadBack);
        }
        self.status |= status;
        if self.fault == Fault::FeaturesRefused {
            self.status &= !FEATURES_OK;
        }
    }

    /// Asks for a reset by itself.
    pub fn need_reset(&mut self) {
        self.status |= NEEDS_RESET;
    }

    /// Resets the device. Returns whether it has finished.
    pub fn reset(&mut self) -> bool {
        self.resets += 1;
        match self.fault {
            Fault::NoResetEver => return false,
            Fault::NoReset if self.resets > 1 => return false,
            _ => {}
        }
        if self.fault == Fault::FeaturesShrink && self.resets > 1 {
            let [low, _] = &mut self.offered;
            *low &= 1 << VERSION_1;
        }
        if let Some((offset, byte)) = self.at_reset {
            self.put_config(offset, &[byte]);
        }
        self.status = 0;
        self.accepted = [0; 2];
        self.was_read_back = false;
        true
    }

    /// Offers one feature more from now on.
    pub fn offer(&mut self, bit: u32) {
        let [low, _] = &mut self.offered;
        *low |= 1 << bit;
    }

    /// Reads the features on offer.
    pub fn features(&self) -> [u64; 2] {
        let [low, high] = self.offered;
        match self.fault {
            Fault::Gone => [u64::MAX; 2],
            Fault::Legacy => [low & !(1 << VERSION_1), high],
            _ => [low, high],
        }
    }

    /// Writes the features that the driver accepts.
    pub fn accept(&mut self, features: [u64; 2]) {
        if self.status & FEATURES_OK != 0 {
            self.complain(Complaint::LateFeatures);
        }
        for (accepted, offered) in features.into_iter().zip(self.features()) {
            if accepted & !offered != 0 {
                self.complain(Complaint::NotOffered);
            }
        }
        self.accepted = features;
    }

    /// The features that the driver has accepted.
    pub fn accepted(&self) -> [u64; 2] {
        self.accepted
    }

    /// Notes that queues are set up.
    pub fn queues_found(&mut self) {
        if self.status & FEATURES_OK == 0 || self.status & DRIVER_OK != 0 {
            self.complain(Complaint::QueuesOutOfStep);
        }
    }

    /// Notes that a queue is reset. Returns whether the device does it.
    pub fn queue_reset(&mut self) -> bool {
        self.queue_changed();
        self.is_live() && self.fault != Fault::NoQueueReset
    }

    /// Notes that a queue is reset, or set up after that.
    pub fn queue_changed(&mut self) {
        let [low, _] = self.accepted;
        if low & (1 << RING_RESET) == 0 || self.status & DRIVER_OK == 0 {
            self.complain(Complaint::QueueReset);
        }
    }

    /// Notes that queues are freed.
    pub fn queues_freed(&mut self) {
        if self.status != 0
            && !matches!(
                self.fault,
                Fault::Gone | Fault::NoReset | Fault::NoResetEver
            )
        {
            self.complain(Complaint::FreedLive);
        }
    }

    /// Notes a notification. Returns whether the device hears it.
    pub fn notified(&mut self) -> bool {
        if self.status & DRIVER_OK == 0 {
            self.complain(Complaint::EarlyNotification);
        }
        self.is_live()
    }

    /// The length of the configuration space.
    pub fn config_len(&self) -> usize {
        self.config_len
    }

    /// Reads the generation of the configuration.
    pub fn generation(&mut self) -> u32 {
        if self.fault == Fault::Generation {
            self.change();
        }
        self.generation
    }

    /// Reads the configuration.
    pub fn read_config(&mut self, offset: usize, bytes: &mut [u8]) {
        if self.fault == Fault::Gone {
            bytes.fill(0xff);
            return;
        }
        let range = offset..offset.saturating_add(bytes.len());
        let space = self.config.get(..self.config_len);
        match space.and_then(|space| space.get(range)) {
            Some(from) => copy(bytes, from),
            None => self.complain(Complaint::OutOfConfig),
        }
    }

    /// Reads a byte of the configuration, by the device itself; 0 where there is none.
    pub fn config_byte(&self, offset: usize) -> u8 {
        self.config.get(offset).copied().unwrap_or(0)
    }

    /// Writes the configuration, by the driver.
    pub fn write_config(&mut self, offset: usize, bytes: &[u8]) {
        if self.status & FEATURES_OK == 0 {
            self.complain(Complaint::EarlyWrite);
        }
        if !self.put_config(offset, bytes) {
            self.complain(Complaint::OutOfConfig);
        }
    }

    /// Changes the configuration, by the device: another generation begins.
    /// Returns whether there is such a place in it.
    pub fn change_config(&mut self, offset: usize, bytes: &[u8]) -> bool {
        self.change();
        self.put_config(offset, bytes)
    }

    fn put_config(&mut self, offset: usize, bytes: &[u8]) -> bool {
        let range = offset..offset.saturating_add(bytes.len());
        let space = self.config.get_mut(..self.config_len);
        match space.and_then(|space| space.get_mut(range)) {
            Some(to) => {
                copy(to, bytes);
                true
            }
            None => false,
        }
    }

    fn change(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }
}
