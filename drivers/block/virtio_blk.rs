// SPDX-License-Identifier: GPL-2.0

//! Disks over virtio.
//!
//! Implements the driver's part of VIRTIO 1.4, 5.2 "Block Device". There is no `unsafe` in this
//! driver: the ring is `virtio_ring`'s, the block layer is behind `blk_mq`.
//!
//! # The way of a request
//!
//! The block layer calls [`operations`], which finds the queue; [`queue`] makes descriptors of the
//! request and puts them into the ring, and takes them out again in the interrupt. [`mapping`],
//! [`wire`] and [`limits`] are the pure parts: what a request becomes, what the device sees of it,
//! and what a device may say.
//!
//! # Who owns what
//!
//! [`Disk`] is what lives while the driver is bound. A disk can stay open for longer; what it still
//! needs then is in [`operations::Shared`], which finds its queues gone.

#[path = "virtio_blk/attributes.rs"]
mod attributes;
#[path = "virtio_blk/changes.rs"]
mod changes;
#[path = "virtio_blk/config.rs"]
mod config;
#[path = "virtio_blk/display.rs"]
mod display;
#[path = "virtio_blk/limits.rs"]
pub mod limits;
#[path = "virtio_blk/mapping.rs"]
mod mapping;
#[path = "virtio_blk/name.rs"]
pub mod name;
#[path = "virtio_blk/operations.rs"]
mod operations;
#[path = "virtio_blk/parameters.rs"]
mod parameters;
#[path = "virtio_blk/progress.rs"]
pub mod progress;
#[path = "virtio_blk/queue.rs"]
mod queue;
#[path = "virtio_blk/report.rs"]
mod report;
#[path = "virtio_blk/settings.rs"]
mod settings;
#[path = "virtio_blk/size.rs"]
pub mod size;
#[path = "virtio_blk/slots.rs"]
mod slots;
#[path = "virtio_blk/tables.rs"]
mod tables;
#[path = "virtio_blk/wire.rs"]
pub mod wire;
#[path = "virtio_blk/zones.rs"]
pub mod zones;

use core::sync::atomic::{
    AtomicBool,
    Ordering, //
};

use blk_mq::{
    possible_queues,
    AwaitedDisks,
    DiskBuilder,
    DmaConfig,
    LiveDisks,
    Major,
    MajorRegistration,
    QueueKind,
    TagSet,
    TagSetConfig, //
};
use ida::Ida;
use kernel::{
    device::{
        Bound,
        Core, //
    },
    driver::Registration,
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        aref::ARef,
        Arc,
        Mutex, //
    },
};
use owned_work::OwnedWork;
use ratelimit::RateLimit;
use virtio::{
    driver::{
        Adapter,
        DeviceId,
        IdTable,
        Negotiated, //
    },
    features,
    transport::IrqAffinity,
    Device,
};
use virtio_ring::{
    Found,
    QueueSpec,
    ReadyQueues,
    Virtqueue, //
};

use crate::{
    config::{
        Config,
        Feature, //
    },
    limits::{
        KernelConfig,
        QueueConfig, //
    },
    name::Name,
    operations::{
        Disks,
        Shared,
        Spreading, //
    },
    progress::Told,
    queue::{
        Remedy,
        RequestQueue, //
    },
    report::Reporting,
    settings::{
        Bounds,
        Settings, //
    },
};

/// The number of the device type: VIRTIO 1.4, 5 "Device Types".
const VIRTIO_ID_BLOCK: u32 = 2;

/// Minor numbers for each disk and its partitions; more of these come from the extended range.
const MINORS: u32 = 16;

/// The most requests in one queue, each of which takes memory from the start.
const MAX_DEPTH: u16 = 1024;

/// As many disks as there are minor numbers for.
const MAX_INDEX: u32 = (1 << 20) / MINORS - 1;

static MAJOR: Major = Major::new(c"virtblk");

/// The disks that keep the module.
static LIVE_DISKS: LiveDisks = LiveDisks::new();
static INDICES: Ida = Ida::new();

virtio::virtio_device_table!(ID_TABLE, [DeviceId::new(VIRTIO_ID_BLOCK)]);

/// The driver.
struct VirtioBlk;

/// A disk that others can open, with the work that has the block layer follow its device.
type AddedDisk = Pin<KBox<OwnedWork<blk_mq::Disk<Disks>>>>;

/// A disk that is bound to this driver.
///
/// Fields are dropped in this order: no request is left when the queues go.
#[pin_data]
struct Disk<'bound> {
    /// Taken out when the driver is unbound.
    #[pin]
    disk: Mutex<Option<AddedDisk>>,
    queues: ReadyQueues<'bound, RequestQueue>,
}

impl virtio::Driver for VirtioBlk {
    type Feature = Feature;
    type Data<'bound> = Disk<'bound>;

    const ID_TABLE: IdTable = &ID_TABLE;

