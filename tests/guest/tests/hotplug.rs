// SPDX-License-Identifier: GPL-2.0

//! Disks that come and go while the guest runs.

use guest::{Disk, Guest, Vm};

/// Reads and writes without an end, until an error.
const ENDLESS_IO: &str =
    "while dd if=/dev/zero of=/dev/vda bs=64k count=64 oflag=direct conv=nocreat \
     && dd if=/dev/vda of=/dev/null bs=4k count=64 iflag=direct; do :; done; false";

/// Two processes that keep a disk busy.
fn start_io(vm: &mut Vm) {
    vm.spawn("one", ENDLESS_IO);
    vm.spawn("two", ENDLESS_IO);
    vm.ok("sleep 1");
}

/// Both must have ended with an error soon after the disk went.
fn io_has_ended(vm: &mut Vm) {
    for job in ["one", "two"] {
        let output = vm.join(job, 20);
        assert!(!output.is_ok(), "{job}: {}", output.text);
    }
}

/// A guest without any disk has no driver loaded; plugging one in brings them.
#[test]
fn a_plugged_disk_loads_its_drivers() {
    let mut vm = Guest::new().machine("pc").autoloading().boot();
    assert!(vm.loaded_modules().is_empty());
    vm.plug("late", Disk::blank(16).option("serial=late"));
    vm.wait_until(30, "[ -b /dev/vda ]");
    vm.check_stack();
    assert_eq!(vm.ok("cat /sys/block/vda/serial"), "late");
    vm.roundtrip("vda");
}

/// Names and numbers are given back, and used again (D24).
#[test]
fn names_are_used_again() {
    let mut vm = Guest::new()
        .checking_leaks()
        .machine("pc")
        .cpus(2)
        .disk(Disk::blank(16))
        .boot();
    for _ in 0..4 {
        vm.plug("late", Disk::blank(16));
        vm.wait_until(20, "[ -b /dev/vdb ]");
        vm.ok("[ -e /sys/bus/virtio/devices/virtio1 ] && [ ! -e /dev/vdc ]");
        vm.ok("/usr/lib/guest/roundtrip vdb 1");
        vm.unplug("late", 20);
        vm.wait_until(
            20,
            "[ ! -e /dev/vdb ] && [ ! -e /sys/bus/virtio/devices/virtio1 ]",
        );
    }
    vm.roundtrip("vda");
}

/// A disk that is gone but still open keeps its name, so nobody mistakes another for it (B20).
#[test]
fn an_open_disk_keeps_its_number() {
    let mut vm = Guest::new().machine("pc").disk(Disk::blank(16)).boot();
    vm.ok("sleep 1000 < /dev/vda >/dev/null 2>&1 & echo $! > /run/holder");
    vm.unplug("disk0", 30);
    vm.plug("next", Disk::blank(16));
    vm.wait_until(20, "[ -b /dev/vdb ]");
    vm.ok("kill $(cat /run/holder)");
    vm.roundtrip("vdb");
    vm.plug("third", Disk::blank(16));
    vm.wait_until(20, "[ -b /dev/vda ]");
    vm.roundtrip("vda");
}

/// K97: who still has a removed disk open hears that it is gone.
#[test]
fn a_removed_disk_has_no_geometry() {
    let mut vm = Guest::new()
        .machine("pc")
        .with_tools()
        .disk(Disk::blank(16))
        .boot();
    // It stops when it has opened the disk, and asks when that is gone.
    vm.spawn(
        "late",
        "strace -o /run/calls -P /dev/vda -e inject=openat:signal=STOP hdparm -g /dev/vda",
    );
    vm.wait_until(20, "grep -q '^State:.[Tt]' /proc/$(pidof hdparm)/status");
    vm.unplug("disk0", 15);
    vm.ok("kill -CONT $(pidof hdparm)");
    vm.join("late", 20);
    let calls = vm.ok("cat /run/calls");
    let geometry = calls.lines().find(|line| line.contains("HDIO_GETGEO"));
    assert!(
        geometry.is_some_and(|call| call.contains("= -1 ENXIO")),
        "{calls}"
    );
}

/// D25: requests in flight end, and nothing is freed while it is in use.
#[test]
fn unplugging_during_io_ends_it_with_an_error() {
    let mut vm = Guest::new()
        .checking_leaks()
        .machine("pc")
        .cpus(2)
        .disk(Disk::blank(16))
        .boot();
    start_io(&mut vm);
    vm.unplug("disk0", 30);
    io_has_ended(&mut vm);
    vm.ok("[ ! -e /dev/vda ]");
    vm.plug("next", Disk::blank(16));
    vm.wait_until(20, "[ -b /dev/vda ]");
    vm.roundtrip("vda");
}

