// SPDX-License-Identifier: GPL-2.0

//! Errors on the PCI bus that hardware cannot correct, injected by QEMU (PCI Express, advanced error
//! reporting). The C transport has nothing for them.

mod beyond_c {
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

    /// Something that a transaction layer packet met, and its severity.
    const ERRORS: [(&str, &str); 3] = [
        ("COMP_ABORT", "Uncorrectable (Non-Fatal)"),
        ("MALF_TLP", "Uncorrectable (Fatal)"),
        ("SDN", "Uncorrectable (Fatal)"),
    ];

    /// A guest with a slot that reports errors.
    fn guest_with_slot() -> Guest {
        Guest::new()
            .cpus(2)
            .machine("q35")
            // With the firmware's hotplug the port's link never says that it is up.
            .qemu(
                "-global",
                "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
            )
            .qemu("-device", "pcie-root-port,id=root0,chassis=1")
    }

    /// Has a device report an error.
    fn inject(vm: &mut Vm, device: &str, error: &str) {
        let answer = vm.qmp(&qmp::human_monitor_command {
            command_line: format!("pcie_aer_inject_error {device} {error}"),
            cpu_index: None,
        });
        assert!(answer.starts_with("OK"), "{answer}");
    }

    /// More files than are written until the last error.
    const FILES: u32 = 150;

    /// Sees to it that files are being written.
    fn is_filling(vm: &mut Vm) {
        let before: u32 = vm.ok("ls /mnt | wc -l").parse().expect("a number");
        vm.wait_until(20, &format!("[ $(ls /mnt | wc -l) -gt {before} ]"));
        let now: u32 = vm.ok("ls /mnt | wc -l").parse().expect("a number");
        assert!(now < FILES, "all files are written already");
    }

    /// How often the disk's queues have raised an interrupt.
    fn interrupts(vm: &mut Vm) -> u64 {
        let sum = "awk '/virtio0-req/ { n += $2 + $3 } END { print n }' /proc/interrupts";
        vm.ok(sum).parse().expect("a number")
    }

    /// How often something was said.
    fn count(vm: &mut Vm, part: &str) -> usize {
        vm.console().matches(part).count()
    }

    /// M45, U9, H22: the port is reset with all below it, and nobody who uses the disk hears of it.
    #[test]
    fn a_disk_survives_errors_on_the_bus_during_io() {
        let disk = Disk::blank(256).option("bus=root0,aer=on,num-queues=2");
        let mut vm = guest_with_slot().disk(disk).boot();
        vm.expect_any_error();
        start_filling(&mut vm, FILES);
        for (round, (error, severity)) in ERRORS.into_iter().enumerate() {
            is_filling(&mut vm);
            inject(&mut vm, "disk0", error);
            vm.wait_until(
                20,
                &format!(
                    "[ $(dmesg | grep -c 'recovery successful') = {} ]",
                    round + 1
                ),
            );
            assert!(vm.console().contains(severity), "{error} is not {severity}");
        }
        is_filling(&mut vm);
        let before = interrupts(&mut vm);
        verify(&mut vm);
        assert!(interrupts(&mut vm) > before, "the disk is not interrupted");
        assert_eq!(
            count(&mut vm, "frozen state error detected, reset device"),
            2
        );
        assert_eq!(
            count(&mut vm, "device was reset and is used again"),
            ERRORS.len()
        );
        assert_eq!(count(&mut vm, "I/O error"), 0);
    }

    /// M45: a driver that knows nothing of errors keeps its device.
    #[test]
    fn a_driver_without_hooks_survives_an_error_on_the_bus() {
        let mut vm = guest_with_slot()
            .qemu("-device", "virtio-rng-pci,id=rng0,bus=root0,aer=on")
            .boot();
        vm.expect_any_error();
        let answers = |count| format!("[ $(dmesg | grep -c 'bytes of entropy') = {count} ]");
        vm.ok("modprobe virtio_sample");
        vm.wait_until(20, &answers(1));
        inject(&mut vm, "rng0", "MALF_TLP");
        vm.wait_for_console(20, "device was reset and is used again");
        vm.ok("[ -d /sys/bus/virtio/drivers/virtio_sample/virtio0 ]");
        vm.ok("rmmod virtio_sample && modprobe virtio_sample");
        vm.wait_until(20, &answers(2));
    }

    /// A guest whose disk is beside a device without a driver, for which there is no recovery.
    fn disk_beside_the_helpless() -> Vm {
        let disk = Disk::blank(256).option("bus=root0,aer=on,multifunction=on,addr=0.0");
        let mut vm = guest_with_slot()
            .disk(disk)
            .qemu("-device", "virtio-rng-pci,bus=root0,addr=0.1")
            .boot();
        vm.expect_any_error();
        vm.ok("echo 0000:01:00.1 > /sys/bus/pci/drivers/virtio-pci/unbind");
        vm
    }

    /// M45: an error that leaves the way to the disk open costs no disk, whatever is beside it.
    #[test]
    fn a_disk_outlives_an_error_that_its_neighbour_does_not() {
        let mut vm = disk_beside_the_helpless();
        start_filling(&mut vm, FILES);
        is_filling(&mut vm);
        inject(&mut vm, "disk0", "COMP_ABORT");
        vm.wait_for_console(20, "device recovery failed");
        vm.wait_for_console(20, "device was reset and is used again");
        verify(&mut vm);
        assert_eq!(count(&mut vm, "I/O error"), 0);
    }

    /// M45, U13: where the slot cannot be recovered, what waits for the disk ends, and it can be taken
    /// away.
    #[test]
    fn a_disk_that_cannot_be_recovered_ends_its_io() {
        let mut vm = disk_beside_the_helpless();
        vm.spawn(
            "io",
            "while dd if=/dev/vda of=/dev/null bs=64k iflag=direct; do :; done; false",
        );
        vm.wait_until(20, "[ $(awk '{ print $1 }' /sys/block/vda/stat) -gt 200 ]");
        inject(&mut vm, "disk0", "MALF_TLP");
        let error = vm.join("io", 30).text;
        assert!(error.contains("Input/output error"), "{error}");
        vm.wait_for_console(20, "device recovery failed");
        vm.fails("dd if=/dev/vda of=/dev/null bs=4k count=1 iflag=direct");
        vm.ok("echo 1 > /sys/bus/pci/devices/0000:01:00.0/remove && [ ! -e /sys/block/vda ]");
        assert_eq!(count(&mut vm, "failure state error detected"), 1);
    }
}
