// SPDX-License-Identifier: GPL-2.0

//! The transport of the fake device: plain memory and function calls.
//!
//! A queue's memory is where the driver puts it, and the device finds it by its physical address
//! as hardware would. What is offered is up to whoever makes the [`FakeTransport`].

use bindings_ext as bindings;
use kernel::{
    cpumask::Cpumask,
    device::Bound,
    prelude::*,
    sync::Arc, //
};
use virtio::{
    features,
    transport::{
        IrqAffinity,
        QueueRequest,
        SharedMemory,
        Transport, //
    },
    Device,
    Features,
    Status, //
};
use virtio_ring::{
    layout::MODERN_ALIGN,
    Notify,
    Virtqueue,
    VirtqueueConfig, //
};

use super::{
    device::{
        fault::Fault,
        registers::Registers,
        ring::{
            Addresses,
            Agreed,
            Ring, //
        },
    },
    machine::{
        DeviceRing,
        Machine,
        Nature,
        Queue, //
    },
    mapping::Physical,
    trace::Event,
};

/// The features that ring and transport implement.
pub fn supported_features() -> Features {
    virtio_ring::supported_features().with(features::RING_RESET)
}

/// What the transport itself offers of queues.
#[derive(Clone, Copy)]
pub struct QueueOffer {
    /// How many there are.
    pub count: usize,
    /// How many descriptors each may have.
    pub size: u32,
}

/// Access to a [`Machine`], for the bus.
pub struct FakeTransport<N: Nature> {
    machine: Arc<Machine<N>>,
    queues: QueueOffer,
    shared_memory: Option<(u8, SharedMemory)>,
}

impl<N: Nature> FakeTransport<N> {
    /// Connects a device.
    pub fn new(machine: Arc<Machine<N>>, queues: QueueOffer) -> Self {
        Self {
            machine,
            queues,
            shared_memory: None,
        }
    }

    /// Has the device share memory, as the region with that id.
    #[allow(dead_code, reason = "disks share none")]
    pub fn sharing(self, shared_memory: Option<(u8, SharedMemory)>) -> Self {
        Self {
            shared_memory,
            ..self
        }
    }

    /// The device.
    pub fn machine(&self) -> &Arc<Machine<N>> {
        &self.machine
    }

    fn create(
        &self,
        dev: &Device<Bound>,
        index: usize,
        request: &QueueRequest,
        name: &CStr,
    ) -> Result<Queue> {
        if index >= self.queues.count {
            return Err(ENOENT);
        }
        let doorbell = KBox::new(Doorbell(self.machine.clone()), GFP_KERNEL)?;
        let config = VirtqueueConfig {
            index: u16::try_from(index)?,
            max_size: self.queues.size,
            name,
            callback: request.callback(),
            may_shrink: true,
            align: MODERN_ALIGN,
        };
        let vq = Virtqueue::new(dev, config, doorbell)?;
        let ring = Some(device_ring(dev, &vq)?);
        let queue = Queue { vq, ring };
        if self.machine.registers(|registers| registers.fault()) == Fault::Spurious {
            // Nobody may be called for this one (D20).
            queue.interrupt();
        }
        Ok(queue)
    }
}

/// Makes the device's side of a queue.
fn device_ring(dev: &Device<Bound>, vq: &Virtqueue) -> Result<DeviceRing> {
    let addresses = Addresses {
        desc: vq.desc_address(),
        avail: vq.avail_address(),
        used: vq.used_address(),
    };
    let accepted = dev.features();
    let agreed = Agreed {
        event_idx: accepted.contains(features::EVENT_IDX),
        indirect: accepted.contains(features::INDIRECT_DESC),
    };
    Ring::new(Physical, addresses, vq.size(), agreed).ok_or(EINVAL)
}

/// The doorbell of a queue.
struct Doorbell<N: Nature>(Arc<Machine<N>>);

impl<N: Nature> Notify for Doorbell<N> {
    fn notify(&self, index: u16) -> bool {
        self.0.notified(index);
        true
    }
}

// SAFETY: The queues are kept in the machine until `del_vqs`. A machine that was reset, or should
// have been, has dropped its side of them, also of one queue alone, and calls back under a lock that
// `synchronize_callbacks` takes.
#[vtable]
unsafe impl<N: Nature> Transport for FakeTransport<N> {
    fn config_len(&self) -> usize {
        self.machine.registers(|registers| registers.config_len())
    }

