// SPDX-License-Identifier: GPL-2.0

//! Which interrupt vector serves what.
//!
//! Implements VIRTIO 1.4, 4.1.5.1.2 "MSI-X Vector Configuration". *Core-only*: the host's tests
//! compile this file too. Plans are tried in the order of [`VectorPlan::ALL`] until one works.

use core::ops::{
    Range,
    RangeInclusive, //
};

/// The vector of configuration changes, in the plans that have vectors.
pub(crate) const CONFIG_VECTOR: u16 = 0;

/// The first vector of queues.
const FIRST_QUEUE_VECTOR: u16 = 1;

/// How interrupts are given to the configuration and to the queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum VectorPlan {
    /// A vector for configuration changes and one for each queue that has a callback.
    PerQueue,
    /// A vector for configuration changes and two or more for the queues, of which some share one.
    Spread,
    /// A vector for configuration changes and one that all queues share.
    Shared,
    /// The interrupt line for everything.
    Line,
}

impl VectorPlan {
    /// All plans, the best first.
    pub(crate) const ALL: [Self; 4] = [Self::PerQueue, Self::Spread, Self::Shared, Self::Line];

    /// Returns the least and the largest number of vectors that the plan has a use for, with queues
    /// of which `with_callback` have a callback. None for the line, if there are more than can be
    /// numbered, or if another plan does the same.
    pub(crate) fn vectors(self, with_callback: u16) -> Option<RangeInclusive<u16>> {
        match self {
            Self::PerQueue => {
                let count = with_callback.checked_add(FIRST_QUEUE_VECTOR)?;
                Some(count..=count)
            }
            // One less than with a vector each.
            Self::Spread if with_callback > 2 => Some(FIRST_QUEUE_VECTOR + 2..=with_callback),
            Self::Spread => None,
            Self::Shared => Some(FIRST_QUEUE_VECTOR + 1..=FIRST_QUEUE_VECTOR + 1),
            Self::Line => None,
        }
    }
}

/// The vectors that there are, and the queues that they are for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    /// The queues that have a callback.
    queues: u16,
    /// The vectors of queues.
    vectors: u16,
}

impl Spread {
    /// Spreads `vectors`, that of the configuration among them, over as many queues with a callback;
    /// with no vectors at all the device uses its line.
    pub(crate) fn new(with_callback: u16, vectors: u16) -> Self {
        Self {
            queues: with_callback,
            vectors: vectors.saturating_sub(FIRST_QUEUE_VECTOR),
        }
    }

    /// Returns the vectors of queues.
    pub(crate) fn queue_vectors(self) -> Range<u16> {
        FIRST_QUEUE_VECTOR..FIRST_QUEUE_VECTOR.saturating_add(self.vectors)
    }

    /// Returns the vector of the `nth` queue with a callback, counted from 0; none on the line. A
    /// queue that is polled has none at all.
    ///
    /// Queues that share one are neighbours.
    pub(crate) fn vector(self, nth: u16) -> Option<u16> {
        if nth >= self.queues {
            return None;
        }
        let place = u32::from(nth) * u32::from(self.vectors.min(self.queues));
        let vector = u16::try_from(place.checked_div(self.queues.into())?).ok()?;
        (self.vectors > 0).then(|| vector.saturating_add(FIRST_QUEUE_VECTOR))
    }

    /// Returns whether no queues share a vector.
    pub(crate) fn is_one_each(self) -> bool {
        self.vectors >= self.queues
    }
}
