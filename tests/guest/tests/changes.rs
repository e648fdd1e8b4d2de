// SPDX-License-Identifier: GPL-2.0

//! Devices that say other things of themselves while their disk is in use.
//!
//! The fake device of `tests/fake` plays them, as told by way of debugfs. Other sizes are in
//! `limits.rs`, disks with zones in `zones.rs`, and what has changed after a reset in
//! `recovery.rs`.

mod beyond_c {
    use guest::{
        fake::{
            load,
            says,
            tell,
            unload,
            IS_BUSY, //
        },
        Guest,
        Vm, //
    };

    /// `VIRTIO_BLK_F_CONFIG_WCE`, as a word of features.
    const CONFIG_WCE: u64 = 1 << 11;

    /// A read of a whole disk, which one that holds requests does not end.
    const READ: &str = "dd if=/dev/vda of=/dev/null bs=16k iflag=direct";

    /// Whether the end of all requests is being waited for.
    const IS_FREEZING: &str = "grep -qs blk_mq_freeze_queue_wait /proc/*/wchan";

    fn queue(vm: &mut Vm, attribute: &str) -> String {
        vm.ok(&format!("cat /sys/block/vda/queue/{attribute}"))
    }

    /// How many lines of the log have `text`.
    fn lines(vm: &mut Vm, text: &str) -> usize {
        let log = vm.ok("dmesg");
        log.lines().filter(|line| line.contains(text)).count()
    }

    /// Adds a disk of which something can be changed.
    fn load_disk(vm: &mut Vm, parameters: &str) {
        load(vm, &format!("features_on={CONFIG_WCE} {parameters}"));
        vm.wait_until(10, "[ -b /dev/vda ]");
    }

    /// Writes 16 KiB, and asks for no flush.
    #[track_caller]
    fn write(vm: &mut Vm) {
        vm.ok("dd if=/dev/zero of=/dev/vda bs=4k count=4 oflag=direct 2>/dev/null");
    }

    /// Starts a read that the disk does not end.
    #[track_caller]
    fn hold_a_read(vm: &mut Vm) {
        tell(vm, "hold", 1);
        vm.spawn("io", READ);
        vm.wait_until(10, IS_BUSY);
    }

    /// Has the disk end it.
    #[track_caller]
    fn release_the_read(vm: &mut Vm) {
        tell(vm, "hold", 0);
        let io = vm.join("io", 30);
        assert!(io.is_ok(), "{}", io.text);
    }

    /// Waits until the device was reset, for the first time since the log was cleared.
    #[track_caller]
    fn wait_for_reset(vm: &mut Vm) {
        vm.wait_until(10, "dmesg | grep -q 'device was reset and is used again'");
        vm.ok("dmesg -c > /dev/null");
    }

    /// Waits until the disk takes so many segments.
    #[track_caller]
    fn wait_for_segments(vm: &mut Vm, count: u32) {
        let is_so = format!("[ $(cat /sys/block/vda/queue/max_segments) = {count} ]");
        vm.wait_until(10, &is_so);
    }

    /// U17: the block layer goes by what the device says now, of its cache and of the requests that it
    /// takes. That is also what the device is held to when it is reset.
    #[test]
    fn a_disk_follows_its_device() {
        let mut vm = Guest::new().checking_leaks().boot();
        vm.expect("device needs a reset");
        load_disk(&mut vm, "");
        assert_eq!(queue(&mut vm, "max_segments"), "126");
        assert_eq!(queue(&mut vm, "write_cache"), "write through");
        // What root has set stays.
        vm.ok("echo 64 > /sys/block/vda/queue/max_sectors_kb");
        tell(&mut vm, "seg_max", 4);
        tell(&mut vm, "writeback", 1);
        // Nobody knows yet that this needs a flush.
        write(&mut vm);
        tell(&mut vm, "changed", 1);
        wait_for_segments(&mut vm, 4);
        vm.wait_until(10, "grep -qx 0 /sys/kernel/debug/virtio_fake.0/volatile");
        assert_eq!(queue(&mut vm, "write_cache"), "write back");
        assert_eq!(vm.ok("cat /sys/block/vda/cache_type"), "write back");
        assert_eq!(queue(&mut vm, "max_sectors_kb"), "64");
        vm.ok("dd if=/dev/zero of=/dev/vda bs=4k count=4 oflag=direct conv=fsync 2>/dev/null");
        assert_ne!(vm.ok("awk '{ print $16 }' /sys/block/vda/stat"), "0");

        assert_eq!(lines(&mut vm, "device needs a reset"), 0);
        tell(&mut vm, "needs_reset", 1);
        vm.wait_until(10, "dmesg | grep -q 'device was reset and is used again'");
        vm.roundtrip("vda");
        assert_eq!(says(&mut vm, "writeback"), "1");
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
        load_disk(&mut vm, "");
        hold_a_read(&mut vm);
        tell(&mut vm, "seg_max", 4);
        tell(&mut vm, "changed", 1);
        vm.wait_until(10, "dmesg | grep -q 'new limits'");
        vm.wait_until(10, IS_FREEZING);
        assert_eq!(queue(&mut vm, "max_segments"), "126");
        unload(&mut vm);
        assert!(!vm.join("io", 10).is_ok());
        assert_eq!(lines(&mut vm, "device does not answer"), 1);
    }

