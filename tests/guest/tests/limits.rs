// SPDX-License-Identifier: GPL-2.0

//! Sizes, numbers and names.

use guest::{Disk, Guest, Vm};
use serde_json::json;

#[test]
fn blocks_of_4096_bytes_work() {
    let disk = Disk::blank(64)
        .option("logical_block_size=4096")
        .option("physical_block_size=4096");
    let mut vm = Guest::new().disk(disk).boot();
    assert_eq!(vm.ok("cat /sys/block/vda/queue/logical_block_size"), "4096");
    assert_eq!(vm.ok("cat /sys/block/vda/size"), "131072");
    vm.fails("dd if=/dev/vda of=/dev/null bs=512 count=1 iflag=direct");
    vm.roundtrip("vda");
    vm.ok("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt && cp /usr/bin/dash /mnt && umount /mnt");
    vm.ok("e2fsck -fn /dev/vda");
}

/// A disk of nothing, one of a single sector, and one with less than a block at its end.
#[test]
fn odd_sizes_are_served() {
    let null = |bytes: u64| {
        Disk::backend(json!({ "driver": "null-co", "size": bytes, "read-zeroes": true }))
    };
    let mut vm = Guest::new()
        .disk(null(0))
        .disk(null(512))
        .disk(null((1 << 20) + 1536).option("logical_block_size=4096,physical_block_size=4096"))
        .boot();
    let mut read = |disk: &str, block| {
        vm.ok(&format!(
            "dd if=/dev/{disk} bs={block} iflag=direct 2>/dev/null | wc -c"
        ))
    };
    assert_eq!(read("vda", 512), "0");
    assert_eq!(read("vdb", 512), "512");
    assert_eq!(read("vdc", 4096), (1 << 20).to_string());
    assert_eq!(vm.ok("cat /sys/block/vda/size"), "0");
    vm.fails("dd if=/dev/zero of=/dev/vda bs=512 count=1 oflag=direct");
    vm.ok("dd if=/dev/zero of=/dev/vdb bs=512 count=1 oflag=direct");
    vm.fails("dd if=/dev/zero of=/dev/vdb bs=512 count=1 seek=1 oflag=direct");
}

/// D23: all have one major number.
#[test]
fn twenty_eight_disks_have_28_names() {
    let mut guest = Guest::new().cpus(2);
    for number in 0..28 {
        guest = guest.disk(Disk::null(16 + number, 0).option(&format!("serial=number{number}")));
    }
    let mut vm = guest.boot();
    let names: Vec<String> = ('a'..='z')
        .map(|letter| format!("vd{letter}"))
        .chain(["vdaa".into(), "vdab".into()])
        .collect();
    for (number, name) in names.iter().enumerate() {
        let is_right = format!(
            "grep -qx number{number} /sys/block/{name}/serial \
             && grep -qx {} /sys/block/{name}/size \
             && [ $(cat /sys/block/{name}/dev) = $(grep virtblk /proc/devices | cut -d' ' -f1):{} ] \
             && dd if=/dev/{name} of=/dev/null bs=64k count=4 iflag=direct",
            (16 + number) * 2048,
            16 * number
        );
        vm.ok(&is_right);
    }
    assert_eq!(vm.ok("ls -d /sys/block/vd* | wc -l"), "28");
    assert_eq!(vm.ok("grep -c virtblk /proc/devices"), "1");
}

mod beyond_c {
    use super::*;

    /// What is no whole block at the end is not used, and the log says so.
    #[test]
    fn the_rest_of_a_block_is_not_used() {
        let disk = Disk::backend(json!({
            "driver": "null-co", "size": (1 << 20) + 1536, "read-zeroes": true
        }));
        let disk = disk.option("logical_block_size=4096,physical_block_size=4096");
        let mut vm = Guest::new().disk(disk).boot();
        assert_eq!(vm.ok("cat /sys/block/vda/size"), "2048");
        vm.wait_for_console(
            10,
            "[vda] the last 3 sectors are no whole block and not used",
        );
    }

    /// D24: names go on with three letters. More devices than QEMU's bus has places for come from
    /// the fake transport.
    #[test]
    fn disk_703_is_vdaaa() {
        let mut vm = Guest::new().cpus(2).boot();
        vm.ok_within(
            180,
            "modprobe virtio_fake disks=703 size_mib=1 queue_size=4",
        );
        vm.wait_until(60, "[ -b /dev/vdaaa ]");
        assert_eq!(vm.ok("ls -d /sys/block/vd* | wc -l"), "703");
        for (name, number) in [("vdz", 25), ("vdaa", 26), ("vdzz", 701), ("vdaaa", 702)] {
            let dev = vm.ok(&format!("cut -d: -f2 /sys/block/{name}/dev"));
            assert_eq!(dev, (number * 16).to_string(), "{name}");
            vm.ok(&format!("/usr/lib/guest/roundtrip {name} 1"));
        }
        vm.ok_within(180, "rmmod virtio_fake");
        vm.ok("[ ! -e /dev/vda ]");
    }
}

