// SPDX-License-Identifier: GPL-2.0

//! The parameters of the block driver, and the queues that they ask for.

use guest::{Disk, Guest, Vm};

/// Loads the stack with parameters for the block driver.
fn load(vm: &mut Vm, parameters: &str) {
    vm.ok(&format!("modprobe virtio_blk {parameters}"));
    vm.ok("modprobe virtio_pci");
    vm.wait_until(20, "[ -b /dev/vda ]");
}

fn parameter(vm: &mut Vm, name: &str) -> String {
    vm.ok(&format!("cat /sys/module/virtio_blk/parameters/{name}"))
}

/// K80 to K82: sysfs shows them; those that may change hold for the next disk.
#[test]
fn parameters_are_in_sysfs() {
    let mut vm = Guest::new()
        .cpus(4)
        .disk(Disk::blank(16).option("num-queues=4"))
        .unloaded()
        .boot();
    load(&mut vm, "num_request_queues=2 queue_depth=33");
    assert_eq!(parameter(&mut vm, "num_request_queues"), "2");
    assert_eq!(parameter(&mut vm, "poll_queues"), "0");
    assert_eq!(parameter(&mut vm, "queue_depth"), "33");
    assert_eq!(vm.ok("ls -1 /sys/block/vda/mq"), "0\n1");
    assert_eq!(vm.ok("cat /sys/block/vda/mq/*/nr_tags"), "33\n33");
    vm.roundtrip("vda");

    vm.fails("echo nonsense > /sys/module/virtio_blk/parameters/num_request_queues");
    vm.fails("echo 1 > /sys/module/virtio_blk/parameters/queue_depth");
    vm.ok("echo 1 > /sys/module/virtio_blk/parameters/num_request_queues");
    assert_eq!(vm.ok("ls -1 /sys/block/vda/mq"), "0\n1");
    vm.ok("for op in unbind bind; do echo virtio0 > /sys/bus/virtio/drivers/virtio_blk/$op; done");
    vm.wait_until(20, "[ -b /dev/vda ]");
    assert_eq!(vm.ok("ls -1 /sys/block/vda/mq"), "0");
}

/// Bad input: more than there is of anything, and what is no number.
#[test]
fn parameters_out_of_range_do_no_harm() {
    let mut vm = Guest::new()
        .cpus(2)
        .disk(Disk::blank(16).option("num-queues=2"))
        .unloaded()
        .boot();
    vm.expect("`many' invalid for parameter `queue_depth'");
    vm.fails("modprobe virtio_blk queue_depth=many");
    load(&mut vm, "num_request_queues=1000 poll_queues=4000000000");
    // One queue at least has interrupts.
    assert_eq!(vm.ok("ls -1 /sys/block/vda/mq"), "0\n1");
    vm.ok("dmesg | grep -q '1/0/1 default/read/poll queues'");
    vm.roundtrip("vda");
}

/// K86, K89, K82: polled requests have queues of their own, without interrupts.
#[test]
fn polled_queues_need_no_interrupt() {
    let mut vm = Guest::new()
        .cpus(4)
        .disk(Disk::blank(64).option("num-queues=4"))
        .with_tools()
        .unloaded()
        .boot();
    load(&mut vm, "poll_queues=2");
    vm.ok("dmesg | grep -q '2/0/2 default/read/poll queues'");
    vm.ok("grep -q 'virtio0-req.1' /proc/interrupts");
    vm.fails("grep -q 'req_poll' /proc/interrupts");
    assert_eq!(vm.ok("cat /sys/block/vda/queue/io_poll"), "1");

    let interrupts =
        "awk '/virtio0-req/ { for (i = 2; i <= 5; i++) n += $i } END { print n + 0 }' \
                      /proc/interrupts";
    let before: u32 = vm.ok(interrupts).parse().expect("a number");
    vm.ok_within(
        120,
        "fio --name=poll --filename=/dev/vda --direct=1 --ioengine=io_uring --hipri=1 --iodepth=16 \
             --rw=randwrite --bsrange=4k-64k --size=16M --verify=crc32c --verify_fatal=1 \
             --verify_state_save=0 --do_verify=1 --numjobs=2 --offset_increment=32M \
             --output=/run/fio.log --minimal || { cat /run/fio.log; exit 1; }",
    );
    let after: u32 = vm.ok(interrupts).parse().expect("a number");
    assert!(after < before + 100, "{} interrupts", after - before);
    // Requests that nobody polls for go the usual way.
    vm.roundtrip("vda");
}
