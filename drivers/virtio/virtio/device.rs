// SPDX-License-Identifier: GPL-2.0

//! The virtio device as the kernel's C structure has it, and what may be done with it.
//!
//! The context of a [`Device`] decides what can be called: a reference that is not bound may
//! outlive the hardware, so all that reaches the device needs [`Bound`] at least.
//!
//! C header: [`include/linux/virtio.h`](srctree/include/linux/virtio.h)

use core::{
    marker::PhantomData,
    mem::offset_of,
    ptr::NonNull, //
};

use bindings_ext as bindings;
use kernel::{
    device::{
        self,
        Bound, //
    },
    prelude::*,
    sync::aref::AlwaysRefCounted,
    types::{
        NotThreadSafe,
        Opaque, //
    },
};

use crate::{
    features,
    id::DeviceId,
    registration,
    status::{
        Status,
        StatusField, //
    },
    transport::SharedMemory,
    Features,
};

/// A virtio device.
///
/// # Invariants
///
/// The pointer is to a valid `struct virtio_device` that was initialized by
/// [`crate::registration::Registration`]; its `config` table has every operation that this crate
/// calls. While the context is [`Bound`] or more, the device is registered.
#[repr(transparent)]
pub struct Device<Ctx: device::DeviceContext = device::Normal>(
    Opaque<bindings::virtio_device>,
    PhantomData<Ctx>,
);

impl<Ctx: device::DeviceContext> Device<Ctx> {
    /// Returns the C structure, for the crates of this stack that share it with C.
    #[inline]
    pub fn as_raw(&self) -> *mut bindings::virtio_device {
        self.0.get()
    }

    /// Borrows a device from its C structure.
    ///
    /// # Safety
    ///
    /// `ptr` must be a registered virtio device, valid for `'a`, in a state that `Ctx` stands for.
    #[inline]
    pub unsafe fn from_raw<'a>(ptr: *mut bindings::virtio_device) -> &'a Self {
        // SAFETY: `Device` is a transparent wrapper, and the caller vouches for the rest.
        unsafe { &*ptr.cast() }
    }

    /// Returns the id by which drivers are found (VIRTIO 1.4, 5 "Device Types").
    pub fn id(&self) -> DeviceId {
        // SAFETY: By the type invariant the structure is valid; the id never changes.
        let id = unsafe { (*self.as_raw()).id };
        DeviceId::new(id.device, id.vendor)
    }

    /// Returns the number in the device's name, `virtioN`.
    pub fn index(&self) -> i32 {
        // SAFETY: By the type invariant the structure is valid; the index never changes.
        unsafe { (*self.as_raw()).index }
    }

    /// Returns the features that were agreed on, none before that.
    #[inline]
    pub fn features(&self) -> Features {
        // SAFETY: By the type invariant the structure is valid; the words are written only while
        // a driver is being bound, and not used by anybody else then.
        let words = unsafe { (*self.as_raw()).__bindgen_anon_1.features_array };
        Features::from_words(words)
    }

    /// Calls `f` with the device's lock for config changes held.
    pub(crate) fn with_config_lock<R>(&self, f: impl FnOnce() -> R) -> R {
        let raw = self.as_raw();
        // SAFETY: By the type invariant the lock is initialized.
        let flags = unsafe { bindings::rust_ext_spin_lock_irqsave(&raw mut (*raw).config_lock) };
        let result = f();
        // SAFETY: The lock was taken above, with these flags.
        unsafe {
            bindings::rust_ext_spin_unlock_irqrestore(&raw mut (*raw).config_lock, flags);
        }
        result
    }

    /// Calls `f` with what the lock for config changes protects.
    fn with_notice<R>(&self, f: impl FnOnce(&mut ConfigNotice) -> R) -> R {
        let raw = self.as_raw();
        self.with_config_lock(|| {
            // SAFETY: The three flags are only touched with the lock held.
            let mut notice = unsafe {
                ConfigNotice {
                    core_enabled: (*raw).config_core_enabled,
                    driver_disabled: (*raw).config_driver_disabled,
                    pending: (*raw).config_change_pending,
                }
            };
            let result = f(&mut notice);
            // SAFETY: As above.
            unsafe {
                (*raw).config_core_enabled = notice.core_enabled;
                (*raw).config_driver_disabled = notice.driver_disabled;
                (*raw).config_change_pending = notice.pending;
            }
            result
        })
    }

