// SPDX-License-Identifier: GPL-2.0

//! Little memory, memory behind an IOMMU, and memory that must be bounced.

use guest::{
    config,
    Disk,
    Guest,
    Vm, //
};

/// Swapping out must not wait for memory that only swapping out can give.
#[test]
fn swap_works_under_memory_pressure() {
    // The kernel full of checkers needs most of this to boot.
    let memory_mib = if config::is_debug() { 448 } else { 128 };
    let mut vm = Guest::new()
        .cpus(2)
        .memory_mib(memory_mib)
        .disk(Disk::blank(512))
        .boot();
    vm.ok("mkswap /dev/vda && swapon /dev/vda");
    vm.ok("mkdir /run/big && mount -t tmpfs -o size=600m big /run/big");
    // Pages that all differ, until 60 MiB of them are on the disk.
    vm.ok("head -c 8388608 /dev/urandom > /run/big/seed");
    vm.ok_within(
        180,
        "for i in $(seq 60); do
             (echo $i; cat /run/big/seed) > /run/big/$i || exit 1
             awk '/^SwapTotal/ { t = $2 } /^SwapFree/ { f = $2 } END { exit t - f < 61440 }' \
                 /proc/meminfo && exit
         done
         exit 1",
    );
    vm.ok_within(
        180,
        "cd /run/big
         for i in [0-9]*; do (echo $i; cat seed) | cmp - $i || exit 1; done",
    );
    vm.ok_within(120, "umount /run/big && swapoff /dev/vda");
    vm.ok("/usr/lib/guest/roundtrip vda 1");
}

/// Faults of the IOMMU are errors on the console, which fail the test.
#[test]
fn an_iommu_sees_only_mapped_memory() {
    let mut vm = Guest::new()
        .checking_leaks()
        .cpus(2)
        .machine("q35,kernel-irqchip=split")
        .word("intel_iommu=on iommu.strict=1")
        .qemu("-device", "intel-iommu,intremap=on,device-iotlb=on")
        .disk(Disk::blank(64).option("iommu_platform=on"))
        .disk(Disk::blank(16).option("iommu_platform=on").option("ats=on"))
        .disk(
            Disk::blank(16)
                .option("iommu_platform=on")
                .option("indirect_desc=off"),
        )
        .disk(Disk::blank(16))
        .boot();
    vm.ok("[ -e $(readlink -f /sys/bus/virtio/devices/virtio0/..)/iommu_group ]");
    for disk in ["vda", "vdb", "vdc", "vdd"] {
        vm.roundtrip(disk);
    }
    vm.ok("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt && cp /usr/bin/* /mnt && umount /mnt");
    vm.ok("e2fsck -fn /dev/vda");
    vm.unload();
    vm.load();
    vm.roundtrip("vdc");
}

/// Fails if no data has gone through the bounce buffer.
#[track_caller]
fn has_bounced(vm: &mut Vm) {
    vm.ok("[ $(cat /sys/kernel/debug/swiotlb/io_tlb_used_hiwater) -gt 0 ]");
}

#[test]
fn a_bounce_buffer_carries_the_data() {
    let mut vm = Guest::new()
        .checking_leaks()
        .cpus(2)
        .word("swiotlb=force,track_hiwater")
        .disk(Disk::blank(16).option("iommu_platform=on"))
        .boot();
    vm.roundtrip("vda");
    has_bounced(&mut vm);
    // Not one mapping may be left when the driver is gone.
    vm.unload();
    assert_eq!(vm.ok("cat /sys/kernel/debug/swiotlb/io_tlb_used"), "0");
}

/// A pool of 1 MiB for 8 MiB of requests: they wait for each other and none fails.
#[test]
fn a_full_bounce_buffer_gives_no_error() {
    let mut vm = Guest::new()
        .checking_leaks()
        .cpus(4)
        .word("swiotlb=512,force,track_hiwater")
        .disk(
            Disk::blank(64)
                .option("iommu_platform=on")
                .option("num-queues=4"),
        )
        .boot();
    vm.ok_within(
        90,
        "for i in $(seq 16); do
             dd if=/dev/vda of=/dev/null bs=512k count=8 iflag=direct 2>/dev/null & pids=\"$pids $!\"
         done
         for pid in $pids; do wait $pid || exit 1; done",
    );
    vm.roundtrip("vda");
    has_bounced(&mut vm);
    vm.unload();
    assert_eq!(vm.ok("cat /sys/kernel/debug/swiotlb/io_tlb_used"), "0");
}
