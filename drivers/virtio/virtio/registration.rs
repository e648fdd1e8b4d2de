// SPDX-License-Identifier: GPL-2.0

//! Devices on the bus, from their registration by a transport to its end.

use core::{
    cell::UnsafeCell,
    ptr::NonNull, //
};

use bindings_ext as bindings;
use ida::{
    Ida,
    Index, //
};
use kernel::{
    device::{
        self,
        Bound, //
    },
    error::to_result,
    prelude::*,
    str::CString, //
};

use crate::{
    bus,
    connection::Connection,
    debug::DeviceDir,
    id::DeviceId,
    ops::{
        ExtraOps,
        Ops, //
    },
    status::{
        Handshake,
        StatusField, //
    },
    transport::Transport,
    Device,
    Status, //
};

/// What the bus keeps for a device of a Rust transport.
///
/// # Invariants
///
/// - From registration until the [`Registration`] is dropped, `transport` points to its data, and
///   `debug` is null or points to what it has.
/// - `recovery` is null or valid. It is written with both the device's lock and that for config
///   changes held, and read with either.
#[repr(C)]
pub(crate) struct Instance {
    vdev: bindings::virtio_device,
    config_len: usize,
    pub(crate) transport: *const c_void,
    /// What the C table has no entry for.
    extra: Option<&'static ExtraOps>,
    /// The work that resets the device when it fails, while there is any.
    recovery: *mut bindings::work_struct,
    /// What the bus has in debugfs for the device; none if there is no memory for that.
    debug: *const DeviceDir,
    /// Whether the transport gets through to the device.
    connection: Connection,
}

// SAFETY: C structures, integers and pointers may be all zeroes.
unsafe impl Zeroable for Instance {}

/// Marks devices that are an [`Instance`]; devices of C transports have another type or none.
#[repr(transparent)]
struct DeviceType(UnsafeCell<bindings::device_type>);

// SAFETY: The structure is never written.
unsafe impl Sync for DeviceType {}

static INSTANCE_TYPE: DeviceType = DeviceType(UnsafeCell::new(pin_init::zeroed()));

/// Returns what the bus keeps for a device, if its transport is a Rust one. The pointer is valid as
/// long as the device is; C code changes the first field at any time.
fn instance<Ctx: device::DeviceContext>(dev: &Device<Ctx>) -> Option<*const Instance> {
    let raw = dev.as_raw();
    // SAFETY: The device is valid, and its type says whether it is in an `Instance`.
    let is_ours = unsafe { core::ptr::eq((*raw).dev.type_, INSTANCE_TYPE.0.get()) };
    is_ours.then(|| raw.cast::<Instance>().cast_const())
}

/// Returns the length of a device's configuration space, if its transport tells it.
pub(crate) fn config_len(dev: &Device<Bound>) -> Option<usize> {
    // SAFETY: The pointer is valid, and the field is never written after registration.
    instance(dev).map(|instance| unsafe { (*instance).config_len })
}

/// Returns a device's transport and its operations that the C table has no entry for, if it is a
/// Rust one.
fn extra_ops(dev: &Device<Bound>) -> Option<(*const c_void, &'static ExtraOps)> {
    let instance = instance(dev)?;
    // SAFETY: The pointer is valid, and the fields are never written after registration.
    unsafe { Some(((*instance).transport, (*instance).extra?)) }
}

/// Returns what the bus has in debugfs for a device, if its transport is a Rust one.
pub(crate) fn debug(dev: &Device<Bound>) -> Option<&DeviceDir> {
    let instance = instance(dev)?;
    // SAFETY: By the invariants, for a device that is registered; the field is never written after
    // registration.
    unsafe { (*instance).debug.as_ref() }
}

/// Takes all queues of a device out of use, if its transport can do that.
pub(crate) fn break_queues(dev: &Device<Bound>) {
    if let Some((transport, ops)) = extra_ops(dev) {
        // SAFETY: The function is for this transport, which is there while the device is
        // registered.
        unsafe { (ops.break_queues)(transport) };
    }
}

