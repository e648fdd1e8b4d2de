// SPDX-License-Identifier: GPL-2.0

//! The sysfs attributes of every virtio device: `device`, `vendor`, `status`, `modalias` and
//! `features`, in the formats that user space knows.
//!
//! C header: [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use core::cell::UnsafeCell;

use bindings_ext as bindings;
use kernel::{
    device::Bound,
    prelude::*,
    str::CString, //
};

use crate::{
    status::StatusField,
    Device, //
};

/// A table that sysfs reads, and that never changes.
#[repr(transparent)]
struct Table<T>(UnsafeCell<T>);

// SAFETY: The tables are only read once they have been built.
unsafe impl<T> Sync for Table<T> {}

type Show = unsafe extern "C" fn(
    *mut bindings::device,
    *mut bindings::device_attribute,
    *mut c_char,
) -> isize;

#[expect(
    clippy::disallowed_methods,
    reason = "`as_char_ptr` is no constant function"
)]
const fn read_only(name: &'static CStr, show: Show) -> Table<bindings::device_attribute> {
    let mut attribute: bindings::device_attribute = pin_init::zeroed();
    attribute.attr.name = name.as_ptr().cast();
    attribute.attr.mode = 0o444;
    attribute.__bindgen_anon_1.show = Some(show);
    Table(UnsafeCell::new(attribute))
}

/// Writes one attribute's text into the page that sysfs gives.
///
/// # Safety
///
/// `dev` is a registered virtio device, and `page` is a page of sysfs.
unsafe fn emit(
    dev: *mut bindings::device,
    page: *mut c_char,
    text: impl FnOnce(&Device<Bound>) -> Result<CString>,
) -> isize {
    // SAFETY: sysfs shows attributes of registered devices only, and waits for readers when the
    // device goes.
    let dev = unsafe { Device::from_raw(kernel::container_of!(dev, bindings::virtio_device, dev)) };
    match text(dev) {
        // SAFETY: The caller gives a page of sysfs; the format takes one string.
        // CAST: A page's worth at most.
        Ok(text) => unsafe {
            bindings::sysfs_emit(page, c"%s\n".as_char_ptr(), text.as_char_ptr()) as isize
        },
        Err(error) => error.to_errno() as isize,
    }
}

macro_rules! attribute {
    ($name:ident, $callback:ident, $file:literal, |$dev:ident| $($text:tt)*) => {
        static $name: Table<bindings::device_attribute> = read_only($file, $callback);

        extern "C" fn $callback(
            dev: *mut bindings::device,
            _attribute: *mut bindings::device_attribute,
            page: *mut c_char,
        ) -> isize {
            let text = |$dev: &Device<Bound>| CString::try_from_fmt(fmt!($($text)*));
            // SAFETY: These attributes are in the groups of this bus alone, and sysfs gives a page.
            unsafe { emit(dev, page, text) }
        }
    };
}

attribute!(
    DEVICE,
    device_show,
    c"device",
    |dev| "0x{:04x}",
    dev.id().device
);
attribute!(
    VENDOR,
    vendor_show,
    c"vendor",
    |dev| "0x{:04x}",
    dev.id().vendor
);
attribute!(
    STATUS,
    status_show,
    c"status",
    |dev| "0x{:08x}",
    dev.status().bits()
);
attribute!(
    MODALIAS,
    modalias_show,
    c"modalias",
    |dev| "virtio:d{:08X}v{:08X}",
    dev.id().device,
    dev.id().vendor
);
attribute!(
    FEATURES,
    features_show,
    c"features",
    |dev| "{}",
    dev.features()
);

static ATTRIBUTES: Table<[*mut bindings::attribute; 6]> = Table(UnsafeCell::new([
    // The first field of a device attribute is the attribute that a group lists.
    DEVICE.0.get().cast(),
    VENDOR.0.get().cast(),
    STATUS.0.get().cast(),
    MODALIAS.0.get().cast(),
    FEATURES.0.get().cast(),
    core::ptr::null_mut(),
]));

static GROUP: Table<bindings::attribute_group> = {
    let mut group: bindings::attribute_group = pin_init::zeroed();
    group.__bindgen_anon_2.attrs = ATTRIBUTES.0.get().cast();
    Table(UnsafeCell::new(group))
};

/// A list of attribute groups, as `struct bus_type` wants it.
pub(crate) struct Groups(Table<[*const bindings::attribute_group; 2]>);

impl Groups {
    /// Returns the list in its C form, ended by a null pointer.
    pub(crate) const fn as_ptr(&self) -> *const *const bindings::attribute_group {
        self.0 .0.get().cast::<*const bindings::attribute_group>()
    }
}

/// The attributes of every device on the bus.
pub(crate) static GROUPS: Groups = Groups(Table(UnsafeCell::new([
    GROUP.0.get().cast_const(),
    core::ptr::null(),
])));
