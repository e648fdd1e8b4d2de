// SPDX-License-Identifier: GPL-2.0

//! Requests on their way into a queue and out of it.
//!
//! A request becomes one buffer (VIRTIO 1.4, 5.2.6 "Device Operation"): the header and the status
//! byte of its slot, with its data between. The ranges of the data go from the block layer straight
//! into descriptors. Three ways lead into the ring:
//!
//! 1. the table of the slot, filled before the lock is taken: common requests;
//! 2. one of the larger tables, under the lock: more segments than a slot has room for;
//! 3. descriptors of the ring itself: no indirect descriptors, or no larger table is to be had.
//!
//! A request for which there is no room stops its hardware queue, which the next completion starts
//! again. Requests are limited so that each fits into an empty ring.

use blk_mq::{
    CompletionBatch,
    Op,
    OwnedBatch,
    Rejected,
    Request,
    RequestInfo,
    RequestList,
    Status, //
};
use kernel::{
    device::Bound,
    prelude::*, //
};
use virtio::Device;
use virtio_ring::{
    AddError,
    Descriptors,
    Handler,
    Live,
    Queue,
    Refused,
    Segment,
    Submission,
    Unused, //
};

use crate::{
    limits::{
        Limits,
        EXTRA_DESCRIPTORS,
        SECTOR_SIZE, //
    },
    mapping::{
        common_kind,
        pieces,
        Description,
        Mapped, //
    },
    operations::Disks,
    slots::{
        Slot,
        Slots, //
    },
    tables::{
        LargeTable,
        TablePlace,
        Tables, //
    },
    wire::{
        self,
        DeviceStatus,
        Kind,
        Outcome, //
    },
    zones::ZoneLimits,
};

/// A request that the device has.
pub(crate) struct InFlight {
    rq: Request<Disks>,
    table: Option<LargeTable>,
    /// Whether the device has had its time, so that the request is not tried again.
    has_timed_out: bool,
}

/// What a queue keeps under its lock.
pub(crate) struct State {
    tables: Tables,
    /// Whether a request was turned away for lack of room.
    is_stopped: bool,
}

/// What is reset when a request is late.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Its queue; the device if that does not help.
    Queue,
    /// The device.
    Device,
}

/// What a queue keeps beside its lock.
pub(crate) struct RequestQueue {
    slots: Slots,
    has_indirect: bool,
    uses_dma_api: bool,
    may_unmap: bool,
    max_segment_size: u32,
    zones: Option<ZoneLimits>,
    remedy: Remedy,
}

