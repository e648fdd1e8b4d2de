// SPDX-License-Identifier: GPL-2.0

//! Suspend and resume, and resets by the transport: what takes a device's state away.

use guest::{Disk, Guest, Vm};
use qapi::qmp;

/// Makes a file system on the disk, and fills it in the background with so many files.
fn start_filling(vm: &mut Vm, files: u32) {
    vm.ok("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt");
    vm.spawn(
        "io",
        &format!(
            "for i in $(seq {files}); do
                 dd if=/dev/urandom of=/mnt/$i bs=64k count=4 conv=fsync 2>/dev/null || exit 1
             done
             cd /mnt && sha256sum [0-9]* > /run/sums"
        ),
    );
}

/// Waits until the disk is filled, and compares what is on it with what was written.
fn verify(vm: &mut Vm) {
    assert!(vm.join("io", 60).is_ok());
    vm.ok("umount /mnt && e2fsck -fn /dev/vda && mount /dev/vda /mnt");
    vm.ok("cd /mnt && sha256sum -c /run/sums >/dev/null");
    vm.ok("umount /mnt");
    vm.roundtrip("vda");
}

/// The drivers' part of a suspend to RAM: everything is stopped and started, but the power stays.
#[test]
fn a_disk_survives_suspend_during_io() {
    let mut vm = Guest::new()
        .cpus(2)
        .word("suspend.pm_test_delay=1")
        .disk(Disk::blank(64))
        .boot();
    vm.ok("echo devices > /sys/power/pm_test");
    start_filling(&mut vm, 40);
    for _ in 0..2 {
        vm.ok("echo mem > /sys/power/state");
    }
    verify(&mut vm);
}

/// A suspend to RAM, in which QEMU resets the devices, and the way back. Whatever its drivers, the
/// emulated machine then neither sleeps again nor powers off, so that it ends without that.
#[test]
fn a_disk_survives_suspend_to_ram_during_io() {
    let mut vm = Guest::new().cpus(2).disk(Disk::blank(64)).boot();
    start_filling(&mut vm, 20);
    vm.spawn("sleep", "echo mem > /sys/power/state");
    vm.wait_for_state(30, qmp::RunState::suspended);
    vm.qmp(&qmp::system_wakeup {});
    // What is said to its shell before that would be lost.
    vm.wait_for_console(30, "PM: suspend exit");
    assert!(vm.join("sleep", 30).is_ok());
    verify(&mut vm);
    vm.cut_power();
}

/// M42, K101, B36: a function-level reset under load takes nothing from anybody.
#[test]
fn a_disk_survives_a_function_level_reset_during_io() {
    let mut vm = Guest::new()
        .cpus(2)
        .machine("q35")
        .qemu("-device", "pcie-root-port,id=root0,chassis=1")
        .disk(Disk::blank(64).option("bus=root0").option("num-queues=2"))
        .boot();
    start_filling(&mut vm, 100);
    for _ in 0..5 {
        vm.ok("echo 1 > $(readlink -f /sys/block/vda/device/..)/reset && sleep 0.2");
    }
    verify(&mut vm);
    // The interrupts are those of the queues again, not polled in any way.
    vm.ok("grep -q 'virtio0-req.0' /proc/interrupts");
}
