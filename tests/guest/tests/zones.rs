// SPDX-License-Identifier: GPL-2.0

//! Disks with zones (`VIRTIO_BLK_F_ZONED`), which the fake device of `tests/fake` plays: QEMU has them
//! only over a zoned disk of the host.

use guest::{
    fake::{
        load,
        refused,
        tell,
        unload, //
    },
    Guest,
    Vm, //
};

mod beyond_c {
    use super::*;

    /// Sixteen zones of 4 MiB.
    const ZONES: &str = "size_mib=64 zone_sectors=8192";

    fn boot() -> Vm {
        Guest::new().checking_leaks().cpus(2).with_tools().boot()
    }

    /// Loads a disk that has to appear.
    #[track_caller]
    fn load_disk(vm: &mut Vm, parameters: &str) {
        load(vm, parameters);
        vm.wait_until(10, "[ -b /dev/vda ]");
    }

    /// The condition and the write pointer, relative to its start, of the zone at a sector.
    #[track_caller]
    fn zone(vm: &mut Vm, sector: u32) -> String {
        vm.ok(&format!(
            "blkzone report -o {sector} -c 1 /dev/vda | sed 's/.*wptr \\(0x[0-9a-f]*\\).*(\\(..\\)).*(.*/\\2 \\1/'"
        ))
    }

    /// K9, K63 to K66, BLK-INIT-6: the block layer knows what the device says, and discarding is
    /// not agreed on.
    #[test]
    fn characteristics_are_the_devices() {
        let mut vm = boot();
        load_disk(
            &mut vm,
            &format!("{ZONES} zones_conv=2 zones_open=3 zones_active=5 discard_seg=4 erase_seg=4"),
        );
        for (attribute, expected) in [
            ("zoned", "host-managed"),
            ("nr_zones", "16"),
            ("chunk_sectors", "8192"),
            ("max_open_zones", "3"),
            ("max_active_zones", "5"),
            ("zone_append_max_bytes", "131072"),
            ("zone_write_granularity", "4096"),
            ("physical_block_size", "4096"),
            ("minimum_io_size", "4096"),
            ("discard_max_bytes", "0"),
        ] {
            let value = vm.ok(&format!("cat /sys/block/vda/queue/{attribute}"));
            assert_eq!(value, expected, "{attribute}");
        }
        let features = vm.ok("cat /sys/bus/virtio/devices/virtio0/features");
        let agreed = |bit: usize| features.as_bytes()[bit] == b'1';
        assert!(
            agreed(17) && !agreed(13) && !agreed(16),
            "zoned, discard, secure erase: {features}"
        );
        let report = vm.ok("blkzone report /dev/vda");
        assert_eq!(report.lines().count(), 16, "{report}");
        assert_eq!(report.matches("CONVENTIONAL").count(), 2, "{report}");
        assert_eq!(report.matches("SEQ_WRITE_REQUIRED").count(), 14, "{report}");
        unload(&mut vm);
    }

    /// K9: a report that takes several requests, and a last zone that is smaller.
    #[test]
    fn reports_are_complete() {
        let mut vm = boot();
        // Each request is answered with 1023 of them at most.
        load_disk(
            &mut vm,
            "size_mib=129 zone_sectors=64 zones_open=3 granularity=512",
        );
        assert_eq!(vm.ok("cat /sys/block/vda/queue/nr_zones"), "4128");
        assert_eq!(vm.ok("blkzone report /dev/vda | wc -l"), "4128");
        unload(&mut vm);
        load_disk(&mut vm, "size_mib=6 zone_sectors=8192");
        let report = vm.ok("blkzone report /dev/vda");
        assert!(
            report.contains("start: 0x000002000, len 0x001000"),
            "{report}"
        );
        unload(&mut vm);
    }

