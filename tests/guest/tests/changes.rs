// SPDX-License-Identifier: GPL-2.0

//! Devices that say other things of themselves while their disk is in use.
//!
//! The fake device of `tests/fake` plays them; the numbers of faults are in
//! `tests/fake/device/fault.rs`. Other sizes are in `limits.rs`, disks with zones in `zones.rs`, and what
//! has changed after a reset in `recovery.rs`.

mod beyond_c {
    use guest::{
        fake::{
            load,
            unload, //
        },
        Guest,
        Vm, //
    };

    /// `VIRTIO_BLK_F_CONFIG_WCE`, as a word of features.
    const CONFIG_WCE: u64 = 1 << 11;

    fn queue(vm: &mut Vm, attribute: &str) -> String {
        vm.ok(&format!("cat /sys/block/vda/queue/{attribute}"))
    }

    /// How many lines of the log have `text`.
    fn lines(vm: &mut Vm, text: &str) -> usize {
        let log = vm.ok("dmesg");
        log.lines().filter(|line| line.contains(text)).count()
    }

    /// Has the disk serve a hundred reads, before it says something else.
    fn read_a_hundred(vm: &mut Vm) {
        vm.ok("dd if=/dev/vda of=/dev/null bs=16k count=100 iflag=direct 2>/dev/null");
    }

    /// U17: the block layer goes by what the device says now, of its cache and of the requests that it
    /// takes. That is also what the device is held to when it is reset.
    #[test]
    fn a_disk_follows_its_device() {
        let mut vm = Guest::new().checking_leaks().boot();
        vm.expect("device needs a reset");
        load(
            &mut vm,
            &format!("features_on={CONFIG_WCE} fault=31 fault_after=90 fault_count=200"),
        );
        vm.wait_until(10, "[ -b /dev/vda ]");
        assert_eq!(queue(&mut vm, "max_segments"), "126");
        assert_eq!(queue(&mut vm, "write_cache"), "write through");
        // What root has set stays.
        vm.ok("echo 64 > /sys/block/vda/queue/max_sectors_kb");
        read_a_hundred(&mut vm);
        vm.wait_until(10, "[ $(cat /sys/block/vda/queue/max_segments) = 4 ]");
        assert_eq!(queue(&mut vm, "write_cache"), "write back");
        assert_eq!(vm.ok("cat /sys/block/vda/cache_type"), "write back");
        assert_eq!(queue(&mut vm, "max_sectors_kb"), "64");
        vm.ok("dd if=/dev/zero of=/dev/vda bs=4k count=4 oflag=direct conv=fsync 2>/dev/null");
        assert_ne!(vm.ok("awk '{ print $16 }' /sys/block/vda/stat"), "0");

        assert_eq!(lines(&mut vm, "device needs a reset"), 0);
        read_a_hundred(&mut vm);
        read_a_hundred(&mut vm);
        assert_eq!(lines(&mut vm, "device was reset and is used again"), 1);
        vm.roundtrip("vda");
        assert_eq!(queue(&mut vm, "write_cache"), "write back");
        assert_eq!(lines(&mut vm, "[vda] new limits, smaller: seg_max"), 1);
        assert_eq!(lines(&mut vm, "[vda] new cache type: write back"), 1);
        unload(&mut vm);
    }

    /// U17, H20: whoever takes a device down does not wait for the requests that have to end before
    /// the block layer goes by what the device says now.
    #[test]
    fn a_silent_disk_that_has_changed_can_be_unbound() {
        let mut vm = Guest::new().checking_leaks().cpus(2).boot();
        vm.expect_any_error();
        load(
            &mut vm,
            &format!("features_on={CONFIG_WCE} fault=32 fault_after=90"),
        );
        vm.wait_until(10, "[ -b /dev/vda ]");
        vm.spawn(
            "io",
            "dd if=/dev/vda of=/dev/null bs=16k count=100 iflag=direct",
        );
        vm.wait_until(10, "dmesg | grep -q 'new cache type'");
        // It is being waited for.
        vm.wait_until(10, "grep -qs blk_mq_freeze_queue_wait /proc/*/wchan");
        assert_eq!(queue(&mut vm, "max_segments"), "126");
        unload(&mut vm);
        assert!(!vm.join("io", 10).is_ok());
        assert_eq!(lines(&mut vm, "device does not answer"), 1);
    }

    /// U17: what a disk in use cannot follow is not followed, nor what comes with it, and the log has
    /// it once.
    #[test]
    fn other_blocks_are_not_followed() {
        let mut vm = Guest::new().checking_leaks().boot();
        vm.expect("blk_size has changed, which is not followed");
        load(
            &mut vm,
            "blk_size=512 fault=33 fault_after=90 fault_count=5",
        );
        vm.wait_until(10, "[ -b /dev/vda ]");
        read_a_hundred(&mut vm);
        vm.wait_until(10, "dmesg | grep -q 'which is not followed'");
        assert_eq!(queue(&mut vm, "logical_block_size"), "512");
        assert_eq!(vm.ok("cat /sys/block/vda/size"), "16384");
        vm.roundtrip("vda");
        assert_eq!(lines(&mut vm, "which is not followed"), 1);
        unload(&mut vm);
    }
}
