// SPDX-License-Identifier: GPL-2.0

//! Faults that the kernel itself injects, which only the debug kernel can.

use guest::{Disk, Guest, Vm};

/// Whether a line is in the kernel's log.
fn says(vm: &mut Vm, part: &str) -> bool {
    vm.sh(&format!("dmesg | grep -q '{part}'")).is_ok()
}

/// K33: an interrupt that the kernel forgets costs time; if it forgets them all, requests are late,
/// and the device is reset.
#[test]
fn forgotten_interrupts_make_requests_late() {
    let mut vm = Guest::new().cpus(2).disk(Disk::blank(16)).boot();
    vm.expect_any_error();
    let fault = "/sys/kernel/debug/fail_io_timeout";
    vm.ok(&format!(
        "echo 0 > {fault}/verbose && echo 100 > {fault}/probability"
    ));
    vm.ok("echo 5000 > /sys/block/vda/queue/io_timeout && echo 1 > /sys/block/vda/io-timeout-fail");

    vm.ok(&format!("echo 1 > {fault}/times"));
    vm.ok("dd if=/dev/vda of=/dev/null bs=4k count=4 iflag=direct");
    assert_eq!(vm.ok(&format!("cat {fault}/times")), "0");
    assert!(!says(&mut vm, "timed out, device is reset"));

    vm.ok(&format!("echo -1 > {fault}/times"));
    let error = vm.fails("dd if=/dev/vda of=/dev/null bs=4k count=1 iflag=direct");
    assert!(error.contains("timed out"), "{error}");
    assert!(says(&mut vm, "timed out, device is reset"));

    vm.ok(&format!("echo 0 > {fault}/probability"));
    vm.wait_until(20, "dmesg | grep -q 'device was reset and is used again'");
    vm.roundtrip("vda");
}
