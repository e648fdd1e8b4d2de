// SPDX-License-Identifier: GPL-2.0

//! Files of a disk in sysfs.
//!
//! A driver declares them as statics and names them to [`DiskBuilder`](crate::DiskBuilder), so
//! that they are there before user space hears of the disk.
//!
//! C header: [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use crate::{
    GenDisk,
    Operations, //
};
use bindings_ext as bindings;
use core::marker::PhantomData;
use kernel::{
    container_of,
    error::from_result,
    fmt,
    page::PAGE_SIZE,
    prelude::*,
    str::CStr, //
};

/// Who can do what with an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeMode {
    /// It is not there.
    Hidden,
    /// Everyone can read it.
    ReadOnly,
    /// Everyone can read it, and root can write it.
    ReadWrite,
}

impl AttributeMode {
    /// The mode bits of the file.
    const fn bits(self) -> bindings::umode_t {
        match self {
            Self::Hidden => 0,
            Self::ReadOnly => 0o444,
            Self::ReadWrite => 0o644,
        }
    }
}

/// The text of an attribute while it is read; a page at most.
pub struct TextBuffer<'a> {
    page: &'a mut [u8],
    len: usize,
}

impl TextBuffer<'_> {
    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// `ENOSPC`, and nothing is appended, if there is no room.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> Result {
        let end = self.len.checked_add(bytes.len()).ok_or(ENOSPC)?;

        self.page
            .get_mut(self.len..end)
            .ok_or(ENOSPC)?
            .copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }
}

