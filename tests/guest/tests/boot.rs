// SPDX-License-Identifier: GPL-2.0

//! The guest comes up on the stack.

use guest::{Disk, Guest};

#[test]
fn boots_and_shows_its_disk() {
    let mut vm = Guest::new().disk(Disk::blank(64)).boot();
    assert_eq!(vm.ok("cat /sys/block/vda/size"), "131072");
    assert_eq!(vm.ok("blockdev --getsize64 /dev/vda"), "67108864");
    vm.roundtrip("vda");
}

/// Nothing calls modprobe but the answer to the kernel's uevents.
#[test]
fn drivers_come_by_uevent_alone() {
    let mut vm = Guest::new().disk(Disk::blank(64)).autoloading().boot();
    vm.wait_until(20, "[ -b /dev/vda ]");
    vm.check_stack();
    vm.roundtrip("vda");
}

/// D41: a driver is found by the type of its device, and only the transport by a PCI id.
#[test]
fn modules_carry_the_aliases_that_load_them() {
    let mut vm = Guest::new().unloaded().boot();
    let aliases = vm.ok("modinfo -F alias virtio_pci");
    assert_eq!(aliases, "pci:v00001AF4d*sv*sd*bc*sc*i*");
    let aliases = vm.ok("modinfo -F alias virtio_blk");
    assert_eq!(aliases, "virtio:d00000002v*");
}

/// A kernel command line without the device's driver shows no disk and breaks nothing.
#[test]
fn the_bus_works_without_devices() {
    let mut vm = Guest::new().boot();
    assert_eq!(vm.ok("ls /sys/bus/virtio/devices"), "");
    assert_eq!(vm.ok("ls /sys/bus/virtio/drivers"), "virtio_blk");
    vm.unload();
}

/// M2, M3, M9, M11: a transitional device, and notifications in other places than usual, one of them
/// in I/O space.
#[test]
fn devices_of_other_shapes_work() {
    let mut vm = Guest::new()
        .disk(Disk::blank(16).option("disable-legacy=off"))
        .disk(Disk::blank(16).option("page-per-vq=on"))
        .disk(Disk::blank(16).option("modern-pio-notify=on"))
        .boot();
    let device = "cat $(readlink -f /sys/block/vda/device/..)/device";
    assert_eq!(vm.ok(device), "0x1001");
    for disk in ["vda", "vdb", "vdc"] {
        vm.roundtrip(disk);
    }
}
