// SPDX-License-Identifier: GPL-2.0

//! Feature bits and what a driver accepts of them.
//!
//! VIRTIO 1.4, 2.2 "Feature Bits" and 6 "Reserved Feature Bits".
//!
//! A device offers features; the driver accepts some of them. Which ones follows from three sets
//! alone, so [`negotiate`] is a function of these and touches no device.
//!
//! C headers: [`include/linux/virtio_features.h`](srctree/include/linux/virtio_features.h),
//! [`include/uapi/linux/virtio_config.h`](srctree/include/uapi/linux/virtio_config.h)

use core::fmt;
use core::ops::RangeInclusive;

/// Descriptors may refer to tables of descriptors (`VIRTIO_F_INDIRECT_DESC`).
pub const INDIRECT_DESC: u32 = 28;
/// Notifications are asked for by ring index (`VIRTIO_F_EVENT_IDX`).
pub const EVENT_IDX: u32 = 29;
/// The device follows version 1 of the specification or later (`VIRTIO_F_VERSION_1`).
pub const VERSION_1: u32 = 32;
/// The platform translates or limits what the device can access (`VIRTIO_F_ACCESS_PLATFORM`).
pub const ACCESS_PLATFORM: u32 = 33;
/// Queues have the packed layout (`VIRTIO_F_RING_PACKED`).
pub const RING_PACKED: u32 = 34;
/// Buffers are used in the order in which they were made available (`VIRTIO_F_IN_ORDER`).
pub const IN_ORDER: u32 = 35;
/// Memory accesses are ordered as the platform demands (`VIRTIO_F_ORDER_PLATFORM`).
pub const ORDER_PLATFORM: u32 = 36;
/// The device has virtual functions (`VIRTIO_F_SR_IOV`).
pub const SR_IOV: u32 = 37;
/// Notifications say how far the driver got (`VIRTIO_F_NOTIFICATION_DATA`).
pub const NOTIFICATION_DATA: u32 = 38;
/// Notifications name queues by a number of the device's choice (`VIRTIO_F_NOTIF_CONFIG_DATA`).
pub const NOTIF_CONFIG_DATA: u32 = 39;
/// Queues can be reset one by one (`VIRTIO_F_RING_RESET`).
pub const RING_RESET: u32 = 40;
/// The device has administration virtqueues (`VIRTIO_F_ADMIN_VQ`).
pub const ADMIN_VQ: u32 = 41;

/// The bits of which transport and ring decide instead of the driver.
pub const TRANSPORT_BITS: RangeInclusive<u32> = 28..=41;

/// Returns the name of a reserved bit in the specification.
pub const fn name(bit: u32) -> Option<&'static str> {
    Some(match bit {
        INDIRECT_DESC => "VIRTIO_F_INDIRECT_DESC",
        EVENT_IDX => "VIRTIO_F_EVENT_IDX",
        VERSION_1 => "VIRTIO_F_VERSION_1",
        ACCESS_PLATFORM => "VIRTIO_F_ACCESS_PLATFORM",
        RING_PACKED => "VIRTIO_F_RING_PACKED",
        IN_ORDER => "VIRTIO_F_IN_ORDER",
        ORDER_PLATFORM => "VIRTIO_F_ORDER_PLATFORM",
        SR_IOV => "VIRTIO_F_SR_IOV",
        NOTIFICATION_DATA => "VIRTIO_F_NOTIFICATION_DATA",
        NOTIF_CONFIG_DATA => "VIRTIO_F_NOTIF_CONFIG_DATA",
        RING_RESET => "VIRTIO_F_RING_RESET",
        ADMIN_VQ => "VIRTIO_F_ADMIN_VQ",
        _ => return None,
    })
}

/// A set of feature bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Features([u64; 2]);

impl Features {
    /// How many bits a set can have.
    pub const BITS: u32 = 128;
    /// No bit.
    pub const EMPTY: Self = Self([0; 2]);
    /// All bits of which transport and ring decide ([`TRANSPORT_BITS`]).
    pub const TRANSPORT: Self = {
        let mut set = Self::EMPTY;
        let mut bit = *TRANSPORT_BITS.start();
        while bit <= *TRANSPORT_BITS.end() {
            set = set.with(bit);
            bit += 1;
        }
        set
    };