    /// K70, K78, BLK-WCE-1: flushes are sent before the device caches, and until it does not any more,
    /// whatever happens to the device meanwhile. Otherwise who syncs in between would not be told the
    /// truth.
    #[test]
    fn there_is_no_cache_without_flushes() {
        let mut vm = Guest::new().checking_leaks().cpus(2).boot();
        vm.expect("device needs a reset");
        load_disk(&mut vm, "writeback=1");
        for with_reset in [false, true] {
            for (from, to, cache) in [
                ("write back", "write through", "0"),
                ("write through", "write back", "1"),
            ] {
                hold_a_read(&mut vm);
                vm.spawn("store", &format!("echo {to} > /sys/block/vda/cache_type"));
                vm.wait_until(10, IS_FREEZING);
                if with_reset {
                    tell(&mut vm, "needs_reset", 1);
                    wait_for_reset(&mut vm);
                }
                // The block layer waits for the read.
                assert_eq!(queue(&mut vm, "write_cache"), from);
                assert_eq!(says(&mut vm, "writeback"), "0", "{to}");
                release_the_read(&mut vm);
                assert!(vm.join("store", 10).is_ok());
                assert_eq!(says(&mut vm, "writeback"), cache, "{to}");
                assert_eq!(queue(&mut vm, "write_cache"), to);
                assert_eq!(vm.ok("cat /sys/block/vda/cache_type"), to);
            }
        }
        unload(&mut vm);
    }

    /// BLK-WCE-1, BLK-WCE-2: what was written into the cache is flushed before the block layer takes the
    /// device for one without, whoever has turned it off.
    #[test]
    fn what_was_cached_is_flushed_when_the_cache_goes() {
        let mut vm = Guest::new().checking_leaks().boot();
        load_disk(&mut vm, "");
        for who in ["driver", "device"] {
            vm.ok("echo write back > /sys/block/vda/cache_type");
            write(&mut vm);
            assert_eq!(says(&mut vm, "volatile"), "16384", "{who}");
            if who == "driver" {
                vm.ok("echo write through > /sys/block/vda/cache_type");
            } else {
                tell(&mut vm, "writeback", 0);
                tell(&mut vm, "changed", 1);
            }
            vm.wait_until(
                10,
                "grep -qx 'write through' /sys/block/vda/queue/write_cache",
            );
            assert_eq!(says(&mut vm, "volatile"), "0", "{who}");
        }
        write(&mut vm);
        assert_eq!(says(&mut vm, "volatile"), "0");
        unload(&mut vm);
    }

    /// U17: a device that caches of its own accord does not after a reset, as long as the block layer
    /// sends no flushes. What it has cached is flushed.
    #[test]
    fn a_reset_ends_a_cache_without_flushes() {
        let mut vm = Guest::new().checking_leaks().cpus(2).boot();
        vm.expect("device needs a reset");
        load_disk(&mut vm, "writeback=1");
        vm.ok("echo write through > /sys/block/vda/cache_type");
        tell(&mut vm, "writeback", 1);
        write(&mut vm);
        assert_eq!(says(&mut vm, "volatile"), "16384");
        hold_a_read(&mut vm);
        tell(&mut vm, "changed", 1);
        vm.wait_until(10, IS_FREEZING);
        assert_eq!(queue(&mut vm, "write_cache"), "write through");
        tell(&mut vm, "needs_reset", 1);
        wait_for_reset(&mut vm);
        assert_eq!(says(&mut vm, "writeback"), "0");
        release_the_read(&mut vm);
        vm.wait_until(10, "grep -qx 0 /sys/kernel/debug/virtio_fake.0/volatile");
        assert_eq!(queue(&mut vm, "write_cache"), "write through");
        assert_eq!(vm.ok("cat /sys/block/vda/cache_type"), "write through");
        vm.roundtrip("vda");

        // The driver may not have heard of it.
        tell(&mut vm, "writeback", 1);
        write(&mut vm);
        assert_eq!(says(&mut vm, "volatile"), "16384");
        tell(&mut vm, "needs_reset", 1);
        wait_for_reset(&mut vm);
        vm.wait_until(10, "grep -qx 0 /sys/kernel/debug/virtio_fake.0/volatile");
        assert_eq!(says(&mut vm, "writeback"), "0");
        assert_eq!(queue(&mut vm, "write_cache"), "write through");
        unload(&mut vm);
    }

