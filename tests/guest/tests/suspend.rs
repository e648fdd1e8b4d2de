// SPDX-License-Identifier: GPL-2.0

//! Suspend and resume.

use guest::{Disk, Guest};

/// The drivers' part of a suspend to RAM: everything is stopped and started, but the power stays.
#[test]
fn a_disk_survives_suspend_during_io() {
    let mut vm = Guest::new()
        .cpus(2)
        .word("suspend.pm_test_delay=1")
        .disk(Disk::blank(64))
        .boot();
    vm.ok("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt && echo devices > /sys/power/pm_test");
    vm.spawn(
        "io",
        "for i in $(seq 40); do
             dd if=/dev/urandom of=/mnt/$i bs=64k count=4 conv=fsync 2>/dev/null || exit 1
         done
         cd /mnt && sha256sum * 2>/dev/null > /run/sums; true",
    );
    for _ in 0..2 {
        vm.ok("echo mem > /sys/power/state");
    }
    assert!(vm.join("io", 60).is_ok());
    vm.ok("umount /mnt && e2fsck -fn /dev/vda && mount /dev/vda /mnt");
    vm.ok("cd /mnt && sha256sum -c /run/sums >/dev/null");
    vm.ok("umount /mnt && /usr/lib/guest/roundtrip vda");
}
