// SPDX-License-Identifier: GPL-2.0

//! A transport as a table of functions: the C table `struct virtio_config_ops`, through which C
//! drivers and this crate both call, and what that has no entry for.
//!
//! C header: [`include/linux/virtio_config.h`](srctree/include/linux/virtio_config.h)

use core::marker::PhantomData;

use bindings_ext as bindings;
use kernel::{
    cpumask::Cpumask,
    device::Bound,
    error::from_result,
    prelude::*, //
};

use crate::{
    registration::Instance,
    transport::{
        IrqAffinity,
        QueueRequest,
        SharedMemory,
        Transport, //
    },
    Device,
    Status, //
};

/// The operations of a [`Transport`] that `struct virtio_config_ops` does not have. The first
/// argument of each is the transport.
pub(crate) struct ExtraOps {
    pub(crate) break_queues: unsafe fn(*const c_void),
    pub(crate) restore_vqs: unsafe fn(*const c_void, &Device<Bound>) -> Result,
    pub(crate) reset_vq: unsafe fn(*const c_void, u16) -> Result,
    pub(crate) restore_vq: unsafe fn(*const c_void, &Device<Bound>, u16) -> Result,
}

/// The C table of operations for a transport.
pub(crate) struct Ops<T>(PhantomData<T>);

impl<T: Transport> Ops<T> {
    pub(crate) const TABLE: &'static bindings::virtio_config_ops = &bindings::virtio_config_ops {
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
        set_vq_affinity: Some(Self::set_vq_affinity),
        get_shm_region: Some(Self::get_shm_region),
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

    pub(crate) const EXTRA: &'static ExtraOps = &ExtraOps {
        break_queues: Self::break_queues,
        restore_vqs: Self::restore_vqs,
        reset_vq: Self::reset_vq,
        restore_vq: Self::restore_vq,
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

    /// # Safety
    ///
    /// `transport` is a `T`.
    unsafe fn reset_vq(transport: *const c_void, index: u16) -> Result {
        // SAFETY: The caller's promise.
        unsafe { &*transport.cast::<T>() }.reset_vq(index)
    }

    /// # Safety
    ///
    /// `transport` is a `T`.
    unsafe fn restore_vq(transport: *const c_void, dev: &Device<Bound>, index: u16) -> Result {
        // SAFETY: The caller's promise.
        unsafe { &*transport.cast::<T>() }.restore_vq(dev, index)
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

    extern "C" fn set_vq_affinity(
        vq: *mut bindings::virtqueue,
        mask: *const bindings::cpumask,
    ) -> c_int {
        // SAFETY: The table is only used for devices of this transport, and for their queues.
        let (transport, index) = unsafe { (Self::transport((*vq).vdev), (*vq).index) };
        // SAFETY: The caller gives a mask that is valid for the call, or none.
        let mask = (!mask.is_null()).then(|| unsafe { Cpumask::from_raw(mask) });
        from_result(|| {
            transport
                .set_vq_affinity(u16::try_from(index)?, mask)
                .map(|()| 0)
        })
    }

    extern "C" fn get_shm_region(
        vdev: *mut bindings::virtio_device,
        region: *mut bindings::virtio_shm_region,
        id: u8,
    ) -> bool {
        // SAFETY: The table is only used for devices of this transport.
        let found = unsafe { Self::transport(vdev) }.shared_memory(id);
        if let Some(SharedMemory { addr, len }) = found {
            // SAFETY: The caller gives room for it.
            unsafe { region.write(bindings::virtio_shm_region { addr, len }) };
        }
        found.is_some()
    }
}
