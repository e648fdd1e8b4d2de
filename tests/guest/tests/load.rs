// SPDX-License-Identifier: GPL-2.0

//! Loading and unloading the modules.

use guest::{Disk, Guest};
use qapi::qmp;

/// A leak of a mapping, an interrupt, a file or a KiB of objects in each round would show here.
#[test]
fn loads_and_unloads_many_times_without_a_leak() {
    let mut vm = Guest::new()
        .checking_leaks()
        .cpus(2)
        .disk(Disk::blank(16))
        .unloaded()
        .boot();
    vm.ok("cat > /run/rounds <<'END'
for round in $(seq $1); do
    modprobe virtio_pci && modprobe virtio_blk || exit 1
    dd if=/dev/vda of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null || exit 1
    /usr/lib/guest/unload || exit 1
    [ ! -e /dev/vda ] || exit 1
done
END");
    let rounds = |vm: &mut guest::Vm, count: u32| {
        vm.ok_within(300, &format!("sh /run/rounds {count}"));
        vm.ok("sleep 1");
        let mut number = |text: &str| -> i64 { vm.ok(text).parse().expect("a number") };
        [
            // The debug kernel knows objects, the others only slabs, of which there are some more after
            // each round for a while.
            number(
                "for look in $(seq 8); do
                     sleep 0.3; sync
                     [ ! -e /proc/sys/vm/drop_caches ] || echo 3 > /proc/sys/vm/drop_caches
                     for each in /sys/kernel/slab/*/shrink; do echo 1 > $each; done
                     if [ -e /proc/slabinfo ]; then
                         awk 'NR > 2 { sum += $2 * $4 } END { print int(sum / 1024) }' /proc/slabinfo
                     else
                         awk '/^SUnreclaim:/ { print $2 }' /proc/meminfo
                     fi
                 done | sort -n | head -n 1",
            ),
            number("wc -l < /proc/interrupts"),
            number("wc -l < /proc/iomem"),
            number("wc -l < /proc/vmallocinfo"),
            number("ls /sys/kernel/debug | wc -l"),
        ]
    };
    // The first rounds fill the allocator's caches. What is free but kept, as KASAN does for a while,
    // does not count. Slabs come and go by a hundred KiB even so, with the C stack as well: it takes
    // many rounds to tell a leak from that.
    let has_objects = vm.sh("[ -e /proc/slabinfo ]").is_ok();
    let (first, count) = if has_objects { (30, 70) } else { (100, 200) };
    let before = rounds(&mut vm, first);
    let after = rounds(&mut vm, count);
    assert_eq!(before[1..3], after[1..3], "interrupts, iomem");
    assert_eq!(before[4], after[4], "debugfs");
    // Mappings and a few objects come and go with the tools.
    assert!(after[3] <= before[3] + 2, "{before:?} {after:?} mappings");
    assert!(
        after[0] - before[0] < count.into(),
        "{before:?} {after:?} KiB"
    );
    // kmemleak, where it is there, does not look at what is younger than five seconds.
    vm.ok("[ ! -e /sys/kernel/debug/kmemleak ] || sleep 6");
    vm.load();
    vm.roundtrip("vda");
}

#[test]
fn an_unloaded_stack_leaves_nothing_behind() {
    let mut vm = Guest::new().checking_leaks().disk(Disk::blank(16)).boot();
    vm.ok("grep -q virtblk /proc/devices && grep -q virtio /proc/interrupts");
    vm.unload();
    vm.fails("grep virtblk /proc/devices");
    vm.fails("grep virtio /proc/interrupts");
    vm.fails("grep virtio /proc/iomem");
    vm.ok("[ ! -e /sys/bus/virtio ] && [ ! -e /dev/vda ] && [ ! -e /sys/block/vda ]");
}

/// D18, and the specification: no memory of the driver may be in the device's hands afterwards.
#[test]
fn the_device_is_reset_when_its_driver_goes() {
    let mut vm = Guest::new().disk(Disk::blank(16)).boot();
    let device = vm.qmp(&qmp::x_query_virtio {}).remove(0);
    let status = qmp::x_query_virtio_status { path: device.path };
    assert!(vm.qmp(&status).started);
    vm.ok("modprobe -r virtio_blk");
    // The bus has acknowledged the device again, for the next driver.
    let bare = vm.qmp(&status);
    assert!(!bare.started);
    assert_eq!(bare.status.statuses.len(), 1, "{:?}", bare.status);
    assert!(
        bare.status.statuses[0].contains("ACKNOWLEDGE"),
        "{:?}",
        bare.status
    );
    assert_eq!(
        vm.ok("cat /sys/bus/virtio/devices/virtio0/status"),
        "0x00000001"
    );
    vm.ok("modprobe virtio_blk");
    vm.roundtrip("vda");
    vm.unload();
    assert!(!vm.qmp(&status).started);
}

#[test]
fn modules_in_use_stay() {
    let mut vm = Guest::new().disk(Disk::blank(16)).boot();
    vm.ok("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt");
    vm.fails("modprobe -r virtio_blk");
    vm.fails("rmmod virtio");
    vm.fails("rmmod virtio_ring");
    vm.ok("echo alive > /mnt/file && sync && umount /mnt");
    vm.unload();
    vm.load();
    vm.ok("mount /dev/vda /mnt && grep -q alive /mnt/file && umount /mnt");
}

/// Transport and driver can come in either order.
#[test]
fn the_order_of_loading_does_not_matter() {
    let mut vm = Guest::new().disk(Disk::blank(16)).unloaded().boot();
    vm.ok("modprobe virtio_blk && [ ! -e /dev/vda ] && modprobe virtio_pci && [ -b /dev/vda ]");
    vm.roundtrip("vda");
    vm.ok("modprobe -r virtio_pci && [ ! -e /dev/vda ] && modprobe -r virtio_blk");
    vm.load();
    vm.roundtrip("vda");
}

#[test]
fn a_driver_can_be_unbound_and_bound() {
    let mut vm = Guest::new().disk(Disk::blank(16)).boot();
    for _ in 0..5 {
        vm.ok("echo virtio0 > /sys/bus/virtio/drivers/virtio_blk/unbind && [ ! -e /dev/vda ]");
        assert_eq!(
            vm.ok("cat /sys/bus/virtio/devices/virtio0/status"),
            "0x00000001"
        );
        vm.ok("echo virtio0 > /sys/bus/virtio/drivers/virtio_blk/bind && [ -b /dev/vda ]");
        assert_eq!(
            vm.ok("cat /sys/bus/virtio/devices/virtio0/status"),
            "0x0000000f"
        );
    }
    vm.roundtrip("vda");
    let function = vm.ok("basename $(readlink -f /sys/bus/virtio/devices/virtio0/..)");
    for _ in 0..5 {
        vm.ok(&format!(
            "echo {function} > /sys/bus/pci/drivers/virtio-pci/unbind"
        ));
        vm.ok("[ ! -e /dev/vda ] && [ ! -e /sys/bus/virtio/devices/virtio0 ]");
        vm.ok(&format!(
            "echo {function} > /sys/bus/pci/drivers/virtio-pci/bind"
        ));
        vm.ok("[ -b /dev/vda ]");
    }
    vm.roundtrip("vda");
}
