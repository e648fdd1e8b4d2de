// SPDX-License-Identifier: GPL-2.0

//! Devices that fail while their disk is in use, and what brings the disk back.
//!
//! The fake device of `tests/fake` plays them; the numbers of faults are in
//! `tests/fake/device/fault.rs`.

use guest::{
    fake::{
        load,
        tell,
        unload,
        IS_BUSY, //
    },
    Disk,
    Guest,
    Vm, //
};
use qapi::qmp;
use serde_json::{
    json,
    Map, //
};

/// What the kernel says when a device was reset and goes on.
const USED_AGAIN: &str = "device was reset and is used again";

/// `VIRTIO_F_RING_RESET`, as a word of features.
const RING_RESET: u64 = 1 << 40;

/// The number of a feature bit.
const VIRTIO_BLK_F_RO: u64 = 5;

/// The ways in which a device breaks the rules, and what the kernel says about each.
const LIES: [(u32, &str); 6] = [
    (1, "is out of range"),
    (2, "is not in flight"),
    (3, "is too far from"),
    (4, " offered were "),
    (5, "is too far from"),
    (12, "device needs a reset"),
];

/// Whether a disk has had a write in flight for a second, and done none.
const IS_STUCK: &str = "look() { awk '{ print $5, $9 }' /sys/block/vda/stat; }
    before=$(look); sleep 1; [ \"$before\" = \"$(look)\" ] && [ ${before#* } -gt 0 ]";

/// A guest with eight megabytes that differ from page to page in `/run/data`.
fn guest() -> Vm {
    prepared(Guest::new())
}

fn prepared(guest: Guest) -> Vm {
    let mut vm = guest.checking_leaks().cpus(2).boot();
    vm.expect_any_error();
    vm.ok("head -c 8388608 /dev/urandom > /run/data");
    vm
}

/// Has QEMU read (`bps_rd`) or write (`bps_wr`) so many bytes per second of the first disk, or any
/// number for 0.
fn limit(direction: &str, bytes_per_second: u32) -> qmp::block_set_io_throttle {
    let none =
        ["bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"].map(|limit| (limit, json!(0)));
    let mut limits = Map::from_iter(none.map(|(limit, zero)| (limit.to_owned(), zero)));
    limits.insert(
        "id".into(),
        json!("/machine/peripheral/disk0/virtio-backend"),
    );
    limits.insert(direction.into(), json!(bytes_per_second));
    serde_json::from_value(limits.into()).expect("limits")
}

/// How many queues were reset alone, as the log has it.
fn queue_resets(log: &str) -> usize {
    log.lines()
        .filter(|line| line.contains(": queue ") && line.ends_with(" was reset and is used again"))
        .count()
}

fn lines(log: &str, part: &str) -> usize {
    log.lines().filter(|line| line.contains(part)).count()
}

mod beyond_c {
    use super::*;

    /// H33, CORE-STATUS-3: a device that breaks the rules once is reset. What it had in flight is
    /// asked for again, nobody sees an error, and nothing is lost.
    #[test]
    fn a_disk_recovers_from_a_lie() {
        let mut vm = guest();
        for (fault, reason) in LIES {
            // In the middle of the writes, and in the middle of the reads.
            for after in [100, 800] {
                load(
                    &mut vm,
                    &format!("num_queues=2 fault={fault} fault_after={after} fault_count=1"),
                );
                vm.wait_until(10, "[ -b /dev/vda ]");
                vm.ok("dd if=/run/data of=/dev/vda bs=16k oflag=direct");
                vm.ok("dd if=/dev/vda bs=16k iflag=direct 2>/dev/null | cmp - /run/data");
                let log = vm.ok("dmesg");
                assert_eq!(lines(&log, reason), 1, "fault {fault}: {log}");
                assert_eq!(lines(&log, USED_AGAIN), 1, "fault {fault}: {log}");
                unload(&mut vm);
            }
        }
    }

    /// H1, H6, H33, SPLIT-USED-1: a device that lies whenever it is asked is reset a few times and
    /// then given up: requests fail, and nothing hangs or leaks.
    #[test]
    fn a_device_that_goes_on_lying_is_given_up() {
        let mut vm = guest();
        for (fault, reason) in LIES {
            load(
                &mut vm,
                &format!("num_queues=2 fault={fault} fault_after=30"),
            );
            vm.wait_until(10, "[ -b /dev/vda ]");
            let error = vm.fails("dd if=/dev/vda of=/dev/null bs=4k count=64 iflag=direct");
            assert!(error.contains("Input/output error"), "{error}");
            let log = vm.ok("dmesg");
            assert_eq!(lines(&log, reason), 6, "fault {fault}: {log}");
            assert_eq!(lines(&log, "it is given up"), 1, "fault {fault}: {log}");
            // From then on requests fail at once.
            let error = vm.fails("dd if=/dev/vda of=/dev/null bs=4k count=1 iflag=direct");
            assert!(error.contains("Input/output error"), "{error}");
            unload(&mut vm);
        }
    }

    /// K105, H18: a request that the device does not answer in time fails, and the disk goes on. The
    /// time is a parameter of the module or of the disk. U28: the log says where the queue stood.
    #[test]
    fn a_request_that_takes_too_long_resets_the_device() {
        let mut vm = guest();
        for is_parameter in [true, false] {
            if is_parameter {
                vm.ok("echo 1000 > /sys/module/virtio_blk/parameters/io_timeout");
            }
            load(
                &mut vm,
                "num_queues=2 fault=7 fault_after=100 fault_count=1",
            );
            vm.ok("echo 0 > /sys/module/virtio_blk/parameters/io_timeout");
            vm.wait_until(10, "[ -b /dev/vda ]");
            if !is_parameter {
                // As good as for ever.
                vm.ok("[ $(cat /sys/block/vda/queue/io_timeout) -gt 2000000000 ]");
                vm.ok("echo 1000 > /sys/block/vda/queue/io_timeout");
            }
            assert_eq!(vm.ok("cat /sys/block/vda/queue/io_timeout"), "1000");
            let error = vm.fails("dd if=/run/data of=/dev/vda bs=16k oflag=direct");
            assert!(error.contains("timed out"), "{error}");
            vm.ok("dd if=/run/data of=/dev/vda bs=16k oflag=direct");
            vm.ok("cmp -n 8388608 /run/data /dev/vda");
            let log = vm.ok("dmesg");
            assert_eq!(lines(&log, "timed out, device is reset"), 1, "{log}");
            assert_eq!(lines(&log, ": 1 in flight, "), 1, "{log}");
            assert_eq!(lines(&log, USED_AGAIN), 1, "{log}");
            unload(&mut vm);
        }
    }

    /// K105: sixteen requests that are never answered are one reset and one line in the log; those
    /// in flight beside them are asked for again and are all done.
    #[test]
    fn many_late_requests_are_one_reset() {
        let mut vm = prepared(Guest::new().with_tools());
        vm.ok("echo 2000 > /sys/module/virtio_blk/parameters/io_timeout");
        load(
            &mut vm,
            "num_queues=1 fault=7 fault_after=200 fault_count=16",
        );
        vm.wait_until(10, "[ -b /dev/vda ]");
        vm.ok("dd if=/run/data of=/dev/vda bs=1M oflag=direct");
        let report = vm.ok_within(
            60,
            "fio --name=late --filename=/dev/vda --rw=randread --bs=4k --size=8m --direct=1 \
                 --ioengine=io_uring --iodepth=32 2>&1 || true",
        );
        assert!(report.contains("Connection timed out"), "{report}");
        vm.ok("cmp -n 8388608 /run/data /dev/vda");
        let log = vm.ok("dmesg");
        assert_eq!(lines(&log, "timed out, device is reset"), 1, "{log}");
        assert_eq!(lines(&log, USED_AGAIN), 1, "{log}");
        unload(&mut vm);
    }

    /// U50, K105, CORE-VQRESET-1: if the administrator wants that and the device can do it, a late
    /// request resets its queue. The device comes second: if that has not helped, or did not end.
    #[test]
    fn a_late_request_resets_its_queue_if_it_may() {
        let mut vm = guest();
        vm.ok("echo 1000 > /sys/module/virtio_blk/parameters/io_timeout");
        for (queue_reset, device, late, of_queue, of_device) in [
            (1, "fault=7 fault_count=1", 1, 1, 0),
            // Nothing is done between the two.
            (1, "fault=7 fault_count=2", 2, 1, 1),
            (1, "fault=27 fault_count=1", 1, 0, 1),
            (0, "fault=7 fault_count=1", 1, 0, 1),
        ] {
            vm.ok(&format!(
                "echo {queue_reset} > /sys/module/virtio_blk/parameters/queue_reset"
            ));
            load(
                &mut vm,
                &format!("features_on={RING_RESET} {device} fault_after=100"),
            );
            vm.wait_until(10, "[ -b /dev/vda ]");
            for _ in 0..late {
                let error = vm.fails("dd if=/run/data of=/dev/vda bs=16k oflag=direct");
                assert!(error.contains("timed out"), "{error}");
            }
            vm.ok("dd if=/run/data of=/dev/vda bs=16k oflag=direct");
            vm.ok("cmp -n 8388608 /run/data /dev/vda");
            let log = vm.ok("dmesg");
            let remedy = if queue_reset == 1 {
                "timed out, queue has to be reset"
            } else {
                "timed out, device is reset"
            };
            assert_eq!(lines(&log, remedy), late, "{device}: {log}");
            assert_eq!(queue_resets(&log), of_queue, "{device}: {log}");
            assert_eq!(lines(&log, USED_AGAIN), of_device, "{device}: {log}");
            unload(&mut vm);
        }
    }

    /// U50: while one queue is stuck, and is reset, the other serves its requests.
    #[test]
    fn a_queue_that_is_reset_disturbs_no_other() {
        let mut vm = guest();
        vm.ok("cd /sys/module/virtio_blk/parameters; echo 8000 > io_timeout; echo 1 > queue_reset");
        load(
            &mut vm,
            &format!("num_queues=2 features_on={RING_RESET} fault=7 fault_after=100 fault_count=1"),
        );
        vm.wait_until(10, "[ -b /dev/vda ]");
        vm.spawn(
            "stuck",
            "taskset 1 dd if=/dev/vda of=/dev/null bs=4k count=1000 iflag=direct",
        );
        vm.wait_until(
            20,
            "look() { awk '{ print $1, $9 }' /sys/block/vda/stat; }
             before=$(look); sleep 1; [ \"$before\" = \"$(look)\" ] && [ ${before#* } = 1 ]",
        );
        vm.spawn(
            "other",
            "until [ -s /run/stuck.code ]; do
                 taskset 2 dd if=/dev/vda of=/dev/null bs=4k count=5 iflag=direct 2> /run/dd || exit 1
                 echo read
             done",
        );
        let stuck = vm.join("stuck", 30);
        assert!(stuck.text.contains("timed out"), "{}", stuck.text);
        let other = vm.join("other", 30);
        assert!(other.is_ok(), "{}", other.text);
        assert!(lines(&other.text, "read") > 10, "{}", other.text);
        let log = vm.ok("dmesg");
        assert_eq!(queue_resets(&log), 1, "{log}");
        assert_eq!(lines(&log, USED_AGAIN), 0, "{log}");
        unload(&mut vm);
    }

    /// U50, M35, PCI-COMMON-7, PCI-COMMON-8: a queue of a PCI device is reset and used again. QEMU
    /// carries the late request out all the same, which is why it is a write here: a read would go to
    /// memory that is somebody else's by then. At its answer the device is reset.
    #[test]
    fn a_queue_of_a_pci_device_is_reset() {
        let disk = Disk::blank(16).option("num-queues=2,queue_reset=on");
        let mut vm = prepared(Guest::new().disk(disk));
        vm.ok("echo 1 > /sys/module/virtio_blk/parameters/queue_reset
               cd /sys/bus/virtio/drivers/virtio_blk; echo virtio0 > unbind; echo virtio0 > bind
               echo 1000 > /sys/block/vda/queue/io_timeout");
        vm.ok("dd if=/dev/vda of=/dev/null bs=16k count=100 iflag=direct");
        // The first write goes through, the second is held back for an hour.
        vm.qmp(&limit("bps_wr", 1));
        let error = vm.fails("taskset 1 dd if=/run/data of=/dev/vda bs=4k count=2 oflag=direct");
        assert!(error.contains("timed out"), "{error}");
        vm.wait_until(10, "dmesg | grep -q 'queue . was reset and is used again'");
        vm.ok("taskset 1 dd if=/dev/vda of=/dev/null bs=16k count=100 iflag=direct");
        assert_eq!(lines(&vm.ok("dmesg"), USED_AGAIN), 0);

        vm.qmp(&limit("bps_wr", 0));
        // Nothing else is in flight when the answer comes.
        vm.wait_until(20, &format!("dmesg | grep -q '{USED_AGAIN}'"));
        vm.ok("dd if=/run/data of=/dev/vda bs=16k oflag=direct");
        vm.ok("dd if=/dev/vda bs=16k count=512 iflag=direct 2>/dev/null | cmp - /run/data");
        let log = vm.ok("dmesg");
        assert_eq!(queue_resets(&log), 1, "{log}");
        assert_eq!(lines(&log, USED_AGAIN), 1, "{log}");
    }

    /// K105: QEMU ends what a device has before it is reset, so that a late read is done, and nothing
    /// comes later.
    #[test]
    fn a_late_read_ends_with_the_reset_of_a_pci_device() {
        let mut vm = prepared(Guest::new().disk(Disk::blank(16)));
        vm.ok("dd if=/run/data of=/dev/vda bs=16k oflag=direct
               echo 1000 > /sys/block/vda/queue/io_timeout");
        // The first read goes through, the second is held back for an hour.
        vm.qmp(&limit("bps_rd", 1));
        vm.ok("dd if=/dev/vda of=/run/read bs=4k count=2 iflag=direct && cmp -n 8192 /run/read /run/data");
        vm.qmp(&limit("bps_rd", 0));
        vm.ok("dd if=/dev/vda bs=16k count=512 iflag=direct 2>/dev/null | cmp - /run/data");
        let log = vm.ok("dmesg");
        assert_eq!(lines(&log, "timed out, device is reset"), 1, "{log}");
        assert_eq!(lines(&log, USED_AGAIN), 1, "{log}");
    }

    /// U15, H12: a device that takes less after a reset than before would be asked for too much. It
    /// is given up, with the name of the field.
    #[test]
    fn a_device_that_comes_back_with_less_is_given_up() {
        let mut vm = guest();
        load(&mut vm, "");
        vm.wait_until(10, "[ -b /dev/vda ]");
        tell(&mut vm, "hold", 1);
        vm.spawn("io", "dd if=/run/data of=/dev/vda bs=16k oflag=direct");
        vm.wait_until(10, IS_BUSY);
        tell(&mut vm, "seg_max", 4);
        tell(&mut vm, "needs_reset", 1);
        let io = vm.join("io", 30);
        assert!(io.text.contains("Input/output error"), "{}", io.text);
        let log = vm.ok("dmesg");
        let reason = "device takes less than before: seg_max";
        assert_eq!(lines(&log, reason), 1, "{log}");
        assert_eq!(lines(&log, "device cannot be used again"), 1, "{log}");
        unload(&mut vm);
    }

    /// U15: a disk that is read-only after a reset is so for its users.
    #[test]
    fn a_disk_that_comes_back_read_only_is_so() {
        let mut vm = guest();
        load(&mut vm, "");
        vm.wait_until(10, "[ -b /dev/vda ]");
        assert_eq!(vm.ok("cat /sys/block/vda/ro"), "0");
        tell(&mut vm, "offer", VIRTIO_BLK_F_RO);
        tell(&mut vm, "needs_reset", 1);
        vm.wait_until(10, "[ $(cat /sys/block/vda/ro) = 1 ]");
        vm.fails("dd if=/run/data of=/dev/vda bs=16k count=1 oflag=direct");
        vm.ok("dd if=/dev/vda of=/dev/null bs=16k iflag=direct");
        let log = vm.ok("dmesg");
        assert_eq!(lines(&log, USED_AGAIN), 1, "{log}");
        unload(&mut vm);
    }

    /// D4: a device that is reset again and again while it is being bound, until it is given up, sees
    /// whole sequences of steps.
    #[test]
    fn resets_and_binding_take_turns() {
        let mut vm = guest();
        load(&mut vm, "num_queues=2 fault=12 fault_after=1");
        vm.ok_within(
            120,
            "cd /sys/bus/virtio/drivers/virtio_blk
             for round in $(seq 30); do
                 echo virtio0 > unbind && echo virtio0 > bind || exit 1
             done",
        );
        let log = vm.ok("dmesg");
        assert!(lines(&log, "device needs a reset") >= 6 * 30, "{log}");
        assert_eq!(lines(&log, "it is given up"), 30, "{log}");
        unload(&mut vm);
    }

    /// A request that is done, of which no interrupt told, needs no reset.
    #[test]
    fn a_lost_interrupt_costs_time_alone() {
        let mut vm = guest();
        vm.ok("echo 1000 > /sys/module/virtio_blk/parameters/io_timeout");
        load(&mut vm, "fault=21 fault_after=100 fault_count=1");
        vm.wait_until(10, "[ -b /dev/vda ]");
        vm.ok("dd if=/run/data of=/dev/vda bs=16k oflag=direct");
        vm.ok("cmp -n 8388608 /run/data /dev/vda");
        let log = vm.ok("dmesg");
        assert_eq!(lines(&log, "reset"), 0, "{log}");
        unload(&mut vm);
    }

    /// H20: neither the removal of a device that does not answer nor the way down waits for
    /// its answer.
    #[test]
    fn a_silent_device_holds_nobody_up() {
        let mut vm = guest();
        load(&mut vm, "num_queues=2 fault=7 fault_after=100");
        vm.wait_until(10, "[ -b /dev/vda ]");
        vm.spawn("io", "dd if=/run/data of=/dev/vda bs=16k oflag=direct");
        vm.wait_until(20, IS_STUCK);
        unload(&mut vm);
        assert!(!vm.join("io", 10).is_ok());
        let log = vm.ok("dmesg");
        assert_eq!(lines(&log, "device does not answer"), 1, "{log}");

        // A device that is silent from the start, while the guest goes down.
        load(&mut vm, "num_queues=2 fault=7 fault_after=100");
        vm.wait_until(10, "[ -b /dev/vda ]");
        vm.spawn("io", "dd if=/run/data of=/dev/vda bs=16k oflag=direct");
        vm.wait_until(20, IS_STUCK);
        vm.finish();
    }
}
