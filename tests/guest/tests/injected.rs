// SPDX-License-Identifier: GPL-2.0

//! Faults that the kernel itself injects, which only the debug kernel can.

use guest::{Disk, Guest};

/// K33: an interrupt that the kernel forgets costs time, until what it was about is late, and nothing
/// else.
#[test]
fn a_forgotten_interrupt_costs_time_alone() {
    let mut vm = Guest::new().cpus(2).disk(Disk::blank(16)).boot();
    let fault = "/sys/kernel/debug/fail_io_timeout";
    vm.ok(&format!(
        "echo 0 > {fault}/verbose && echo 100 > {fault}/probability && echo 2 > {fault}/times"
    ));
    vm.ok("echo 4000 > /sys/block/vda/queue/io_timeout && echo 1 > /sys/block/vda/io-timeout-fail");
    let seconds = vm.ok("read before rest < /proc/uptime
         dd if=/dev/vda of=/dev/null bs=4k count=2 iflag=direct 2> /dev/null
         read after rest < /proc/uptime
         echo $((${after%.*} - ${before%.*}))");
    let seconds: u32 = seconds.parse().expect("a number");
    assert!(seconds >= 7, "{seconds} s for two requests");
    assert_eq!(vm.ok(&format!("cat {fault}/times")), "0");
    vm.fails("dmesg | grep -E 'timed out|device was reset'");
    vm.roundtrip("vda");
}

/// Whatever allocation fails while a device is being bound, the bind fails or does without,
/// nothing is left behind, and the next one works.
#[test]
fn any_allocation_of_a_bind_may_fail() {
    let mut vm = Guest::new()
        .checking_leaks()
        // ACPI's interpreter, which looks for the line of an interrupt, cannot do without memory.
        .word("pci=noacpi")
        .disk(Disk::blank(16))
        .disk(Disk::blank(16))
        .boot();
    vm.expect_any_error();
    // kmemleak would go off, and the kernel's interrupts warn of files in /proc that they could not
    // make. The first disk keeps the slabs that all disks share.
    vm.ok("cd /sys/kernel/debug
         echo N > failslab/ignore-gfp-wait && echo Y > failslab/cache-filter
         echo 0 > failslab/verbose && echo 20 > fail_page_alloc/min-order
         for slab in /sys/kernel/slab/*; do
             case $slab in */kmemleak_* | */proc_dir_entry) ;; *) echo 1 > $slab/failslab ;; esac
         done");
    vm.ok("cat > /run/binds <<'END'
disk=/sys/bus/virtio/drivers/virtio_blk/virtio1
slot=$(basename $(readlink -f /sys/bus/virtio/devices/virtio1/..))
cd /sys/bus/pci/drivers/virtio-pci
echo $slot > unbind || exit 1
left=0
nth=0
while [ $left = 0 ]; do
    nth=$((nth + 1))
    {
        echo $nth > /proc/self/fail-nth
        echo $slot > bind
        read left < /proc/self/fail-nth || left=0
        echo 0 > /proc/self/fail-nth
    } 2> /dev/null
    if [ ! -e $slot ]; then
        echo nothing
    elif [ ! -e $disk ]; then
        echo device
        echo $slot > unbind || exit 1
    else
        dd if=/dev/vdb of=/dev/null bs=4k count=1 iflag=direct 2> /dev/null || exit 1
        echo disk
        echo $slot > unbind || exit 1
    fi
    [ \"$(ls /sys/bus/virtio/devices)\" = virtio0 ] && [ ! -e /dev/vdb ] || exit 1
    ! grep virtio1 /proc/interrupts || exit 1
done
echo $slot > bind
END");
    let bound = vm.ok_within(200, "sh /run/binds");
    let count = |what| bound.lines().filter(|line| *line == what).count();
    let (nothing, device, disk) = (count("nothing"), count("device"), count("disk"));
    println!("{nothing} without a device, {device} without a disk, {disk} with it");
    assert!(nothing > 25 && device > 100 && disk > 50);
    vm.roundtrip("vdb");
}
