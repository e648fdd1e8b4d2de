// SPDX-License-Identifier: GPL-2.0

//! A file system on the disk.

use guest::{files, Disk, Guest};

/// Written in one guest, read back in the next, and sound in the host's eyes.
#[test]
fn a_file_system_outlives_the_guest() {
    let disk = Disk::blank(192);
    let mut vm = Guest::new().cpus(2).disk(disk.clone()).boot();
    vm.ok("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt");
    vm.ok_within(
        90,
        "for folder in $(seq 8); do
             mkdir /mnt/$folder
             for file in $(seq 16); do
                 head -c $((file * 4999)) /dev/urandom > /mnt/$folder/$file
             done
         done
         head -c 25165824 /dev/urandom > /mnt/large
         cd /mnt && find [1-8] large -type f | xargs sha256sum > sums",
    );
    vm.ok("umount /mnt && e2fsck -fn /dev/vda && mount /dev/vda /mnt");
    vm.ok("cd /mnt && sha256sum -c sums > /tmp/report || { grep -v OK /tmp/report; exit 1; }");
    vm.ok("umount /mnt");
    vm.finish();

    disk.check();

    let mut vm = Guest::new().cpus(2).disk(disk).boot();
    vm.ok("mount -r /dev/vda /mnt");
    assert_eq!(vm.ok("wc -l < /mnt/sums"), "129");
    vm.ok("cd /mnt && sha256sum -c sums > /tmp/report || { grep -v OK /tmp/report; exit 1; }");
}

/// Many small files, written and deleted by several processes while others sync.
#[test]
fn a_busy_file_system_stays_sound() {
    let mut vm = Guest::new()
        .cpus(4)
        .disk(Disk::blank(128).option("num-queues=4"))
        .boot();
    vm.ok("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt");
    files::be_busy(&mut vm);
    vm.ok("umount /mnt && e2fsck -fn /dev/vda");
}
