// SPDX-License-Identifier: GPL-2.0

//! Queue sizes, queue counts, interrupts and ring features.

use guest::{
    fake::{
        load,
        unload, //
    },
    files::{
        start_filling,
        verify, //
    },
    Disk,
    Guest,
    Vm, //
};
use qapi::qmp;

fn roundtrip_all(vm: &mut Vm) {
    for disk in vm.ok("ls /sys/block | grep ^vd").lines() {
        vm.roundtrip(disk);
    }
}

/// Two entries are shown below, since QEMU refuses fewer than four.
#[test]
fn queues_of_4_and_1024_entries_work() {
    let mut vm = Guest::new()
        .cpus(2)
        .disk(Disk::blank(16).option("queue-size=4"))
        .disk(Disk::blank(16).option("queue-size=1024"))
        .boot();
    assert_eq!(vm.ok("cat /sys/block/vda/mq/0/nr_tags"), "4");
    assert_eq!(vm.ok("cat /sys/block/vdb/mq/0/nr_tags"), "1024");
    roundtrip_all(&mut vm);
}

#[test]
fn small_queues_without_indirect_descriptors_work() {
    let mut vm = Guest::new()
        .cpus(2)
        .disk(
            Disk::blank(16)
                .option("queue-size=4")
                .option("indirect_desc=off"),
        )
        .disk(
            Disk::blank(16)
                .option("queue-size=16")
                .option("indirect_desc=off"),
        )
        .boot();
    roundtrip_all(&mut vm);
}

/// K87: a request takes one entry of the ring, or two at least where it cannot be described
/// indirectly.
#[test]
fn a_queue_is_as_deep_as_its_ring_has_room() {
    let mut vm = Guest::new()
        .disk(Disk::blank(16))
        .disk(Disk::blank(16).option("indirect_desc=off"))
        .boot();
    assert_eq!(vm.ok("cat /sys/block/vda/mq/0/nr_tags"), "256");
    assert_eq!(vm.ok("cat /sys/block/vdb/mq/0/nr_tags"), "128");
}

fn queue_counts(cpus: u32) {
    let mut vm = Guest::new()
        .cpus(cpus)
        .disk(Disk::blank(16).option("num-queues=1"))
        .disk(Disk::blank(16).option("num-queues=2"))
        .disk(Disk::blank(16).option("num-queues=8"))
        .boot();
    for (disk, offered) in [("vda", 1), ("vdb", 2), ("vdc", 8)] {
        let queues: u32 = vm
            .ok(&format!("ls -d /sys/block/{disk}/mq/* | wc -l"))
            .parse()
            .expect("a number");
        assert_eq!(queues, cpus.min(offered), "queues of {disk}");
        // Each CPU has exactly one of them.
        let lists = vm.ok(&format!("cat /sys/block/{disk}/mq/*/cpu_list"));
        let mut mapped: Vec<u32> = lists
            .split([',', '\n'])
            .map(|cpu| cpu.trim().parse().expect("a CPU"))
            .collect();
        mapped.sort_unstable();
        assert_eq!(mapped, (0..cpus).collect::<Vec<_>>(), "{disk}: {lists}");
    }
    for cpu in 0..cpus {
        for disk in ["vda", "vdb", "vdc"] {
            vm.ok(&format!(
                "taskset -c {cpu} /usr/lib/guest/roundtrip {disk} 1"
            ));
        }
    }
}

#[test]
fn one_cpu_with_1_2_and_8_queues() {
    queue_counts(1);
}

#[test]
fn four_cpus_with_1_2_and_8_queues() {
    queue_counts(4);
}

#[test]
fn ring_features_can_be_off() {
    let mut vm = Guest::new()
        .cpus(2)
        .disk(Disk::blank(16).option("indirect_desc=off"))
        .disk(Disk::blank(16).option("event_idx=off"))
        .disk(
            Disk::blank(16)
                .option("indirect_desc=off")
                .option("event_idx=off"),
        )
        .disk(Disk::blank(16))
        .boot();
    for (device, indirect, event_index) in
        [(0, '0', '1'), (1, '1', '0'), (2, '0', '0'), (3, '1', '1')]
    {
        let features = vm.ok(&format!(
            "cat /sys/bus/virtio/devices/virtio{device}/features"
        ));
        let bit = |number: usize| features.chars().nth(number);
        assert_eq!(
            bit(28),
            Some(indirect),
            "indirect descriptors of virtio{device}"
        );
        assert_eq!(bit(29), Some(event_index), "event index of virtio{device}");
    }
    roundtrip_all(&mut vm);
}