impl fmt::Write for TextBuffer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_bytes(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// Writes the text of an attribute.
type Show<O> = fn(&GenDisk<O>, &mut TextBuffer<'_>) -> Result;

/// Takes what was written to an attribute.
type Store<O> = fn(&GenDisk<O>, &[u8]) -> Result;

/// An attribute of disks of `O`.
///
/// # Invariants
///
/// `raw` has a name, and the callbacks of this type.
#[repr(C)]
pub struct DiskAttribute<O: Operations> {
    raw: bindings::device_attribute,
    show: Show<O>,
    store: Option<Store<O>>,
    mode: Option<fn(&GenDisk<O>) -> AttributeMode>,
}

// SAFETY: Nothing changes an attribute; the pointer inside is to a static name.
unsafe impl<O: Operations> Sync for DiskAttribute<O> {}

// SAFETY: As above.
unsafe impl<O: Operations> Send for DiskAttribute<O> {}

impl<O: Operations> DiskAttribute<O> {
    /// An attribute that can be read.
    pub const fn new(name: &'static CStr, show: Show<O>) -> Self {
        let mut raw: bindings::device_attribute = pin_init::zeroed();

        raw.attr.name = name.to_bytes_with_nul().as_ptr();
        raw.attr.mode = AttributeMode::ReadOnly.bits();
        raw.__bindgen_anon_1.show = Some(Self::show_callback);
        raw.__bindgen_anon_2.store = Some(Self::store_callback);
        Self {
            raw,
            show,
            store: None,
            mode: None,
        }
    }

    /// Lets the attribute be written as well.
    pub const fn with_store(mut self, store: Store<O>) -> Self {
        self.store = Some(store);
        self.raw.attr.mode = AttributeMode::ReadWrite.bits();
        self
    }

    /// Has each disk decide, when it is added, what can be done with the attribute.
    pub const fn with_mode(mut self, mode: fn(&GenDisk<O>) -> AttributeMode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// The disk of a device.
    ///
    /// # Safety
    ///
    /// `dev` must be the device of a disk of `O`, which is not released during `'a`.
    unsafe fn disk_of<'a>(dev: *mut bindings::device) -> &'a GenDisk<O> {
        // SAFETY: The device of a disk is part of its first block device.
        unsafe {
            let part0 = container_of!(dev, bindings::block_device, bd_device);

            GenDisk::from_raw((*part0).bd_disk)
        }
    }

    /// # Safety
    ///
    /// Only for sysfs, for a device and an attribute of `O`; `buf` has the size of a page.
    unsafe extern "C" fn show_callback(
        dev: *mut bindings::device,
        attr: *mut bindings::device_attribute,
        buf: *mut c_char,
    ) -> isize {
        from_result(|| {
            // SAFETY: `attr` is the first field of a `Self`, and sysfs keeps the disk until the
            // call returns. sysfs has zeroed the page, so it is initialised.
            let (this, disk, page) = unsafe {
                (
                    &*attr.cast::<Self>(),
                    Self::disk_of(dev),
                    core::slice::from_raw_parts_mut(buf.cast::<u8>(), PAGE_SIZE - 1),
                )
            };
            let mut text = TextBuffer { page, len: 0 };

            (this.show)(disk, &mut text)?;
            // CAST: Less than a page.
            Ok(text.len as isize)
        })
    }

    /// # Safety
    ///
    /// Only for sysfs, for a device and an attribute of `O`; `buf` has `count` bytes.
    unsafe extern "C" fn store_callback(
        dev: *mut bindings::device,
        attr: *mut bindings::device_attribute,
        buf: *const c_char,
        count: usize,
    ) -> isize {
        from_result(|| {
            // SAFETY: As in `show_callback`.
            let (this, disk, text) = unsafe {
                (
                    &*attr.cast::<Self>(),
                    Self::disk_of(dev),
                    core::slice::from_raw_parts(buf.cast::<u8>(), count),
                )
            };

            this.store.ok_or(EIO)?(disk, text)?;
            Ok(isize::try_from(count)?)
        })
    }

    /// # Safety
    ///
    /// Only for sysfs, for the object of a disk of `O` and an attribute of `O`.
    unsafe extern "C" fn is_visible(
        kobj: *mut bindings::kobject,
        attr: *mut bindings::attribute,
        _index: c_int,
    ) -> bindings::umode_t {
        // SAFETY: The object is part of the device of the disk. The attribute is at the start of
        // a `device_attribute`, and that at the start of a `Self`.
        let (this, disk) = unsafe {
            (
                &*attr.cast::<Self>(),
                Self::disk_of(container_of!(kobj, bindings::device, kobj)),
            )
        };

        match this.mode {
            Some(mode) => mode(disk).bits(),
            None => this.raw.attr.mode,
        }
    }
}

/// The attributes of a disk, as C code wants them.
///
/// # Invariants
///
/// - `attributes` points to attributes of `O`, and ends with null.
/// - `group` and `groups`, if there are attributes, are in boxes of their own: C code keeps
///   pointers to them until the disk is removed.
pub(crate) struct AttributeGroup<O: Operations> {
    _attributes: KVec<*mut bindings::attribute>,
    _group: KBox<bindings::attribute_group>,
    groups: KBox<[*const bindings::attribute_group; 2]>,
    _of: PhantomData<&'static DiskAttribute<O>>,
}

// SAFETY: Nothing changes the group after it was made; what it points to is static or owned.
unsafe impl<O: Operations> Send for AttributeGroup<O> {}

// SAFETY: As above.
unsafe impl<O: Operations> Sync for AttributeGroup<O> {}

impl<O: Operations> AttributeGroup<O> {
    /// Makes a group.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(attributes: &'static [&'static DiskAttribute<O>]) -> Result<Self> {
        let mut list = KVec::with_capacity(attributes.len() + 1, GFP_KERNEL)?;

        for attribute in attributes {
            // C code does not write to attributes, its pointers just are not const.
            let raw: *mut bindings::attribute = core::ptr::from_ref::<DiskAttribute<O>>(attribute)
                .cast_mut()
                .cast();

            list.push(raw, GFP_KERNEL)?;
        }
        list.push(core::ptr::null_mut(), GFP_KERNEL)?;

        let mut group: bindings::attribute_group = pin_init::zeroed();

        group.__bindgen_anon_1.is_visible = Some(DiskAttribute::<O>::is_visible);
        group.__bindgen_anon_2.attrs = list.as_mut_ptr();

        let group = KBox::new(group, GFP_KERNEL)?;
        let groups = KBox::new(
            [core::ptr::from_ref(&*group), core::ptr::null()],
            GFP_KERNEL,
        )?;

        Ok(Self {
            _attributes: list,
            _group: group,
            groups,
            _of: PhantomData,
        })
    }

    /// The groups for C code, valid until this is dropped.
    pub(crate) fn groups(&self) -> *mut *const bindings::attribute_group {
        self.groups.as_ptr().cast_mut()
    }
}
