// SPDX-License-Identifier: GPL-2.0

//! A sample of a driver: asks an entropy device for some bytes.
//!
//! Implements the driver's part of VIRTIO 1.4, 5.4 "Entropy Device": one queue, into which go
//! buffers for the device to fill. The token that goes with a buffer is its memory, so that nobody
//! can touch it before the device is done.

use kernel::{
    cpu::CpuId,
    cpumask::CpumaskVar,
    device::{
        Bound,
        Core, //
    },
    prelude::*,
    str::CString,
    sync::aref::ARef, //
};
use virtio::{
    driver::{
        DeviceId,
        IdTable,
        Negotiated, //
    },
    Device,
};
use virtio_ring::{
    Area,
    Found,
    Handler,
    Live,
    QueueSpec,
    ReadyQueues,
    Submission, //
};

/// The bytes to ask for.
const BYTES: usize = 16;

/// The device type has no features.
#[derive(Clone, Copy)]
enum NoFeature {}

impl virtio::driver::Feature for NoFeature {
    const ALL: &'static [Self] = &[];

    fn bit(self) -> u32 {
        match self {}
    }

    fn name(self) -> &'static str {
        match self {}
    }
}

/// What handles the queue.
struct Entropy(ARef<Device>);

impl Handler for Entropy {
    type Token = Area;
    /// Filled buffers, of which memory is not freed in an interrupt.
    type State = Option<Area>;

    fn used(&self, live: &Live<Self>) {
        live.with(|queue, filled| {
            while let Ok(Some((area, len))) = queue.pop() {
                let mut bytes = [0; BYTES];
                area.read(0, &mut bytes);
                dev_info!(self.0, "{} bytes of entropy: {:02x?}\n", len, bytes);
                *filled = Some(area);
            }
            ((), Submission::Hold)
        });
    }
}

virtio::virtio_device_table!(ID_TABLE, [DeviceId::new(4)]);

struct Sample;

impl virtio::Driver for Sample {
    type Feature = NoFeature;
    type Data<'bound> = ReadyQueues<'bound, Entropy>;
    const ID_TABLE: IdTable = &ID_TABLE;

    fn probe<'bound>(
        dev: &'bound Device<Core<'_>>,
        _features: Negotiated<NoFeature>,
    ) -> impl PinInit<ReadyQueues<'bound, Entropy>, Error> + 'bound {
        start(dev)
    }
}

fn start(dev: &Device<Bound>) -> Result<ReadyQueues<'_, Entropy>> {
    let spec = QueueSpec {
        name: CString::try_from(c"input")?,
        is_polled: false,
    };
    let queues = Found::<Entropy>::new(dev, &[spec], None)?
        .with_handlers(|_| Ok((Entropy(dev.into()), None)))?
        .ready();
    let area = Area::new(dev, BYTES)?;
    let segment = area.segment(0, BYTES as u32).ok_or(EINVAL)?;
    if let Some(cpu) = CpuId::from_i32(module_parameters::cpu.value()) {
        let mut mask = CpumaskVar::new_zero(GFP_KERNEL)?;
        mask.set(cpu);
        queues.set_affinity(0, Some(&mask))?;
    }
    if let Some(live) = queues
        .channels()
        .first()
        .and_then(|channel| channel.access())
    {
        live.with(|queue, _| (queue.add(area, [], [segment]).is_ok(), Submission::Notify));
    }
    Ok(queues)
}

virtio::module_virtio_driver! {
    type: Sample,
    name: "virtio_sample",
    authors: ["The Rust virtio authors"],
    description: "Sample of a virtio driver in Rust",
    license: "GPL",
    params: {
        cpu: i32 {
            default: -1,
            description: "The CPU that the interrupt goes to, -1 for any.",
        },
    },
}
