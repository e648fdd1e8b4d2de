// SPDX-License-Identifier: GPL-2.0

//! Which processor uses which hardware queue.
//!
//! C header: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h)

use crate::dma::device_as_raw;
use bindings_ext as bindings;
use kernel::{
    device::Device,
    prelude::*, //
};

/// How many hardware queues make sense on this machine, `max` at most; 0 asks for no limit.
pub fn possible_queues(max: u32) -> u32 {
    // SAFETY: There is nothing to uphold.
    unsafe { bindings::blk_mq_num_possible_queues(max) }
}

/// What a hardware queue is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum QueueKind {
    /// All that the others do not take.
    Default = bindings::hctx_type_HCTX_TYPE_DEFAULT,
    /// Reading.
    Read = bindings::hctx_type_HCTX_TYPE_READ,
    /// Requests whose submitters poll.
    Poll = bindings::hctx_type_HCTX_TYPE_POLL,
}

/// How processors are spread over the queues of a kind.
pub enum Spread<'a> {
    /// Evenly, near ones together.
    Even,
    /// As the interrupts of the device are, where its bus knows; else evenly.
    IrqAffinity(&'a Device),
}

/// The maps of a tag set, one for each kind of queue.
///
/// # Invariants
///
/// The tag set is valid, with arrays for its `nr_maps` maps, and nobody else uses those.
pub struct QueueMaps<'a>(&'a mut bindings::blk_mq_tag_set);

impl<'a> QueueMaps<'a> {
    /// Wraps a raw tag set.
    ///
    /// # Safety
    ///
    /// The invariants of [`QueueMaps`] must hold for `set`.
    pub(crate) unsafe fn from_raw(set: &'a mut bindings::blk_mq_tag_set) -> Self {
        Self(set)
    }

    /// How many kinds of queues there are, in the order of [`QueueKind`].
    pub fn nr_maps(&self) -> u32 {
        self.0.nr_maps
    }

    /// How many hardware queues there are in all.
    pub fn nr_hw_queues(&self) -> u32 {
        self.0.nr_hw_queues
    }

    /// Gives the `nr_queues` hardware queues from `offset` to a kind. Without any, requests of
    /// that kind go to the default queues.
    ///
    /// # Errors
    ///
    /// `EINVAL`, and nothing changes, for queues or a kind that the tag set does not have, or for
    /// no default queue.
    pub fn assign(
        &mut self,
        kind: QueueKind,
        nr_queues: u32,
        offset: u32,
        spread: Spread<'_>,
    ) -> Result {
        let nr_maps = self.0.nr_maps as usize;
        let end = offset.checked_add(nr_queues).ok_or(EINVAL)?;
        let map = self
            .0
            .map
            .get_mut(..nr_maps)
            .and_then(|maps| maps.get_mut(kind as usize))
            .ok_or(EINVAL)?;

        // An entry of a map is used as an index without further checks.
        if end > self.0.nr_hw_queues || (nr_queues == 0 && kind == QueueKind::Default) {
            return Err(EINVAL);
        }

        map.nr_queues = nr_queues;
        map.queue_offset = offset;
        if nr_queues == 0 {
            return Ok(());
        }

        match spread {
            // SAFETY: The device is valid.
            Spread::IrqAffinity(dev) if !unsafe { (*device_as_raw(dev)).bus.is_null() } => {
                // SAFETY: The map is valid by the type invariant, the device has a bus, and its
                // queues exist.
                unsafe { bindings::blk_mq_map_hw_queues(map, device_as_raw(dev), 0) };
            }
            // SAFETY: The map is valid by the type invariant, and its queues exist.
            _ => unsafe { bindings::blk_mq_map_queues(map) },
        }
        Ok(())
    }
}
