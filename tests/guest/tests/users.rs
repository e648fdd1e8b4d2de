// SPDX-License-Identifier: GPL-2.0

//! What users put on top of their disks: other file systems, the device mapper, hibernation. These
//! need more of the kernel than the rest of the stack's tests, see `tests/config/users.config`.

use guest::{
    fake::{
        load,
        unload, //
    },
    files,
    Disk,
    Guest, //
};

#[test]
fn a_busy_xfs_stays_sound() {
    let mut vm = Guest::new()
        .cpus(2)
        .with_tools()
        .disk(Disk::blank(512).option("num-queues=2"))
        .boot();
    vm.ok("modprobe xfs && mkfs.xfs -q /dev/vda && mount /dev/vda /mnt");
    files::be_busy(&mut vm);
    vm.ok("rm /mnt/*/*[02468] && fstrim /mnt && umount /mnt && xfs_repair -n /dev/vda");
}

/// A file system on an encrypted volume that spans two disks: requests are split, merged and
/// remapped on their way, and nothing readable arrives.
#[test]
fn an_encrypted_volume_over_two_disks_stays_sound() {
    let mut vm = Guest::new()
        .cpus(2)
        .with_tools()
        .disk(Disk::blank(12))
        .disk(Disk::blank(12))
        .boot();
    vm.ok("modprobe -a dm_crypt xts aes");
    vm.ok(
        "(echo 0 24576 linear /dev/vda 0; echo 24576 24576 linear /dev/vdb 0) |
             dmsetup create both
         key=$(head -c 32 /dev/urandom | hexdump -v -e '1/1 \"%02x\"')
         dmsetup create secret --table \
             \"0 49152 crypt aes-xts-plain64 $key 0 /dev/dm-0 0 1 allow_discards\"",
    );
    vm.ok("mkfs.ext4 -q /dev/dm-1 && mount /dev/dm-1 /mnt");
    files::be_busy(&mut vm);
    vm.ok("yes 'quite readable' | head -c 4000000 > /mnt/text && sync && fstrim /mnt");
    vm.ok("umount /mnt && mount /dev/dm-1 /mnt");
    vm.ok("yes 'quite readable' | head -c 4000000 | cmp - /mnt/text");
    vm.ok("umount /mnt && e2fsck -fn /dev/dm-1");
    vm.ok("grep -qF 'quite readable' /dev/dm-1");
    vm.fails("grep -qF 'quite readable' /dev/vda /dev/vdb");
    vm.ok("dmsetup remove secret && dmsetup remove both");
}

/// A suspend to disk: the image goes to a second disk, and another boot of the machine takes over
/// from there.
#[test]
fn disks_survive_hibernation_during_io() {
    let (data, swap) = (Disk::blank(64), Disk::blank(512));
    let guest = || Guest::new().cpus(2).disk(data.clone()).disk(swap.clone());
    let mut vm = guest().boot();
    vm.ok("mkswap -q /dev/vdb && swapon /dev/vdb && echo shutdown > /sys/power/disk");
    files::start_filling(&mut vm, 120);
    vm.spawn(
        "sleep",
        "sleep 1; [ ! -e /run/io.code ] || exit 1; echo disk > /sys/power/state",
    );
    vm.powers_off();

    let mut vm = guest().boot();
    // The answer to this command has to be through before everything is stopped.
    vm.spawn(
        "resume",
        "sleep 1; cat /sys/block/vdb/dev > /sys/power/resume",
    );
    vm.wait_for_console(60, "PM: hibernation: hibernation exit");
    assert!(vm.join("sleep", 60).is_ok());
    files::verify(&mut vm);
}

mod beyond_c {
    use super::*;

    /// K11, BLK-ZONE-6 to BLK-ZONE-9: btrfs appends to zones; where the device cannot (H14), the
    /// block layer makes writes of that.
    #[test]
    fn a_file_system_lives_on_zones() {
        let mut vm = Guest::new().cpus(2).with_tools().boot();
        for append in ["append_sectors=128", "append_sectors=0"] {
            load(&mut vm, &format!("size_mib=256 zone_sectors=8192 {append}"));
            vm.ok_within(120, "mkfs.btrfs -q -O zoned -m single -d single /dev/vda");
            vm.ok("modprobe btrfs && mount -t btrfs /dev/vda /mnt");
            vm.ok_within(
                120,
                "for i in $(seq 20); do head -c $((i * 100000)) /dev/urandom > /mnt/$i; done
                 cd /mnt && sha256sum * > /tmp/sums && sync",
            );
            vm.ok("umount /mnt && mount -t btrfs /dev/vda /mnt");
            vm.ok("cd /mnt && sha256sum -c /tmp/sums > /tmp/report || { grep -v OK /tmp/report; exit 1; }");
            vm.ok_within(60, "btrfs scrub start -B /mnt && umount /mnt");
            unload(&mut vm);
        }
    }

    /// K11: data that is said to be in another zone was not appended.
    #[test]
    fn an_append_elsewhere_is_an_error() {
        let mut vm = Guest::new().cpus(2).with_tools().boot();
        vm.expect_any_error();
        load(&mut vm, "size_mib=256 zone_sectors=8192 fault=26");
        vm.ok_within(120, "mkfs.btrfs -q -O zoned -m single -d single /dev/vda");
        vm.ok("modprobe btrfs && mount -t btrfs /dev/vda /mnt");
        vm.sh_within(60, "head -c 8000000 /dev/urandom > /mnt/file; sync");
        vm.ok("dmesg | grep -q 'I/O error, dev vda.*ZONE_APPEND'");
        vm.ok("umount /mnt");
        unload(&mut vm);
    }
}
