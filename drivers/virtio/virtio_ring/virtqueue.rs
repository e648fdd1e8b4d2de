// SPDX-License-Identifier: GPL-2.0

//! A virtqueue as its transport has it.
//!
//! The transport creates it, tells the device where its memory is, calls
//! [`interrupt`](Virtqueue::interrupt) when the device has used buffers, and frees it when the
//! device has been reset and its interrupt is gone. What is in the ring is the driver's: see
//! [`crate::Queue`], which takes the driver's side, once.
//!
//! C header: [`include/linux/virtio.h`](srctree/include/linux/virtio.h), of whose
//! `struct virtqueue` this is an extension.

use core::{
    cell::UnsafeCell,
    sync::atomic::{
        AtomicBool,
        AtomicPtr,
        Ordering, //
    },
};

use bindings_ext as bindings;
use kernel::{
    device::Bound,
    prelude::*,
    str::CString,
    sync::{
        aref::ARef,
        Arc,
        ArcBorrow, //
    },
    types::Opaque, //
};
use virtio::features;

use crate::{
    area::Area,
    cpu_barriers::CpuBarriers,
    layout::Layout,
    split::{
        DescState,
        Ring, //
    },
};

/// The doorbell of a queue: VIRTIO 1.4, 2.9 "Driver Notifications".
pub trait Notify: Send + Sync {
    /// Tells the device that queue `index` has new buffers. Called in any context, without locks.
    ///
    /// Returns `false` if the device cannot be told; the queue is broken then.
    fn notify(&self, index: u16) -> bool;
}

/// What a transport knows of a queue that it creates.
pub struct VirtqueueConfig<'a> {
    /// The number of the queue.
    pub index: u16,
    /// The largest number of descriptors that the device allows.
    pub max_size: u32,
    /// The driver's name for the queue.
    pub name: &'a CStr,
    /// What to call when the device has used buffers.
    pub callback: bindings::vq_callback_t,
    /// Whether fewer descriptors than `max_size` will do, if memory is short.
    pub may_shrink: bool,
    /// The alignment of the used ring: 4, or that of a legacy transport.
    pub align: usize,
}

/// The ring with the kernel's barriers and memory.
pub(crate) type KernelRing = Ring<CpuBarriers, KVec<DescState>>;

/// A queue of one device.
///
/// The transport and the driver's side share it, so that its memory outlives both; the device uses
/// it until it is reset.
///
/// # Invariants
///
/// - `vq` is the first field, so that a pointer to it is a pointer to the whole. It is in the list of
///   its device, or its list head is all zeroes and it never was.
/// - `ring` lies in `memory`; only the holder of the driver's side touches it.
#[repr(C)]
pub struct Virtqueue {
    vq: Opaque<bindings::virtqueue>,
    ring: UnsafeCell<KernelRing>,
    is_claimed: AtomicBool,
    is_ready: AtomicBool,
    is_live: AtomicBool,
    is_broken: AtomicBool,
    context: AtomicPtr<c_void>,
    failure: AtomicPtr<bindings::work_struct>,
    notifier: KBox<dyn Notify>,
    layout: Layout,
    has_indirect: bool,
    memory: Area,
    dev: ARef<virtio::Device>,
    name: CString,
}

// SAFETY: The parts that are not thread-safe by themselves are guarded as the invariants say.
unsafe impl Send for Virtqueue {}
// SAFETY: As above.
unsafe impl Sync for Virtqueue {}

