// SPDX-License-Identifier: GPL-2.0

//! What the runner chose: kernel, images, accelerator, and which stack is under test.
//!
//! A variable that a test needs and that is not set fails the test; nothing is skipped silently.

use std::{
    env,
    path::PathBuf,
    time::Duration, //
};

/// Which virtio stack the guest shall load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// The modules of this repository.
    Rust,
    /// The kernel's own modules.
    C,
}

/// The stack under test: `VIRTIO_STACK`, `rust` unless it says `c`.
pub fn stack() -> Stack {
    match env::var("VIRTIO_STACK").as_deref() {
        Ok("c") => Stack::C,
        Ok("rust") | Err(_) => Stack::Rust,
        Ok(other) => panic!("VIRTIO_STACK={other}: neither rust nor c"),
    }
}

/// The guest kernel's image: `VIRTIO_KERNEL`.
pub fn kernel() -> PathBuf {
    path("VIRTIO_KERNEL", "the guest kernel's image")
}

/// The kernel with the Rust stack built in: `VIRTIO_BUILTIN_KERNEL`.
pub fn builtin_kernel() -> PathBuf {
    path(
        "VIRTIO_BUILTIN_KERNEL",
        "the image of the kernel that this tree was grafted into",
    )
}

/// A Debian system's root file system: `VIRTIO_DEBIAN_ROOT`.
pub fn debian_root() -> PathBuf {
    path(
        "VIRTIO_DEBIAN_ROOT",
        "the image of a Debian system; make test-debian makes it",
    )
}

/// The initramfs that holds a stack: `VIRTIO_INITRD` or `VIRTIO_INITRD_C`.
pub fn initrd(stack: Stack) -> PathBuf {
    match stack {
        Stack::Rust => path("VIRTIO_INITRD", "the initramfs with the Rust stack"),
        Stack::C => path("VIRTIO_INITRD_C", "the initramfs with the C stack"),
    }
}

/// QEMU's accelerator: `VIRTIO_ACCEL`, `kvm` or `tcg`.
pub fn accel() -> String {
    env::var("VIRTIO_ACCEL").unwrap_or_else(|_| "tcg".into())
}

/// Whether the guest kernel is the one full of checkers: `VIRTIO_FLAVOUR`.
pub fn is_debug() -> bool {
    match env::var("VIRTIO_FLAVOUR").as_deref() {
        Ok("debug") => true,
        Ok("guest" | "outline") | Err(_) => false,
        Ok(other) => panic!("VIRTIO_FLAVOUR={other}: neither guest, debug nor outline"),
    }
}

/// The repository.
pub fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A limit for something in a guest, stretched by `VIRTIO_SLOW` for kernels full of checkers.
pub fn patience(seconds: u64) -> Duration {
    let slow = env::var("VIRTIO_SLOW").ok().map_or(1, |text| {
        text.parse().expect("VIRTIO_SLOW is a whole number")
    });
    Duration::from_secs(seconds * slow)
}

fn path(variable: &str, what: &str) -> PathBuf {
    let path = PathBuf::from(env::var_os(variable).unwrap_or_else(|| {
        panic!("{variable} is not set; it names {what}. Run the tests with scripts/test")
    }));
    assert!(path.exists(), "{variable}: no {}", path.display());
    path
}
