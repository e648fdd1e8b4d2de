// SPDX-License-Identifier: GPL-2.0

//! Reading, writing and flushing.

use guest::{Disk, Guest, Vm};
use qapi::qmp;
use std::process::Command;

const FIO: &str = "fio --name=verify --filename=/dev/vda --direct=1 --rw=randwrite \
     --bsrange=512-128k --size=12M --verify=crc32c --verify_fatal=1 --verify_state_save=0 \
     --do_verify=1 --fsync=128 --group_reporting --output=/run/fio.log --minimal";

#[test]
fn fio_verifies_random_sizes_on_one_queue() {
    let disk = Disk::blank(64).option("num-queues=1");
    let mut vm = Guest::new().cpus(2).disk(disk).with_tools().boot();
    for engine in ["io_uring", "libaio"] {
        let job =
            format!("{FIO} --ioengine={engine} --iodepth=32 || {{ cat /run/fio.log; exit 1; }}");
        vm.ok_within(120, &job);
    }
}

#[test]
fn fio_verifies_random_sizes_on_four_queues() {
    let disk = Disk::blank(64).option("num-queues=4");
    let mut vm = Guest::new().cpus(4).disk(disk).with_tools().boot();
    let job = format!(
        "{FIO} --ioengine=io_uring --iodepth=16 --iodepth_batch=8 --numjobs=4 \
         --offset_increment=16M --cpus_allowed=0-3 --cpus_allowed_policy=split \
         || {{ cat /run/fio.log; exit 1; }}"
    );
    vm.ok_within(180, &job);
}

/// What the guest wrote is in the image, and what the host puts there is what the guest reads.
#[test]
fn host_and_guest_see_the_same_bytes() {
    let disk = Disk::blank(8);
    let mut vm = Guest::new().disk(disk.clone()).boot();
    vm.ok("dd if=/dev/urandom of=/dev/vda bs=1M count=8 oflag=direct");
    let in_guest = vm.ok("sha256sum < /dev/vda");
    vm.finish();
    let on_host = sha256(&disk);
    assert_eq!(on_host, in_guest);

    let mut image = std::fs::read(disk.path()).expect("reading the image");
    image.rotate_left(4096);
    std::fs::write(disk.path(), image).expect("writing the image");
    let mut vm = Guest::new().disk(disk.clone()).boot();
    assert_eq!(vm.ok("sha256sum < /dev/vda"), sha256(&disk));
    assert_ne!(sha256(&disk), on_host);
}

fn sha256(disk: &Disk) -> String {
    let image = std::fs::File::open(disk.path()).expect("opening the image");
    let output = Command::new("sha256sum").stdin(image).output();
    let output = output.expect("running sha256sum").stdout;
    String::from_utf8_lossy(&output).trim().to_owned()
}

/// How many flushes the device has been asked for.
fn flushes(vm: &mut Vm) -> i64 {
    let query = qmp::query_blockstats { query_nodes: None };
    vm.qmp(&query)[0].stats.flush_operations
}

/// A write cache that is never flushed would lose data at a power cut (D37).
#[test]
fn a_flush_reaches_the_device() {
    let mut vm = Guest::new().disk(Disk::blank(16)).boot();
    assert_eq!(vm.ok("cat /sys/block/vda/queue/write_cache"), "write back");
    let before = flushes(&mut vm);
    vm.ok("for i in 1 2 3; do dd if=/dev/zero of=/dev/vda bs=4k count=1 oflag=direct conv=fsync; done");
    assert!(flushes(&mut vm) >= before + 3);
}

#[test]
fn a_device_without_a_cache_gets_no_flush() {
    let disk = Disk::blank(16)
        .option("write-cache=off")
        .option("config-wce=off");
    let mut vm = Guest::new().disk(disk).boot();
    assert_eq!(
        vm.ok("cat /sys/block/vda/queue/write_cache"),
        "write through"
    );
    vm.ok("dd if=/dev/zero of=/dev/vda bs=4k count=1 oflag=direct conv=fsync");
    vm.roundtrip("vda");
    assert_eq!(flushes(&mut vm), 0);
}

#[test]
fn the_serial_number_is_the_device_s() {
    let mut vm = Guest::new()
        .disk(Disk::blank(16).option("serial=S3RIAL-01"))
        .disk(Disk::blank(16).option("serial=exactly-20-character"))
        .disk(Disk::blank(16))
        .boot();
    assert_eq!(vm.ok("cat /sys/block/vda/serial"), "S3RIAL-01");
    assert_eq!(vm.ok("cat /sys/block/vdb/serial"), "exactly-20-character");
    assert_eq!(vm.ok("cat /sys/block/vdc/serial"), "");
}

/// Each of sixteen at once reads back what it has written.
#[test]
fn many_processes_share_the_disk() {
    let mut vm = Guest::new().cpus(4).disk(Disk::blank(64)).boot();
    vm.ok_within(
        90,
        "for i in $(seq 0 15); do /usr/lib/guest/roundtrip vda 1 $((i * 3)) & pids=\"$pids $!\"; done
         for pid in $pids; do wait $pid || exit 1; done",
    );
}

/// The image after a power cut holds what was flushed, and not even QEMU would have written it
/// otherwise.
#[test]
fn flushed_data_survives_a_power_cut() {
    let disk = Disk::qcow2(64);
    let mut vm = Guest::new().disk(disk.clone()).boot();
    vm.ok("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt");
    vm.ok("dd if=/dev/urandom of=/mnt/file bs=64k count=32 conv=fsync");
    let sum = vm.ok("sha256sum < /mnt/file");
    vm.cut_power();
    let mut vm = Guest::new().disk(disk).boot();
    vm.ok("mount /dev/vda /mnt");
    assert_eq!(vm.ok("sha256sum < /mnt/file"), sum);
    vm.ok("umount /mnt && e2fsck -fn /dev/vda");
}
