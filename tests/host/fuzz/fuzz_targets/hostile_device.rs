// SPDX-License-Identifier: GPL-2.0

//! Leads a driver and a hostile device by the bytes of the fuzzer.
//!
//! `cargo fuzz run hostile_device` in `tests/host`; the body is in `src/hostile.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    host::hostile::run(data);
});