/// M25, M27, M29: with vectors short the queues share one, and without any the device uses its pin.
#[test]
fn vectors_may_be_short_or_missing() {
    let disk = |vectors: u32| {
        Disk::blank(16)
            .option("num-queues=4")
            .option(&format!("vectors={vectors}"))
    };
    let mut vm = Guest::new()
        .cpus(4)
        .disk(disk(0))
        .disk(disk(1))
        .disk(disk(2))
        .disk(disk(5))
        .boot();
    let mut lines = |device: u32, kind: &str| -> usize {
        let count =
            format!("grep -E '{kind}' /proc/interrupts | grep -c 'virtio{device}\\b' || true");
        vm.ok(&count).parse().expect("a number")
    };
    assert_eq!(lines(0, "MSI"), 0);
    assert_eq!(lines(0, "IO-APIC"), 1);
    assert_eq!(lines(1, "MSI"), 0);
    assert_eq!(lines(1, "IO-APIC"), 1);
    assert_eq!(lines(2, "MSI"), 2);
    assert_eq!(lines(3, "MSI"), 5);
    roundtrip_all(&mut vm);
}

/// D31: requests that find no room in the ring go on when some is free, also when the last of what
/// was in the way ends together with others.
#[test]
fn a_full_ring_goes_on_by_itself() {
    let disk = Disk::blank(16)
        .option("indirect_desc=off")
        .option("queue-size=32");
    let mut vm = Guest::new().cpus(2).disk(disk).boot();
    vm.ok_within(
        60,
        "for round in $(seq 40); do
             dd if=/dev/zero of=/dev/vda bs=512 count=64 oflag=direct
             dd if=/dev/zero of=/dev/vda bs=1M count=2 oflag=direct conv=fsync
             for block in 1M 64k 4k; do
                 dd if=/dev/vda of=/dev/null bs=$block count=$((2097152 / 4096)) iflag=direct &
             done
             wait
         done 2> /dev/null",
    );
}

/// Every queue's interrupt goes to the CPUs that use the queue.
#[test]
fn interrupts_follow_the_queues() {
    let disk = Disk::blank(16).option("num-queues=4");
    let mut vm = Guest::new().cpus(4).disk(disk).boot();
    for cpu in 0..4 {
        vm.ok(&format!(
            "taskset -c {cpu} dd if=/dev/vda of=/dev/null bs=4k count=64 iflag=direct"
        ));
        let column = cpu + 2;
        let count = vm.ok(&format!(
            "grep 'virtio0-req' /proc/interrupts | awk '{{ n += ${column} }} END {{ print n }}'"
        ));
        let count: u32 = count.parse().expect("a number");
        assert!(count >= 64, "CPU {cpu} took {count} interrupts");
    }
}

/// A queue whose CPU goes offline finishes what it has, and the CPU is served by it again afterwards.
#[test]
fn cpus_go_and_come_during_io() {
    let disk = Disk::blank(64).option("num-queues=4");
    let mut vm = Guest::new().cpus(4).disk(disk).boot();
    start_filling(&mut vm, 60);
    for _ in 0..2 {
        for cpu in 1..4 {
            let read = "dd if=/dev/vda of=/dev/null bs=4k count=256 iflag=direct";
            vm.spawn("read", &format!("taskset -c {cpu} {read}"));
            vm.ok(&format!("echo 0 > /sys/devices/system/cpu/cpu{cpu}/online"));
            assert!(vm.join("read", 30).is_ok());
        }
        for cpu in 1..4 {
            vm.ok(&format!(
                "echo 1 > /sys/devices/system/cpu/cpu{cpu}/online
                 taskset -c {cpu} dd if=/dev/vda of=/dev/null bs=64k count=16 iflag=direct"
            ));
        }
    }
    verify(&mut vm);
}

/// Two devices on one interrupt pin: each must leave alone what is not its own.
#[test]
fn a_pin_can_be_shared() {
    let mut vm = Guest::new()
        .cpus(2)
        .disk(Disk::blank(16).option("vectors=0").option("addr=8"))
        .disk(Disk::blank(16).option("vectors=0").option("addr=12"))
        .boot();
    vm.ok("/usr/lib/guest/roundtrip vda & first=$!; /usr/lib/guest/roundtrip vdb && wait $first");
}

mod beyond_c {
    use super::*;

    /// B41, M31: a driver chooses where its interrupt goes, and user space can see that.
    #[test]
    fn a_driver_pins_its_interrupt() {
        let mut vm = Guest::new()
            .cpus(2)
            .qemu("-device", "virtio-rng-pci")
            .boot();
        vm.ok("modprobe virtio_sample cpu=1");
        vm.wait_until(10, "dmesg | grep -q 'bytes of entropy'");
        let irq = "/proc/irq/$(grep virtio0-input /proc/interrupts | cut -d: -f1 | tr -d ' ')";
        assert_eq!(vm.ok(&format!("cat {irq}/affinity_hint")), "2");
        assert_eq!(vm.ok(&format!("cat {irq}/effective_affinity")), "2");
        let handled = vm.ok("awk '/virtio0-input/ { print $2, $3 }' /proc/interrupts");
        assert_eq!(handled, "0 1");
        vm.ok("rmmod virtio_sample");
    }

