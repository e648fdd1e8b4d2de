// SPDX-License-Identifier: GPL-2.0

//! A Debian system with systemd and udev, whose root file system is a disk of the stack. Run by
//! `make test-debian`.

use guest::{config, Disk, Guest, Stack, Vm};
use std::process::Command;

fn boot(root: &Disk, data: &Disk) -> Vm {
    let mut vm = Guest::new()
        .autoloading()
        .word("guest.root=/dev/vda")
        .memory_mib(1024)
        .cpus(2)
        .disk(root.clone())
        .disk(data.clone())
        .boot();
    // What was not built with the kernel says so.
    if vm.stack() == Stack::Rust {
        vm.ok("cd /sys/module && for each in virtio*; do grep -q O $each/taint || exit 1; done");
    }
    vm.ok_within(
        60,
        "systemctl is-system-running --wait || { systemctl --failed; exit 1; }",
    );
    vm
}

/// Shuts the system down as its users do, and looks at what is left.
fn shut_down(mut vm: Vm, root: &Disk) {
    // It ends the shell as well, which has to answer before.
    vm.ok("(sleep 1; systemctl poweroff) > /dev/null 2>&1 &");
    vm.powers_off();
    let superblock = Command::new("/sbin/dumpe2fs")
        .arg("-h")
        .arg(root.path())
        .output();
    let superblock = superblock.expect("running dumpe2fs").stdout;
    let superblock = String::from_utf8_lossy(&superblock);
    let state = superblock
        .lines()
        .find_map(|line| line.strip_prefix("Filesystem state:"));
    assert_eq!(state.map(str::trim), Some("clean"), "{superblock}");
    root.check();
}

/// It boots, has names for its disks, installs a package, has a logical volume, and is shut down
/// with all of that on its disks.
#[test]
fn a_debian_system_lives_on_vda() {
    let root = Disk::copy_of(&config::debian_root())
        .option("serial=debian-root")
        .option("addr=5");
    let data = Disk::blank(256)
        .option("serial=debian-data")
        .option("addr=6");
    let mut vm = boot(&root, &data);
    assert_eq!(
        vm.ok("findmnt -no SOURCE,FSTYPE,OPTIONS / | tr -s ' '"),
        "/dev/vda ext4 rw,relatime,errors=remount-ro"
    );
    // What the usual tools say of the disk.
    assert_eq!(
        vm.ok("lsblk -dno NAME,TYPE,SERIAL,ROTA,RO,SIZE,LABEL /dev/vda | tr -s ' '"),
        "vda disk debian-root 0 0 2G root"
    );
    let label = "blkid -s LABEL -s TYPE -o value /dev/vda";
    assert_eq!(vm.ok(label), "root\next4");
    let properties = vm.ok("udevadm info -q property /dev/vda");
    for property in ["ID_SERIAL=debian-root", "DEVTYPE=disk", "ID_FS_LABEL=root"] {
        assert!(
            properties.lines().any(|line| line == property),
            "{property}: {properties}"
        );
    }
    for link in [
        "by-id/virtio-debian-root",
        "by-label/root",
        "by-path/pci-0000:00:05.0",
    ] {
        vm.ok(&format!("[ /dev/disk/{link} -ef /dev/vda ]"));
    }
    let smart = vm.fails("smartctl -i /dev/vda");
    assert!(smart.contains("Unable to detect device type"), "{smart}");
    let smart = vm.fails("smartctl -d scsi -i /dev/vda");
    assert!(smart.contains("Inappropriate ioctl"), "{smart}");

    vm.ok_within(
        120,
        "apt-get install -qq -y --no-download hello > /dev/null",
    );
    assert_eq!(vm.ok("hello"), "Hello, world!");
    vm.ok_within(
        120,
        "pvcreate -qq /dev/vdb && vgcreate -qq guest /dev/vdb
         lvcreate -qq -l 100%FREE -n data guest
         mkfs.ext4 -q /dev/guest/data
         echo '/dev/guest/data /srv ext4 defaults 0 2' >> /etc/fstab
         systemctl daemon-reload && mount /srv",
    );
    vm.ok_within(
        60,
        "dd if=/dev/urandom of=/srv/file bs=1M count=64 2> /dev/null
         sha256sum /srv/file /usr/bin/hello > /root/sums",
    );
    vm.ok_within(60, "fstrim / && fstrim /srv");
    shut_down(vm, &root);

    let mut vm = boot(&root, &data);
    assert_eq!(
        vm.ok("findmnt -no SOURCE,FSTYPE /srv | tr -s ' '"),
        "/dev/mapper/guest-data ext4"
    );
    vm.ok_within(60, "sha256sum -c /root/sums");
    assert_eq!(vm.ok("hello"), "Hello, world!");
    assert_eq!(vm.ok_within(120, "dpkg --verify"), "", "changed files");
    shut_down(vm, &root);
}