    fn validate(dev: &Device<Bound>, common: Negotiated<Feature>) -> Result<Negotiated<Feature>> {
        if !Config::is_host_managed(dev, common)? {
            return Ok(common);
        }
        if !cfg!(CONFIG_BLK_DEV_ZONED) {
            // BLK-INIT-8, BLK-INIT-9.
            dev_err!(dev, "zoned devices are not supported by this kernel\n");
            return Err(EOPNOTSUPP);
        }
        // What is in a zone is discarded by resetting it (BLK-INIT-6), and erasing takes whole
        // zones, to which the block layer cannot be held (BLK-SE-1).
        Ok(common
            .without(Feature::Discard)
            .without(Feature::SecureErase))
    }

    fn probe<'bound>(
        dev: &'bound Device<Core<'_>>,
        features: Negotiated<Feature>,
    ) -> impl PinInit<Disk<'bound>, Error> + 'bound {
        let dev: &'bound Device<Bound> = dev;
        pin_init::pin_init_scope(move || {
            let (queues, disk) = start(dev, features)?;
            Ok(try_pin_init!(Disk {
                disk <- new_mutex!(Some(disk)),
                queues,
            }))
        })
    }

    fn config_changed<'bound>(dev: &'bound Device<Bound>, data: Pin<&Disk<'bound>>) {
        // It is being reset or given up, and this comes again after a reset.
        if dev.is_gone() {
            return;
        }
        if let Some(disk) = &*data.disk.lock() {
            changes::follow_read_only(disk);
            changes::follow(dev, disk);
            if disk.queue_data().settings.is_behind() {
                disk.as_ref().schedule();
            }
        }
    }

    fn freeze<'bound>(_dev: &'bound Device<Bound>, data: Pin<&Disk<'bound>>) -> Result {
        data.queues.suspend();
        Ok(())
    }

    fn restore<'bound>(dev: &'bound Device<Bound>, data: Pin<&Disk<'bound>>) -> Result {
        data.queues.restart()?;
        // The disk may have another size, or be read-only, by now.
        dev.config_changed();
        Ok(())
    }

    fn shutdown<'bound>(_dev: &'bound Device<Bound>, data: Pin<&Disk<'bound>>) {
        data.queues.fail();
    }

    fn unbind<'bound>(dev: &'bound Device<Core<'_>>, data: Pin<&Disk<'bound>>) {
        let Some(disk) = data.disk.lock().take() else {
            return;
        };
        data.queues.settle();
        if data.queues.is_closed() || (dev.is_gone() && !dev.is_cut_off()) {
            // Nothing in flight will ever come back.
            // Fail it first: file systems that are told wait for requests that they have sent.
            data.queues.fail();
            disk.mark_dead();
        }
        // What is dirty is written now, which must not take for ever.
        data.queues.retire();
        // A flush may be due, and nobody schedules the work any more.
        changes::take_over(&disk, true);
        drop(disk);
    }
}