#[test]
fn a_disk_has_sixteen_minors_and_more_partitions_than_that() {
    let mut vm = Guest::new()
        .disk(Disk::blank(64))
        .disk(Disk::blank(16))
        .boot();
    vm.ok("(echo label: gpt; for i in $(seq 20); do echo size=2MiB; done) | sfdisk -q /dev/vda");
    let major = vm.ok("awk '$2 == \"virtblk\" { print $1 }' /proc/devices");
    assert_eq!(vm.ok("cat /sys/block/vda/dev"), format!("{major}:0"));
    assert_eq!(vm.ok("cat /sys/block/vda/vda15/dev"), format!("{major}:15"));
    assert_eq!(vm.ok("cat /sys/block/vdb/dev"), format!("{major}:16"));
    // Later ones take extended numbers.
    assert_eq!(vm.ok("cut -d: -f1 /sys/block/vda/vda16/dev"), "259");
    assert_eq!(vm.ok("ls -d /sys/block/vda/vda* | wc -l"), "20");
    vm.ok("/usr/lib/guest/roundtrip vda7 1 && /usr/lib/guest/roundtrip vda20 1");
    // And another boot of the driver finds them by itself.
    vm.unload();
    vm.load();
    assert_eq!(vm.ok("ls /dev/vda* | wc -l"), "21");
}

#[test]
fn a_resize_is_seen_at_once() {
    let mut vm = Guest::new().disk(Disk::blank(16)).boot();
    vm.ok("touch /run/uevents && echo /usr/lib/guest/uevent > /sys/kernel/uevent_helper");
    for mebibytes in [32, 24, 64] {
        vm.ok(": > /run/uevents");
        vm.resize(mebibytes);
        let sectors = mebibytes * 2048;
        vm.wait_until(10, &format!("grep -qx {sectors} /sys/block/vda/size"));
        vm.wait_until(10, "grep -q '^change .*/vda .*RESIZE=1' /run/uevents");
    }
    vm.ok("/usr/lib/guest/roundtrip vda 2 60");
    assert!(vm
        .console()
        .contains("[vda] new size: 131072 512-byte logical blocks"));
}

/// A disk may become smaller than what is mounted on it: what is cut off fails, the rest stays, and
/// when it is as large as before, so is the file system.
#[test]
fn a_disk_may_shrink_below_its_file_system() {
    let mut vm = Guest::new().disk(Disk::blank(64)).boot();
    let resize = |vm: &mut Vm, mebibytes: i64| {
        vm.resize(mebibytes);
        let is_so = format!("grep -qx {} /sys/block/vda/size", mebibytes * 2048);
        vm.wait_until(10, &is_so);
    };
    vm.ok("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt
         cp /usr/bin/dash /mnt && sync");
    resize(&mut vm, 32);
    vm.expect_any_error();
    vm.ok("dd if=/mnt/dash bs=64k iflag=direct | cmp - /usr/bin/dash");
    let beyond = "dd if=/dev/vda bs=1M skip=33 count=1 iflag=direct 2>/dev/null | wc -c";
    assert_eq!(vm.ok(beyond), "0");
    vm.fails("dd if=/dev/zero of=/dev/vda bs=1M seek=33 count=1 oflag=direct");
    assert_eq!(
        vm.ok("dd if=/dev/vda bs=1M skip=31 iflag=direct 2>/dev/null | wc -c"),
        (1 << 20).to_string()
    );
    resize(&mut vm, 64);
    vm.ok(
        "umount /mnt && e2fsck -fy /dev/vda && mount /dev/vda /mnt && cmp /mnt/dash /usr/bin/dash",
    );
}

#[test]
fn a_disk_of_two_terabytes_and_more_is_addressed() {
    let mut vm = Guest::new().disk(Disk::blank(3 << 20)).boot();
    assert_eq!(
        vm.ok("blockdev --getsize64 /dev/vda"),
        (3_u64 << 40).to_string()
    );
    vm.ok("/usr/lib/guest/roundtrip vda 1 $(((3 << 20) - 2))");
}

/// A write of one sector size that the topology asks for, and the topology as the guest sees it.
#[test]
fn the_topology_reaches_the_queue() {
    let disk = Disk::blank(16)
        .option("physical_block_size=4096")
        .option("min_io_size=8192")
        .option("opt_io_size=65536");
    let mut vm = Guest::new().disk(disk).boot();
    let queue = vm.ok("cd /sys/block/vda/queue
         cat logical_block_size physical_block_size minimum_io_size optimal_io_size");
    assert_eq!(queue, "512\n4096\n8192\n65536");
}