#[test]
fn removing_the_pci_function_during_io_ends_it_with_an_error() {
    let mut vm = Guest::new().cpus(2).disk(Disk::blank(16)).boot();
    start_io(&mut vm);
    vm.ok("echo 1 > $(readlink -f /sys/bus/virtio/devices/virtio0/..)/remove");
    io_has_ended(&mut vm);
    vm.ok("echo 1 > /sys/bus/pci/rescan && [ -b /dev/vda ]");
    vm.roundtrip("vda");
}

/// The transport's module can go at any time; the block driver's once nobody has the disk open.
#[test]
fn unloading_during_io_ends_it_with_an_error() {
    let mut vm = Guest::new()
        .checking_leaks()
        .cpus(2)
        .disk(Disk::blank(16))
        .boot();
    start_io(&mut vm);
    // The others close it now and then, both at a time on a slow guest.
    vm.ok("sleep 1000 < /dev/vda >/dev/null 2>&1 & echo $! > /run/holder");
    vm.fails("rmmod virtio_blk");
    vm.ok("rmmod virtio_pci");
    io_has_ended(&mut vm);
    vm.ok("kill $(cat /run/holder)");
    vm.unload();
    vm.load();
    vm.roundtrip("vda");

    // Here the disk is opened and closed all the time, and one of the tries meets it closed.
    vm.spawn(
        "short",
        "while dd if=/dev/vda of=/dev/null bs=4k count=8 iflag=direct; do usleep 20000; done",
    );
    vm.wait_until(60, "rmmod virtio_blk 2>/dev/null");
    assert!(vm.join("short", 20).is_ok());
    vm.load();
    vm.roundtrip("vda");
}

#[test]
fn unbinding_during_io_ends_it_with_an_error() {
    let mut vm = Guest::new().cpus(2).disk(Disk::blank(16)).boot();
    start_io(&mut vm);
    vm.ok("echo virtio0 > /sys/bus/virtio/drivers/virtio_blk/unbind");
    io_has_ended(&mut vm);
    vm.ok("echo virtio0 > /sys/bus/virtio/drivers/virtio_blk/bind && [ -b /dev/vda ]");
    vm.roundtrip("vda");
}

/// A disk in a PCI Express slot, whose power the guest can switch off.
fn guest_with(in_slot: Disk) -> Guest {
    Guest::new()
        .cpus(2)
        .word("pcie_ports=native")
        .qemu(
            "-global",
            "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
        )
        .qemu("-device", "pcie-root-port,id=behind,chassis=1,addr=5")
        .disk(in_slot.option("bus=behind"))
}

/// Native PCI Express hotplug, asked for politely.
#[test]
fn a_disk_in_a_pcie_slot_can_be_unplugged_during_io() {
    let mut vm = guest_with(Disk::blank(16)).boot();
    start_io(&mut vm);
    // The attention button's five seconds come before anything happens.
    vm.unplug("disk0", 40);
    io_has_ended(&mut vm);
}

mod beyond_c {
    use super::*;

    /// The last to close a disk that is gone gives the module up first and then frees the disk, by way
    /// of the module. The C driver's may not be there any more, which the kernel does not survive.
    #[test]
    fn the_module_stays_until_the_last_disk_is_freed() {
        let mut vm = Guest::new().cpus(4).disk(Disk::blank(16)).boot();
        vm.ok("cat > /run/rounds <<'END'
unload() {
    while [ -e /sys/module/virtio_blk ]; do
        rmmod virtio_blk 2> /dev/null
    done
}
for round in $(seq 60); do
    for holder in 1 2 3; do
        sleep 1000 < /dev/vda &
    done
    until [ $(pidof sleep | wc -w) = 3 ]; do usleep 1000; done
    rmmod virtio_pci || exit 1
    unload & unload & killall -9 sleep
    wait
    modprobe virtio_blk && modprobe virtio_pci || exit 1
    until [ -b /dev/vda ]; do usleep 10000; done
done
END");
        vm.ok_within(200, "sh /run/rounds");
        vm.roundtrip("vda");
    }

    /// Without a word the device is gone: its registers read as ones from one moment to the next.
    #[test]
    fn a_disk_that_vanishes_ends_its_io_with_an_error() {
        // It takes its time, so that it has something in flight at that moment.
        let mut vm = guest_with(Disk::null(16, 100_000_000)).boot();
        vm.expect("I/O error, dev vda");
        start_io(&mut vm);
        // Slot Control with its interrupt off, then its power off, which makes QEMU take the device
        // away at once, then both on again. So the hotplug driver finds the slot empty without
        // having been asked, as if the card had been pulled.
        let slot_control = "CAP_EXP+18.w";
        vm.ok(&format!(
            "setpci -s 00:05.0 {slot_control}=0000:0020 {slot_control}=0400:0400 \
             {slot_control}=0000:0400 {slot_control}=0020:0020"
        ));
        io_has_ended(&mut vm);
        vm.wait_until(20, "[ ! -e /dev/vda ]");
        vm.unload();
    }
}