/// Tells a device about its queues again.
///
/// # Errors
///
/// `EOPNOTSUPP` if its transport cannot do that, and those of [`Transport::restore_vqs`].
pub(crate) fn restore_vqs(dev: &Device<Bound>) -> Result {
    let (transport, ops) = extra_ops(dev).ok_or(EOPNOTSUPP)?;
    // SAFETY: As in `break_queues`.
    unsafe { (ops.restore_vqs)(transport, dev) }
}

/// Resets one queue of a live device.
///
/// # Errors
///
/// Those of [`Transport::reset_vq`].
pub(crate) fn reset_vq(dev: &Device<Bound>, index: u16) -> Result {
    let (transport, ops) = extra_ops(dev).ok_or(EOPNOTSUPP)?;
    // SAFETY: As in `break_queues`.
    unsafe { (ops.reset_vq)(transport, index) }
}

/// Tells a live device about one queue again.
///
/// # Errors
///
/// Those of [`Transport::restore_vq`].
pub(crate) fn restore_vq(dev: &Device<Bound>, index: u16) -> Result {
    let (transport, ops) = extra_ops(dev).ok_or(EOPNOTSUPP)?;
    // SAFETY: As in `break_queues`.
    unsafe { (ops.restore_vq)(transport, dev, index) }
}

/// Stores the work that resets a device when it fails, which goes when `None` is stored. Nothing is
/// stored for the devices of C transports.
///
/// # Safety
///
/// The work is initialized, and valid until then. Called while a driver is being bound or taken off.
pub(crate) unsafe fn set_recovery(
    dev: &Device<Bound>,
    work: Option<NonNull<bindings::work_struct>>,
) {
    if let Some(instance) = instance(dev) {
        let work = work.map_or(core::ptr::null_mut(), NonNull::as_ptr);
        dev.with_config_lock(|| {
            // SAFETY: `instance` is valid; both locks are held.
            // INVARIANT: The caller's promise.
            unsafe { (*instance.cast_mut()).recovery = work };
        });
    }
}

/// Has a device reset by the work that [`set_recovery`] stored, soon. Returns whether there is any.
/// Called in any context.
pub(crate) fn schedule_recovery<Ctx: device::DeviceContext>(dev: &Device<Ctx>) -> bool {
    let Some(instance) = instance(dev) else {
        return false;
    };
    dev.with_config_lock(|| {
        // SAFETY: `instance` is valid, and the lock for config changes is held, so that the work
        // stays if there is any.
        unsafe {
            let work = (*instance).recovery;
            if !work.is_null() {
                bindings::rust_ext_schedule_work(work);
            }
            !work.is_null()
        }
    })
}

/// Returns the state of the connection to a device, if its transport is a Rust one.
pub(crate) fn connection(dev: &Device<Bound>) -> Option<&Connection> {
    // SAFETY: `instance` is valid while the device is registered, which `dev` borrows it as. The
    // field is only used through shared references.
    instance(dev).map(|instance| unsafe { &(*instance).connection })
}

/// Returns whether work was stored that resets a device when it fails. Called with the device's lock
/// held.
pub(crate) fn can_recover(dev: &Device<Bound>) -> bool {
    // SAFETY: The pointer is valid; by the invariants nobody else uses the field.
    instance(dev).is_some_and(|instance| unsafe { !(*instance).recovery.is_null() })
}

/// Waits until a device is not being reset by the work that [`set_recovery`] stored, and sees to it
/// that it will not be. Called while a driver is being taken off, or the system goes down. Sleeps.
pub(crate) fn end_recovery(dev: &Device<Bound>) {
    let Some(instance) = instance(dev) else {
        return;
    };
    // SAFETY: The pointer is valid, and by the invariants the work is, if there is any.
    unsafe {
        let work = (*instance).recovery;
        if !work.is_null() {
            bindings::disable_work_sync(work);
        }
    }
}

