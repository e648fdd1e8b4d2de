// SPDX-License-Identifier: GPL-2.0

//! The queues of a device that a driver uses, with their interrupts.
//!
//! Implements VIRTIO 1.4, 4.1.5.1.2 "MSI-X Vector Configuration" and 4.1.5.1.3 "Virtqueue
//! Configuration". Each [`VectorPlan`] is tried as a whole: what was built for one that fails is
//! gone before the next begins.

use kernel::{
    alloc::AllocError,
    cpumask::Cpumask,
    device::Bound,
    pci,
    prelude::*,
    str::CString,
    sync::Arc, //
};
use pci_irq::{
    Registration,
    Vectors, //
};
use virtio::transport::{
    IrqAffinity,
    QueueRequest, //
};
use virtio_ring::{
    Notify,
    Virtqueue,
    VirtqueueConfig, //
};

use crate::{
    common::QueueSetup,
    interrupt::{
        Queue,
        Queues,
        Source, //
    },
    plan::{
        Spread,
        VectorPlan,
        CONFIG_VECTOR, //
    },
    transport::Parts,
};

/// The alignment of the used ring: it gets cache lines of its own.
const RING_ALIGN: usize = bindings_ext::SMP_CACHE_BYTES as usize;

/// What a driver asks for.
#[derive(Clone, Copy)]
pub(crate) struct Request<'r> {
    /// The device that gets the queues.
    pub(crate) dev: &'r virtio::Device<Bound>,
    /// The queues; those without a name are left out, also when queues are numbered.
    pub(crate) queues: &'r [QueueRequest],
    /// How to spread the vectors of the queues, if at all.
    pub(crate) affinity: Option<&'r IrqAffinity>,
}

impl Request<'_> {
    /// Returns how many queues have a callback.
    fn with_callback(&self) -> Result<u16> {
        let has_callback =
            |queue: &&QueueRequest| queue.name().is_some() && queue.callback().is_some();
        Ok(self.queues.iter().filter(has_callback).count().try_into()?)
    }
}

/// Why a plan did not work.
enum Failure {
    /// There are not the interrupts that it wants: another plan may do with fewer.
    Interrupts(Error),
    /// Anything else.
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<AllocError> for Failure {
    fn from(error: AllocError) -> Self {
        Self::Other(error.into())
    }
}

/// The queues in use.
///
/// Dropping this ends the interrupts first; then the device forgets the vectors, and the vectors
/// and the queues are freed. The device must have been reset if it was told to use the queues.
pub(crate) struct Active<'a> {
    interrupts: KVec<Registration<'a, Source>>,
    vectors: Arc<Vectors<'a>>,
    queues: Queues,
    plan: VectorPlan,
    spread: Spread,
    parts: Arc<Parts>,
}

impl<'a> Active<'a> {
    /// Sets up the queues with the best plan that works, and lets the device use them.
    ///
    /// # Errors
    ///
    /// What made the last plan fail. The log says what is wrong with a queue.
    pub(crate) fn new(
        pdev: &'a pci::Device<Bound>,
        parts: &Arc<Parts>,
        request: Request<'_>,
    ) -> Result<Self> {
        let mut error = EINVAL;
        for plan in VectorPlan::ALL {
            if plan == VectorPlan::Line && !pci_irq::has_line(pdev) {
                break;
            }
            match Self::with_plan(pdev, parts, request, plan) {
                Ok(active) => {
                    active.enable();
                    return Ok(active);
                }
                Err(Failure::Interrupts(reason)) => error = reason,
                Err(Failure::Other(reason)) => return Err(reason),
            }
        }
        Err(error)
    }

