// SPDX-License-Identifier: GPL-2.0

//! The driver core from outside: what the tests do to a device that no driver may do.
//!
//! C header: [`include/linux/device.h`](srctree/include/linux/device.h)

use bindings_ext as bindings;
use kernel::{
    device::{
        self,
        Bound, //
    },
    prelude::*,
    str::CString, //
};
use virtio::Device;

/// Returns the device as one that is bound.
///
/// # Safety
///
/// The device stays registered while the reference is used, and a driver stays bound if what is
/// done with the reference needs one.
pub unsafe fn bound(dev: &Device) -> &Device<Bound> {
    // SAFETY: The caller's promise.
    unsafe { Device::from_raw(dev.as_raw()) }
}

fn raw(dev: &Device) -> *mut bindings::device {
    // SAFETY: Only takes the address of a field.
    unsafe { &raw mut (*dev.as_raw()).dev }
}

/// Returns whether a driver is bound to the device.
pub fn has_driver(dev: &Device) -> bool {
    // SAFETY: The device is registered; nobody but the test binds drivers to it.
    unsafe { !(*raw(dev)).driver.is_null() }
}

/// Looks for a driver for the device, and returns whether it has one then.
pub fn attach(dev: &Device) -> Result<bool> {
    // SAFETY: The device is registered.
    let result = unsafe { bindings::device_attach(raw(dev)) };
    kernel::error::to_result(result)?;
    Ok(result == 1)
}

/// Takes the driver off the device.
pub fn release(dev: &Device) {
    // SAFETY: The device is registered.
    unsafe { bindings::device_release_driver(raw(dev)) };
}

/// Shuts the device down, as the driver core does when the system goes down.
pub fn shutdown(dev: &Device) {
    // SAFETY: The device is registered, and its bus has the operation for it.
    unsafe {
        if let Some(shutdown) = (*(*raw(dev)).bus).shutdown {
            shutdown(raw(dev));
        }
    }
}

/// Returns the name of the device.
pub fn name(dev: &Device) -> Result<CString> {
    // SAFETY: The device is registered and so has a name.
    let name = unsafe { CStr::from_char_ptr((*raw(dev)).kobj.name) };
    Ok(CString::try_from(name)?)
}

/// Returns the numbers of the device's queues, in the order of its list, under the list's lock.
pub fn queue_numbers(dev: &Device) -> Result<KVec<u32>> {
    let mut numbers = KVec::with_capacity(8, GFP_KERNEL)?;
    let vdev = dev.as_raw();
    // SAFETY: The device is registered, so that its list and the lock are initialized; what is in
    // the list stays while the lock is held.
    unsafe {
        let flags = bindings::rust_ext_spin_lock_irqsave(&raw mut (*vdev).vqs_list_lock);
        let head = &raw mut (*vdev).vqs;
        let mut entry = (*head).next;
        while entry != head {
            let vq = kernel::container_of!(entry, bindings::virtqueue, list);
            let _ = numbers.push_within_capacity((*vq).index);
            entry = (*entry).next;
        }
        bindings::rust_ext_spin_unlock_irqrestore(&raw mut (*vdev).vqs_list_lock, flags);
    }
    Ok(numbers)
}

/// Lets a device of no hardware use the DMA API: it reaches all memory.
pub fn allow_dma(dev: &device::Device<Bound>) -> Result {
    let raw: *mut bindings::device = core::ptr::from_ref(dev).cast_mut().cast();
    // SAFETY: `device::Device` is a transparent wrapper, and nobody uses the device yet.
    unsafe {
        (*raw).dma_mask = &raw mut (*raw).coherent_dma_mask;
        kernel::error::to_result(bindings::dma_set_mask(raw, u64::MAX))?;
        kernel::error::to_result(bindings::dma_set_coherent_mask(raw, u64::MAX))
    }
}

/// A page for text.
const PAGE: usize = 4096;

/// Reads one of the bus's attributes of a device, as a reader in sysfs would.
pub fn attribute(dev: &Device, name: &CStr) -> Result<CString> {
    // sysfs gives whole pages, and what fills them insists on that.
    // SAFETY: Plain allocation, freed below.
    let page = unsafe { bindings::rust_ext_alloc_pages_exact(PAGE, bindings::GFP_KERNEL) };
    if page.is_null() {
        return Err(ENOMEM);
    }
    // SAFETY: The page is empty text before something is written to it.
    unsafe { page.cast::<u8>().write(0) };
    // SAFETY: The device is registered, and the bus has a group of attributes, ended by a null
    // pointer, all of them `struct device_attribute`.
    let result = unsafe {
        let group = *(*(*raw(dev)).bus).dev_groups;
        let mut entry = (*group).__bindgen_anon_2.attrs;
        loop {
            let attribute = *entry;
            if attribute.is_null() {
                break Err(ENOENT);
            }
            if CStr::from_char_ptr((*attribute).name) == name {
                let attribute = attribute.cast::<bindings::device_attribute>();
                break match (*attribute).__bindgen_anon_1.show {
                    Some(show) => Ok(show(raw(dev), attribute, page.cast())),
                    None => Err(EIO),
                };
            }
            entry = entry.add(1);
        }
    };
    let text = result.and_then(|_| {
        // SAFETY: Text that ends with a zero was written to the page.
        let text = unsafe { CStr::from_char_ptr(page.cast()) };
        Ok(CString::try_from(text)?)
    });
    // SAFETY: Allocated above.
    unsafe { bindings::rust_ext_free_pages_exact(page, PAGE) };
    text
}

/// Returns the variable that the bus adds to the announcement of the device.
pub fn announcement(dev: &Device) -> Result<CString> {
    let mut env: KBox<bindings::kobj_uevent_env> = KBox::zeroed(GFP_KERNEL)?;
    // SAFETY: The device is registered, and its bus has the operation for it.
    let result = unsafe {
        match (*(*raw(dev)).bus).uevent {
            Some(uevent) => uevent(raw(dev), &raw mut *env),
            None => return Err(EIO),
        }
    };
    kernel::error::to_result(result)?;
    // SAFETY: A variable was added, which is text that ends with a zero.
    let text = unsafe { CStr::from_char_ptr(env.buf.as_ptr()) };
    Ok(CString::try_from(text)?)
}