    /// Passes a change of the device's configuration on to its driver, or keeps it until the
    /// driver wants to hear of it (VIRTIO 1.4, 2.3 "Notifications").
    ///
    /// The change may be that the device needs a reset (VIRTIO 1.4, 2.1), also while its driver is
    /// being bound and waits for it, so this is looked at in any case. Called by transports, and by
    /// whoever has had the device reset, in any context.
    pub fn config_changed(&self) {
        registration::schedule_recovery(self);
        self.with_notice(|notice| self.deliver(notice));
    }

    fn deliver(&self, notice: &mut ConfigNotice) {
        if !notice.core_enabled || notice.driver_disabled {
            notice.pending = true;
            return;
        }
        notice.pending = false;
        // SAFETY: The core is enabled only between a successful probe and the start of remove, so
        // a driver is bound, and it is a virtio driver since it is on this bus.
        unsafe {
            let drv = (*self.as_raw()).dev.driver;
            let drv = kernel::container_of!(drv, bindings::virtio_driver, driver);
            if let Some(config_changed) = (*drv).config_changed {
                config_changed(self.as_raw());
            }
        }
    }

    /// Sets whether changes are delivered at all; one that was kept is delivered now.
    pub(crate) fn set_config_core_enabled(&self, enabled: bool) {
        self.with_notice(|notice| {
            notice.core_enabled = enabled;
            if enabled && notice.pending {
                self.deliver(notice);
            }
        });
    }
}

impl Device {
    /// Returns the device as its driver has it, for a file in sysfs that belongs to the driver.
    /// Sleeps. No driver is bound or taken off while the guard lives. Only for system calls: whoever else
    /// called this would be left with a signal pending that nobody takes.
    ///
    /// # Errors
    ///
    /// - `ENODEV` if no driver is bound any more.
    /// - `ERESTARTNOINTR` if the device is being bound or taken off: returned to user space, it has
    ///   the system call begin anew. Taking the driver off waits for such calls, so that they must
    ///   not wait for it.
    pub fn try_bound(&self) -> Result<BoundGuard<'_>> {
        let raw = self.as_raw();
        // SAFETY: By the type invariant the structure is valid.
        unsafe {
            if !bindings::rust_ext_device_trylock(&raw mut (*raw).dev) {
                return Err(Error::from_errno(bindings::rust_ext_restart_syscall()));
            }
        }
        // INVARIANT: The lock was taken just now.
        let guard = BoundGuard(self, NotThreadSafe);
        // SAFETY: The field is valid with the lock held.
        if unsafe { (*raw).dev.driver.is_null() } {
            return Err(ENODEV);
        }
        Ok(guard)
    }
}

/// Keeps a device bound to its driver; made by [`Device::try_bound`].
///
/// # Invariants
///
/// The device's lock is held. If this is given out, a driver is bound.
pub struct BoundGuard<'a>(&'a Device, NotThreadSafe);

impl core::ops::Deref for BoundGuard<'_> {
    type Target = Device<Bound>;

    fn deref(&self) -> &Device<Bound> {
        // SAFETY: By the type invariant the device is bound, and thereby registered, for as long as
        // the guard lives.
        unsafe { Device::from_raw(self.0.as_raw()) }
    }
}

impl Drop for BoundGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the lock is held.
        unsafe { bindings::rust_ext_device_unlock(&raw mut (*self.0.as_raw()).dev) };
    }
}

/// The three flags that decide about a change of configuration.
struct ConfigNotice {
    core_enabled: bool,
    driver_disabled: bool,
    pending: bool,
}

impl Device<Bound> {
    fn ops(&self) -> &bindings::virtio_config_ops {
        // SAFETY: By the type invariant the table is valid for as long as the device is
        // registered, which `Bound` stands for.
        unsafe { &*(*self.as_raw()).config }
    }

    /// Returns the name of the device on the bus that its transport uses, such as its PCI address.
    pub fn bus_name(&self) -> &CStr {
        let Some(bus_name) = self.ops().bus_name else {
            return c"virtio";
        };
        // SAFETY: The device is registered, and its transport's name stays for as long.
        unsafe { CStr::from_char_ptr(bus_name(self.as_raw())) }
    }

