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

/// K86, K89, K82, U47: polled requests have queues of their own, without interrupts.
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
    let mut fio = |wrapper: &str, engine: &str| {
        vm.ok_within(
            120,
            &format!(
                "{wrapper} fio --name=poll --filename=/dev/vda --direct=1 --ioengine={engine} --hipri=1 \
                     --rw=randwrite --bsrange=4k-64k --size=16M --verify=crc32c --verify_fatal=1 \
                     --verify_state_save=0 --do_verify=1 --numjobs=2 --offset_increment=32M \
                     --output=/run/fio.log --minimal || {{ cat /run/fio.log; exit 1; }}"
            ),
        );
        let count = vm.ok(interrupts);
        count.parse::<u32>().expect("a number")
    };
    let after = fio("", "io_uring --iodepth=16");
    assert!(after < before + 100, "{} interrupts", after - before);
    // Hybrid polling sleeps for half of the time that a request is known to take. fio does not know of
    // it, so strace sets the flag, IORING_SETUP_HYBRID_IOPOLL beside _IOPOLL and _CQSIZE.
    let hybrid = fio(
        "strace -ff -o /run/calls -e trace=io_uring_setup \
             -e inject=io_uring_setup:poke_enter=@arg2=000000001000000009000200",
        "io_uring --iodepth=16",
    );
    assert!(hybrid < after + 100, "{} interrupts", hybrid - after);
    // preadv2() and pwritev2() with RWF_HIPRI, which the block layer does not poll for any more.
    assert!(fio("", "pvsync2") > hybrid);
    let rings = "cat /run/calls.* |
         grep -cE 'flags=IORING_SETUP_IOPOLL.*(0x20000|HYBRID_IOPOLL).* = [0-9]'";
    assert_eq!(vm.ok(rings), "2");
    // Requests that nobody polls for go the usual way.
    vm.roundtrip("vda");
}

mod beyond_c {
    use super::*;

    /// U39, H17: two disks with other queues, and with other limits of time and depth.
    #[test]
    fn disks_differ_in_their_settings() {
        let disk = || Disk::blank(64).option("num-queues=4");
        let mut vm = Guest::new()
            .cpus(4)
            .with_tools()
            .disk(disk())
            .disk(disk())
            .unloaded()
            .boot();
        load(&mut vm, "");
        vm.ok("cd /sys/module/virtio_blk/parameters
               echo 2 > num_request_queues && echo 1 > poll_queues && echo 5000 > io_timeout
               cd /sys/bus/virtio/drivers/virtio_blk && echo virtio1 > unbind && echo virtio1 > bind");
        assert_eq!(vm.ok("ls /sys/block/vda/mq | wc -l"), "4");
        assert_eq!(vm.ok("ls /sys/block/vdb/mq | wc -l"), "2");
        assert_eq!(vm.ok("cat /sys/block/vda/queue/io_poll"), "0");
        assert_eq!(vm.ok("cat /sys/block/vdb/queue/io_poll"), "1");
        assert_eq!(vm.ok("cat /sys/block/vdb/queue/io_timeout"), "5000");

        // U40: the depth changes while the disk is in use.
        vm.spawn(
            "fio",
            "fio --name=depth --filename=/dev/vda --direct=1 --ioengine=io_uring --iodepth=64 \
                 --rw=randrw --bs=4k --size=32M --time_based --runtime=1000 --minimal",
        );
        vm.wait_until(
            20,
            "[ $(awk '{ print $1 + $2 }' /sys/block/vda/inflight) -gt 0 ]",
        );
        for depth in [4, 64, 8, 256] {
            vm.ok(&format!(
                "echo {depth} > /sys/block/vda/queue/nr_requests && usleep 200000"
            ));
        }
        let done = "awk '{ print $1 + $5 }' /sys/block/vda/stat";
        vm.ok(&format!(
            "before=$({done}); sleep 1; [ $({done}) -gt $before ]"
        ));
        vm.ok("killall -INT fio");
        let fio = vm.join("fio", 20);
        assert!(!fio.text.contains("error"), "{}", fio.text);
        vm.ok("echo 1000 > /sys/block/vda/queue/io_timeout");
        assert_eq!(vm.ok("cat /sys/block/vdb/queue/io_timeout"), "5000");
        for disk in ["vda", "vdb"] {
            vm.roundtrip(disk);
        }
    }
}