    fn with_plan(
        pdev: &'a pci::Device<Bound>,
        parts: &Arc<Parts>,
        request: Request<'_>,
        plan: VectorPlan,
    ) -> Result<Self, Failure> {
        let with_callback = request.with_callback()?;
        let vectors =
            allocate(pdev, request.affinity, with_callback, plan).map_err(Failure::Interrupts)?;
        let spread = match plan {
            VectorPlan::Line => Spread::new(with_callback, 0),
            _ => Spread::new(with_callback, vectors.len()),
        };
        let mut active = Self {
            interrupts: KVec::new(),
            vectors,
            queues: KVec::new(),
            plan,
            spread,
            parts: parts.clone(),
        };
        let device_name = request.dev.as_ref().name();

        if plan != VectorPlan::Line {
            active.listen(
                CONFIG_VECTOR,
                CString::try_from_fmt(fmt!("{device_name}-config"))?,
                Source::Config(request.dev.into()),
            )?;
            parts
                .common
                .set_config_vector(Some(CONFIG_VECTOR))
                .map_err(Failure::Interrupts)?;
        }

        let mut callbacks = 0..with_callback;
        for queue in request.queues {
            let Some(name) = queue.name() else {
                continue;
            };
            let nth = queue.callback().and_then(|_| callbacks.next());
            let vector = nth.and_then(|nth| spread.vector(nth));
            active.add_queue(pdev, request.dev, queue, name, vector)?;
        }

        if plan == VectorPlan::Line {
            active.listen(
                0,
                CString::try_from_fmt(fmt!("{device_name}"))?,
                Source::Line {
                    isr: parts.isr.clone(),
                    dev: request.dev.into(),
                    queues: active.share_queues(|_| true)?,
                },
            )?;
        }
        for vector in spread.queue_vectors() {
            active.listen_to_queues(device_name, vector)?;
        }
        Ok(active)
    }

    /// Registers the handler of a vector of queues.
    fn listen_to_queues(&mut self, device_name: &CStr, vector: u16) -> Result<(), Failure> {
        let queues = self.share_queues(|queue| queue.vector == Some(vector))?;
        let (name, source) = match queues.as_slice() {
            [queue] => (
                CString::try_from_fmt(fmt!("{device_name}-{}", queue.queue.name()))?,
                Source::Queue(queue.clone()),
            ),
            _ if self.plan == VectorPlan::Shared => (
                CString::try_from_fmt(fmt!("{device_name}-virtqueues"))?,
                Source::Queues(queues),
            ),
            _ => (
                CString::try_from_fmt(fmt!("{device_name}-virtqueues.{vector}"))?,
                Source::Queues(queues),
            ),
        };
        self.listen(vector, name, source)
    }

    /// Creates the next queue and tells the device where it is.
    fn add_queue(
        &mut self,
        pdev: &pci::Device<Bound>,
        dev: &virtio::Device<Bound>,
        request: &QueueRequest,
        name: &CStr,
        vector: Option<u16>,
    ) -> Result<(), Failure> {
        let Parts { common, notify, .. } = &*self.parts;
        let index = u16::try_from(self.queues.len()).map_err(|_| EINVAL)?;
        let info = common.queue(index).map_err(|refusal| {
            dev_err!(dev, "queue {}: {}\n", index, refusal);
            Error::from(refusal)
        })?;
        let doorbell = notify
            .doorbell(info.notify_off)
            .map_err(|error| error.report(pdev))?;
        let notifier: KBox<dyn Notify> = KBox::new(doorbell, GFP_KERNEL)?;
        let queue = Virtqueue::new(
            dev,
            VirtqueueConfig {
                index,
                max_size: info.max_size.into(),
                name,
                callback: request.callback(),
                may_shrink: true,
                align: RING_ALIGN,
            },
            notifier,
        )?;
        let queue = Arc::new(Queue { queue, vector }, GFP_KERNEL)?;
        self.queues.push(queue.clone(), GFP_KERNEL)?;
        self.describe(&queue).map_err(Failure::Interrupts)
    }

    /// Tells the device where a queue is, and which vector is its own.
    fn describe(&self, Queue { queue, vector }: &Queue) -> Result {
        self.parts.common.set_up_queue(
            queue.index(),
            &QueueSetup {
                size: queue.size(),
                desc: queue.desc_address(),
                driver: queue.avail_address(),
                device: queue.used_address(),
                vector: *vector,
            },
        )
    }

    /// Tells a device that was reset about the queues and the vectors again, and lets it use them.
    ///
    /// # Errors
    ///
    /// `ENODEV` for a queue that is not what it was; `EBUSY` if the device does not take a vector.
    pub(crate) fn restore(&self, dev: &virtio::Device<Bound>) -> Result {
        if self.plan != VectorPlan::Line {
            self.parts.common.set_config_vector(Some(CONFIG_VECTOR))?;
        }
        for queue in &self.queues {
            self.describe_again(dev, queue)?;
        }
        self.enable();
        Ok(())
    }

    /// Tells a live device about one queue again that was reset, and lets it use it (PCI-COMMON-8,
    /// CORE-VQENABLE-1).
    ///
    /// # Errors
    ///
    /// As [`restore`](Self::restore), and `EINVAL` if there is no such queue.
    pub(crate) fn restore_one(&self, dev: &virtio::Device<Bound>, index: u16) -> Result {
        let queue = self.queues.get(usize::from(index)).ok_or(EINVAL)?;
        self.describe_again(dev, queue)?;
        self.parts.common.enable_queue(index);
        Ok(())
    }

