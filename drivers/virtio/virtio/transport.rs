// SPDX-License-Identifier: GPL-2.0

//! What a transport gives to the bus: the operations on a device, and the device's registration.
//!
//! A transport (PCI, MMIO, the fake one of the tests) implements [`Transport`] for the type that
//! holds its access to the hardware and registers one [`Registration`] for each device that it
//! finds. [`Ops`] turns the trait into the C table `struct virtio_config_ops`, through which C
//! drivers and this crate both call.
//!
//! C header: [`include/linux/virtio_config.h`](srctree/include/linux/virtio_config.h)

use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    ptr::NonNull, //
};

use bindings_ext as bindings;
use ida::{
    Ida,
    Index, //
};
use kernel::{
    cpumask::Cpumask,
    device::{
        self,
        Bound, //
    },
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
};

use crate::{
    bus,
    id::DeviceId,
    status::{
        Handshake,
        StatusField, //
    },
    Device, Features, Status,
};

/// One queue that a driver asks for, as the C table passes it.
#[repr(transparent)]
pub struct QueueRequest(bindings::virtqueue_info);

impl QueueRequest {
    /// Returns the queue's name, or nothing for a queue that the driver does not want.
    pub fn name(&self) -> Option<&CStr> {
        let name = self.0.name;
        // SAFETY: The driver's names are C strings that outlive the call.
        (!name.is_null()).then(|| unsafe { CStr::from_char_ptr(name) })
    }

    /// Returns the function to call when the device has used buffers; none for a polled queue.
    pub fn callback(&self) -> bindings::vq_callback_t {
        self.0.callback
    }
}

/// How a driver wants the interrupts of its queues spread over the CPUs.
#[repr(transparent)]
pub struct IrqAffinity(bindings::irq_affinity);

impl IrqAffinity {
    /// Spreads all vectors of the queues.
    pub fn spread() -> Self {
        Self(pin_init::zeroed())
    }

    /// Returns the C structure, for `find_vqs`.
    pub fn as_raw(&mut self) -> *mut bindings::irq_affinity {
        &raw mut self.0
    }

    /// Returns the C structure with `pre_vectors` more vectors in front that are not spread.
    pub fn with_pre_vectors(&self, pre_vectors: u32) -> bindings::irq_affinity {
        let mut affinity = self.0;
        affinity.pre_vectors = affinity.pre_vectors.saturating_add(pre_vectors);
        affinity
    }
}

/// Access to one virtio device over some kind of hardware.
///
/// All operations are called from a context that may sleep. The device's lock of the driver core
/// serializes `find_vqs` and `del_vqs`; the others may be called at any time between registration
/// and its end.
///
/// # Safety
///
/// - What [`find_vqs`](Self::find_vqs) writes are queues of the crate `virtio_ring`, which stay
///   valid until [`del_vqs`](Self::del_vqs) returns, with the callbacks that were asked for.
/// - When [`reset`](Self::reset) has returned `Ok`, the device touches none of the memory that it
///   was told about; when it has returned an error, the transport has cut it off.
/// - When [`synchronize_callbacks`](Self::synchronize_callbacks) or `del_vqs` returns, no callback
///   that began before still runs; after `del_vqs` none begins.
/// - Queues are broken, so that nobody notifies the device, before `del_vqs` returns.
#[vtable]
pub unsafe trait Transport: Send + Sync + Sized {
    /// The length of the device configuration space in bytes, 0 if there is none.
    fn config_len(&self) -> usize;

    /// Reads the configuration space at `offset` in the width that the field has: 1, 2, 4 or 8
    /// bytes, or any other length byte by byte. The caller has checked the range.
    fn read_config(&self, offset: usize, buf: &mut [u8]);

    /// Writes the configuration space; as [`read_config`](Self::read_config).
    fn write_config(&self, offset: usize, buf: &[u8]);

    /// The generation of the configuration space (VIRTIO 1.4, 2.5.1).
    fn generation(&self) -> u32;

    /// Reads the device status field.
    fn status(&self) -> Status;

    /// Writes the device status field; never with [`Status::RESET`].
    fn set_status(&self, status: Status);

    /// Resets the device and waits until it says so, within a bound, and until no handler runs.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT` if the device did not finish. Its memory is given back all the same, so that
    /// the transport cuts it off from memory then, as far as it can.
    fn reset(&self) -> Result;

