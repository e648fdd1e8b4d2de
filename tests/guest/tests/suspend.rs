// SPDX-License-Identifier: GPL-2.0

//! Suspend and resume, and resets by the transport: what takes a device's state away.

use guest::{Disk, Guest};
use qapi::qmp;

/// The drivers' part of a suspend to RAM: everything is stopped and started, but the power stays.
#[test]
fn a_disk_survives_suspend_during_io() {
    let mut vm = Guest::new()
        .cpus(2)
        .word("suspend.pm_test_delay=1")
        .disk(Disk::blank(64))
        .boot();
    vm.ok("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt && echo devices > /sys/power/pm_test");
    vm.spawn(
        "io",
        "for i in $(seq 40); do
             dd if=/dev/urandom of=/mnt/$i bs=64k count=4 conv=fsync 2>/dev/null || exit 1
         done
         cd /mnt && sha256sum * 2>/dev/null > /run/sums; true",
    );
    for _ in 0..2 {
        vm.ok("echo mem > /sys/power/state");
    }
    assert!(vm.join("io", 60).is_ok());
    vm.ok("umount /mnt && e2fsck -fn /dev/vda && mount /dev/vda /mnt");
    vm.ok("cd /mnt && sha256sum -c /run/sums >/dev/null");
    vm.ok("umount /mnt && /usr/lib/guest/roundtrip vda");
}

/// A suspend to RAM, in which QEMU resets the devices, and the way back. Whatever its drivers, the
/// emulated machine then neither sleeps again nor powers off, so that it ends without that.
#[test]
fn a_disk_survives_suspend_to_ram_during_io() {
    let mut vm = Guest::new().cpus(2).disk(Disk::blank(64)).boot();
    vm.ok("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt");
    vm.spawn(
        "io",
        "for i in $(seq 20); do
             dd if=/dev/urandom of=/mnt/$i bs=64k count=4 conv=fsync 2>/dev/null || exit 1
         done
         cd /mnt && sha256sum [0-9]* > /run/sums",
    );
    vm.spawn("sleep", "echo mem > /sys/power/state");
    vm.wait_for_state(30, qmp::RunState::suspended);
    vm.qmp(&qmp::system_wakeup {});
    // What is said to its shell before that would be lost.
    vm.wait_for_console(30, "PM: suspend exit");
    assert!(vm.join("sleep", 30).is_ok());
    assert!(vm.join("io", 60).is_ok());
    vm.ok("cd /mnt && sha256sum -c /run/sums >/dev/null");
    vm.ok("umount /mnt && e2fsck -fn /dev/vda");
    vm.roundtrip("vda");
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
    vm.ok("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt");
    vm.spawn(
        "io",
        "for i in $(seq 100); do
             dd if=/dev/urandom of=/mnt/$i bs=64k count=4 conv=fsync 2>/dev/null || exit 1
         done
         cd /mnt && sha256sum [0-9]* > /run/sums",
    );
    for _ in 0..5 {
        vm.ok("echo 1 > $(readlink -f /sys/block/vda/device/..)/reset && sleep 0.2");
    }
    assert!(vm.join("io", 60).is_ok());
    vm.ok("umount /mnt && e2fsck -fn /dev/vda && mount /dev/vda /mnt");
    vm.ok("cd /mnt && sha256sum -c /run/sums >/dev/null");
    vm.ok("umount /mnt");
    vm.roundtrip("vda");
    // The interrupts are those of the queues again, not polled in any way.
    vm.ok("grep -q 'virtio0-req.0' /proc/interrupts");
}
