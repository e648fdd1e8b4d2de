// SPDX-License-Identifier: GPL-2.0

//! Which interrupt vector serves what.
//!
//! Implements VIRTIO 1.4, 4.1.5.1.2 "MSI-X Vector Configuration". *Core-only*: the host's tests
//! compile this file too. Plans are tried in the order of [`VectorPlan::ALL`] until one works.

/// The vector of configuration changes, in the plans that have vectors.
pub(crate) const CONFIG_VECTOR: u16 = 0;

/// The first vector of queues, which is also the one that they share.
pub(crate) const FIRST_QUEUE_VECTOR: u16 = 1;

/// How interrupts are given to the configuration and to the queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum VectorPlan {
    /// A vector for configuration changes and one for each queue that has a callback.
    PerQueue,
    /// A vector for configuration changes and one that all queues share.
    Shared,
    /// The interrupt line for everything.
    Line,
}

impl VectorPlan {
    /// All plans, the best first.
    pub(crate) const ALL: [Self; 3] = [Self::PerQueue, Self::Shared, Self::Line];

    /// Returns how many vectors the plan needs for queues of which `with_callback` have a callback;
    /// none for the line, nor if there are more than can be numbered.
    pub(crate) fn vectors(self, with_callback: usize) -> Option<u16> {
        match self {
            Self::PerQueue => u16::try_from(with_callback)
                .ok()?
                .checked_add(FIRST_QUEUE_VECTOR),
            Self::Shared => Some(FIRST_QUEUE_VECTOR + 1),
            Self::Line => None,
        }
    }

    /// Returns the vector of the `nth` queue with a callback, counted from 0; none on the line. A
    /// queue that is polled has none in any plan.
    pub(crate) fn queue_vector(self, nth: u16) -> Option<u16> {
        match self {
            Self::PerQueue => nth.checked_add(FIRST_QUEUE_VECTOR),
            Self::Shared => Some(FIRST_QUEUE_VECTOR),
            Self::Line => None,
        }
    }
}
