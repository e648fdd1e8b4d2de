// SPDX-License-Identifier: GPL-2.0

//! Disks that are not there: fake devices on the virtio bus, served from memory.
//!
//! Loading the module makes a disk appear through whatever driver serves virtio block devices. The
//! parameters say what the device offers and what is wrong with it, so that guest tools meet
//! devices that no hypervisor has. For the numbers of `fault` see [`device::fault::Fault`].
//!
//! [`control`] has them do other things while they are in use.
//!
//! - [`device`] is the device's side, which knows nothing of the kernel.
//! - [`machine`] runs it, [`mapping`] gives it memory, [`transport`] connects it with the bus.
//! - [`disk`] is what it does.

pub mod control;
pub mod device;
pub mod disk;
pub mod machine;
pub mod mapping;
pub mod trace;
pub mod transport;

use kernel::{
    device::Bound,
    faux,
    prelude::*,
    str::CString, //
};
use virtio::{
    features,
    id::DeviceId,
    registration::Registration,
    Features, //
};

use crate::{
    control::Controls,
    device::{
        blk::{
            self,
            AreaLimits, //
        },
        fault::{
            Fault,
            Plan, //
        },
        memory::copy,
        registers::Registers,
        zones::ZoneLimits, //
    },
    disk::{
        Areas,
        Disk,
        Sparse, //
    },
    machine::Machine,
    transport::{
        FakeTransport,
        QueueOffer, //
    },
};

module! {
    type: FakeModule,
    name: "virtio_fake",
    authors: ["The Rust virtio authors"],
    description: "Fake virtio devices for tests",
    license: "GPL",
    params: {
        disks: u32 {
            default: 1,
            description: "How many disks there are",
        },
        device: u32 {
            default: 2,
            description: "The type of device, 2 for a disk",
        },
        vendor: u32 {
            default: 0x1af4,
            description: "The vendor",
        },
        size_mib: u32 {
            default: 64,
            description: "How much data a disk holds",
        },
        capacity: u64 {
            default: 0,
            description: "What a disk says it holds, in sectors; 0 for the truth",
        },
        blk_size: u32 {
            default: 0,
            description: "Bytes of a block; 0 to say nothing",
        },
        size_max: u32 {
            default: 0,
            description: "Bytes of the largest segment; 0 to say nothing",
        },
        seg_max: u32 {
            default: 126,
            description: "Segments of a request; 4294967295 to say nothing",
        },
        num_queues: u16 {
            default: 1,
            description: "Queues; 1 to say nothing",
        },
        found_queues: u16 {
            default: 0,
            description: "Queues that there really are; 0 for as many as said",
        },
        queue_size: u32 {
            default: 128,
            description: "Descriptors of a queue",
        },
        discard_seg: u32 {
            default: 0,
            description: "Areas of a discard; 0 for a disk that cannot",
        },
        erase_seg: u32 {
            default: 0,
            description: "Areas of a secure erase; 0 for a disk that cannot",
        },
        zeroes: u32 {
            default: 0,
            description: "Writing zeroes: 0 for no, 1 for yes, 2 for freeing as well",
        },
        area_sectors: u32 {
            default: 2048,
            description: "Sectors of an area to discard, zero or erase",
        },
        lifetime: u32 {
            default: 0,
            description: "Whether disks tell how worn they are",
        },
        zone_sectors: u32 {
            default: 0,
            description: "Sectors of a zone; 0 for a disk without zones",
        },
        zone_capacity: u32 {
            default: 0,
            description: "Sectors of a zone that can be written; 0 for all",
        },
        zone_model: u32 {
            default: 1,
            description: "The model of a disk with zones: 1 for host-managed",
        },
        zones_conv: u32 {
            default: 0,
            description: "How many zones are conventional",
        },
        zones_open: u32 {
            default: 0,
            description: "How many zones may be open; 0 for any number",
        },
        zones_active: u32 {
            default: 0,
            description: "How many zones may be active; 0 for any number",
        },
        append_sectors: u32 {
            default: 256,
            description: "Sectors to append to a zone at once; 0 for a disk that cannot",
        },
        granularity: u32 {
            default: 4096,
            description: "Bytes that a write to a zone is a multiple of",
        },
        config_len: u32 {
            default: 96,
            description: "Bytes of the configuration space",
        },
        writeback: u8 {
            default: 0,
            description: "Whether disks cache what is written after a reset, if they let drivers choose",
        },
        readonly: u32 {
            default: 0,
            description: "Whether disks are read-only",
        },
        features_on: u64 {
            default: 0,
            description: "Feature bits 0 to 63 to offer besides",
        },
        features_off: u64 {
            default: 0,
            description: "Feature bits 0 to 63 not to offer",
        },
        fault: u32 {
            default: 0,
            description: "What is wrong: a number, see tests/fake/device/fault.rs",
        },
        fault_after: u32 {
            default: 0,
            description: "How many requests are served well before that",
        },
        fault_count: u32 {
            default: 0,
            description: "How many requests it is about, 0 for all that follow",
        },
    },
}

