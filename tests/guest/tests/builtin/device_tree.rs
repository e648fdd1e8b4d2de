// SPDX-License-Identifier: GPL-2.0

//! Devices that the device tree describes.

use std::fs;

use guest::{config, Disk, Guest};
use tempfile::NamedTempFile;
use vm_fdt::FdtWriter;

use crate::root_disk;

/// A node below that of a PCI function.
#[derive(Clone, Copy)]
struct Child {
    name: &'static str,
    compatible: &'static str,
    status: &'static str,
}

/// Makes a device tree of functions on the first PCI bus, each with its slot and its children.
fn device_tree(functions: &[(u32, &[Child])]) -> Result<Vec<u8>, vm_fdt::Error> {
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
        for child in *children {
            let node = fdt.begin_node(child.name)?;
            fdt.property_string("compatible", child.compatible)?;
            fdt.property_string("status", child.status)?;
            fdt.end_node(node)?;
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

    assert!(tree.len() <= PAGE, "a device tree of {} bytes", tree.len());
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
    let console = Child {
        name: "console",
        compatible: "virtio,device3",
        status: "okay",
    };
    let absent = Child {
        name: "absent",
        compatible: "virtio,device2",
        status: "disabled",
    };
    let block = Child {
        name: "block",
        compatible: "virtio,device2",
        status: "okay",
    };
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
