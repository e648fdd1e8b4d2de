// SPDX-License-Identifier: GPL-2.0

//! Suspend and resume, and resets by the transport: what takes a device's state away.

use guest::{
    files::{
        start_filling,
        verify, //
    },
    Disk,
    Guest,
    Vm, //
};
use qapi::qmp;

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

/// Suspends a guest to RAM, in which QEMU resets the devices, and wakes it up after something has been
/// done. Whatever its drivers, the emulated machine then neither sleeps again nor powers off, so that
/// it has to end without that. It has one CPU: a second one stays in the firmware at times, where it
/// spins for a lock that nobody gives back, and takes the time of the first. Several queues lose and
/// get back their state in hibernation, and in resets.
fn sleep(vm: &mut Vm, meanwhile: impl FnOnce(&mut Vm)) {
    vm.spawn(
        "sleep",
        "[ ! -e /run/io.code ] && echo mem > /sys/power/state && sleep 1 && echo guest: awake > /dev/console",
    );
    vm.wait_for_state(30, qmp::RunState::suspended);
    meanwhile(vm);
    vm.qmp(&qmp::system_wakeup {});
    // What is said to its shell before that may be lost.
    vm.wait_for_console(30, "guest: awake");
    assert!(vm.join("sleep", 30).is_ok());
}

#[test]
fn a_disk_survives_suspend_to_ram_during_io() {
    let mut vm = Guest::new().disk(Disk::blank(64)).boot();
    start_filling(&mut vm, 20);
    sleep(&mut vm, |_| ());
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

/// What the C drivers cannot do.
mod beyond_c {
    use super::*;

    /// U15: a size that changes while nobody is there to be told is seen afterwards.
    #[test]
    fn a_disk_that_grows_in_its_sleep_is_larger() {
        let mut vm = Guest::new().disk(Disk::blank(16)).boot();
        sleep(&mut vm, |vm| vm.resize(32));
        vm.wait_until(10, "[ $(cat /sys/block/vda/size) = 65536 ]");
        vm.ok("/usr/lib/guest/roundtrip vda 2 30");
        vm.cut_power();
    }

    /// M44, U10: a driver that knows nothing of resets gets its device back after one, anew. One
    /// that was unbound stays so.
    #[test]
    fn a_driver_without_hooks_survives_a_function_level_reset() {
        let mut vm = Guest::new()
            .checking_leaks()
            .qemu("-device", "pcie-root-port,id=root0,chassis=1")
            .qemu("-device", "virtio-rng-pci,bus=root0")
            .boot();
        vm.ok("modprobe virtio_sample");
        let wait_for_answers = |vm: &mut Vm, count| {
            let answers = "dmesg | grep -c 'bytes of entropy'";
            vm.wait_until(10, &format!("[ $({answers}) = {count} ]"));
        };
        let reset = "cd /sys/bus/virtio/devices/virtio0 && echo 1 > $(readlink -f ..)/reset";
        for round in 1..=3 {
            wait_for_answers(&mut vm, round);
            vm.ok(reset);
            vm.ok("[ -d /sys/bus/virtio/drivers/virtio_sample/virtio0 ]");
        }
        wait_for_answers(&mut vm, 4);
        vm.ok("echo virtio0 > /sys/bus/virtio/drivers/virtio_sample/unbind");
        vm.ok(reset);
        vm.ok("[ ! -e /sys/bus/virtio/devices/virtio0/driver ]");
        vm.ok("rmmod virtio_sample");
    }
}