    /// U17: as long as what was cached cannot be flushed, the block layer sends flushes, and the driver does
    /// not try for ever: once for each change, and when the driver is taken off. Other limits do not wait
    /// for that.
    #[test]
    fn a_flush_that_fails_leaves_it_to_others() {
        let mut vm = Guest::new().checking_leaks().boot();
        vm.expect("new limits or cache type are not used: ");
        load_disk(&mut vm, "writeback=1");
        write(&mut vm);
        tell(&mut vm, "fail_flush", 1);
        let error = vm.fails("echo write through > /sys/block/vda/cache_type");
        assert!(error.contains("I/O error"), "{error}");
        tell(&mut vm, "seg_max", 4);
        tell(&mut vm, "changed", 1);
        wait_for_segments(&mut vm, 4);
        assert_eq!(queue(&mut vm, "write_cache"), "write back");
        assert_eq!(lines(&mut vm, "are not used"), 0);
        for (count, writeback) in [(1, 1), (2, 0)] {
            tell(&mut vm, "writeback", writeback);
            tell(&mut vm, "changed", 1);
            let is_logged = format!("[ $(dmesg | grep -c 'are not used') = {count} ]");
            vm.wait_until(10, &is_logged);
        }
        // The second has to wait until the driver is done with the first.
        for count in [8, 16] {
            tell(&mut vm, "seg_max", count.into());
            tell(&mut vm, "changed", 1);
            wait_for_segments(&mut vm, count);
        }
        assert_eq!(lines(&mut vm, "are not used"), 2);
        assert_eq!(queue(&mut vm, "write_cache"), "write back");
        tell(&mut vm, "fail_flush", 0);
        vm.ok("echo write through > /sys/block/vda/cache_type");
        assert_eq!(queue(&mut vm, "write_cache"), "write through");
        assert_eq!(says(&mut vm, "volatile"), "0");

        // The last chance is when the driver is taken off.
        vm.ok("echo write back > /sys/block/vda/cache_type");
        write(&mut vm);
        tell(&mut vm, "fail_flush", 1);
        vm.fails("echo write through > /sys/block/vda/cache_type");
        tell(&mut vm, "fail_flush", 0);
        unload(&mut vm);
        assert_eq!(lines(&mut vm, "in the cache: 0 bytes"), 1);

        // If that fails, too, the log has it.
        load_disk(&mut vm, "writeback=1");
        write(&mut vm);
        tell(&mut vm, "fail_flush", 1);
        vm.fails("echo write through > /sys/block/vda/cache_type");
        unload(&mut vm);
        assert_eq!(lines(&mut vm, "are not used"), 1);
        assert_eq!(lines(&mut vm, "in the cache: 16384 bytes"), 1);
    }

    /// U17, U15: a device that was reset is held to what is in use, not to what it has only said.
    #[test]
    fn limits_that_were_never_used_do_no_harm() {
        let mut vm = Guest::new().checking_leaks().cpus(2).boot();
        vm.expect("device needs a reset");
        load_disk(&mut vm, "");
        tell(&mut vm, "seg_max", 4);
        tell(&mut vm, "changed", 1);
        wait_for_segments(&mut vm, 4);
        hold_a_read(&mut vm);
        tell(&mut vm, "seg_max", 126);
        tell(&mut vm, "changed", 1);
        vm.wait_until(10, IS_FREEZING);
        tell(&mut vm, "seg_max", 8);
        tell(&mut vm, "needs_reset", 1);
        wait_for_reset(&mut vm);
        release_the_read(&mut vm);
        wait_for_segments(&mut vm, 8);
        vm.roundtrip("vda");
        unload(&mut vm);
    }

    /// The log does not grow at the pace of a device that says something else all the time.
    #[test]
    fn the_log_has_few_of_many_changes() {
        let mut vm = Guest::new().checking_leaks().boot();
        load_disk(&mut vm, "");
        vm.ok_within(
            120,
            "cd /sys/kernel/debug/virtio_fake.0
             for size in $(seq 8001 8100); do
                 echo $size > capacity; echo 1 > changed
                 until grep -qx $size /sys/block/vda/size; do :; done
             done",
        );
        let lines = lines(&mut vm, "new size");
        assert!((1..100).contains(&lines), "{lines}");
        unload(&mut vm);
    }

    /// U17: what a disk in use cannot follow is not followed, nor what comes with it, and the log has
    /// it once. But a cache needs flushes in any case.
    #[test]
    fn other_blocks_are_not_followed() {
        let mut vm = Guest::new().checking_leaks().boot();
        vm.expect("blk_size has changed, which is not followed");
        load_disk(&mut vm, "blk_size=512");
        tell(&mut vm, "capacity", 8192);
        tell(&mut vm, "blk_size", 4096);
        tell(&mut vm, "writeback", 1);
        for _ in 0..5 {
            tell(&mut vm, "changed", 1);
            vm.wait_until(10, "dmesg | grep -q 'which is not followed'");
        }
        vm.wait_until(10, "grep -qx 'write back' /sys/block/vda/queue/write_cache");
        assert_eq!(queue(&mut vm, "logical_block_size"), "512");
        assert_eq!(vm.ok("cat /sys/block/vda/size"), "16384");
        vm.roundtrip("vda");
        assert_eq!(lines(&mut vm, "which is not followed"), 1);
        unload(&mut vm);
    }
}
