// SPDX-License-Identifier: GPL-2.0

//! Requests about areas: discard, write zeroes, secure erase.

use guest::{Disk, Guest, Stack, Vm};
use std::os::unix::fs::MetadataExt;

/// How much of the host's disk an image takes.
fn kibibytes_on_host(disk: &Disk) -> u64 {
    disk.path()
        .metadata()
        .expect("looking at the image")
        .blocks()
        / 2
}

/// A number from the queue's attributes.
fn limit(vm: &mut Vm, disk: &str, name: &str) -> u64 {
    vm.ok(&format!("cat /sys/block/{disk}/queue/{name}"))
        .parse()
        .expect("a number")
}

/// K4, K56 to K58: what is discarded is given back to the host.
#[test]
fn discarding_frees_the_image() {
    let disk = Disk::blank(32);
    let mut vm = Guest::new().disk(disk.clone()).boot();
    vm.ok("dd if=/dev/urandom of=/dev/vda bs=1M count=32 oflag=direct");
    let full = kibibytes_on_host(&disk);
    assert!(full >= 32 << 10, "{full} KiB");
    vm.ok("blkdiscard -o 8M -l 16M /dev/vda");
    let less = kibibytes_on_host(&disk);
    assert!(less <= full - (16 << 10), "{less} of {full} KiB");
    vm.ok("dd if=/dev/vda bs=1M skip=8 count=16 iflag=direct | cmp -n 16777216 - /dev/zero");
}

/// K4: fstrim after files are gone gives a qcow2 image's space back to the host.
#[test]
fn fstrim_shrinks_the_image() {
    let disk = Disk::qcow2(64);
    let mut vm = Guest::new().disk(disk.clone()).boot();
    vm.ok("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt");
    vm.ok("for i in $(seq 40); do dd if=/dev/urandom of=/mnt/$i bs=1M count=1; done 2> /dev/null");
    vm.ok("sync && rm /mnt/*[13579] && sync");
    let full = kibibytes_on_host(&disk);
    vm.ok("fstrim /mnt");
    let less = kibibytes_on_host(&disk);
    assert!(less + (15 << 10) < full, "{less} of {full} KiB");
    vm.ok("umount /mnt && e2fsck -fn /dev/vda");
}

/// K6, K59, K61: zeroes are written without being sent, and freed if that is asked for.
#[test]
fn zeroes_are_written_by_the_device() {
    let disk = Disk::blank(32);
    let mut vm = Guest::new().disk(disk.clone()).boot();
    vm.ok("dd if=/dev/urandom of=/dev/vda bs=1M count=32 oflag=direct");
    let full = kibibytes_on_host(&disk);
    let requests = "awk '{ print $5 }' /sys/block/vda/stat";
    let before: u32 = vm.ok(requests).parse().expect("a number");
    vm.ok("fallocate --zero-range -o 4M -l 8M /dev/vda");
    let after: u32 = vm.ok(requests).parse().expect("a number");
    // Zeroes that are sent need a request for each 1280 KiB.
    assert!(after - before < 4, "{} requests", after - before);
    assert_eq!(
        kibibytes_on_host(&disk),
        full,
        "zeroes that keep their place"
    );
    // This one fails where the device cannot do it.
    vm.ok("fallocate --punch-hole -o 12M -l 8M /dev/vda");
    let less = kibibytes_on_host(&disk);
    // The file system of the host may need a block more for what it keeps about the file.
    assert!(less + (7 << 10) <= full, "{less} of {full} KiB");
    vm.ok("dd if=/dev/vda bs=1M skip=4 count=16 iflag=direct | cmp -n 16777216 - /dev/zero");
    vm.fails("dd if=/dev/vda bs=1M skip=20 count=1 iflag=direct | cmp -n 1048576 - /dev/zero");
}