/// Bits of block devices: VIRTIO 1.4, 5.2.3 "Feature bits".
const SIZE_MAX: u32 = 1;
const SEG_MAX: u32 = 2;
const BLK_SIZE: u32 = 6;
const FLUSH: u32 = 9;
const MQ: u32 = 12;
const DISCARD: u32 = 13;
const WRITE_ZEROES: u32 = 14;
const LIFETIME: u32 = 15;
const SECURE_ERASE: u32 = 16;
const ZONED: u32 = 17;

/// The model of disks whose zones must be written from start to end.
const HOST_MANAGED: u8 = 1;

/// What areas to discard or erase are multiples of, in sectors.
const AREA_ALIGNMENT: u32 = 8;

/// What the parameters ask for.
struct Wish {
    features: Features,
    /// VIRTIO 1.4, 5.2.4 "Device configuration layout".
    config: [u8; 96],
    areas: Areas,
    zones: ZoneLimits,
    plan: Plan,
}

impl Wish {
    fn new() -> Result<Self> {
        let fault = *module_parameters::fault.value_ref();
        let Some(fault) = Fault::from_number(fault) else {
            pr_err!("there is no fault {}\n", fault);
            return Err(EINVAL);
        };
        let mut wish = Self {
            features: Features::from_bits(&[
                FLUSH,
                features::VERSION_1,
                features::INDIRECT_DESC,
                features::EVENT_IDX,
            ]),
            config: [0; 96],
            areas: Areas::default(),
            zones: ZoneLimits::default(),
            plan: Plan {
                fault,
                after: module_parameters::fault_after.value(),
                count: module_parameters::fault_count.value(),
            },
        };
        let capacity = match module_parameters::capacity.value() {
            0 => u64::from(module_parameters::size_mib.value()) * 2048,
            capacity => capacity,
        };
        let seg_max = module_parameters::seg_max.value();
        let num_queues = module_parameters::num_queues.value();
        wish.put(0, &capacity.to_le_bytes(), None);
        wish.optional(SIZE_MAX, 8, module_parameters::size_max.value(), 0);
        wish.optional(SEG_MAX, blk::SEG_MAX, seg_max, u32::MAX);
        wish.optional(
            BLK_SIZE,
            blk::BLK_SIZE,
            module_parameters::blk_size.value(),
            0,
        );
        wish.put(
            blk::WRITEBACK,
            &[module_parameters::writeback.value()],
            None,
        );
        if num_queues != 1 {
            wish.put(34, &num_queues.to_le_bytes(), Some(MQ));
        }
        wish.put_areas();
        wish.put_zones();
        if module_parameters::readonly.value() != 0 {
            wish.features = wish.features.with(blk::RO);
        }
        if module_parameters::lifetime.value() != 0 {
            wish.features = wish.features.with(LIFETIME);
        }
        let on = Features::from_words([module_parameters::features_on.value(), 0]);
        let off = Features::from_words([module_parameters::features_off.value(), 0]);
        wish.features = wish.features.or(on).and_not(off);
        Ok(wish)
    }

    /// Puts in what the disk can do with areas.
    fn put_areas(&mut self) {
        let max_sectors = module_parameters::area_sectors.value();
        let limits = |max_seg| AreaLimits {
            max_seg,
            max_sectors,
            may_unmap: false,
        };
        let discard_seg = module_parameters::discard_seg.value();
        if discard_seg != 0 {
            self.put(36, &max_sectors.to_le_bytes(), Some(DISCARD));
            self.put(40, &discard_seg.to_le_bytes(), None);
            self.put(44, &AREA_ALIGNMENT.to_le_bytes(), None);
            self.areas.discard = Some(limits(discard_seg));
        }
        let zeroes = module_parameters::zeroes.value();
        if zeroes != 0 {
            let may_unmap = zeroes == 2;
            self.put(48, &max_sectors.to_le_bytes(), Some(WRITE_ZEROES));
            self.put(52, &1u32.to_le_bytes(), None);
            self.put(56, &[may_unmap.into()], None);
            self.areas.write_zeroes = Some(AreaLimits {
                may_unmap,
                ..limits(1)
            });
        }
        let erase_seg = module_parameters::erase_seg.value();
        if erase_seg != 0 {
            self.put(60, &max_sectors.to_le_bytes(), Some(SECURE_ERASE));
            self.put(64, &erase_seg.to_le_bytes(), None);
            self.put(68, &AREA_ALIGNMENT.to_le_bytes(), None);
            self.areas.secure_erase = Some(limits(erase_seg));
        }
    }

