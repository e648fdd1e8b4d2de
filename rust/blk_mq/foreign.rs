// SPDX-License-Identifier: GPL-2.0

//! Driver data that C code holds a pointer to.

use core::ptr::NonNull;
use kernel::{
    prelude::*,
    types::ForeignOwnable, //
};

/// What a callback gets of driver data: for `Arc<T>`, an `ArcBorrow<'_, T>`.
pub type Borrowed<'a, T> = <T as ForeignOwnable>::Borrowed<'a>;

/// Owns a value in its foreign form.
///
/// # Invariants
///
/// `ptr` came from [`ForeignOwnable::into_foreign`] of `T`, and is converted back in [`Drop`]
/// only.
pub(crate) struct Foreign<T: ForeignOwnable> {
    ptr: NonNull<c_void>,
    _owned: core::marker::PhantomData<T>,
}

// SAFETY: This owns a `T` and nothing else.
unsafe impl<T: ForeignOwnable + Send> Send for Foreign<T> {}

// SAFETY: A shared reference only gives what a shared reference to `T` would give.
unsafe impl<T: ForeignOwnable + Sync> Sync for Foreign<T> {}

impl<T: ForeignOwnable> Foreign<T> {
    /// Takes over `value`.
    pub(crate) fn new(value: T) -> Self {
        let ptr = value.into_foreign();

        Self {
            // INVARIANT: The pointer comes from `into_foreign`.
            // SAFETY: `into_foreign` guarantees that it is not null.
            ptr: unsafe { NonNull::new_unchecked(ptr) },
            _owned: core::marker::PhantomData,
        }
    }

    /// The pointer for C code, valid until this is dropped.
    pub(crate) fn as_ptr(&self) -> *mut c_void {
        self.ptr.as_ptr()
    }

    /// The value, borrowed.
    pub(crate) fn borrow(&self) -> T::Borrowed<'_> {
        // SAFETY: By the type invariant, the pointer is foreign-owned until `self` is dropped,
        // which the returned lifetime rules out.
        unsafe { T::borrow(self.ptr.as_ptr()) }
    }
}

impl<T: ForeignOwnable> Drop for Foreign<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, this is the only conversion back.
        drop(unsafe { T::from_foreign(self.ptr.as_ptr()) });
    }
}