/// K56 to K59: the device's limits are the queue's, and without the features there are none.
#[test]
fn limits_are_those_of_the_device() {
    let limited = Disk::blank(32)
        .option("max-discard-sectors=2048")
        .option("max-write-zeroes-sectors=4096")
        .option("discard_granularity=8192");
    let without = Disk::blank(32)
        .option("discard=off")
        .option("write-zeroes=off");
    let mut vm = Guest::new().disk(limited).disk(without).boot();
    assert_eq!(limit(&mut vm, "vda", "discard_max_hw_bytes"), 1 << 20);
    assert_eq!(limit(&mut vm, "vda", "write_zeroes_max_bytes"), 2 << 20);
    assert_eq!(limit(&mut vm, "vda", "discard_granularity"), 8192);
    if vm.stack() == Stack::Rust {
        // U34: the C driver does not tell.
        let unmapping = limit(&mut vm, "vda", "write_zeroes_unmap_max_hw_bytes");
        assert_eq!(unmapping, 2 << 20);
    }
    vm.ok("blkdiscard /dev/vda && blkdiscard -z /dev/vda");
    assert_eq!(limit(&mut vm, "vdb", "discard_max_hw_bytes"), 0);
    assert_eq!(limit(&mut vm, "vdb", "write_zeroes_max_bytes"), 0);
    let error = vm.fails("blkdiscard /dev/vdb");
    assert!(error.contains("not supported"), "{error}");
    // The kernel sends zeroes instead.
    vm.ok("blkdiscard -z /dev/vdb");
}

mod beyond_c {
    use super::*;

    fn fill(vm: &mut Vm, parameters: &str) {
        vm.ok(&format!("modprobe virtio_fake size_mib=8 {parameters}"));
        vm.wait_until(10, "[ -b /dev/vda ]");
        vm.ok("dd if=/dev/urandom of=/dev/vda bs=1M count=8 oflag=direct");
    }

    /// Takes the fake disk away, which fails the guest if a request was malformed.
    fn drop_disk(vm: &mut Vm) {
        vm.ok_within(30, "rmmod virtio_fake");
    }

    /// K7, K62: QEMU has no device that erases; the fake one does.
    #[test]
    fn secure_erase_erases() {
        let mut vm = Guest::new().boot();
        fill(&mut vm, "erase_seg=1");
        vm.ok("blkdiscard -s -o 1M -l 2M /dev/vda");
        vm.ok("dd if=/dev/vda bs=1M skip=1 count=2 iflag=direct | cmp -n 2097152 - /dev/zero");
        let error = vm.fails("blkdiscard /dev/vda");
        assert!(error.contains("not supported"), "{error}");
        drop_disk(&mut vm);
    }

    /// K5, K61, H15, BLK-SEG-1, BLK-DISCARD-1: one area where the device takes one, and freeing is
    /// asked for only where it is allowed. The device checks each list.
    #[test]
    fn lists_of_areas_are_what_the_device_takes() {
        let mut vm = Guest::new().checking_leaks().cpus(2).boot();
        for (areas, parameters) in [
            (1, "zeroes=1"),
            (4, "zeroes=2 area_sectors=256"),
            (64, "erase_seg=1 zeroes=1 num_queues=2"),
        ] {
            fill(&mut vm, &format!("discard_seg={areas} {parameters}"));
            vm.ok("mkfs.ext4 -q -F /dev/vda && mount -o discard /dev/vda /mnt");
            vm.ok("for i in $(seq 60); do head -c 40000 /dev/urandom > /mnt/$i; done; sync");
            vm.ok("rm /mnt/*[02468]; sync; fstrim /mnt; umount /mnt && e2fsck -fn /dev/vda");
            vm.ok("blkdiscard -z /dev/vda && cmp -n 8388608 /dev/vda /dev/zero");
            // The part before the first unit is an area of its own.
            vm.ok("blkdiscard -o 512 -l 65536 /dev/vda");
            drop_disk(&mut vm);
            let largest = "dmesg | sed -n 's/.*largest list: \\([0-9]*\\) areas/\\1/p' | tail -n 1";
            let largest: u32 = vm.ok(largest).parse().expect("a number");
            assert!((areas.min(2)..=areas).contains(&largest), "{largest} areas");
        }
    }
}