/// Sets a device up and adds its disk.
fn start<'bound>(
    dev: &'bound Device<Bound>,
    features: Negotiated<Feature>,
) -> Result<(ReadyQueues<'bound, RequestQueue>, AddedDisk)> {
    let config = Config::read_or_log(dev, features)?;
    if config.num_queues == 0 {
        dev_err!(dev, "device has no request queues\n");
        return Err(EINVAL);
    }
    let index = INDICES.alloc(MAX_INDEX)?;
    let number = index.get();

    let counts = QueueCounts::new(config.num_queues);
    let found = find_queues(dev, counts)?;
    let smallest = found
        .virtqueues()
        .map(Virtqueue::size)
        .min()
        .ok_or(EINVAL)?;
    let has_indirect = found.virtqueues().all(Virtqueue::has_indirect);
    let bounds = Bounds {
        queue: QueueConfig {
            size: smallest,
            has_indirect,
        },
        kernel: KernelConfig {
            max_block_size: blk_mq::MAX_BLOCK_SIZE,
            max_mapping_bytes: dev
                .dma_device()
                .map_or(usize::MAX, blk_mq::dma_max_mapping_size),
        },
    };
    let limits = bounds.limits(dev, &config)?;

    // A request takes one descriptor, or two at least where it cannot be described indirectly.
    let room = if has_indirect {
        smallest.min(MAX_DEPTH)
    } else {
        (smallest / 2).clamp(1, MAX_DEPTH)
    };
    let depth = match parameters::QUEUE_DEPTH.get() {
        0 => room,
        wanted => room.min(u16::try_from(wanted).unwrap_or(u16::MAX)),
    };
    let remedy =
        if parameters::QUEUE_RESET.get() != 0 && dev.features().contains(features::RING_RESET) {
            Remedy::Queue
        } else {
            Remedy::Device
        };
    let queues =
        found.with_handlers(|_| RequestQueue::new(dev, depth, &limits, has_indirect, remedy))?;

    let tag_set = Arc::pin_init(
        TagSet::<Disks>::new(
            TagSetConfig {
                nr_hw_queues: u32::try_from(queues.channels().len())?,
                queue_depth: depth.into(),
                nr_maps: QueueKind::Poll as u32 + 1,
                timeout: parameters::io_timeout(),
                ..Default::default()
            },
            Arc::new(
                Spreading {
                    dev: ARef::from(&**dev),
                    counts,
                },
                GFP_KERNEL,
            )?,
            dev.dma_device().map(|dma| DmaConfig {
                dev: dma,
                max_segments: limits.max_segments,
            }),
        ),
        GFP_KERNEL,
    )?;
    let mut channels = KVec::with_capacity(queues.channels().len(), GFP_KERNEL)?;
    for channel in queues.channels() {
        channels.push(channel.clone(), GFP_KERNEL)?;
    }
    let told = Told {
        limits,
        has_write_cache: config.has_write_cache,
    };
    let shared = Arc::pin_init(
        try_pin_init!(Shared {
            channels,
            geometry: config.geometry,
            settings <- Settings::new(bounds, features, told),
            is_read_only: AtomicBool::new(config.is_read_only),
            is_refused: AtomicBool::new(false),
            log_limit <- RateLimit::new(),
            reporting: Reporting::new(&limits),
            bus_name: CString::try_from(dev.bus_name())?,
            features,
            dev: ARef::from(&**dev),
            _index: index,
        }),
        GFP_KERNEL,
    )?;
    let disk = DiskBuilder::new()
        .numbers(&MAJOR, number * MINORS, MINORS)
        .capacity_sectors(limits.capacity_sectors)
        .read_only(config.is_read_only)
        .attributes(attributes::ATTRIBUTES)
        .build(
            fmt!("{}", Name::new(number).as_str()),
            tag_set,
            &told.queue_limits(),
            shared.clone(),
        )?;

    let queues = queues.on_restart(move |dev| {
        shared.settings.check_again(dev)?;
        let is_read_only = dev.offers(Feature::Ro);
        shared.is_read_only.store(is_read_only, Ordering::Relaxed);
        shared.settings.restore_write_cache(dev)
    })?;

    // Partitions are looked for while the disk is added, so that the device has to work by then
    // (D7).
    let queues = queues.ready();
    changes::log_size(dev, &disk, "", config.device.capacity_sectors);
    if limits.zones.is_some() {
        disk.revalidate_zones()?;
    }
    let disk = disk.add(Some(dev.as_ref()))?;
    let disk = OwnedWork::new(
        disk,
        |disk| changes::take_over(disk, false),
        c"virtio_blk::take_over",
        kernel::static_lock_class!(),
    );
    Ok((queues, KBox::pin_init(disk, GFP_KERNEL)?))
}

/// How many queues of each kind a disk uses.
#[derive(Clone, Copy)]
struct QueueCounts {
    default: u32,
    poll: u32,
}

impl QueueCounts {
    /// As many as the device, the CPUs and the parameters allow.
    fn new(offered: u16) -> Self {
        let limit = match parameters::NUM_REQUEST_QUEUES.get() {
            0 => offered.into(),
            limit => limit.min(offered.into()),
        };
        let all = possible_queues(limit);
        let poll = parameters::POLL_QUEUES.get().min(all.saturating_sub(1));
        Self {
            default: all.saturating_sub(poll),
            poll,
        }
    }
}

/// Creates the queues: first those with interrupts, then those that are polled.
fn find_queues<'bound>(
    dev: &'bound Device<Bound>,
    counts: QueueCounts,
) -> Result<Found<'bound, RequestQueue>> {
    let QueueCounts { default, poll } = counts;
    let mut specs = KVec::new();
    for i in 0..default {
        let name = CString::try_from_fmt(fmt!("req.{i}"))?;
        let is_polled = false;
        specs.push(QueueSpec { name, is_polled }, GFP_KERNEL)?;
    }
    for i in default..default.saturating_add(poll) {
        let name = CString::try_from_fmt(fmt!("req_poll.{i}"))?;
        let is_polled = true;
        specs.push(QueueSpec { name, is_polled }, GFP_KERNEL)?;
    }
    dev_info!(dev, "{default}/0/{poll} default/read/poll queues\n");
    Found::new(dev, &specs, Some(IrqAffinity::spread()))
}

/// The module: the block major, and the driver's registration.
///
/// Fields are dropped in this order: no disk uses the major when that goes. One that was removed may yet
/// be freed, by way of this module, so that this is waited for last.
#[pin_data]
struct VirtioBlkModule {
    #[pin]
    _driver: Registration<Adapter<VirtioBlk>>,
    _major: MajorRegistration,
    _disks: AwaitedDisks,
}

impl kernel::InPlaceModule for VirtioBlkModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _disks: LIVE_DISKS.awaited(),
            // Disks need the major, so that it comes before the driver.
            _major: MAJOR.register()?,
            _driver <- Registration::new(<Self as kernel::ModuleMetadata>::NAME, module),
        })
    }
}

module! {
    type: VirtioBlkModule,
    name: "virtio_blk",
    authors: ["The Rust virtio authors"],
    description: "Virtio block driver in Rust",
    license: "GPL",
}
