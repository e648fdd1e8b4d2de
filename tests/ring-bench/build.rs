// SPDX-License-Identifier: GPL-2.0

//! Builds the ring of the kernel's C stack, from the kernel's source in `VIRTIO_KSRC`.

use std::{
    env,
    path::PathBuf, //
};

fn main() {
    println!("cargo::rerun-if-env-changed=VIRTIO_KSRC");
    println!("cargo::rerun-if-changed=src/kernels.c");
    let source = env::var_os("VIRTIO_KSRC")
        .expect("VIRTIO_KSRC is not set: the kernel's source; make bench-ring sets it");
    let source = PathBuf::from(source);
    // The flags of tools/virtio/Makefile, and what it lacks to find all headers.
    cc::Build::new()
        .file("src/kernels.c")
        .file(source.join("drivers/virtio/virtio_ring.c"))
        .include(source.join("tools/virtio"))
        .include(source.join("tools/include"))
        .include(source.join("usr/include"))
        .flag("-idirafter")
        .flag(source.join("include"))
        .flag("-include")
        .flag(source.join("include/linux/kconfig.h"))
        .flag("-fno-strict-aliasing")
        .flag("-fno-strict-overflow")
        .flag("-fno-common")
        .opt_level(2)
        .warnings(false)
        .compile("kernels");
}