    /// Puts in what the zones of the disk are like.
    fn put_zones(&mut self) {
        let size = module_parameters::zone_sectors.value();
        if size == 0 {
            return;
        }
        let max_open = module_parameters::zones_open.value();
        let max_active = module_parameters::zones_active.value();
        let max_append = module_parameters::append_sectors.value();
        let granularity = module_parameters::granularity.value();
        // CAST: A single byte in the configuration.
        let model = module_parameters::zone_model.value() as u8;
        self.put(72, &size.to_le_bytes(), Some(ZONED));
        self.put(76, &max_open.to_le_bytes(), None);
        self.put(80, &max_active.to_le_bytes(), None);
        self.put(84, &max_append.to_le_bytes(), None);
        self.put(88, &granularity.to_le_bytes(), None);
        self.put(92, &[model], None);
        if model == HOST_MANAGED {
            let capacity = match module_parameters::zone_capacity.value() {
                0 => size,
                capacity => capacity,
            };
            self.zones = ZoneLimits {
                size: size.into(),
                capacity: capacity.into(),
                conventional: module_parameters::zones_conv.value().into(),
                max_open: max_open as usize,
                max_active: max_active as usize,
                max_append: max_append.into(),
                granularity: u64::from(granularity) / blk::SECTOR,
            };
        }
    }

    /// Puts a value into the configuration, and with it the feature that it belongs to.
    fn put(&mut self, offset: usize, bytes: &[u8], feature: Option<u32>) {
        if let Some(to) = self.config.get_mut(offset..offset + bytes.len()) {
            copy(to, bytes);
        }
        if let Some(feature) = feature {
            self.features = self.features.with(feature);
        }
    }

    fn optional(&mut self, feature: u32, offset: usize, value: u32, nothing: u32) {
        if value != nothing {
            self.put(offset, &value.to_le_bytes(), Some(feature));
        }
    }

    /// The configuration, cut to the length that is asked for.
    fn config(&self) -> &[u8] {
        let len = module_parameters::config_len.value() as usize;
        self.config.get(..len).unwrap_or(&self.config)
    }

    /// What is wrong with the registers: what cannot wait for a number of requests.
    fn fault(&self) -> Fault {
        if self.plan.after == 0 {
            self.plan.fault
        } else {
            Fault::None
        }
    }

    fn queues(&self) -> QueueOffer {
        let count = match module_parameters::found_queues.value() {
            0 => module_parameters::num_queues.value(),
            count => count,
        };
        let has_none = self.plan.fault == Fault::NoQueue;
        QueueOffer {
            count: if has_none { 0 } else { count.into() },
            size: module_parameters::queue_size.value(),
        }
    }
}

/// One device. It goes before what it hangs from.
struct Fake {
    controls: Controls,
    device: Registration<FakeTransport<Pin<KBox<Disk>>>>,
    parent: faux::Registration,
}

impl Fake {
    fn new(wish: &Wish, number: u32) -> Result<Self> {
        let bytes = module_parameters::size_mib.value() as usize * 1024 * 1024;
        let mut store = Sparse::new(bytes, wish.areas, wish.zones)?;
        if module_parameters::lifetime.value() != 0 {
            store = store.with_lifetime();
        }
        let disk = Disk::new(store, wish.plan)?;
        let registers = Registers::new(wish.features.words(), wish.config(), wish.fault())
            .resetting(blk::WRITEBACK);
        let machine = Machine::new(registers, disk)?;
        let name = CString::try_from_fmt(fmt!("virtio_fake.{number}"))?;
        let parent = faux::Registration::new(&name, None)?;
        let parent_dev: &kernel::device::Device<Bound> = parent.as_ref().as_ref();
        let id = DeviceId::new(
            module_parameters::device.value(),
            module_parameters::vendor.value(),
        );
        let controls = Controls::new(&name, &machine)?;
        let transport = FakeTransport::new(machine, wish.queues());
        let device = Registration::new(parent_dev, id, Ok(transport))?;
        Ok(Self {
            controls,
            device,
            parent,
        })
    }

    /// Takes the device away, and waits until nothing of it is left.
    fn remove(self) {
        let machine = self.device.transport().machine().clone();
        drop(self.controls);
        drop(self.device);
        machine.finish();
        pr_info!("largest list: {} areas\n", machine.nature().largest_list());
        pr_info!("in the cache: {} bytes\n", machine.nature().volatile());
        let complaints = machine.complaints();
        if complaints != device::registers::Complaints::NONE {
            pr_err!("driver has broken rules: {:?}\n", complaints);
        }
        drop(self.parent);
    }
}

/// The module: the devices are there while it lives.
pub struct FakeModule {
    fakes: KVec<Fake>,
}

impl kernel::Module for FakeModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let wish = Wish::new()?;
        let mut this = Self { fakes: KVec::new() };
        for number in 0..module_parameters::disks.value() {
            let fake = Fake::new(&wish, number)?;
            this.fakes.push(fake, GFP_KERNEL)?;
        }
        Ok(this)
    }
}

impl Drop for FakeModule {
    fn drop(&mut self) {
        while let Some(fake) = self.fakes.pop() {
            fake.remove();
        }
    }
}