    /// M28: with vectors for some of the queues, neighbours share one, and each of them still
    /// interrupts.
    #[test]
    fn queues_share_the_vectors_that_there_are() {
        let disk = |vectors: u32| {
            Disk::blank(16)
                .option("num-queues=4")
                .option(&format!("vectors={vectors}"))
        };
        let mut vm = Guest::new().cpus(4).disk(disk(3)).disk(disk(4)).boot();
        let mut names = |device: u32| {
            vm.ok(&format!(
                "grep -o 'virtio{device}-[a-z.0-9]*' /proc/interrupts"
            ))
        };
        assert_eq!(
            names(0),
            "virtio0-config\nvirtio0-virtqueues.1\nvirtio0-virtqueues.2"
        );
        assert_eq!(
            names(1),
            "virtio1-config\nvirtio1-virtqueues.1\nvirtio1-req.2\nvirtio1-req.3"
        );
        roundtrip_all(&mut vm);
        for (disk, device) in [("vda", 0), ("vdb", 1)] {
            for cpu in 0..4 {
                vm.ok(&format!(
                    "taskset -c {cpu} dd if=/dev/{disk} of=/dev/null bs=4k count=16 iflag=direct"
                ));
            }
            let silent = vm.ok(&format!(
                "grep 'virtio{device}-[rv]' /proc/interrupts |
                 awk '{{ n = $2 + $3 + $4 + $5; if (n < 16) print }}'"
            ));
            assert_eq!(silent, "", "vectors without interrupts");
        }
    }

    /// The C driver hangs: the request needs more descriptors than the ring has (H31, D31).
    #[test]
    fn a_request_larger_than_the_ring_is_served() {
        let disk = Disk::blank(16)
            .option("queue-size=64")
            .option("seg-max-adjust=off")
            .option("indirect_desc=off");
        let mut vm = Guest::new().disk(disk).boot();
        // Memory in scattered pages makes as many segments as there are pages.
        vm.ok_within(30, "dd if=/dev/vda of=/dev/null bs=1M count=4 iflag=direct");
        vm.roundtrip("vda");
    }

    /// Disks on rings of one or two entries, where a request is longer than the ring. That is a
    /// knowing breach of SPLIT-INDIRECT-3, as there would be no disk otherwise.
    #[test]
    fn queues_of_1_and_2_entries_work() {
        let mut vm = Guest::new().checking_leaks().cpus(2).boot();
        for size in [1, 2] {
            load(&mut vm, &format!("size_mib=16 queue_size={size}"));
            vm.wait_until(10, "[ -b /dev/vda ]");
            vm.roundtrip("vda");
            unload(&mut vm);
        }
    }

    /// U25, U28: what a queue is and does is in debugfs, and agrees with what others count.
    #[test]
    fn debugfs_shows_what_the_queues_do() {
        let mut vm = Guest::new()
            .checking_leaks()
            .disk(Disk::blank(16).option("queue-size=64"))
            .boot();
        let read = |vm: &mut guest::Vm, name: &str| -> u64 {
            vm.ok(&format!(
                "sed -n 's/^{name}: //p' /sys/kernel/debug/virtio/virtio0/queue0"
            ))
            .parse()
            .expect("a number")
        };
        let interrupts = "awk '/virtio0-req/ { print $2 }' /proc/interrupts";
        let requests = "awk '{ print $1 + $5 }' /sys/block/vda/stat";
        let [added, before] = ["added", "interrupts"].map(|name| read(&mut vm, name));
        let completed: u64 = vm.ok(requests).parse().expect("a number");
        let notified = read(&mut vm, "notifications") + read(&mut vm, "suppressed");
        vm.ok("dd if=/dev/vda of=/dev/null bs=4k count=200 iflag=direct");
        let notified = read(&mut vm, "notifications") + read(&mut vm, "suppressed") - notified;
        assert!(notified >= 200, "{notified} notifications");
        let completed = vm.ok(requests).parse::<u64>().expect("a number") - completed;
        assert!(completed >= 200);
        assert_eq!(read(&mut vm, "added") - added, completed);
        let handled = read(&mut vm, "interrupts");
        assert!(handled - before >= 1);
        assert_eq!(handled, vm.ok(interrupts).parse::<u64>().expect("a number"));
        assert_eq!(read(&mut vm, "size"), 64);
        assert_eq!(read(&mut vm, "free") + read(&mut vm, "in_flight"), 64);
        assert!(read(&mut vm, "largest_batch") >= 1);
        assert_eq!(read(&mut vm, "broken"), 0);
        let path = vm.qmp(&qmp::x_query_virtio {}).remove(0).path;
        let device = vm.qmp(&qmp::x_query_virtio_queue_status { path, queue: 0 });
        let used = u64::from(device.used_idx);
        assert_eq!(device.last_avail_idx.map(u64::from), Some(used));
        for name in ["avail_idx", "used_idx", "last_used_idx"] {
            assert_eq!(read(&mut vm, name), used, "{name}");
        }
        vm.ok("echo virtio0 > /sys/bus/virtio/drivers/virtio_blk/unbind");
        vm.ok("[ ! -e /sys/kernel/debug/virtio/virtio0/queue0 ]");
        vm.ok("echo virtio0 > /sys/bus/virtio/drivers/virtio_blk/bind");
        vm.roundtrip("vda");
        assert!(read(&mut vm, "added") > 10);
    }
}
