// SPDX-License-Identifier: GPL-2.0

//! What the block layer calls: requests in, completions out, the map from CPUs to queues.

use core::sync::atomic::AtomicBool;

use blk_mq::{
    Borrowed,
    CompletionBatch,
    GenDisk,
    HwCtx,
    LiveDisks,
    Op,
    Operations,
    QueueKind,
    QueueMaps,
    Rejected,
    Request,
    RequestList,
    Spread,
    Status,
    TimedOut,
    TimeoutAction,
    ZoneReport, //
};
use kernel::{
    prelude::*,
    str::CString,
    sync::{
        aref::ARef,
        Arc, //
    },
};
use ratelimit::RateLimit;
use virtio::{
    driver::Negotiated,
    Device, //
};
use virtio_ring::Channel;

use crate::{
    config::{
        Feature,
        Geometry, //
    },
    queue::{
        Lateness,
        RequestQueue, //
    },
    report::{
        self,
        Reporting, //
    },
    settings::Settings,
    wire::{
        DeviceStatus,
        Kind,
        Outcome, //
    },
    QueueCounts,
    LIVE_DISKS, //
};

/// The block layer's operations on the disks of this driver.
pub(crate) struct Disks;

/// What a disk needs for as long as somebody has it open, longer than its device may live.
#[pin_data]
pub(crate) struct Shared {
    /// The queues, by the number of the hardware queue.
    pub(crate) channels: KVec<Arc<Channel<RequestQueue>>>,
    /// The legacy geometry that the device told.
    pub(crate) geometry: Option<Geometry>,
    /// What the disk goes by.
    #[pin]
    pub(crate) settings: Settings,
    /// Whether the device took no writes when it was last looked at, before it was used.
    pub(crate) is_read_only: AtomicBool,
    /// Whether the device's last word was not followed, so that the log has it once.
    pub(crate) is_refused: AtomicBool,
    /// Lets the log have what the device can cause at will.
    #[pin]
    pub(crate) log_limit: RateLimit,
    /// How to ask for the zones, if the disk has any.
    pub(crate) reporting: Option<Reporting>,
    /// Where the device is.
    pub(crate) bus_name: CString,
    /// The features that were agreed on with the device.
    pub(crate) features: Negotiated<Feature>,
    /// The device, which may be gone.
    pub(crate) dev: ARef<Device>,
    /// The number in the disk's name, given back when the last opener is gone.
    pub(crate) _index: ida::Index,
}

/// What the map from CPUs to queues is made of.
pub(crate) struct Spreading {
    /// The device, which knows where its interrupts go.
    pub(crate) dev: ARef<Device>,
    /// The queues.
    pub(crate) counts: QueueCounts,
}

impl Shared {
    fn channel(&self, number: u32) -> Option<&Channel<RequestQueue>> {
        let channel = self.channels.get(usize::try_from(number).ok()?)?;
        Some(channel)
    }
}

/// What a request carries besides what the block layer has.
pub(crate) struct RequestData {
    /// What is asked of the device.
    pub(crate) kind: Kind,
    /// What the device answered.
    pub(crate) status: DeviceStatus,
}

/// Asks the device for something that the block layer does not ask for, and waits for the end of that and
/// for what is told in `answer`. May sleep.
///
/// # Errors
///
/// As [`GenDisk::passthrough`] and [`Passthrough::execute`](blk_mq::Passthrough::execute).
pub(crate) fn ask(
    disk: &GenDisk<Disks>,
    kind: Kind,
    sector: u64,
    answer: Option<&mut [u8]>,
) -> Result<Status> {
    let mut rq = disk.passthrough(Op::DRV_IN)?;
    rq.data_mut().kind = kind;
    rq.set_sector(sector);
    rq.execute(answer)
}

#[vtable]
impl Operations for Disks {
    const LIVE_DISKS: &'static LiveDisks = &LIVE_DISKS;

    type QueueData = Arc<Shared>;
    type TagSetData = Arc<Spreading>;
    type RequestData = RequestData;

    fn new_request_data(
        _tag_set: Borrowed<'_, Self::TagSetData>,
        _hw_queue: u32,
    ) -> impl PinInit<RequestData, Error> {
        Ok(RequestData {
            kind: Kind::Flush,
            status: DeviceStatus::PENDING,
        })
    }

