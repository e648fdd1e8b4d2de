// SPDX-License-Identifier: GPL-2.0

//! Work that never outlives what it works on.
//!
//! [`kernel::workqueue`] has work that keeps itself alive, of which nobody can tell when its last
//! instruction has run. Here the owner can: dropping it waits. A driver needs that for work on what it
//! takes down itself, and before its module goes.
//!
//! TODO: send upstream as a part of [`kernel::workqueue`].
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use core::ops::Deref;

use kernel::{
    bindings,
    prelude::*,
    sync::LockClassKey,
    types::Opaque, //
};

/// Something with work to be done on it: both are dropped together, after the work has ended. So the work
/// must not drop this itself, nor wait for whoever does. The code of a module runs in it, so that one that
/// leaks this must not be unloaded.
///
/// # Invariants
///
/// `work` is initialized, and calls [`OwnedWork::work`].
#[pin_data(PinnedDrop)]
pub struct OwnedWork<T: Send + Sync + 'static> {
    #[pin]
    work: Opaque<bindings::work_struct>,
    run: fn(&T),
    data: T,
}

// SAFETY: Workqueues do their own locking; the rest is `Send`.
unsafe impl<T: Send + Sync> Send for OwnedWork<T> {}
// SAFETY: As above; the rest is `Sync`.
unsafe impl<T: Send + Sync> Sync for OwnedWork<T> {}

impl<T: Send + Sync> OwnedWork<T> {
    /// Makes work that calls `run` with `data`. `name` and `key` are for lockdep.
    pub fn new(
        data: T,
        run: fn(&T),
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // INVARIANT: Here.
            work <- Opaque::ffi_init(move |work| {
                // SAFETY: The memory is pinned, and the function fits it.
                unsafe {
                    bindings::init_work_with_key(
                        work,
                        Some(Self::work),
                        false,
                        name.as_char_ptr(),
                        key.as_ptr(),
                    );
                }
            }),
            run,
            data,
        })
    }

    /// Has the work done once more, unless it waits to be done already. It may take long. Any context.
    pub fn schedule(self: Pin<&Self>) {
        // SAFETY: By the type invariant it is initialized, and `drop` waits for it. The queue is
        // always there.
        unsafe {
            bindings::queue_work_on(
                bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int,
                bindings::system_dfl_long_wq,
                self.work.get(),
            );
        }
    }

    extern "C" fn work(work: *mut bindings::work_struct) {
        // SAFETY: The work is in an `OwnedWork`, which waits for it before it goes.
        let this =
            unsafe { &*kernel::container_of!(Opaque::cast_from(work).cast_mut(), Self, work) };
        (this.run)(&this.data);
    }
}

impl<T: Send + Sync> Deref for OwnedWork<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

#[pinned_drop]
impl<T: Send + Sync> PinnedDrop for OwnedWork<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant it is initialized.
        unsafe { bindings::disable_work_sync(self.work.get()) };
    }
}