    /// Resets the device and waits until it is (CORE-RESET-1).
    ///
    /// Once this has succeeded, the device raises no interrupt and touches no memory.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT` if the device did not finish. The transport has cut it off from memory as far as
    /// it can.
    pub fn reset(&self) -> Result {
        if let Some(reset) = self.ops().reset {
            // SAFETY: The device is registered, and the transport's operation is for it.
            unsafe { reset(self.as_raw()) };
        }
        let status = self.status();
        // A device that is not there any more does not touch memory either.
        if status == Status::RESET || status.is_gone() {
            Ok(())
        } else {
            Err(ETIMEDOUT)
        }
    }

    /// Returns the device to which the DMA API maps memory, or nothing if the virtio device uses
    /// physical addresses (VIRTIO 1.4, 6.1: `VIRTIO_F_ACCESS_PLATFORM`).
    pub fn dma_device(&self) -> Option<&device::Device<Bound>> {
        if !self.features().contains(features::ACCESS_PLATFORM) {
            return None;
        }
        // SAFETY: The device has a parent, to which its transport stays bound for as long as this
        // device is registered.
        unsafe {
            let parent = (*self.as_raw()).dev.parent;
            (!parent.is_null()).then(|| device::Device::from_raw(parent))
        }
    }

    /// Finds a region of memory that the device shares, by the id that the device type gives it;
    /// none if the device does not have it. Sleeps.
    pub fn shared_memory(&self, id: u8) -> Option<SharedMemory> {
        let get = self.ops().get_shm_region?;
        let mut region: bindings::virtio_shm_region = pin_init::zeroed();
        // SAFETY: The device is registered, and there is room for what is found.
        let is_there = unsafe { get(self.as_raw(), &mut region, id) };
        is_there.then_some(SharedMemory {
            addr: region.addr,
            len: region.len,
        })
    }

    /// Lets the driver hold reports of config changes back; see
    /// [`enable_config_changes`](Self::enable_config_changes).
    pub fn disable_config_changes(&self) {
        self.with_notice(|notice| notice.driver_disabled = true);
    }

    /// Ends [`disable_config_changes`](Self::disable_config_changes) and delivers what was kept.
    pub fn enable_config_changes(&self) {
        self.with_notice(|notice| {
            notice.driver_disabled = false;
            if notice.pending {
                self.deliver(notice);
            }
        });
    }

    /// Returns whether what the device has in flight will not come back, unless it is being reset
    /// just now: it does not answer any more, or [is cut off](Self::is_cut_off), it says that it
    /// needs a reset (CORE-STATUS-4), or it has been reset behind the driver's back, as one that was
    /// taken out and put back in.
    pub fn is_gone(&self) -> bool {
        if self.is_cut_off() {
            return true;
        }
        let status = self.status();
        status.is_gone()
            || status.contains(Status::NEEDS_RESET)
            || !status.contains(Status::DRIVER_OK)
    }

    /// Reads the device status field.
    pub fn device_status(&self) -> Status {
        self.status()
    }

    /// Tells the device about its queues again, after a reset and before `DRIVER_OK`. Called by
    /// `virtio_ring`.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the transport cannot do that, and what it says.
    pub fn restore_vqs(&self) -> Result {
        registration::restore_vqs(self)
    }

    /// Resets one queue of a live device, which is out of use, if that was agreed on: the device has
    /// said after this that it uses none of its memory (VIRTIO 1.4, 2.6.1 "Virtqueue Reset"). Called
    /// by `virtio_ring`. Sleeps.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if device or transport cannot do that, and what the transport says.
    pub fn reset_vq(&self, index: u16) -> Result {
        if !self.features().contains(features::RING_RESET) {
            return Err(EOPNOTSUPP);
        }
        registration::reset_vq(self, index)
    }

    /// Tells the device about one queue again, after [`reset_vq`](Self::reset_vq). Called by
    /// `virtio_ring`. May sleep.
    ///
    /// # Errors
    ///
    /// What the transport says.
    pub fn restore_vq(&self, index: u16) -> Result {
        registration::restore_vq(self, index)
    }

    /// Stores the work that resets the device when it fails; the bus ends it before it takes the
    /// driver off. Called by `virtio_ring`.
    ///
    /// # Safety
    ///
    /// The work is initialized, and valid until another or none is stored. Called while a driver is
    /// being bound or taken off.
    pub unsafe fn set_recovery(&self, work: Option<NonNull<bindings::work_struct>>) {
        // SAFETY: The caller's promise.
        unsafe { registration::set_recovery(self, work) };
    }