    #[inline]
    fn queue_rq(
        hctx: &HwCtx<Self>,
        data: Borrowed<'_, Self::QueueData>,
        rq: Request<Self>,
        is_last: bool,
    ) -> Result<(), Rejected<Self>> {
        match data.channel(hctx.index()).and_then(Channel::access) {
            Some(live) => live.handler().submit(&live, rq, is_last),
            // The device is gone.
            None => Err(rq.reject(Status::IOERR)),
        }
    }

    fn commit_rqs(hctx: &HwCtx<Self>, data: Borrowed<'_, Self::QueueData>) {
        if let Some(live) = data.channel(hctx.index()).and_then(Channel::access) {
            live.notify();
        }
    }

    fn queue_rqs(data: Borrowed<'_, Self::QueueData>, list: &mut RequestList<'_, Self>) {
        let mut before = None;
        while let Some(number) = list.peek().map(|info| info.hw_queue()) {
            let Some(live) = data.channel(number).and_then(Channel::access) else {
                return;
            };
            live.handler().submit_list(&live, list);
            // What is still there for the same queue found no room; the block layer goes on with
            // single requests.
            if list.peek().map(|info| info.hw_queue()) == Some(number) || before == Some(number) {
                return;
            }
            before = Some(number);
        }
    }

    fn complete(rq: Request<Self>) {
        let status = match rq.data().status.outcome() {
            Outcome::Done => Status::OK,
            Outcome::Unsupported => Status::NOTSUPP,
            Outcome::TooManyOpenZones => Status::ZONE_OPEN_RESOURCE,
            Outcome::TooManyActiveZones => Status::ZONE_ACTIVE_RESOURCE,
            Outcome::Failed => Status::IOERR,
        };
        rq.end(status);
    }

    fn poll(
        hctx: &HwCtx<Self>,
        data: Borrowed<'_, Self::QueueData>,
        batch: &mut CompletionBatch<'_, Self>,
    ) -> u32 {
        data.channel(hctx.index())
            .and_then(Channel::access)
            .map_or(0, |live| live.handler().poll(&live, batch))
    }

    fn timeout(data: Borrowed<'_, Self::QueueData>, rq: &TimedOut<'_>) -> TimeoutAction {
        let live = data.channel(rq.hw_queue()).and_then(Channel::access);
        if let (Some(live), Some(tag)) = (live, rq.tag()) {
            // Others that are late, too, wait for the same reset.
            if live.handler().time_out(&live, tag) == Lateness::First {
                dev_err!(
                    data.dev,
                    "request {} of queue {} timed out, {}\n",
                    tag,
                    rq.hw_queue(),
                    live.handler().remedy()
                );
            }
        }
        // The reset ends the request, or its queue has done so already.
        TimeoutAction::ResetTimer
    }

    fn map_queues(data: Borrowed<'_, Self::TagSetData>, maps: &mut QueueMaps<'_>) {
        let QueueCounts { default, poll } = data.counts;
        // The queues may have become fewer, as in a kernel that was started after a crash.
        let default = default.min(maps.nr_hw_queues());
        let poll = poll.min(maps.nr_hw_queues().saturating_sub(default));
        let interrupts = Spread::IrqAffinity((*data.dev).as_ref());
        let result = maps
            .assign(QueueKind::Default, default, 0, interrupts)
            .and_then(|()| maps.assign(QueueKind::Read, 0, default, Spread::Even))
            .and_then(|()| maps.assign(QueueKind::Poll, poll, default, Spread::Even));
        if result.is_err() {
            dev_warn!(data.dev, "queues are not mapped to CPUs\n");
        }
    }

    fn report_zones(
        disk: &GenDisk<Self>,
        sector: u64,
        report: &mut ZoneReport<'_, Self>,
    ) -> Result {
        report::report_zones(disk, sector, report)
    }

    fn getgeo(disk: &GenDisk<Self>) -> Result<blk_mq::Geometry> {
        if !disk.is_live() {
            return Err(ENXIO);
        }
        Ok(match disk.queue_data().geometry {
            Some(geometry) => blk_mq::Geometry {
                cylinders: geometry.cylinders,
                heads: geometry.heads,
                sectors: geometry.sectors,
            },
            // Some tools insist on one.
            None => {
                const HEADS: u8 = 64;
                const SECTORS: u8 = 32;
                let tracks = u64::from(HEADS) * u64::from(SECTORS);
                blk_mq::Geometry {
                    cylinders: u16::try_from(disk.capacity() / tracks).unwrap_or(u16::MAX),
                    heads: HEADS,
                    sectors: SECTORS,
                }
            }
        })
    }
}
