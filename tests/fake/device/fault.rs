// SPDX-License-Identifier: GPL-2.0

//! What can be wrong with a device, by number, for the parameter `fault` of the module.

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal,)*) => {
        /// Something that is wrong with a device.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Fault {
            $($(#[doc = $doc])+ $name = $number,)*
        }

        impl Fault {
            /// Every kind, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Returns the kind with the given number.
            pub fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

faults! {
    /// An honest device.
    None = 0,
    /// A used id that no queue has.
    IdOutOfRange = 1,
    /// A used id that is in range and was not made available.
    IdNotInFlight = 2,
    /// Each buffer is given back twice.
    Twice = 3,
    /// More bytes are said to be written than were offered.
    LengthTooLong = 4,
    /// The used index jumps ahead by half of its range.
    IndexJump = 5,
    /// NEXT is set in the descriptors of a buffer while it is out; otherwise honest.
    Scribble = 6,
    /// Nothing is ever answered.
    NoAnswer = 7,
    /// Interrupts come with nothing behind them, and before the driver is ready; otherwise honest.
    Spurious = 8,
    /// The generation of the configuration is another at each look.
    Generation = 9,
    /// Resets never end, but for the first one.
    NoReset = 10,
    /// `FEATURES_OK` is taken back.
    FeaturesRefused = 11,
    /// `NEEDS_RESET` is set, and nothing is answered any more.
    NeedsReset = 12,
    /// Each request fails with `VIRTIO_BLK_S_IOERR`.
    IoError = 13,
    /// Nothing is written, not even a status, and the length is 0.
    NothingWritten = 14,
    /// The status is one that the specification does not know.
    UnknownStatus = 15,
    /// The device has no queue.
    NoQueue = 16,
    /// The device has gone: all that is read has every bit set.
    Gone = 17,
    /// The features offered after the first reset are fewer.
    FeaturesShrink = 18,
    /// `VIRTIO_F_VERSION_1` is not offered.
    Legacy = 19,
    /// Not even the first reset ends.
    NoResetEver = 20,
    /// Requests are served, and no interrupt tells about it.
    NoInterrupt = 21,
    /// Zones are reported to be of a type that the specification does not know.
    ZoneType = 22,
    /// Zones are reported to be in a state that the specification does not know.
    ZoneState = 23,
    /// Zones are reported where other zones are.
    ZoneOrder = 24,
    /// A report says that it has more zones than there is room for; otherwise honest.
    ZoneCount = 25,
    /// Data is said to be appended to another zone.
    AppendElsewhere = 26,
    /// There is no answer, and resets of single queues never end from then on.
    NoQueueReset = 27,
    /// A queue that was reset alone cannot be used any more.
    NoQueueRestore = 28,
}

/// A fault, when it begins and when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What is wrong.
    pub fault: Fault,
    /// How many requests are served well before that.
    pub after: u32,
    /// How many requests see it; 0 for all from then on.
    pub count: u32,
}

impl Plan {
    /// Nothing is wrong.
    pub const HONEST: Self = Self::now(Fault::None);

    /// Something is wrong from the start.
    pub const fn now(fault: Fault) -> Self {
        Self {
            fault,
            after: 0,
            count: 0,
        }
    }

    /// Returns the fault to show for the next request, after `served` others.
    pub fn at(&self, served: u32) -> Fault {
        let Some(number) = served.checked_sub(self.after) else {
            return Fault::None;
        };
        if self.count != 0 && number >= self.count {
            return Fault::None;
        }
        self.fault
    }
}