    /// K10, K27, BLK-ZONE-4, BLK-ZONE-5: each request about a zone does what it says; too many
    /// open or active zones are told apart from other errors.
    #[test]
    fn zones_are_managed() {
        let mut vm = boot();
        vm.expect("open zones exceeded error");
        vm.expect("active zones exceeded error");
        load_disk(
            &mut vm,
            &format!("{ZONES} zones_conv=1 zones_open=2 zones_active=3"),
        );
        vm.ok("head -c 40960 /dev/urandom > /tmp/data");
        let write =
            |seek: u32| format!("dd if=/tmp/data of=/dev/vda bs=4k seek={seek} oflag=direct 2>&1");
        vm.ok(&write(1024));
        assert_eq!(zone(&mut vm, 8192), "oi 0x000050");
        vm.ok(&write(1034));
        assert_eq!(zone(&mut vm, 8192), "oi 0x0000a0");
        vm.ok("dd if=/dev/vda bs=4k skip=1034 count=10 iflag=direct 2>/dev/null | cmp - /tmp/data");
        // Not at the write pointer.
        assert!(vm.fails(&write(1024)).contains("Input/output error"));

        vm.ok("blkzone close -o 8192 -c 1 /dev/vda");
        assert_eq!(zone(&mut vm, 8192), "cl 0x0000a0");
        vm.ok("blkzone open -o 16384 -c 2 /dev/vda");
        assert_eq!(zone(&mut vm, 16384), "oe 0x000000");
        let error = vm.fails("blkzone open -o 8192 -c 1 /dev/vda");
        assert!(error.contains("Too many references"), "{error}");
        vm.ok("blkzone close -o 16384 -c 1 /dev/vda");
        assert_eq!(zone(&mut vm, 16384), "em 0x000000");
        vm.ok("blkzone open -o 16384 -c 1 /dev/vda");
        let error = vm.fails("blkzone open -o 32768 -c 1 /dev/vda");
        assert!(error.contains("Value too large"), "{error}");

        vm.ok("blkzone finish -o 16384 -c 1 /dev/vda");
        assert_eq!(zone(&mut vm, 16384), "fu 0x002000");
        vm.ok("blkzone reset -o 16384 -c 1 /dev/vda");
        assert_eq!(zone(&mut vm, 16384), "em 0x000000");
        vm.ok("blkzone reset /dev/vda");
        assert_eq!(zone(&mut vm, 8192), "em 0x000000");
        // A conventional zone is like any disk.
        vm.ok(&write(7));
        vm.ok(&write(3));
        vm.ok("dd if=/dev/vda bs=4k skip=3 count=10 iflag=direct 2>/dev/null | cmp - /tmp/data");
        unload(&mut vm);
    }

    /// BLK-ZONE-12: what programs write arrives in order; the disk takes no write that is not at a write
    /// pointer.
    #[test]
    fn fio_verifies_zones() {
        let mut vm = boot();
        for parameters in [
            "zones_open=3",
            "num_queues=2 zones_conv=3 zone_capacity=6144",
        ] {
            load_disk(&mut vm, &format!("{ZONES} {parameters}"));
            vm.ok_within(
                200,
                "fio --name=zones --filename=/dev/vda --direct=1 --zonemode=zbd --rw=randwrite \
                     --bsrange=4k-128k --bs_unaligned=0 --blockalign=4k --ioengine=libaio \
                     --iodepth=8 --max_open_zones=3 --io_size=24M --verify=crc32c \
                     --do_verify=1 --verify_fatal=1 > /tmp/fio 2>&1 || { cat /tmp/fio; exit 1; }",
            );
            unload(&mut vm);
        }
    }

    /// What was on its way when the device is reset, and had not been done, is written in order.
    #[test]
    fn zones_outlive_a_reset_of_the_device() {
        let mut vm = boot();
        vm.expect("device needs a reset");
        load_disk(
            &mut vm,
            &format!("{ZONES} fault=12 fault_after=200 fault_count=1"),
        );
        vm.ok_within(
            200,
            "fio --name=zones --filename=/dev/vda --direct=1 --zonemode=zbd --rw=write --bs=16k \
                 --ioengine=libaio --iodepth=8 --max_open_zones=3 --io_size=24M --verify=crc32c \
                 --do_verify=1 --verify_fatal=1 > /tmp/fio 2>&1 || { cat /tmp/fio; exit 1; }",
        );
        vm.ok("dmesg | grep -q 'device was reset and is used again'");
        unload(&mut vm);
    }

    /// K64, K66, H9: characteristics that no disk can have are refused with one line.
    #[test]
    fn impossible_zones_are_refused_with_one_line() {
        let mut vm = boot();
        vm.expect_any_error();
        for (parameters, reason) in [
            ("zone_sectors=1000", "invalid zone size: 1000 sectors"),
            (
                "zone_sectors=4 blk_size=4096",
                "invalid zone size: 4 sectors",
            ),
            (
                "granularity=0",
                "invalid write granularity of zones: 0 bytes",
            ),
            (
                "granularity=3000",
                "invalid write granularity of zones: 3000 bytes",
            ),
            ("append_sectors=7", "invalid zone append limit: 7 sectors"),
            (
                "zones_open=5 zones_active=3",
                "5 may be open, but fewer active",
            ),
            ("zone_model=9", "unsupported zone model 0x9"),
            (
                "zone_sectors=1 granularity=512 capacity=5000000",
                "too many zones: 5000000",
            ),
            ("fault=22", "zone at sector 0 makes no sense"),
            ("fault=23", "zone at sector 0 makes no sense"),
            ("fault=24", "zone at sector 0 makes no sense"),
        ] {
            let zones = if parameters.contains("zone_sectors=") {
                ""
            } else {
                ZONES
            };
            refused(&mut vm, &format!("{zones} {parameters}"), reason);
        }
    }