impl Virtqueue {
    /// Creates a queue for `dev` and allocates its memory. May sleep.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if the device's size is not a power of two from 1 to 32768; the log says so.
    /// - `ENOMEM`.
    pub fn new(
        dev: &virtio::Device<Bound>,
        config: VirtqueueConfig<'_>,
        notifier: KBox<dyn Notify>,
    ) -> Result<Arc<Self>> {
        let features = dev.features();
        let mut size = config.max_size;
        let (layout, memory) = loop {
            let Some(layout) = Layout::new(size, config.align) else {
                dev_err!(dev, "queue {}: invalid size {}\n", config.index, size);
                return Err(EINVAL);
            };
            match Area::new(dev, layout.bytes()) {
                Ok(memory) => break (layout, memory),
                Err(_) if config.may_shrink && size > 1 => size /= 2,
                Err(error) => return Err(error),
            }
        };
        let barriers = if features.contains(features::ORDER_PLATFORM) {
            CpuBarriers::Platform
        } else {
            CpuBarriers::Cpu
        };
        let state = KVec::from_elem(DescState::default(), layout.size().into(), GFP_KERNEL)?;
        // SAFETY: The area is zeroed, has the layout's length and is kept beside the ring.
        let ring = unsafe {
            Ring::new(
                memory.start(),
                layout,
                features.contains(features::EVENT_IDX),
                barriers,
                state,
            )
        }
        .ok_or(EINVAL)?;

        let name = CString::try_from_fmt(fmt!("{}", config.name))?;
        let mut vq: bindings::virtqueue = pin_init::zeroed();
        vq.callback = config.callback;
        vq.name = name.as_char_ptr();
        vq.vdev = dev.as_raw();
        vq.index = config.index.into();
        vq.num_free = layout.size().into();
        vq.num_max = config.max_size;

        // INVARIANT: The ring lies in `memory`, and nobody has claimed it.
        let this = Arc::new(
            Self {
                vq: Opaque::new(vq),
                ring: UnsafeCell::new(ring),
                is_claimed: AtomicBool::new(false),
                is_ready: AtomicBool::new(false),
                is_live: AtomicBool::new(false),
                is_broken: AtomicBool::new(false),
                context: AtomicPtr::new(core::ptr::null_mut()),
                failure: AtomicPtr::new(core::ptr::null_mut()),
                notifier,
                layout,
                has_indirect: features.contains(features::INDIRECT_DESC),
                memory,
                dev: dev.into(),
                name,
            },
            GFP_KERNEL,
        )?;
        // INVARIANT: Now it is in the list.
        // SAFETY: The device has initialized its list. The queue stays where it is, and is taken
        // off the list before it goes.
        unsafe { bindings::rust_ext_virtio_add_queue(dev.as_raw(), Self::as_raw(&this)) };
        Ok(this)
    }

    /// Returns the C view of the queue.
    pub fn as_raw(this: &Arc<Self>) -> *mut bindings::virtqueue {
        // By the type invariant it is the first field.
        Arc::as_ptr(this).cast_mut().cast()
    }

    /// Borrows a queue from its C view.
    ///
    /// # Safety
    ///
    /// `vq` was given out by [`as_raw`](Self::as_raw), and the queue lives for `'a`.
    pub(crate) unsafe fn from_raw<'a>(vq: *mut bindings::virtqueue) -> ArcBorrow<'a, Self> {
        // SAFETY: The pointer is that of the `Arc`, by the caller's promise.
        unsafe { ArcBorrow::from_raw(vq.cast::<Self>()) }
    }

    /// Returns the device of the queue.
    pub(crate) fn device(&self) -> &virtio::Device {
        &self.dev
    }

    /// Returns the number of the queue.
    pub fn index(&self) -> u16 {
        // SAFETY: The field is never written after creation.
        // CAST: It was made from an `u16`.
        unsafe { (*self.vq.get()).index as u16 }
    }

    /// Returns the driver's name for the queue.
    pub fn name(&self) -> &CStr {
        &self.name
    }

    /// Returns the number of descriptors.
    pub fn size(&self) -> u16 {
        self.layout.size()
    }

    /// Returns whether indirect descriptors were agreed on.
    pub fn has_indirect(&self) -> bool {
        self.has_indirect
    }

    /// Returns whether the driver wants to be called when buffers have been used.
    pub fn has_callback(&self) -> bool {
        // SAFETY: The field is never written after creation.
        unsafe { (*self.vq.get()).callback.is_some() }
    }

    /// Returns the device's address of the descriptor table.
    pub fn desc_address(&self) -> u64 {
        self.memory.address(self.layout.desc())
    }