    /// The features that the device offers.
    fn features(&self) -> Features;

    /// Writes the features to the device, less those that the transport or the ring does not
    /// know, and returns what was written.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the device cannot be driven with these.
    fn accept_features(&self, dev: &Device<Bound>, features: Features) -> Result<Features>;

    /// Creates the queues that have a name, with their interrupts, and writes each to the entry of
    /// `vqs` that has its number; the others are left alone.
    ///
    /// # Errors
    ///
    /// On any error no queue is left behind.
    fn find_vqs(
        &self,
        dev: &Device<Bound>,
        queues: &[QueueRequest],
        vqs: &mut [*mut bindings::virtqueue],
        affinity: Option<&IrqAffinity>,
    ) -> Result;

    /// Frees the interrupts and the queues. The device has been reset.
    fn del_vqs(&self, dev: &Device<Bound>);

    /// Tells a device that was reset about the queues that `find_vqs` has set up, and about their
    /// interrupts. Called between `FEATURES_OK` and `DRIVER_OK`.
    ///
    /// # Errors
    ///
    /// The device does not take what it took before. It has to be reset, then.
    fn restore_vqs(&self, dev: &Device<Bound>) -> Result;

    /// Takes all queues out of use: the device is not notified any more, and no callback begins.
    /// May sleep.
    fn break_queues(&self);

    /// Waits until no handler of an interrupt runs.
    fn synchronize_callbacks(&self);

    /// The transport's own name for the device, such as its PCI address.
    fn bus_name(&self) -> &CStr;

    /// The CPUs that the interrupt of queue `index` goes to.
    fn vq_affinity(&self, index: u32) -> Option<&Cpumask>;
}

/// What the bus keeps for a device of a Rust transport.
///
/// # Invariants
///
/// From registration until the [`Registration`] is dropped, `transport` points to its data.
#[repr(C)]
struct Instance {
    vdev: bindings::virtio_device,
    config_len: usize,
    transport: *const c_void,
    /// What the C table has no entry for.
    extra: Option<&'static ExtraOps>,
}

/// The operations of a [`Transport`] that `struct virtio_config_ops` does not have. The first
/// argument of each is the transport.
struct ExtraOps {
    break_queues: unsafe fn(*const c_void),
    restore_vqs: unsafe fn(*const c_void, &Device<Bound>) -> Result,
}

// SAFETY: C structures, integers and pointers may be all zeroes.
unsafe impl Zeroable for Instance {}

/// Marks devices that are an [`Instance`]; devices of C transports have another type or none.
#[repr(transparent)]
struct DeviceType(UnsafeCell<bindings::device_type>);

// SAFETY: The structure is never written.
unsafe impl Sync for DeviceType {}

static INSTANCE_TYPE: DeviceType = DeviceType(UnsafeCell::new(pin_init::zeroed()));

/// Returns what the bus keeps for a device, if its transport is a Rust one. The pointer is valid
/// while the device is bound; C code changes the first field at any time.
fn instance(dev: &Device<Bound>) -> Option<*const Instance> {
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

/// A device on the bus. Dropping it takes the driver off and the device away.
///
/// # Invariants
///
/// `instance` is registered; it is freed with its last reference. Its `transport` is ours.
pub struct Registration<T: Transport> {
    instance: NonNull<Instance>,
    transport: Pin<KBox<T>>,
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
    /// have been bound when this returns.
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
            transport,
            _index: index,
        })
    }

    /// Returns the device.
    pub fn device(&self) -> &Device {
        // SAFETY: By the type invariant the device is registered.
        unsafe { Device::from_raw(self.instance.as_ptr().cast()) }
    }

    /// Calls `f` with the device while no driver is bound to it or taken off it. Sleeps.
    pub fn with_lock<R>(&self, f: impl FnOnce(&Device<Bound>) -> R) -> R {
        let dev = self.instance.as_ptr().cast::<bindings::virtio_device>();
        // SAFETY: By the type invariant the device is registered, which is all that `Bound` means
        // on this bus.
        unsafe {
            bindings::rust_ext_device_lock(&raw mut (*dev).dev);
            let result = f(Device::from_raw(dev));
            bindings::rust_ext_device_unlock(&raw mut (*dev).dev);
            result
        }
    }

    /// Returns the transport's own data.
    pub fn transport(&self) -> Pin<&T> {
        self.transport.as_ref()
    }
}