impl RequestQueue {
    /// Makes what a queue needs for `depth` requests within the limits. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        dev: &Device<Bound>,
        depth: u16,
        limits: &Limits,
        has_indirect: bool,
        remedy: Remedy,
    ) -> Result<(Self, State)> {
        let largest = if has_indirect { limits.max_segments } else { 0 };
        let queue = Self {
            slots: Slots::new(dev, depth)?,
            has_indirect,
            uses_dma_api: dev.dma_device().is_some(),
            may_unmap: limits.may_unmap,
            max_segment_size: limits.max_segment_size,
            zones: limits.zones,
            remedy,
        };
        let state = State {
            tables: Tables::new(largest),
            is_stopped: false,
        };
        Ok((queue, state))
    }

    /// Takes a request of the block layer to the device.
    #[inline]
    pub(crate) fn submit(
        &self,
        live: &Live<Self>,
        mut rq: Request<Disks>,
        is_last: bool,
    ) -> Result<(), Rejected<Disks>> {
        if let Err(status) = self.prepare(&mut rq) {
            return Err(rq.reject(status));
        }
        live.with(|queue, state| {
            let result = self
                .add(queue, state, rq)
                .map_err(|(reason, rq)| match reason {
                    AddError::Full => {
                        // Under the lock, so that no completion can be missed.
                        state.is_stopped = true;
                        rq.hw_ctx().stop();
                        // A completion may start the queue before the block layer has put this
                        // request back, and requests that end in a batch do not make it look
                        // again. With this status it looks again by itself.
                        rq.reject(Status::RESOURCE)
                    }
                    // The device is being reset. The block layer tries again a little later.
                    AddError::Broken => rq.reject(Status::RESOURCE),
                    _ => rq.reject(Status::IOERR),
                });
            // A queue that is stopped hears no `commit_rqs` for what it has been given.
            let notify = is_last || result.is_err();
            (
                result,
                if notify {
                    Submission::Notify
                } else {
                    Submission::Hold
                },
            )
        })
    }

    /// Takes requests from the head of a list while they are for this queue and there is room, under
    /// one lock and with one notification.
    pub(crate) fn submit_list(&self, live: &Live<Self>, list: &mut RequestList<'_, Disks>) {
        let Some(number) = list.peek().map(RequestInfo::hw_queue) else {
            return;
        };
        live.with(|queue, state| {
            let has_room = |queue: &mut Queue<InFlight>, info: &RequestInfo| {
                // As if each needed descriptors of its own: rather too careful than to turn back.
                info.hw_queue() == number
                    && queue.num_free() >= info.nr_phys_segments().saturating_add(EXTRA_DESCRIPTORS)
            };
            while list.peek().is_some_and(|info| has_room(queue, info)) {
                let Some(mut rq) = list.pop() else {
                    break;
                };
                match self.prepare(&mut rq) {
                    Ok(()) => {
                        if let Err((_, rq)) = self.add(queue, state, rq) {
                            rq.requeue(true);
                        }
                    }
                    Err(Status::RESOURCE) => rq.requeue(true),
                    Err(status) => rq.end(status),
                }
            }
            ((), Submission::Notify)
        });
    }

    /// Fills in the slot of a request and maps its data. Needs no lock.
    #[inline]
    fn prepare(&self, rq: &mut Request<Disks>) -> Result<(), Status> {
        let kind = match common_kind(rq.op()) {
            Some(kind) => kind,
            None => self.prepare_other(rq)?,
        };
        let slot = self.slots.get(rq.tag()).ok_or(Status::IOERR)?;
        slot.prepare(wire::header(kind, rq.ioprio(), rq.sector()));
        rq.data_mut().kind = kind;
        if self.uses_dma_api {
            rq.map_dma()?;
        }
        Ok(())
    }

    /// Prepares what is not common: requests of the driver's own, those about zones, and those whose
    /// data is a list of areas.
    #[cold]
    fn prepare_other(&self, rq: &mut Request<Disks>) -> Result<Kind, Status> {
        if rq.op() == Op::DRV_IN {
            return Ok(rq.data().kind);
        }
        let mapped = Mapped::new(rq.op(), rq.flags(), self.may_unmap);
        match mapped.ok_or(Status::NOTSUPP)? {
            Mapped::Plain(Kind::ZoneAppend) if !self.may_append(rq.bytes()) => Err(Status::INVAL),
            Mapped::Plain(kind) => Ok(kind),
            Mapped::Areas(kind, flags) => {
                rq.set_discard_payload(|range| wire::area(range.sector, range.nr_sectors, flags))?;
                Ok(kind)
            }
        }
    }

    /// Returns whether so many bytes may be appended to a zone (BLK-ZONE-7).
    fn may_append(&self, bytes: u32) -> bool {
        let unit = self
            .zones
            .map_or(SECTOR_SIZE, |zones| zones.write_granularity);
        // A power of two.
        bytes & unit.wrapping_sub(1) == 0
    }

    /// Puts a prepared request into the ring.
    #[inline]
    fn add(
        &self,
        queue: &mut Queue<InFlight>,
        state: &mut State,
        rq: Request<Disks>,
    ) -> Result<(), (AddError, Request<Disks>)> {
        let Some(slot) = self.slots.get(rq.tag()) else {
            return Err((AddError::Empty, rq));
        };
        let fits_slot = Slot::has_room_for(rq.nr_phys_segments());
        let table = if fits_slot || !self.has_indirect {
            None
        } else {
            state.tables.take(queue, rq.nr_phys_segments())
        };
        let in_flight = InFlight {
            rq,
            table,
            has_timed_out: false,
        };
        let place = match &in_flight.table {
            Some(table) => Some(table.place()),
            None if fits_slot && self.has_indirect => Some(slot.table()),
            None => None,
        };
        let result = match place {
            Some(place) => match self.fill(place, slot, &in_flight.rq) {
                Ok((table, writable)) => queue.add_indirect(in_flight, table, writable),
                Err(reason) => Err(Refused {
                    reason,
                    token: in_flight,
                }),
            },
            None => queue.add_with(in_flight, |in_flight, chain| {
                self.describe(chain, slot, &in_flight.rq)
            }),
        };
        result.map_err(|refused| (refused.reason, refused.token.take_apart(state)))
    }

    /// Fills a table, and returns it as the ring is told about it, with the number of bytes that
    /// the device may write.
    #[inline]
    fn fill(
        &self,
        place: TablePlace<'_>,
        slot: Slot<'_>,
        rq: &Request<Disks>,
    ) -> Result<(Segment, u32), AddError> {
        let mut table = place.start().ok_or(AddError::TooLong)?;
        self.describe(&mut table, slot, rq)?;
        let (bytes, writable) = table.finish()?;
        Ok((place.segment(bytes).ok_or(AddError::TooLong)?, writable))
    }

    /// Describes a request to the device.
    #[inline]
    fn describe(
        &self,
        to: &mut impl Descriptors,
        slot: Slot<'_>,
        rq: &Request<Disks>,
    ) -> Result<(), AddError> {
        let kind = rq.data().kind;
        let header = slot.header().ok_or(AddError::Empty)?;
        let mut description = Description::begin(to, kind, header)?;
        if self.uses_dma_api {
            // An IOMMU may have joined segments to ranges that are longer than the device allows.
            for range in rq.dma_ranges() {
                pieces(*range, self.max_segment_size)
                    .try_for_each(|piece| description.data(piece))?;
            }
        } else {
            rq.try_for_each_phys_range(|range| description.data(range))?;
        }
        description.end(slot.answer(kind).ok_or(AddError::Empty)?)
    }
}