    /// Returns the device's address of the available ring.
    pub fn avail_address(&self) -> u64 {
        self.memory.address(self.layout.avail())
    }

    /// Returns the device's address of the used ring.
    pub fn used_address(&self) -> u64 {
        self.memory.address(self.layout.used())
    }

    /// Handles an interrupt for the queue: calls the driver, which looks what has been used.
    ///
    /// Returns `false` if there is nobody to call: the queue is not ready yet, broken, or polled.
    /// Interrupts with nothing behind them are harmless (SPLIT-USEDNOTIF-5).
    pub fn interrupt(this: &Arc<Self>) -> bool {
        if !this.is_ready() || this.is_broken() {
            return false;
        }
        // SAFETY: The field is never written after creation.
        match unsafe { (*this.vq.get()).callback } {
            Some(callback) => {
                // SAFETY: The driver's own callback, for its own queue, which is ready.
                unsafe { callback(Self::as_raw(this)) };
                true
            }
            None => false,
        }
    }

    /// Tells the device about new buffers, unless the queue is broken.
    #[inline]
    pub(crate) fn notify(&self) {
        if !self.is_broken() && !self.notifier.notify(self.index()) {
            self.fail();
        }
    }

    /// Takes the queue out of use: from now on the device is not notified, and no interrupt is
    /// handled.
    pub fn break_queue(&self) {
        // Whoever has seen the queue live is waited for before the device is reset.
        self.is_live.store(false, Ordering::Relaxed);
        self.is_broken.store(true, Ordering::Release);
    }

    /// Puts the queue back into use, as it was before the driver was ready.
    pub(crate) fn mend(&self) {
        self.is_live.store(false, Ordering::Relaxed);
        self.is_ready.store(false, Ordering::Relaxed);
        self.is_broken.store(false, Ordering::Relaxed);
    }

    /// Returns whether the queue is out of use.
    #[inline]
    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }

    /// Returns whether the device is live, so that it may be notified.
    #[inline]
    pub(crate) fn is_live(&self) -> bool {
        self.is_live.load(Ordering::Acquire)
    }

    /// Lets the device be notified, now that it is live.
    pub(crate) fn set_live(&self) {
        if !self.is_broken() {
            self.is_live.store(true, Ordering::Release);
        }
    }

    /// Returns whether the driver is ready for interrupts.
    fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// Lets interrupts through, now that the driver is ready for them.
    pub(crate) fn set_ready(&self) {
        self.is_ready.store(true, Ordering::Release);
    }

    /// Returns what the driver has stored for its callback.
    pub(crate) fn context(&self) -> *mut c_void {
        self.context.load(Ordering::Acquire)
    }

    /// Stores something for the driver's callback.
    pub(crate) fn set_context(&self, context: *mut c_void) {
        self.context.store(context, Ordering::Release);
    }

    /// Stores the work that is to be done when the device breaks the rules. It stays valid for as
    /// long as the driver's side is in use.
    pub(crate) fn set_failure(&self, work: *mut bindings::work_struct) {
        self.failure.store(work, Ordering::Release);
    }

    /// Takes the queue out of use because the device broke the rules, or does not go on, and has the
    /// rest of the device looked after.
    pub(crate) fn fail(&self) {
        self.break_queue();
        let work = self.failure.load(Ordering::Acquire);
        if !work.is_null() {
            // SAFETY: Called by the driver's side, so the work is valid.
            unsafe { bindings::rust_ext_schedule_work(work) };
        }
    }

    /// Takes the driver's side of the queue: a pointer to the ring, once.
    pub(crate) fn claim(&self) -> Result<*mut KernelRing> {
        if self.is_claimed.swap(true, Ordering::AcqRel) {
            return Err(EBUSY);
        }
        Ok(self.ring.get())
    }
}

impl Drop for Virtqueue {
    fn drop(&mut self) {
        // SAFETY: The queue holds a reference of its device, and its list head is as the function
        // wants it, by the type invariant.
        unsafe { bindings::rust_ext_virtio_remove_queue(self.dev.as_raw(), self.vq.get()) };
    }
}