    /// Makes a set of two words, the first of which has bits 0 to 63.
    pub const fn from_words(words: [u64; 2]) -> Self {
        Self(words)
    }

    /// Returns the set as two words, the first of which has bits 0 to 63.
    pub const fn words(self) -> [u64; 2] {
        self.0
    }

    /// Makes a set of the given bits.
    pub const fn from_bits(bits: &[u32]) -> Self {
        let mut set = Self::EMPTY;
        let mut rest = bits;
        while let [bit, following @ ..] = rest {
            set = set.with(*bit);
            rest = following;
        }
        set
    }

    /// Adds a bit; one that no set can have changes nothing.
    pub const fn with(self, bit: u32) -> Self {
        self.or(Self::only(bit))
    }

    /// Removes a bit.
    pub const fn without(self, bit: u32) -> Self {
        self.and_not(Self::only(bit))
    }

    /// Returns whether the set has a bit.
    pub const fn contains(self, bit: u32) -> bool {
        !self.and(Self::only(bit)).is_empty()
    }

    /// Returns whether the set has no bit.
    pub const fn is_empty(self) -> bool {
        let Self([low, high]) = self;
        low == 0 && high == 0
    }

    /// The bits that are in both sets.
    pub const fn and(self, other: Self) -> Self {
        let (Self([low, high]), Self([other_low, other_high])) = (self, other);
        Self([low & other_low, high & other_high])
    }

    /// The bits that are in either set.
    pub const fn or(self, other: Self) -> Self {
        let (Self([low, high]), Self([other_low, other_high])) = (self, other);
        Self([low | other_low, high | other_high])
    }

    /// The bits that are in this set but not in the other.
    pub const fn and_not(self, other: Self) -> Self {
        let (Self([low, high]), Self([other_low, other_high])) = (self, other);
        Self([low & !other_low, high & !other_high])
    }

    /// The bits in ascending order.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        (0..Self::BITS).filter(move |&bit| self.contains(bit))
    }

    /// Drops features whose prerequisite is not in the set, and those that need what was dropped.
    ///
    /// Each dependency is a feature and the one it needs. VIRTIO 1.4, 2.2.1 "Driver Requirements:
    /// Feature Bits".
    pub fn without_orphans(self, dependencies: impl Iterator<Item = (u32, u32)> + Clone) -> Self {
        let mut set = self;
        loop {
            let orphans = dependencies
                .clone()
                .filter(|(feature, needs)| set.contains(*feature) && !set.contains(*needs));
            let kept = orphans.fold(set, |kept, (feature, _)| kept.without(feature));
            // Each round but the last drops a feature, so that there are few.
            if kept == set {
                return set;
            }
            set = kept;
        }
    }

    const fn only(bit: u32) -> Self {
        match bit {
            0..=63 => Self([1 << bit, 0]),
            64..=127 => Self([0, 1 << (bit - 64)]),
            _ => Self::EMPTY,
        }
    }
}

/// One character per bit, `0` or `1`, bit 0 first: the format of the sysfs attribute `features`.
impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..Self::BITS).try_for_each(|bit| f.write_str(if self.contains(bit) { "1" } else { "0" }))
    }
}

/// Why a driver cannot work with what a device offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// [`VERSION_1`] is not offered or not supported: this is a legacy device.
    NotModern,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotModern => f.write_str("no VIRTIO_F_VERSION_1"),
        }
    }
}

/// Chooses the features to accept.
///
/// Of [`TRANSPORT_BITS`] these are the ones in `transport_and_ring`, of all others those in
/// `driver`, and only what the device has offered. Bits that nobody here knows are treated as if
/// they were not offered. [`Features::without_orphans`] is for the driver to apply, since only it
/// knows which of its features need which.
///
/// # Errors
///
/// [`Refusal::NotModern`] if [`VERSION_1`] would not be accepted (VIRTIO 1.4, 6.1 "Driver
/// Requirements: Reserved Feature Bits").
pub const fn negotiate(
    offered: Features,
    driver: Features,
    transport_and_ring: Features,
) -> Result<Features, Refusal> {
    let supported = driver
        .and_not(Features::TRANSPORT)
        .or(transport_and_ring.and(Features::TRANSPORT));
    let accepted = offered.and(supported);
    if accepted.contains(VERSION_1) {
        Ok(accepted)
    } else {
        Err(Refusal::NotModern)
    }
}