impl InFlight {
    /// Gives the larger table back to the queue, and returns the request.
    #[inline]
    fn take_apart(self, state: &mut State) -> Request<Disks> {
        if let Some(table) = self.table {
            state.tables.put(table);
        }
        self.rq
    }
}

/// Returns whether the kernel's fault injection wants this interrupt forgotten (K33). What the device
/// has done is found when the first of its requests is late. It is not forgotten when the queue is being
/// reset: what the device has done is looked for once more then, and else asked for again.
#[cold]
fn is_forgotten(queue: &mut Queue<InFlight>) -> bool {
    if queue.virtqueue().is_broken() {
        return false;
    }
    let in_flight = queue.tokens_mut().next();
    in_flight.is_some_and(|in_flight| in_flight.rq.should_fake_timeout())
}

/// What has become of a request whose time is over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lateness {
    /// It is done by now.
    Done,
    /// It is the first for which the queue or the device is reset.
    First,
    /// That is being reset already.
    Another,
}

impl RequestQueue {
    /// Takes back what the device has used, and hands it to `done`. Returns how much it was.
    #[inline]
    fn take_used(
        &self,
        queue: &mut Queue<InFlight>,
        state: &mut State,
        done: &mut CompletionBatch<'_, Disks>,
    ) -> u32 {
        let mut count = 0_u32;
        while let Ok(Some((in_flight, _))) = queue.pop() {
            let mut rq = in_flight.take_apart(state);
            if state.is_stopped {
                state.is_stopped = false;
                rq.hw_ctx().start_stopped(true);
            }
            let status = match self.slots.get(rq.tag()) {
                Some(slot) if rq.data().kind == Kind::ZoneAppend => self.appended(slot, &mut rq),
                Some(slot) => slot.status(),
                None => DeviceStatus::PENDING,
            };
            rq.data_mut().status = status;
            done.add(rq, status.outcome() != Outcome::Done);
            // A queue has fewer buffers than that.
            count = count.wrapping_add(1);
        }
        count
    }

