// SPDX-License-Identifier: GPL-2.0

//! Raw bindings that the `kernel` crate lacks, on top of those that it has.
//!
//! This crate has no logic. Everything of `kernel::bindings` is re-exported, so that a wrapper
//! names one crate for all of its C interfaces. Only the crates in `rust/` and the files in
//! `drivers/virtio/` that say so at their head use it; drivers use safe wrappers.
//!
//! C header: `rust/bindings/bindings.h`.

// Kbuild's flags deny these for hand-written code; none of it applies to what bindgen makes.
#![allow(
    clippy::all,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    reason = "generated code"
)]

mod generated {
    // What is defined below takes precedence.
    pub use kernel::bindings::*;
    use pin_init::MaybeZeroable;

    include!(concat!(env!("BINDINGS_EXT"), "/bindings_generated.rs"));
}

pub use self::generated::*;