    /// Tells the device about a queue that it has forgotten.
    fn describe_again(&self, dev: &virtio::Device<Bound>, queue: &Queue) -> Result {
        let index = queue.queue.index();
        let info = self.parts.common.queue(index).map_err(|refusal| {
            dev_err!(dev, "queue {}: {}\n", index, refusal);
            Error::from(refusal)
        })?;
        if info.max_size < queue.queue.size() {
            dev_err!(dev, "queue {}: smaller than before\n", index);
            return Err(ENODEV);
        }
        self.describe(queue)
    }

    fn listen(&mut self, vector: u16, name: CString, source: Source) -> Result<(), Failure> {
        let interrupt =
            Registration::new(&self.vectors, vector, name, source).map_err(Failure::Interrupts)?;
        self.interrupts.push(interrupt, GFP_KERNEL)?;
        Ok(())
    }

    /// Makes a list of some of the queues for a handler of its own.
    fn share_queues(&self, are_meant: impl Fn(&Queue) -> bool) -> Result<Queues> {
        let mut shared = KVec::new();
        for queue in self.queues.iter().filter(|queue| are_meant(queue)) {
            shared.push(queue.clone(), GFP_KERNEL)?;
        }
        Ok(shared)
    }

    /// Lets the device use the queues. This comes last (PCI-COMMON-4), as only a reset undoes it.
    fn enable(&self) {
        for queue in &self.queues {
            self.parts.common.enable_queue(queue.queue.index());
        }
    }

    /// Returns the queues in the order of their numbers.
    pub(crate) fn queues(&self) -> impl Iterator<Item = &Arc<Virtqueue>> {
        self.queues.iter().map(|queue| &queue.queue)
    }

    /// Takes the queues out of use.
    pub(crate) fn break_queues(&self) {
        self.queues().for_each(|queue| queue.break_queue());
    }

    /// Waits until no handler runs any more.
    pub(crate) fn synchronize(&self) {
        for interrupt in &self.interrupts {
            interrupt.synchronize();
        }
    }

    /// Returns the vectors together with the one of queue `index`, if that is the queue's own.
    pub(crate) fn own_vector(&self, index: u32) -> Option<(&Vectors<'a>, u16)> {
        if !self.spread.is_one_each() {
            return None;
        }
        let queue = self.queues.get(usize::try_from(index).ok()?)?;
        Some((&self.vectors, queue.vector?))
    }

    /// Has the interrupt of queue `index` go to the CPUs in `mask`, or stay where it is.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the queue has no vector, or one that was spread over the CPUs, and `ENOMEM`.
    pub(crate) fn set_affinity(&mut self, index: u16, mask: Option<&Cpumask>) -> Result {
        let queue = self.queues.get(usize::from(index)).ok_or(EINVAL)?;
        let vector = queue.vector.ok_or(EINVAL)?;
        self.interrupts
            .iter_mut()
            .find(|interrupt| interrupt.vector() == vector)
            .ok_or(EINVAL)?
            .set_affinity(mask)
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        // Whoever still has a queue finds it out of use.
        self.break_queues();
        self.interrupts.clear();
        if self.plan == VectorPlan::Line {
            return;
        }
        // A device that does not let go of a vector has been reset or is about to be; there is
        // nothing else that could be done.
        let common = &self.parts.common;
        for queue in self.queues.iter().filter(|queue| queue.vector.is_some()) {
            let _ = common.set_queue_vector(queue.queue.index(), None);
        }
        let _ = common.set_config_vector(None);
    }
}

/// Allocates what a plan needs.
fn allocate<'a>(
    pdev: &'a pci::Device<Bound>,
    affinity: Option<&IrqAffinity>,
    with_callback: u16,
    plan: VectorPlan,
) -> Result<Arc<Vectors<'a>>> {
    if plan == VectorPlan::Line {
        return Vectors::line(pdev);
    }
    let counts = plan.vectors(with_callback).ok_or(ENOSPC)?;
    let mut affinity = match plan {
        // The vector of the configuration is not spread. Nor are vectors that queues share: the kernel
        // would shut one down with the last of its CPUs, and others may use the queues.
        VectorPlan::PerQueue => affinity.map(|affinity| affinity.with_pre_vectors(1)),
        _ => None,
    };
    Vectors::msix(pdev, counts, affinity.as_mut())
}
