// SPDX-License-Identifier: GPL-2.0

//! Directories and files in debugfs that keep the module of this crate while they are open.
//!
//! [`kernel::debugfs`] has the same for modules that are never unloaded: its files have no owner,
//! so that one which is closed after its module has gone takes the kernel down. Here the file's
//! operations are C code of this module, and those of Rust are not called any more once a [`File`]
//! has been dropped.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

use core::{
    marker::PhantomPinned,
    ptr::NonNull, //
};

use bindings_ext as bindings;
use kernel::{
    error::from_result,
    fmt,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    str::{
        parse_int::ParseInt,
        BStr, //
    },
    sync::Arc,
    uaccess::{
        UserPtr,
        UserSlice,
        UserSliceReader, //
    }, //
};

/// A directory. It goes when it is dropped, with its clones and all that is in it.
#[derive(Clone)]
pub struct Dir(Arc<Removed>);

/// A directory that is removed when this is dropped.
///
/// # Invariants
///
/// `dentry` is what debugfs returned for a directory that is not removed.
struct Removed {
    dentry: *mut bindings::dentry,
    /// Stays for longer.
    _parent: Option<Dir>,
}

// SAFETY: debugfs does its own locking.
unsafe impl Send for Removed {}
// SAFETY: As above.
unsafe impl Sync for Removed {}

impl Dir {
    /// Makes a directory at the top of debugfs. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`. Where there is no debugfs, or the name is taken, nothing is shown; that is no error.
    pub fn new(name: &CStr) -> Result<Self> {
        Self::create(name, None)
    }

    /// Makes a directory in this one. May sleep.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn subdir(&self, name: &CStr) -> Result<Self> {
        Self::create(name, Some(self.clone()))
    }

    fn create(name: &CStr, parent: Option<Self>) -> Result<Self> {
        let place = parent
            .as_ref()
            .map_or(core::ptr::null_mut(), |parent| parent.0.dentry);
        // SAFETY: The name is terminated, and the parent null or, by the invariant, valid.
        let dentry = unsafe { bindings::rust_ext_debugfs_create_dir(name.as_char_ptr(), place) };
        // INVARIANT: Only `drop` removes it.
        let removed = Removed {
            dentry,
            _parent: parent,
        };
        Ok(Self(Arc::new(removed, GFP_KERNEL)?))
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. What is in it keeps the directory, so that it is empty.
        unsafe { bindings::rust_ext_debugfs_remove(self.dentry) };
    }
}

/// How a file is read.
pub type Show<T> = fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result;

/// What is done with what is written to a file.
pub type Store<T> = fn(&T, &mut UserSliceReader) -> Result;

/// Reads what is written to a file as a number, in any of the usual forms.
///
/// # Errors
///
/// `EINVAL` if it is none, `ERANGE` if it is too large for the type, `EFAULT`.
pub fn read_number<N: ParseInt>(reader: &mut UserSliceReader) -> Result<N> {
    let mut text = [0; 24];
    let text = text.get_mut(..reader.len()).ok_or(EINVAL)?;
    reader.read_slice(text)?;
    N::from_str(BStr::from_bytes(text.trim_ascii()))
}

/// A file. It goes when it is dropped; whoever still has it open then gets `EIO`.
///
/// # Invariants
///
/// `dentry` is what debugfs returned for a file whose data this is, that is not removed.
#[repr(C)]
#[pin_data(PinnedDrop)]
pub struct File<T> {
    raw: bindings::rust_ext_debugfs_file,
    dentry: Option<NonNull<bindings::dentry>>,
    data: T,
    show: Option<Show<T>>,
    store: Option<Store<T>>,
    /// Goes after the file.
    _dir: Dir,
    /// While this is being dropped, callbacks may still look at it.
    #[pin]
    _shared: PhantomPinned,
}

// SAFETY: debugfs does its own locking, and the data may be used by all.
unsafe impl<T: Send + Sync> Send for File<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for File<T> {}

