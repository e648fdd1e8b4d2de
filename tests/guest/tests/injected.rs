// SPDX-License-Identifier: GPL-2.0

//! Faults that the kernel itself injects, which only the debug kernel can.

use guest::{Disk, Guest};

/// K33: an interrupt that the kernel forgets costs time, until what it was about is late, and nothing
/// else.
#[test]
fn a_forgotten_interrupt_costs_time_alone() {
    let mut vm = Guest::new().cpus(2).disk(Disk::blank(16)).boot();
    let fault = "/sys/kernel/debug/fail_io_timeout";
    vm.ok(&format!(
        "echo 0 > {fault}/verbose && echo 100 > {fault}/probability && echo 2 > {fault}/times"
    ));
    vm.ok("echo 4000 > /sys/block/vda/queue/io_timeout && echo 1 > /sys/block/vda/io-timeout-fail");
    let seconds = vm.ok("read before rest < /proc/uptime
         dd if=/dev/vda of=/dev/null bs=4k count=2 iflag=direct 2> /dev/null
         read after rest < /proc/uptime
         echo $((${after%.*} - ${before%.*}))");
    let seconds: u32 = seconds.parse().expect("a number");
    assert!(seconds >= 7, "{seconds} s for two requests");
    assert_eq!(vm.ok(&format!("cat {fault}/times")), "0");
    vm.fails("dmesg | grep -E 'timed out|device was reset'");
    vm.roundtrip("vda");
}
