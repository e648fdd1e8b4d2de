// SPDX-License-Identifier: GPL-2.0

//! Limits on how often something is done, such as a line written to the log.
//!
//! TODO: send upstream as a part of [`kernel::print`].
//!
//! C header: [`include/linux/ratelimit.h`](srctree/include/linux/ratelimit.h)

use bindings_ext as bindings;
use kernel::{
    bindings::{
        ___ratelimit, //
        ratelimit_state,
    },
    prelude::*,
    types::Opaque, //
};

/// A limit of ten times in five seconds, as the `*_ratelimited` functions of C have it.
///
/// # Invariants
///
/// `state` is initialized.
#[pin_data]
pub struct RateLimit {
    #[pin]
    state: Opaque<ratelimit_state>,
}

// SAFETY: C code does its own locking.
unsafe impl Send for RateLimit {}
// SAFETY: As above.
unsafe impl Sync for RateLimit {}

impl RateLimit {
    /// Nothing has been done yet.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: Here.
            state <- Opaque::ffi_init(|state| {
                // SAFETY: The memory is pinned, and nobody else knows it yet.
                unsafe { bindings::rust_ext_ratelimit_init(state) }
            }),
        })
    }

    /// Returns whether it may be done once more. How often it was not, the log says later, as of `name`.
    /// Any context.
    pub fn allows(&self, name: &CStr) -> bool {
        // SAFETY: By the type invariant; the name is terminated.
        unsafe { ___ratelimit(self.state.get(), name.as_char_ptr()) != 0 }
    }
}