impl<T: Send + Sync + 'static> File<T> {
    /// Makes a file, which root can read if there is `show`, and write if there is `store`. Both may
    /// sleep, as may this.
    ///
    /// # Errors
    ///
    /// `ENOMEM`. As with [`Dir::new`], it is no error if nothing is shown.
    pub fn new(
        dir: &Dir,
        name: &CStr,
        data: T,
        show: Option<Show<T>>,
        store: Option<Store<T>>,
    ) -> Result<Pin<KBox<Self>>> {
        let mode = match (show, store) {
            (Some(_), Some(_)) => 0o600,
            (Some(_), None) => 0o400,
            _ => 0o200,
        };
        let this = KBox::new(
            Self {
                raw: bindings::rust_ext_debugfs_file {
                    show: Some(Self::show_callback),
                    store: Some(Self::store_callback),
                },
                dentry: None,
                data,
                show,
                store,
                _dir: dir.clone(),
                _shared: PhantomPinned,
            },
            GFP_KERNEL,
        )?;
        let this = KBox::into_raw(this);
        // SAFETY: The name is terminated, the directory valid by its invariant. The file's data is
        // not freed before `drop` has removed the file; it is used through a shared reference only,
        // but for `dentry`, which the callbacks do not look at.
        unsafe {
            let dentry = bindings::rust_ext_debugfs_create_file(
                name.as_char_ptr(),
                mode,
                dir.0.dentry,
                this.cast(),
            );
            // INVARIANT: As debugfs has returned it.
            (&raw mut (*this).dentry).write(NonNull::new(dentry));
            Ok(KBox::into_pin(KBox::from_raw(this)))
        }
    }

    /// Returns the file of which this is the first field.
    ///
    /// # Safety
    ///
    /// Called by debugfs for a file of this type, which it does not let be removed meanwhile.
    unsafe fn data<'a>(
        raw: *mut bindings::rust_ext_debugfs_file,
    ) -> (&'a T, Option<Show<T>>, Option<Store<T>>) {
        let this = raw.cast::<Self>();
        // SAFETY: The caller's promise; the fields are never written while the file is there.
        unsafe { (&(*this).data, (*this).show, (*this).store) }
    }

    extern "C" fn show_callback(
        raw: *mut bindings::rust_ext_debugfs_file,
        m: *mut bindings::seq_file,
    ) -> c_int {
        // SAFETY: debugfs calls this for our file.
        let (data, show, _) = unsafe { Self::data(raw) };
        let Some(show) = show else {
            return EINVAL.to_errno();
        };
        // SAFETY: The C code has the file to itself.
        let m = unsafe { SeqFile::from_raw(m.cast()) };
        seq_print!(m, "{}", Shown(data, show));
        0
    }

    extern "C" fn store_callback(
        raw: *mut bindings::rust_ext_debugfs_file,
        text: *const c_char,
        len: usize,
    ) -> c_int {
        // SAFETY: debugfs calls this for our file.
        let (data, _, store) = unsafe { Self::data(raw) };
        from_result(|| {
            let store = store.ok_or(EINVAL)?;
            let text = UserSlice::new(UserPtr::from_ptr(text.cast_mut().cast()), len);
            store(data, &mut text.reader())?;
            Ok(0)
        })
    }
}

/// What is shown of a file's data.
struct Shown<'a, T>(&'a T, Show<T>);

impl<T> fmt::Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.1)(self.0, f)
    }
}

#[pinned_drop]
impl<T> PinnedDrop for File<T> {
    fn drop(self: Pin<&mut Self>) {
        let dentry = self.dentry.map_or(core::ptr::null_mut(), NonNull::as_ptr);
        // SAFETY: By the type invariant. This waits for callbacks, and none comes after it.
        unsafe { bindings::rust_ext_debugfs_remove(dentry) };
    }
}