/// A device on the bus. Dropping it takes the driver off and the device away.
///
/// # Invariants
///
/// `instance` is registered; it is freed with its last reference. Its `transport` is ours.
pub struct Registration<T: Transport> {
    instance: NonNull<Instance>,
    /// A reset has taken the driver off, and one is looked for after it.
    pub(crate) is_driver_due: bool,
    transport: Pin<KBox<T>>,
    _debug: Option<KBox<DeviceDir>>,
    _index: Index,
}

// SAFETY: Registering and unregistering can be done on any thread; the transport's data is `Send`
// and `Sync` itself.
unsafe impl<T: Transport> Send for Registration<T> {}
// SAFETY: As above; a shared registration only gives out shared references.
unsafe impl<T: Transport> Sync for Registration<T> {}

impl<T: Transport> Registration<T> {
    /// Registers a device with the given id below `parent`.
    ///
    /// The device is reset and acknowledged, then drivers are looked for, so that a driver may
    /// have been bound when this returns. Where the device tree describes it, by a child of the
    /// parent's node that is compatible with `virtio,device` and the device type in hexadecimal
    /// digits, that node is the device's.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ETIMEDOUT` if the device does not finish its reset, and whatever adding the
    /// device says.
    pub fn new(
        parent: &device::Device<Bound>,
        id: DeviceId,
        transport: impl PinInit<T, Error>,
    ) -> Result<Self> {
        let transport = KBox::pin_init(transport, GFP_KERNEL)?;
        let mut instance: KBox<Instance> = KBox::zeroed(GFP_KERNEL)?;

        instance.config_len = transport.config_len();
        instance.transport = core::ptr::from_ref(&*transport).cast();
        instance.extra = Some(Ops::<T>::EXTRA);
        let vdev = &mut instance.vdev;
        // `device_add` takes a reference to the parent.
        vdev.dev.parent = core::ptr::from_ref(parent).cast_mut().cast();
        vdev.dev.release = Some(release);
        vdev.dev.type_ = INSTANCE_TYPE.0.get();
        vdev.dev.bus = bus::bus_type();
        vdev.id.device = id.device;
        vdev.id.vendor = id.vendor;
        vdev.config = Ops::<T>::TABLE;

        let index = INDICES.alloc(u32::MAX)?;
        // CAST: The allocator's numbers are not negative as integers either.
        vdev.index = index.get() as c_int;
        // A device without it is as good as any.
        let debug = DeviceDir::new(index.get())
            .and_then(|dir| Ok(KBox::new(dir, GFP_KERNEL)?))
            .ok();
        if let Some(debug) = &debug {
            instance.debug = core::ptr::from_ref(&**debug);
        }
        let compatible = CString::try_from_fmt(fmt!("virtio,device{:x}", id.device))?;
        let parent = instance.vdev.dev.parent;
        // SAFETY: The parent is valid, and the text ends with a NUL.
        instance.vdev.dev.of_node =
            unsafe { bindings::rust_ext_of_get_available_child(parent, compatible.as_char_ptr()) };

        let instance = KBox::into_raw(instance);
        // SAFETY: The device is filled in, and `release` frees it from now on.
        unsafe { add(&raw mut (*instance).vdev) }.inspect_err(|_| {
            // SAFETY: `add` has initialized the device, so that the last reference frees it.
            unsafe { bindings::put_device(&raw mut (*instance).vdev.dev) };
        })?;
        // INVARIANT: The device has been registered.
        Ok(Self {
            // SAFETY: The pointer comes from a box.
            instance: unsafe { NonNull::new_unchecked(instance) },
            is_driver_due: false,
            transport,
            _debug: debug,
            _index: index,
        })
    }

    /// Returns the device.
    pub fn device(&self) -> &Device {
        // SAFETY: By the type invariant the device is registered.
        unsafe { Device::from_raw(self.instance.as_ptr().cast()) }
    }

