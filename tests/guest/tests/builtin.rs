// SPDX-License-Identifier: GPL-2.0

//! The kernel with the stack built in, whose root file system is on the disk. It is the one with
//! `CONFIG_OF`, too.

use guest::{config, Disk, Guest, Stack};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio}, //
};
use tempfile::NamedTempFile;
use vm_fdt::FdtWriter;

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

fn check(disk: &Path) {
    run(Command::new("/sbin/e2fsck").arg("-fn").arg(disk));
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
    check(disk.path());

    let mut vm = Guest::with_builtin_stack(disk).boot();
    assert_eq!(vm.ok("sha256sum < /root/file"), sum);
}

/// Makes a device tree of functions on the first PCI bus: the slot, and its children with what each
/// is compatible with and its status.
fn device_tree(functions: &[(u32, &[(&str, &str, &str)])]) -> Result<Vec<u8>, vm_fdt::Error> {
    let mut fdt = FdtWriter::new()?;
    let root = fdt.begin_node("")?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    let bus = fdt.begin_node("pci")?;
    fdt.property_string("device_type", "pci")?;
    fdt.property_array_u32("bus-range", &[0, 0xff])?;
    fdt.property_u32("#address-cells", 3)?;
    fdt.property_u32("#size-cells", 2)?;
    for (slot, children) in functions {
        let function = fdt.begin_node(&format!("function@{slot:x}"))?;
        fdt.property_array_u32("reg", &[slot << 11, 0, 0, 0, 0])?;
        for (name, compatible, status) in *children {
            let child = fdt.begin_node(name)?;
            fdt.property_string("compatible", compatible)?;
            fdt.property_string("status", status)?;
            fdt.end_node(child)?;
        }
        fdt.end_node(function)?;
    }
    fdt.end_node(bus)?;
    fdt.end_node(root)?;
    fdt.finish()
}

/// Makes the file from which QEMU gives a device tree to the kernel.
///
/// It begins with the tree. But QEMU 10 tells the kernel of a place behind it, further by the size of
/// the image's part for real mode, and the kernel's first stack ends there. So there is an empty item
/// of the boot protocol's list (`struct setup_data`) at that place, and one with the tree a page on.
fn device_tree_file(tree: &[u8]) -> NamedTempFile {
    const KERNEL_ADDR: u64 = 1 << 20;
    const SETUP_DATA_LEN: usize = 16;
    const SETUP_NONE: u32 = 0;
    const SETUP_DTB: u32 = 2;
    const PAGE: usize = 4096;
    let item = |next: u64, kind: u32, len: usize| {
        let (next, kind, len) = (
            next.to_le_bytes(),
            kind.to_le_bytes(),
            (len as u32).to_le_bytes(),
        );
        [&next[..], &kind, &len].concat()
    };

    let kernel = fs::read(config::builtin_kernel()).expect("reading the kernel's image");
    let real_mode_len = (usize::from(kernel[0x1f1]) + 1) * 512;
    let told = KERNEL_ADDR + kernel.len().next_multiple_of(SETUP_DATA_LEN) as u64;

    let mut image = tree.to_vec();
    image.resize(real_mode_len - SETUP_DATA_LEN, 0);
    image.extend(item(told + PAGE as u64, SETUP_NONE, 0));
    image.resize(real_mode_len - SETUP_DATA_LEN + PAGE, 0);
    image.extend(item(0, SETUP_DTB, tree.len()));
    image.extend(tree);
    let file = NamedTempFile::new().expect("making a file");
    fs::write(file.path(), image).expect("writing a device tree");
    file
}

/// B18: a device has the node that describes it below its function's, if there is one.
#[test]
fn the_device_tree_describes_devices() {
    let console = ("console", "virtio,device3", "okay");
    let absent = ("absent", "virtio,device2", "disabled");
    let block = ("block", "virtio,device2", "okay");
    let tree = device_tree(&[(5, &[console, absent, block]), (6, &[console, absent])]);
    let file = device_tree_file(&tree.expect("making a device tree"));

    let mut vm = Guest::with_builtin_stack(root_disk().option("addr=5"))
        .disk(Disk::blank(16).option("addr=6"))
        .qemu("-dtb", &file.path().display().to_string())
        // With ACPI, the kernel does not look at the tree.
        .word("acpi=off")
        .boot();
    let devices = "/sys/bus/virtio/devices";
    assert_eq!(
        vm.ok(&format!("basename $(readlink {devices}/virtio0/of_node)")),
        "block"
    );
    vm.ok(&format!(
        "grep -qx OF_COMPATIBLE_0=virtio,device2 {devices}/virtio0/uevent"
    ));
    vm.ok(&format!(
        "[ -e {devices}/virtio1/../of_node ] && [ ! -e {devices}/virtio1/of_node ]"
    ));
    vm.roundtrip("vdb");
    // Without ACPI, nothing can power it off.
    vm.cut_power();
}
