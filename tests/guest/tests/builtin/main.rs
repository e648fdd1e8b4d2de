// SPDX-License-Identifier: GPL-2.0

//! The kernel with the stack built in, whose root file system is on the disk. It is the one with
//! `CONFIG_OF`, too.

mod device_tree;

use guest::{config, Disk, Guest, Stack};
use std::{
    fs,
    process::{Command, Stdio}, //
};

/// A disk whose file system holds what the initramfs has, without any module.
fn root_disk() -> Disk {
    let folder = tempfile::tempdir().expect("making a directory");
    let archive = fs::File::open(config::initrd(Stack::Rust)).expect("opening the initramfs");
    run(Command::new("cpio")
        .args(["-idm", "--quiet", "--no-absolute-filenames"])
        .current_dir(folder.path())
        .stdin(archive));
    fs::remove_dir_all(folder.path().join("lib/modules")).expect("removing the modules");
    let disk = Disk::blank(96);
    run(Command::new("/sbin/mkfs.ext4")
        .args(["-q", "-E", "root_owner=0:0", "-d"])
        .arg(folder.path())
        .arg(disk.path()));
    disk
}

fn run(command: &mut Command) {
    let output = command.stdout(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {message}");
}

/// D14, D40: the whole stack builds into one kernel, which starts with it.
#[test]
fn boots_from_the_disk_without_an_initramfs() {
    let disk = root_disk();
    let mut vm = Guest::with_builtin_stack(disk.clone())
        .cpus(2)
        .disk(Disk::blank(16))
        .boot();
    assert_eq!(
        vm.ok("awk '$2 == \"/\" && $3 == \"ext4\" { print $1 }' /proc/mounts"),
        "/dev/root"
    );
    assert_eq!(vm.ok("cat /proc/modules"), "");
    // The kernel knows one of the two CPUs, so that its smp_mb() is nothing; the device is on others.
    assert_eq!(vm.ok("nproc"), "1");
    // Only Rust's functions have names that begin so; the C driver's entry is not there.
    for krate in ["6virtio", "11virtio_ring", "10virtio_pci", "10virtio_blk"] {
        vm.ok(&format!("grep -q ' _R[A-Za-z]*.*{krate}' /proc/kallsyms"));
    }
    vm.fails(
        "grep -E ' (virtblk_probe|vring_create_virtqueue|virtio_pci_modern_probe)$' /proc/kallsyms",
    );

    vm.ok("mount -o remount,rw / && dd if=/dev/urandom of=/root/file bs=64k count=64 conv=fsync");
    vm.roundtrip("vdb");
    let sum = vm.ok("sha256sum < /root/file");
    vm.ok("mount -o remount,ro /");
    vm.finish();
    disk.check();

    let mut vm = Guest::with_builtin_stack(disk).boot();
    assert_eq!(vm.ok("sha256sum < /root/file"), sum);
}