impl<T: Transport> Drop for Registration<T> {
    fn drop(&mut self) {
        let vdev = self.instance.as_ptr().cast::<bindings::virtio_device>();
        // SAFETY: By the type invariant the device is registered. Once it is not, nothing calls
        // the transport, which is dropped after this, as is the number in the name.
        unsafe { bindings::device_unregister(&raw mut (*vdev).dev) };
    }
}

/// Frees a device to which this was the last reference.
extern "C" fn release(dev: *mut bindings::device) {
    // SAFETY: Devices with this function are in an `Instance` that came from a box.
    unsafe {
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
        bindings::rust_ext_spin_lock_init(&raw mut (*vdev).vqs_list_lock);
        let head = &raw mut (*vdev).vqs;
        (*head).next = head;
        (*head).prev = head;
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

/// The C table of operations for a transport.
struct Ops<T>(PhantomData<T>);

impl<T: Transport> Ops<T> {
    const TABLE: &'static bindings::virtio_config_ops = &bindings::virtio_config_ops {
        get: Some(Self::get),
        set: Some(Self::set),
        generation: Some(Self::generation),
        get_status: Some(Self::get_status),
        set_status: Some(Self::set_status),
        reset: Some(Self::reset),
        find_vqs: Some(Self::find_vqs),
        del_vqs: Some(Self::del_vqs),
        synchronize_cbs: Some(Self::synchronize_cbs),
        get_features: Some(Self::get_features),
        get_extended_features: Some(Self::get_extended_features),
        finalize_features: Some(Self::finalize_features),
        bus_name: Some(Self::bus_name),
        get_vq_affinity: Some(Self::get_vq_affinity),
        ..pin_init::zeroed()
    };

    /// Borrows the transport of a device.
    ///
    /// # Safety
    ///
    /// `vdev` is in an `Instance` with a transport `T`, registered for as long as `'a` lasts.
    unsafe fn transport<'a>(vdev: *mut bindings::virtio_device) -> &'a T {
        // SAFETY: The caller's promise, and the invariant of `Instance`.
        unsafe { &*(*vdev.cast::<Instance>()).transport.cast::<T>() }
    }

    const EXTRA: &'static ExtraOps = &ExtraOps {
        break_queues: Self::break_queues,
        restore_vqs: Self::restore_vqs,
    };

    /// # Safety
    ///
    /// `transport` is a `T`.
    unsafe fn break_queues(transport: *const c_void) {
        // SAFETY: The caller's promise.
        unsafe { &*transport.cast::<T>() }.break_queues();
    }

    /// # Safety
    ///
    /// `transport` is a `T`.
    unsafe fn restore_vqs(transport: *const c_void, dev: &Device<Bound>) -> Result {
        // SAFETY: The caller's promise.
        unsafe { &*transport.cast::<T>() }.restore_vqs(dev)
    }

    extern "C" fn get(
        vdev: *mut bindings::virtio_device,
        offset: c_uint,
        buf: *mut c_void,
        len: c_uint,
    ) {
        // SAFETY: The table is only used for devices of this transport.
        let transport = unsafe { Self::transport(vdev) };
        // SAFETY: The caller gives room for `len` bytes.
        let buf = unsafe { core::slice::from_raw_parts_mut(buf.cast::<u8>(), len as usize) };
        buf.fill(0);
        let offset = offset as usize;
        // What lies beyond the end reads as zeroes (C callers cannot be told).
        if offset
            .checked_add(buf.len())
            .is_some_and(|end| end <= transport.config_len())
        {
            transport.read_config(offset, buf);
        }
    }

    extern "C" fn set(
        vdev: *mut bindings::virtio_device,
        offset: c_uint,
        buf: *const c_void,
        len: c_uint,
    ) {
        // SAFETY: The table is only used for devices of this transport.
        let transport = unsafe { Self::transport(vdev) };
        // SAFETY: The caller gives `len` bytes.
        let buf = unsafe { core::slice::from_raw_parts(buf.cast::<u8>(), len as usize) };
        let offset = offset as usize;
        if offset
            .checked_add(buf.len())
            .is_some_and(|end| end <= transport.config_len())
        {
            transport.write_config(offset, buf);
        }
    }

    extern "C" fn generation(vdev: *mut bindings::virtio_device) -> u32 {
        // SAFETY: The table is only used for devices of this transport.
        unsafe { Self::transport(vdev) }.generation()
    }

    extern "C" fn get_status(vdev: *mut bindings::virtio_device) -> u8 {
        // SAFETY: The table is only used for devices of this transport.
        unsafe { Self::transport(vdev) }.status().bits()
    }

    extern "C" fn set_status(vdev: *mut bindings::virtio_device, status: u8) {
        let status = Status::from_bits(status);
        if status != Status::RESET {
            // SAFETY: The table is only used for devices of this transport.
            unsafe { Self::transport(vdev) }.set_status(status);
        }
    }

    extern "C" fn reset(vdev: *mut bindings::virtio_device) {
        // SAFETY: The table is only used for devices of this transport.
        if unsafe { Self::transport(vdev) }.reset().is_err() {
            // SAFETY: As above.
            let dev: &Device<Bound> = unsafe { Device::from_raw(vdev) };
            dev_err!(dev, "device does not finish its reset\n");
        }
    }

    extern "C" fn find_vqs(
        vdev: *mut bindings::virtio_device,
        nvqs: c_uint,
        vqs: *mut *mut bindings::virtqueue,
        infos: *mut bindings::virtqueue_info,
        affinity: *mut bindings::irq_affinity,
    ) -> c_int {
        // SAFETY: The table is only used for devices of this transport, by their drivers.
        let (transport, dev) = unsafe { (Self::transport(vdev), Device::from_raw(vdev)) };
        // SAFETY: The caller gives `nvqs` entries in both tables; `QueueRequest` is transparent.
        let (vqs, queues) = unsafe {
            (
                core::slice::from_raw_parts_mut(vqs, nvqs as usize),
                core::slice::from_raw_parts(infos.cast::<QueueRequest>(), nvqs as usize),
            )
        };
        // SAFETY: The caller gives a valid structure or none; `IrqAffinity` is transparent.
        let affinity = unsafe { affinity.cast::<IrqAffinity>().as_ref() };
        from_result(|| transport.find_vqs(dev, queues, vqs, affinity).map(|()| 0))
    }

    extern "C" fn del_vqs(vdev: *mut bindings::virtio_device) {
        // SAFETY: The table is only used for devices of this transport.
        let (transport, dev) = unsafe { (Self::transport(vdev), Device::from_raw(vdev)) };
        transport.del_vqs(dev);
    }

    extern "C" fn synchronize_cbs(vdev: *mut bindings::virtio_device) {
        // SAFETY: The table is only used for devices of this transport.
        unsafe { Self::transport(vdev) }.synchronize_callbacks();
    }

    extern "C" fn get_features(vdev: *mut bindings::virtio_device) -> u64 {
        // SAFETY: The table is only used for devices of this transport.
        let [low, ..] = unsafe { Self::transport(vdev) }.features().words();
        low
    }

    extern "C" fn get_extended_features(vdev: *mut bindings::virtio_device, words: *mut u64) {
        // SAFETY: The table is only used for devices of this transport; there is room for all
        // words.
        unsafe {
            let features = Self::transport(vdev).features();
            words.cast::<[u64; 2]>().write(features.words());
        }
    }

    extern "C" fn finalize_features(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: The table is only used for devices of this transport, while they are bound.
        let (transport, dev) = unsafe { (Self::transport(vdev), Device::<Bound>::from_raw(vdev)) };
        from_result(|| {
            let accepted = transport.accept_features(dev, dev.features())?;
            // Those of a device that is used again after a reset stay.
            if accepted != dev.features() {
                // SAFETY: Nothing else uses the words while a driver is being bound.
                unsafe { (*vdev).__bindgen_anon_1.features_array = accepted.words() };
            }
            Ok(0)
        })
    }

    extern "C" fn bus_name(vdev: *mut bindings::virtio_device) -> *const c_char {
        // SAFETY: The table is only used for devices of this transport.
        unsafe { Self::transport(vdev) }.bus_name().as_char_ptr()
    }

    extern "C" fn get_vq_affinity(
        vdev: *mut bindings::virtio_device,
        index: c_int,
    ) -> *const bindings::cpumask {
        // SAFETY: The table is only used for devices of this transport.
        let transport = unsafe { Self::transport(vdev) };
        let mask = u32::try_from(index)
            .ok()
            .and_then(|index| transport.vq_affinity(index));
        mask.map_or(core::ptr::null(), |mask| mask.as_raw().cast_const())
    }
}