    /// Sets `DRIVER_OK`: from here on the device may be notified, and may use its queues.
    ///
    /// Called by `virtio_ring` when the queues are made ready; drivers call that.
    pub fn set_driver_ok(&self) {
        self.add_status(Status::DRIVER_OK);
    }

    /// Waits until no callback of a queue or of the configuration runs any more.
    pub fn synchronize_callbacks(&self) {
        match self.ops().synchronize_cbs {
            // SAFETY: The device is registered, and the transport's operation is for it.
            Some(synchronize) => unsafe { synchronize(self.as_raw()) },
            // SAFETY: Called in a context that may sleep, as `synchronize_cbs` is.
            None => unsafe { bindings::synchronize_rcu() },
        }
    }

    /// Reads the features that the device offers.
    pub(crate) fn offered_features(&self) -> Features {
        let ops = self.ops();
        let mut words = [0; bindings::VIRTIO_FEATURES_U64S as usize];
        if let Some(get) = ops.get_extended_features {
            // SAFETY: The device is registered, and there is room for all words.
            unsafe { get(self.as_raw(), words.as_mut_ptr()) };
        } else if let (Some(get), Some(low)) = (ops.get_features, words.first_mut()) {
            // SAFETY: The device is registered.
            *low = unsafe { get(self.as_raw()) };
        }
        Features::from_words(words)
    }

    /// Records which features are going to be agreed on.
    pub(crate) fn set_features(&self, features: Features) {
        // SAFETY: Only called while a driver is being bound. All that looks at the words meanwhile
        // is the attribute in sysfs, which shows the old or the new ones.
        unsafe { (*self.as_raw()).__bindgen_anon_1.features_array = features.words() };
    }

    /// Lets the transport write the features to the device that were recorded; what the transport
    /// or the ring does not know is dropped from them.
    pub(crate) fn finalize_features(&self) -> Result {
        let finalize = self.ops().finalize_features.ok_or(EOPNOTSUPP)?;
        // SAFETY: The device is registered.
        kernel::error::to_result(unsafe { finalize(self.as_raw()) })
    }
}

impl StatusField for Device<Bound> {
    fn status(&self) -> Status {
        match self.ops().get_status {
            // SAFETY: The device is registered.
            Some(get) => Status::from_bits(unsafe { get(self.as_raw()) }),
            None => Status::GONE,
        }
    }

    fn set_status(&self, status: Status) {
        if let Some(set) = self.ops().set_status {
            // SAFETY: The device is registered.
            unsafe { set(self.as_raw(), status.bits()) };
        }
    }
}

// SAFETY: `Device` is a transparent wrapper of `struct virtio_device`, and the offset is that of
// the `struct device` inside it.
unsafe impl<Ctx: device::DeviceContext> device::AsBusDevice<Ctx> for Device<Ctx> {
    const OFFSET: usize = offset_of!(bindings::virtio_device, dev);
}

// SAFETY: `Device` is a transparent wrapper of a type that does not depend on its context.
kernel::impl_device_context_deref!(unsafe { Device });
kernel::impl_device_context_into_aref!(Device);

// SAFETY: Virtio devices are reference-counted by their `struct device`.
unsafe impl AlwaysRefCounted for Device {
    fn inc_ref(&self) {
        // SAFETY: The reference shows that the count is not zero.
        unsafe { bindings::get_device(&raw mut (*self.as_raw()).dev) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller gives up one reference, so the count is not zero.
        unsafe { bindings::put_device(&raw mut (*obj.as_ref().as_raw()).dev) };
    }
}

impl<Ctx: device::DeviceContext> AsRef<device::Device<Ctx>> for Device<Ctx> {
    fn as_ref(&self) -> &device::Device<Ctx> {
        // SAFETY: The embedded `struct device` is valid as long as the virtio device is.
        unsafe { device::Device::from_raw(&raw mut (*self.as_raw()).dev) }
    }
}

// SAFETY: The last reference may be dropped on any thread.
unsafe impl Send for Device {}

// SAFETY: All that can be called on a shared device is serialized by the kernel or by its lock.
unsafe impl Sync for Device {}

// SAFETY: As for `Device`; the context is only a marker.
unsafe impl Sync for Device<Bound> {}

impl kernel::fmt::Display for Features {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}