    /// K12: a report that is wrong later fails for whoever asks; the disk goes on.
    #[test]
    fn a_report_that_makes_no_sense_fails_alone() {
        let mut vm = boot();
        vm.expect("makes no sense");
        for fault in [22, 23, 24] {
            // The report of the probe and the look for partitions come first.
            load_disk(&mut vm, &format!("{ZONES} fault={fault} fault_after=40"));
            vm.ok("for i in $(seq 40); do dd if=/dev/vda of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null; done");
            let error = vm.fails("blkzone report /dev/vda");
            assert!(error.contains("Input/output error"), "{error}");
            vm.ok("dd if=/dev/urandom of=/dev/vda bs=4k count=16 oflag=direct 2>/dev/null");
            unload(&mut vm);
        }
        // More zones than there is room for are not looked for.
        load_disk(
            &mut vm,
            "size_mib=129 zone_sectors=64 granularity=512 fault=25",
        );
        assert_eq!(vm.ok("blkzone report /dev/vda | wc -l"), "4128");
        unload(&mut vm);
    }

    /// BLK-INIT-9: what is wrong before the features are agreed on ends there.
    #[test]
    fn a_model_that_cannot_be_read_fails_the_device() {
        let mut vm = boot();
        vm.expect_any_error();
        let log = load(&mut vm, &format!("{ZONES} config_len=72"));
        assert!(
            log.contains("configuration of 72 bytes is too short"),
            "{log}"
        );
        // FAILED, DRIVER and ACKNOWLEDGE, but not FEATURES_OK.
        assert_eq!(
            vm.ok("cat /sys/bus/virtio/devices/virtio0/status"),
            "0x00000083"
        );
        unload(&mut vm);
    }

    /// K65: limits that would take too much memory are not used up; too many zones are refused above.
    #[test]
    fn immense_limits_are_bounded() {
        let mut vm = boot();
        load_disk(
            &mut vm,
            "size_mib=129 zone_sectors=64 granularity=512 \
             zones_open=4294967295 zones_active=4294967295",
        );
        for limit in ["max_open_zones", "max_active_zones"] {
            assert_eq!(vm.ok(&format!("cat /sys/block/vda/queue/{limit}")), "2048");
        }
        vm.fails("dmesg | grep clamping");
        vm.ok("dd if=/dev/zero of=/dev/vda bs=16k count=32 oflag=direct 2>/dev/null");
        unload(&mut vm);
    }

    /// K102: the block layer has no place for more zones than at first.
    #[test]
    fn a_disk_with_zones_does_not_grow() {
        let mut vm = boot();
        vm.expect("zones beyond the first size are not used");
        load_disk(&mut vm, ZONES);
        tell(&mut vm, "capacity", 262_144);
        tell(&mut vm, "changed", 1);
        vm.wait_until(10, "dmesg | grep -q 'zones beyond'");
        assert_eq!(vm.ok("cat /sys/block/vda/size"), "131072");
        vm.ok("blkzone reset /dev/vda && blkzone report /dev/vda");
        unload(&mut vm);
        // Others do.
        load_disk(&mut vm, "size_mib=64");
        tell(&mut vm, "capacity", 262_144);
        tell(&mut vm, "changed", 1);
        vm.wait_until(10, "grep -qx 262144 /sys/block/vda/size");
        unload(&mut vm);
    }

    /// U17: a disk with zones follows the other limits of its device. What the block layer has made of
    /// those on zones stays.
    #[test]
    fn limits_on_zones_stay_as_they_were() {
        let mut vm = boot();
        load_disk(&mut vm, "size_mib=16 zone_sectors=64 granularity=512");
        let zones = "cd /sys/block/vda/queue && grep . zoned chunk_sectors max_open_zones \
                     max_active_zones zone_append_max_bytes zone_write_granularity";
        let before = vm.ok(zones);
        tell(&mut vm, "seg_max", 4);
        tell(&mut vm, "changed", 1);
        vm.wait_until(10, "[ $(cat /sys/block/vda/queue/max_segments) = 4 ]");
        assert_eq!(vm.ok(zones), before);
        vm.ok("blkzone reset /dev/vda && blkzone report /dev/vda");
        unload(&mut vm);
    }

    /// K63, BLK-INIT-7, BLK-INIT-10, BLK-INIT-11: the other models are disks like any other, also with
    /// fields that make no sense.
    #[test]
    fn other_models_are_ordinary_disks() {
        let mut vm = boot();
        for model in [0, 2] {
            load_disk(
                &mut vm,
                &format!("zone_sectors=1000 granularity=0 zone_model={model} discard_seg=4"),
            );
            assert_eq!(vm.ok("cat /sys/block/vda/queue/zoned"), "none");
            assert_ne!(vm.ok("cat /sys/block/vda/queue/discard_max_bytes"), "0");
            vm.roundtrip("vda");
            unload(&mut vm);
        }
    }
}
