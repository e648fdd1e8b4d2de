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

/// Takes it away; a driver that broke a rule of the specification makes the fake device say so.
#[track_caller]
pub fn unload(vm: &mut Vm) {
    vm.ok_within(60, "rmmod virtio_fake");
    let log = vm.ok("dmesg");
    assert!(!log.contains("driver has"), "{log}");
}