    /// Calls `f` with the device while no driver is bound to it or taken off it. Sleeps.
    pub(crate) fn with_lock<R>(&self, f: impl FnOnce(&Device<Bound>) -> R) -> R {
        let dev = self.bound();
        // SAFETY: By the type invariant the device is registered.
        unsafe { bindings::rust_ext_device_lock(&raw mut (*dev.as_raw()).dev) };
        let result = f(dev);
        // SAFETY: The lock was taken above.
        unsafe { bindings::rust_ext_device_unlock(&raw mut (*dev.as_raw()).dev) };
        result
    }

    /// Returns the device as its driver has it, if there is one.
    pub(crate) fn bound(&self) -> &Device<Bound> {
        // SAFETY: By the type invariant the device is registered, which is all that `Bound` means
        // on this bus.
        unsafe { Device::from_raw(self.instance.as_ptr().cast()) }
    }

    /// Takes the driver off the device, as if somebody had unbound it. Sleeps.
    pub(crate) fn detach_driver(&self) {
        let dev = self.instance.as_ptr().cast::<bindings::virtio_device>();
        // SAFETY: By the type invariant the device is registered.
        unsafe { bindings::device_release_driver(&raw mut (*dev).dev) };
    }

    /// Binds a driver to the device if there is one for it, as for a new device. Sleeps.
    ///
    /// # Errors
    ///
    /// What the driver core says. A driver that fails is not an error.
    pub(crate) fn attach_driver(&self) -> Result {
        let dev = self.instance.as_ptr().cast::<bindings::virtio_device>();
        // SAFETY: By the type invariant the device is registered.
        to_result(unsafe { bindings::device_attach(&raw mut (*dev).dev) })
    }

    /// Returns the transport's own data.
    pub fn transport(&self) -> Pin<&T> {
        self.transport.as_ref()
    }
}

impl<T: Transport> Drop for Registration<T> {
    fn drop(&mut self) {
        self.let_go();
        let vdev = self.instance.as_ptr().cast::<bindings::virtio_device>();
        // SAFETY: By the type invariant the device is registered. Once it is not, nothing calls
        // the transport, which is dropped after this, as are the directory and the number in its name.
        unsafe { bindings::device_unregister(&raw mut (*vdev).dev) };
    }
}

/// Frees a device to which this was the last reference.
extern "C" fn release(dev: *mut bindings::device) {
    // SAFETY: Devices with this function are in an `Instance` that came from a box. The node is null
    // or has a reference that `new` took.
    unsafe {
        bindings::rust_ext_of_node_put((*dev).of_node);
        let vdev = kernel::container_of!(dev, bindings::virtio_device, dev);
        drop(KBox::from_raw(vdev.cast::<Instance>()));
    }
}

/// The numbers in the names of the devices.
static INDICES: Ida = Ida::new();

/// Initializes and adds a device. On an error the caller puts the device, and never frees it.
///
/// # Safety
///
/// `vdev` is filled in but for what this sets, and stays where it is; `release` frees it.
unsafe fn add(vdev: *mut bindings::virtio_device) -> Result {
    // SAFETY: The caller's promise, for each of the C calls below.
    unsafe {
        bindings::device_initialize(&raw mut (*vdev).dev);
        bindings::rust_ext_spin_lock_init(&raw mut (*vdev).config_lock);
        bindings::rust_ext_virtio_init_queues(vdev);
    }
    // SAFETY: As above; the format takes one integer.
    to_result(unsafe {
        bindings::dev_set_name(
            &raw mut (*vdev).dev,
            c"virtio%u".as_char_ptr(),
            (*vdev).index,
        )
    })?;

    // SAFETY: Everything but the driver core knows the device by now, which is all that a reset
    // needs.
    let dev: &Device<Bound> = unsafe { Device::from_raw(vdev) };
    // Whoever used the device before has left it in some state.
    dev.reset()?;
    Handshake::start(dev).acknowledge();
    // SAFETY: The device is ready to be found.
    to_result(unsafe { bindings::device_add(&raw mut (*vdev).dev) })
        .inspect_err(|_| dev.add_status(Status::FAILED))
}
