// SPDX-License-Identifier: GPL-2.0

//! The fake device of `tests/fake` in a guest.

use crate::Vm;

/// Puts a fake disk on the bus, of 8 MiB unless the parameters say otherwise; gives what the kernel
/// says about it.
#[track_caller]
pub fn load(vm: &mut Vm, parameters: &str) -> String {
    vm.ok("dmesg -c > /dev/null");
    let size = if parameters.contains("size_mib=") {
        ""
    } else {
        "size_mib=8"
    };
    vm.ok(&format!("modprobe virtio_fake {size} {parameters}"));
    vm.ok("dmesg -r")
}

/// Puts a fake disk on the bus that is refused: with one line about an error, that the driver core
/// adds its own to, and without a disk. Takes it away again.
#[track_caller]
pub fn refused(vm: &mut Vm, parameters: &str, reason: &str) {
    let log = load(vm, parameters);
    let errors: Vec<_> = log
        .lines()
        .filter(|line| line.starts_with("<3>") && !line.contains("probe with driver"))
        .collect();
    assert_eq!(errors.len(), 1, "{parameters}: {log}");
    assert!(errors[0].contains(reason), "{parameters}: {log}");
    vm.ok("[ ! -e /dev/vda ]");
    unload(vm);
}

/// Takes it away; a driver that broke a rule of the specification makes the fake device say so.
#[track_caller]
pub fn unload(vm: &mut Vm) {
    vm.ok_within(60, "rmmod virtio_fake");
    let log = vm.ok("dmesg");
    assert!(!log.contains("driver has"), "{log}");
}
