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

/// Has the first fake disk do something while it is in use: writes to a file of `tests/fake/control.rs`.
#[track_caller]
pub fn tell(vm: &mut Vm, what: &str, value: u64) {
    vm.ok(&format!(
        "echo {value} > /sys/kernel/debug/virtio_fake.0/{what}"
    ));
}

/// Whether the disk has requests in flight.
pub const IS_BUSY: &str = "awk '{ exit !($1 + $2) }' /sys/block/vda/inflight";

/// Returns what the first fake disk says of itself.
#[track_caller]
pub fn says(vm: &mut Vm, what: &str) -> String {
    vm.ok(&format!("cat /sys/kernel/debug/virtio_fake.0/{what}"))
}

/// Takes it away; a driver that broke a rule of the specification makes the fake device say so.
#[track_caller]
pub fn unload(vm: &mut Vm) {
    vm.ok_within(60, "rmmod virtio_fake");
    let log = vm.ok("dmesg");
    assert!(!log.contains("driver has"), "{log}");
}
