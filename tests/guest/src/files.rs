// SPDX-License-Identifier: GPL-2.0

//! Files in a guest: written, and compared with what was written.

use crate::Vm;

/// Writes and deletes many small files on what is mounted at `/mnt`, by several processes, while
/// others sync.
#[track_caller]
pub fn be_busy(vm: &mut Vm) {
    vm.ok_within(
        120,
        "worker() {
             mkdir /mnt/$1 && cd /mnt/$1 || exit 1
             for round in 1 2 3 4; do
                 for file in $(seq 12); do
                     dd if=/dev/urandom of=$file bs=3k count=$file conv=fsync 2>/dev/null || exit 1
                 done
                 sha256sum * > /tmp/sums.$1 && sync && sha256sum -c /tmp/sums.$1 >/dev/null || exit 1
                 rm *[13579]
             done
         }
         for i in 1 2 3 4; do worker $i & pids=\"$pids $!\"; done
         for pid in $pids; do wait $pid || exit 1; done",
    );
}

/// Makes a file system on the disk, and fills it in the background with so many files.
#[track_caller]
pub fn start_filling(vm: &mut Vm, files: u32) {
    vm.ok("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt");
    vm.spawn(
        "io",
        &format!(
            "for i in $(seq {files}); do
                 dd if=/dev/urandom of=/mnt/$i bs=64k count=4 conv=fsync 2>/dev/null || exit 1
             done
             cd /mnt && sha256sum [0-9]* > /run/sums"
        ),
    );
}

/// Waits until the disk is filled, and compares what is on it with what was written.
#[track_caller]
pub fn verify(vm: &mut Vm) {
    assert!(vm.join("io", 60).is_ok());
    vm.ok("umount /mnt && e2fsck -fn /dev/vda && mount /dev/vda /mnt");
    vm.ok("cd /mnt && sha256sum -c /run/sums >/dev/null");
    vm.ok("umount /mnt");
    vm.roundtrip("vda");
}
