// SPDX-License-Identifier: GPL-2.0

//! Devices that make no sense: the fake device of `tests/fake` plays them. Those whose disk is in
//! use when they begin to lie are in `recovery.rs`.
//!
//! Each case loads the fake device with parameters (the numbers of faults are in
//! `tests/fake/device/fault.rs`), and reads what the kernel logs about it.

use guest::{
    fake::{
        load,
        refused,
        unload, //
    },
    Guest, //
};

mod beyond_c {
    use super::*;

    /// H9, D21, D32: nonsense is refused with one line that says what, no disk appears, and nothing is
    /// left behind.
    #[test]
    fn impossible_devices_are_refused_with_one_line() {
        let mut vm = Guest::new().checking_leaks().cpus(2).boot();
        vm.expect_any_error();
        for (parameters, reason) in [
            ("queue_size=0", "queue 0: invalid size 0"),
            ("queue_size=100", "queue 0: invalid size 100"),
            ("queue_size=65536", "queue 0: invalid size 65536"),
            ("num_queues=0", "device has no request queues"),
            ("config_len=4", "configuration of 4 bytes is too short"),
            (
                "config_len=32 num_queues=2",
                "configuration of 32 bytes is too short",
            ),
            (
                "fault=9",
                "configuration changes faster than it can be read",
            ),
            ("blk_size=3", "invalid block size: 0x3"),
            ("blk_size=65536", "invalid block size: 0x10000"),
            ("seg_max=0", "invalid segment limit: seg_max is 0"),
            ("size_max=100", "invalid segment limit: size_max is 100"),
            ("capacity=18446744073709551615", "invalid capacity"),
            (
                "queue_size=2 features_off=0x10000000",
                "queue of 2 is too small",
            ),
            ("fault=11", "device refuses features"),
            ("fault=19", "does not offer VIRTIO_F_VERSION_1"),
        ] {
            refused(&mut vm, parameters, reason);
        }
    }

    /// H7, D33: a request fails when the device reports that, reports what the
    /// specification does not know, or writes no status at all; the disk goes on.
    #[test]
    fn an_answer_without_sense_fails_the_request_alone() {
        let mut vm = Guest::new().checking_leaks().cpus(2).boot();
        vm.expect_any_error();
        for fault in [13, 14, 15] {
            let parameters = format!("fault={fault} fault_after=30");
            load(&mut vm, &parameters);
            vm.wait_until(10, "[ -b /dev/vda ]");
            for _ in 0..2 {
                let error = vm.fails("dd if=/dev/vda of=/dev/null bs=4k count=64 iflag=direct");
                assert!(error.contains("Input/output error"), "{error}");
            }
            let log = vm.ok("dmesg");
            assert!(!log.contains("queue 0:"), "the queue still works: {log}");
            unload(&mut vm);
        }
    }

    /// H4, SPLIT-USEDNOTIF-5: descriptors that the device scribbles over are never read back, and interrupts
    /// with nothing behind them do no harm.
    #[test]
    fn a_device_that_scribbles_or_interrupts_at_random_is_served() {
        let mut vm = Guest::new().checking_leaks().cpus(2).boot();
        for fault in [6, 8] {
            let parameters = format!("num_queues=2 fault={fault}");
            load(&mut vm, &parameters);
            vm.wait_until(10, "[ -b /dev/vda ]");
            vm.roundtrip("vda");
            unload(&mut vm);
        }
    }
}