    /// Takes back data that was appended to a zone, and tells the block layer where it is
    /// (BLK-ZONE-9). A device that says it was elsewhere has failed.
    #[cold]
    fn appended(&self, slot: Slot<'_>, rq: &mut Request<Disks>) -> DeviceStatus {
        let status = slot.status();
        if status.outcome() != Outcome::Done {
            return status;
        }
        let sectors = u64::from(rq.bytes() / SECTOR_SIZE);
        match (slot.append_sector(), &self.zones) {
            (Some(at), Some(zones)) if zones.holds(rq.sector(), at, sectors) => {
                rq.set_sector(at);
                status
            }
            _ => DeviceStatus::PENDING,
        }
    }

    /// Returns what is done about a request that is late, for the log.
    pub(crate) fn remedy(&self) -> &'static str {
        match self.remedy {
            Remedy::Queue => "queue has to be reset",
            Remedy::Device => "device is reset",
        }
    }

    /// Has the queue or the device reset if that still has a request whose time is over, unless the
    /// request is done and only the interrupt got lost.
    pub(crate) fn time_out(&self, live: &Live<Self>, tag: u32) -> Lateness {
        let mut done = OwnedBatch::new();
        self.poll(live, &mut done.batch());
        done.end();
        let lateness = live.with(|queue, _| {
            let is_broken = queue.virtqueue().is_broken();
            let late = queue
                .tokens_mut()
                .find(|in_flight| in_flight.rq.tag() == tag);
            let lateness = match late {
                None => Lateness::Done,
                Some(in_flight) => {
                    in_flight.has_timed_out = true;
                    if is_broken {
                        Lateness::Another
                    } else {
                        Lateness::First
                    }
                }
            };
            (lateness, Submission::Hold)
        });
        if lateness == Lateness::First {
            match self.remedy {
                Remedy::Queue => live.fail_queue(),
                Remedy::Device => live.fail(),
            }
        }
        lateness
    }

    /// Looks for requests that are done, without an interrupt. Returns how many there were.
    pub(crate) fn poll(&self, live: &Live<Self>, done: &mut CompletionBatch<'_, Disks>) -> u32 {
        live.with(|queue, state| (self.take_used(queue, state, done), Submission::Hold))
    }
}

impl Handler for RequestQueue {
    type Token = InFlight;
    type State = State;

    fn used(&self, live: &Live<Self>) {
        let mut done = OwnedBatch::new();
        live.with(|queue, state| {
            if cfg!(CONFIG_FAIL_IO_TIMEOUT) && is_forgotten(queue) {
                return ((), Submission::Hold);
            }
            let mut is_promised = false;
            loop {
                queue.disable_callbacks();
                let count = self.take_used(queue, state, &mut done.batch());
                // A device that shows more and then gives nothing would keep this going for ever.
                if queue.enable_callbacks() || (is_promised && count == 0) {
                    break;
                }
                is_promised = true;
            }
            ((), Submission::Hold)
        });
        done.end();
    }

    fn unused(&self, live: &Live<Self>, token: InFlight, why: Unused) {
        let has_timed_out = token.has_timed_out;
        let rq = live.with(|_, state| (token.take_apart(state), Submission::Hold));
        // Requests that found no room have to come back, too.
        rq.hw_ctx().start_stopped(true);
        match why {
            Unused::Stopped if has_timed_out => rq.end(Status::TIMEOUT),
            // Until the queue takes it again, the block layer tries every few milliseconds.
            Unused::Stopped => rq.requeue(true),
            Unused::Closed => rq.end(Status::IOERR),
        }
    }
}