    fn read_config(&self, offset: usize, buf: &mut [u8]) {
        self.machine
            .registers(|registers| registers.read_config(offset, buf));
    }

    fn write_config(&self, offset: usize, buf: &[u8]) {
        self.machine.trace().note(Event::Config(offset));
        self.machine
            .registers(|registers| registers.write_config(offset, buf));
    }

    fn generation(&self) -> u32 {
        self.machine.registers(Registers::generation)
    }

    fn status(&self) -> Status {
        Status::from_bits(self.machine.registers(Registers::status))
    }

    fn set_status(&self, status: Status) {
        self.machine.trace().note(Event::Status(status.bits()));
        self.machine
            .registers(|registers| registers.set_status(status.bits()));
    }

    fn reset(&self) -> Result {
        self.machine.reset()
    }

    fn features(&self) -> Features {
        Features::from_words(self.machine.registers(|registers| registers.features()))
    }

    fn accept_features(&self, _dev: &Device<Bound>, wanted: Features) -> Result<Features> {
        let accepted = wanted.and_not(Features::TRANSPORT.and_not(supported_features()));
        if !accepted.contains(features::VERSION_1) {
            return Err(EINVAL);
        }
        self.machine.trace().note(Event::Features);
        self.machine
            .registers(|registers| registers.accept(accepted.words()));
        Ok(accepted)
    }

    fn find_vqs(
        &self,
        dev: &Device<Bound>,
        queues: &[QueueRequest],
        vqs: &mut [*mut bindings::virtqueue],
        _affinity: Option<&IrqAffinity>,
    ) -> Result {
        self.machine.registers(Registers::queues_found);
        let mut found = KVec::with_capacity(queues.len(), GFP_KERNEL)?;
        for (index, request) in queues.iter().enumerate() {
            let queue = match request.name() {
                Some(name) => Some(self.create(dev, index, request, name)?),
                None => None,
            };
            found.push(queue, GFP_KERNEL)?;
        }
        for (vq, queue) in vqs.iter_mut().zip(&found) {
            if let Some(queue) = queue {
                *vq = Virtqueue::as_raw(&queue.vq);
            }
        }
        self.machine.trace().note(Event::FindQueues(found.len()));
        self.machine.queues(|queues| *queues = found);
        self.machine.set_listener(Some(dev.into()));
        Ok(())
    }

    fn del_vqs(&self, _dev: &Device<Bound>) {
        self.machine.registers(Registers::queues_freed);
        self.machine.trace().note(Event::DeleteQueues);
        self.machine.set_listener(None);
        self.break_queues();
        drop(self.machine.queues(core::mem::take));
    }

    fn restore_vqs(&self, dev: &Device<Bound>) -> Result {
        self.machine.registers(Registers::queues_found);
        self.machine.trace().note(Event::RestoreQueues);
        self.machine.queues(|queues| {
            for queue in queues.iter_mut().flatten() {
                queue.ring = Some(device_ring(dev, &queue.vq)?);
            }
            Ok(())
        })
    }

    fn reset_vq(&self, index: u16) -> Result {
        self.machine.reset_queue(index)
    }

    fn restore_vq(&self, dev: &Device<Bound>, index: u16) -> Result {
        self.machine.registers(Registers::queue_changed);
        if self.machine.registers(|registers| registers.fault()) == Fault::NoQueueRestore {
            return Err(EIO);
        }
        self.machine.queues(|queues| {
            let queue = queues.get_mut(usize::from(index)).and_then(Option::as_mut);
            let queue = queue.ok_or(EINVAL)?;
            if queue.ring.is_some() {
                // It is in use.
                return Err(EBUSY);
            }
            queue.ring = Some(device_ring(dev, &queue.vq)?);
            Ok(())
        })?;
        self.machine.trace().note(Event::RestoreQueue(index));
        Ok(())
    }

    fn break_queues(&self) {
        self.machine.queues(|queues| {
            for queue in queues.iter().flatten() {
                queue.vq.break_queue();
            }
        });
    }

    fn synchronize_callbacks(&self) {
        // Handlers run under this lock.
        self.machine.queues(|_| ());
    }

    fn bus_name(&self) -> &CStr {
        c"fake"
    }

    fn vq_affinity(&self, _index: u32) -> Option<&Cpumask> {
        None
    }

    fn shared_memory(&self, id: u8) -> Option<SharedMemory> {
        self.shared_memory
            .and_then(|(found, region)| (found == id).then_some(region))
    }
}
