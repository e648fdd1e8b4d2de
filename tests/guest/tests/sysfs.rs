// SPDX-License-Identifier: GPL-2.0

//! What users and scripts see: the attributes, compared with those of the C drivers.

use guest::{
    fake::{
        load,
        unload, //
    },
    Disk,
    Guest,
    Vm, //
};
use qapi::qmp;
use std::thread;

/// Attributes of the bus that must be the same, byte for byte.
const BUS: &str = "cd /sys/bus/virtio/devices
    for device in *; do
        for file in device vendor status modalias uevent; do
            echo $device/$file; hexdump -C $device/$file
        done
        tr 01 xx < $device/features | hexdump -C
        basename $(readlink $device/driver)
    done
    ls -d /sys/bus/virtio/drivers/virtio_blk/virtio* /sys/bus/virtio/drivers/*
    ls -d /sys/bus/pci/drivers/virtio-pci/0*";

/// Attributes of the disks that must be the same.
const BLOCK: &str = "cd /sys/block
    for disk in vd*; do
        for file in size ro removable hidden range ext_range alignment_offset dev serial cache_type \
                    queue/logical_block_size queue/physical_block_size queue/hw_sector_size \
                    queue/minimum_io_size queue/optimal_io_size queue/max_segments \
                    queue/write_cache queue/fua queue/zoned queue/nr_zones; do
            echo $disk/$file: $(cat $disk/$file)
        done
        for queue in $disk/mq/*; do
            echo $queue: $(cat $queue/cpu_list) of $(cat $queue/nr_tags)
        done
        ls -l /dev/$disk | cut -c1
    done
    grep virtblk /proc/devices";

fn disks(guest: Guest) -> Guest {
    guest
        .cpus(2)
        .disk(Disk::null(64, 0).option("serial=first"))
        .disk(
            Disk::null(32, 0)
                .option("num-queues=2")
                .option("queue-size=64")
                .option("logical_block_size=4096")
                .option("physical_block_size=4096")
                .option("min_io_size=8192")
                .option("opt_io_size=65536"),
        )
        .disk(Disk::null(16, 0).read_only().option("write-cache=off"))
        .disk(
            Disk::null(16, 0)
                .option("config-wce=off")
                .option("seg-max-adjust=off"),
        )
}

/// The same questions to two guests, one on each stack.
fn ask_both(question: &'static str) -> (String, String) {
    let ask = |guest: Guest| disks(guest).boot().ok(question);
    // The guests' logs are named after the thread.
    let name = thread::current().name().unwrap_or("sysfs").to_owned();
    let c_peer = thread::Builder::new()
        .name(format!("{name}-c"))
        .spawn(move || ask(Guest::with_c_stack()))
        .expect("starting a thread");
    let ours = ask(Guest::new());
    (ours, c_peer.join().expect("the guest on the C stack"))
}

/// Like `assert_eq!`, showing the lines that differ.
fn assert_same(ours: &str, c_peer: &str) {
    let differing: Vec<_> = ours
        .lines()
        .zip(c_peer.lines())
        .filter(|(ours, c_peer)| ours != c_peer)
        .collect();
    assert!(differing.is_empty(), "(ours, C's): {differing:#?}");
    assert_eq!(ours, c_peer);
}

#[test]
fn bus_attributes_are_those_of_the_c_bus() {
    let (ours, c_peer) = ask_both(BUS);
    assert_same(&ours, &c_peer);
}

#[test]
fn block_attributes_are_those_of_the_c_driver() {
    let (ours, c_peer) = ask_both(BLOCK);
    assert_same(&ours, &c_peer);
}

/// The formats in numbers, so that they hold whatever the C driver of some release does.
#[test]
fn attributes_have_the_known_formats() {
    let mut vm = Guest::new().disk(Disk::blank(16)).boot();
    let mut read = |file: &str| vm.ok(&format!("cat /sys/bus/virtio/devices/virtio0/{file}"));
    assert_eq!(read("device"), "0x0002");
    assert_eq!(read("vendor"), "0x1af4");
    assert_eq!(read("status"), "0x0000000f");
    assert_eq!(read("modalias"), "virtio:d00000002v00001AF4");
    assert_eq!(
        read("uevent"),
        "DRIVER=virtio_blk\nMODALIAS=virtio:d00000002v00001AF4"
    );
    let features = read("features");
    assert_eq!(features.len(), 128);
    assert!(
        features.chars().all(|bit| matches!(bit, '0' | '1')),
        "{features}"
    );
    assert_eq!(
        vm.ok("stat -c %a /sys/bus/virtio/devices/virtio0/features"),
        "444"
    );
}

/// Writes and syncs, and returns how many flushes the disk has seen.
fn flushes(vm: &mut Vm) -> u64 {
    vm.ok("dd if=/dev/zero of=/dev/vda bs=4k count=4 oflag=direct conv=fsync 2>/dev/null");
    vm.ok("awk '{ print $16 }' /sys/block/vda/stat")
        .parse()
        .expect("a number")
}

/// K53, K70, K78: root chooses the mode of the cache where the device lets its driver choose, and
/// the block layer sends flushes accordingly.
#[test]
fn the_mode_of_the_cache_can_be_chosen() {
    let mut vm = Guest::new()
        .disk(Disk::blank(16))
        .disk(Disk::blank(16).option("config-wce=off"))
        .boot();
    let mut last = flushes(&mut vm);
    for (mode, has_flushes) in [("write through", false), ("write back", true)] {
        vm.ok(&format!("echo '{mode}' > /sys/block/vda/cache_type"));
        assert_eq!(vm.ok("cat /sys/block/vda/cache_type"), mode);
        assert_eq!(vm.ok("cat /sys/block/vda/queue/write_cache"), mode);
        let now = flushes(&mut vm);
        assert_eq!(now > last, has_flushes, "{mode}: {last} {now}");
        last = now;
    }
    let error = vm.fails("echo sideways | dd of=/sys/block/vda/cache_type");
    assert!(error.contains("Invalid argument"), "{error}");
    assert_eq!(vm.ok("stat -c %a /sys/block/vda/cache_type"), "644");
    assert_eq!(vm.ok("stat -c %a /sys/block/vdb/cache_type"), "444");
}

mod beyond_c {
    use super::*;

    /// Returns whether the device caches writes.
    #[track_caller]
    fn has_write_back(vm: &mut Vm) -> bool {
        let disks = vm.qmp(&qmp::query_block {});
        let medium = disks[0].inserted.as_ref().expect("a medium");
        medium.cache.writeback
    }

    /// A device forgets the choice when it is reset, and is told again. The C driver goes back to
    /// what the device prefers, and the block layer does not hear of it.
    #[test]
    fn a_reset_does_not_change_the_mode_of_the_cache() {
        let mut vm = Guest::new()
            .machine("q35")
            .qemu("-device", "pcie-root-port,id=root0,chassis=1")
            .disk(Disk::blank(16).option("bus=root0"))
            .boot();
        assert!(has_write_back(&mut vm));
        vm.ok("echo 'write through' > /sys/block/vda/cache_type");
        assert!(!has_write_back(&mut vm));
        vm.ok("echo 1 > $(readlink -f /sys/block/vda/device/..)/reset");
        assert!(!has_write_back(&mut vm));
        assert_eq!(vm.ok("cat /sys/block/vda/cache_type"), "write through");
    }

    /// B47: root can name the driver of a device, whatever it is, or keep all others away.
    #[test]
    fn root_can_choose_the_driver() {
        let mut vm = Guest::new().checking_leaks().disk(Disk::blank(16)).boot();
        let device = "/sys/bus/virtio/devices/virtio0";
        let driver = "/sys/bus/virtio/drivers/virtio_blk";
        vm.ok(&format!("echo another > {device}/driver_override"));
        vm.ok(&format!("echo virtio0 > {driver}/unbind"));
        vm.fails(&format!("echo virtio0 > {driver}/bind"));
        vm.ok("[ ! -e /dev/vda ]");
        vm.ok(&format!("echo > {device}/driver_override"));
        vm.ok(&format!("echo virtio0 > {driver}/bind"));
        vm.roundtrip("vda");
        // A type of device that the driver does not know.
        load(&mut vm, "device=77");
        vm.ok("[ ! -e /dev/vdb ]");
        vm.ok("echo virtio_blk > /sys/bus/virtio/devices/virtio1/driver_override");
        vm.ok(&format!("echo virtio1 > {driver}/bind"));
        vm.roundtrip("vdb");
        unload(&mut vm);
    }

    /// B48, B49: features can be kept from the driver that is bound next.
    #[test]
    fn features_can_be_filtered() {
        let mut vm = Guest::new().checking_leaks().disk(Disk::blank(16)).boot();
        let rebind =
            "cd /sys/bus/virtio/drivers/virtio_blk && echo virtio0 > unbind && echo virtio0 > bind";
        let debug = "/sys/kernel/debug/virtio/virtio0";
        let offered = vm.ok(&format!("cat {debug}/device_features"));
        for bit in ["9", "28", "29", "32"] {
            assert!(offered.lines().any(|line| line == bit), "{bit}: {offered}");
        }
        assert_eq!(vm.ok("cat /sys/block/vda/queue/write_cache"), "write back");
        for bit in ["9", "0x1d", "10"] {
            vm.ok(&format!("echo {bit} > {debug}/filter_feature_add"));
        }
        vm.ok(&format!("echo 10 > {debug}/filter_feature_del"));
        assert_eq!(vm.ok(&format!("cat {debug}/filter_features")), "9\n29");
        vm.ok(rebind);
        // Nothing can be flushed, so nothing is said to be cached.
        assert_eq!(
            vm.ok("cat /sys/block/vda/queue/write_cache"),
            "write through"
        );
        assert_eq!(
            vm.ok("cut -c10,11,30,33 /sys/bus/virtio/devices/virtio0/features"),
            "0101"
        );
        vm.roundtrip("vda");
        for nonsense in ["128", "-1", "text", "''", "1111111111111111111111111"] {
            vm.fails(&format!("echo {nonsense} > {debug}/filter_feature_add"));
        }
        vm.ok(&format!("echo 2 > {debug}/filter_features_clear"));
        assert_ne!(vm.ok(&format!("cat {debug}/filter_features")), "");
        vm.ok(&format!("echo 1 > {debug}/filter_features_clear"));
        assert_eq!(vm.ok(&format!("cat {debug}/filter_features")), "");
        vm.ok(rebind);
        assert_eq!(vm.ok("cat /sys/block/vda/queue/write_cache"), "write back");
    }

    /// U31: a disk without a serial number has an identity as well.
    #[test]
    fn every_disk_has_an_identity() {
        let mut vm = Guest::new()
            .disk(Disk::blank(16).option("serial=first disk"))
            .disk(Disk::blank(16))
            .disk(Disk::blank(16))
            .boot();
        assert_eq!(vm.ok("cat /sys/block/vda/wwid"), "virtio.first_disk");
        for disk in ["vdb", "vdc"] {
            let place = vm.ok(&format!(
                "basename $(readlink -f /sys/block/{disk}/device/..)"
            ));
            assert!(place.starts_with("0000:00:"), "{place}");
            let identity = vm.ok(&format!("cat /sys/block/{disk}/wwid"));
            assert_eq!(identity, format!("virtio-at.{place}"));
        }
    }

    /// Whoever has a file of debugfs open keeps the code that closes it, but no device and no driver.
    #[test]
    fn open_files_in_debugfs_do_no_harm() {
        let mut vm = Guest::new().checking_leaks().disk(Disk::blank(16)).boot();
        vm.ok("cd /sys/kernel/debug/virtio/virtio0
               exec 3<queue0 4<device_features 5>filter_feature_add
               grep -qx 32 <&4
               cd / && rmmod virtio_blk virtio_pci virtio_ring
               [ ! -e /sys/kernel/debug/virtio/virtio0 ]
               if cat <&3 || cat <&4 || echo 9 >&5 || rmmod virtio; then exit 1; fi
               exec 3<&- 4<&- 5>&-
               rmmod virtio
               [ ! -e /sys/kernel/debug/virtio ]");
        vm.load();
        vm.roundtrip("vda");
    }

    /// U30: nothing turns in a virtual machine, unless root says so.
    #[test]
    fn a_disk_is_not_rotational() {
        let mut vm = Guest::new().disk(Disk::blank(16)).boot();
        assert_eq!(vm.ok("cat /sys/block/vda/queue/rotational"), "0");
        assert_eq!(vm.ok("lsblk -dno ROTA /dev/vda").trim(), "0");
        vm.ok("echo 1 > /sys/block/vda/queue/rotational");
        assert_eq!(vm.ok("lsblk -dno ROTA /dev/vda").trim(), "1");
    }

    /// U29: debugfs has the names of the features that were agreed on, and more about the device.
    #[test]
    fn debugfs_names_what_was_agreed_on() {
        let mut vm = Guest::new().disk(Disk::blank(16)).boot();
        let agreed = vm.ok("cat /sys/kernel/debug/virtio/virtio0/agreed");
        let features = vm.ok("cat /sys/bus/virtio/devices/virtio0/features");
        let parent = vm.ok("basename $(readlink -f /sys/bus/virtio/devices/virtio0/..)");
        let mut lines = agreed.lines();
        assert_eq!(lines.next(), Some(format!("device: {parent}").as_str()));
        assert_eq!(lines.next(), Some("ring: split"));
        let expected: Vec<_> = features
            .char_indices()
            .filter(|(_, digit)| *digit == '1')
            .map(|(bit, _)| format!("feature {bit}: {}", name(bit)))
            .collect();
        assert_eq!(lines.collect::<Vec<_>>(), expected);
        vm.ok("echo virtio0 > /sys/bus/virtio/drivers/virtio_blk/unbind");
        vm.ok("[ ! -e /sys/kernel/debug/virtio/virtio0/agreed ]");
    }

    /// The name in [`FEATURES`], where those of the ring have QEMU's prefix.
    fn name(bit: usize) -> String {
        let found = FEATURES.iter().find(|(_, number)| *number == bit);
        let (name, _) = found.unwrap_or_else(|| panic!("a name for feature {bit}"));
        name.replace("VIRTIO_RING_F_", "VIRTIO_F_")
    }

    /// K15, U37: the attributes are there for devices that know how worn they are.
    #[test]
    fn wear_is_shown() {
        let mut vm = Guest::new().checking_leaks().disk(Disk::blank(16)).boot();
        vm.ok("[ ! -e /sys/block/vda/life_time ] && [ ! -e /sys/block/vda/pre_eol_info ]");
        load(&mut vm, "lifetime=1");
        assert_eq!(vm.ok("cat /sys/block/vdb/pre_eol_info"), "0x02");
        assert_eq!(vm.ok("cat /sys/block/vdb/life_time"), "0x03 0x0b");
        unload(&mut vm);
        // The device offers the feature, and then does not know the request.
        load(&mut vm, "features_on=0x8000");
        let error = vm.fails("cat /sys/block/vdb/life_time");
        assert!(error.contains("Operation not supported"), "{error}");
        unload(&mut vm);
    }
}

/// D27, D36, D38: SCSI and ATA commands are not for such disks, and the tools that send them hear it.
#[test]
fn tools_for_other_disks_are_told_so() {
    let mut vm = Guest::new().with_tools().disk(Disk::blank(16)).boot();
    for (option, ioctl) in [("-I", "SG_IO"), ("-i", "HDIO_GET_IDENTITY")] {
        let calls = vm
            .sh(&format!("strace -e ioctl hdparm {option} /dev/vda 2>&1"))
            .text;
        let call = calls.lines().find(|line| line.contains(ioctl));
        assert!(
            call.is_some_and(|call| call.contains("= -1 ENOTTY")),
            "{calls}"
        );
    }
    let geometry = vm.ok("hdparm -g /dev/vda");
    assert!(geometry.contains("sectors = 32768"), "{geometry}");
    vm.roundtrip("vda");
}

/// Feature names of QEMU's monitor, and their bits.
const FEATURES: [(&str, usize); 15] = [
    ("VIRTIO_BLK_F_SIZE_MAX", 1),
    ("VIRTIO_BLK_F_SEG_MAX", 2),
    ("VIRTIO_BLK_F_GEOMETRY", 4),
    ("VIRTIO_BLK_F_RO", 5),
    ("VIRTIO_BLK_F_BLK_SIZE", 6),
    ("VIRTIO_BLK_F_FLUSH", 9),
    ("VIRTIO_BLK_F_TOPOLOGY", 10),
    ("VIRTIO_BLK_F_CONFIG_WCE", 11),
    ("VIRTIO_BLK_F_MQ", 12),
    ("VIRTIO_BLK_F_DISCARD", 13),
    ("VIRTIO_BLK_F_WRITE_ZEROES", 14),
    ("VIRTIO_RING_F_INDIRECT_DESC", 28),
    ("VIRTIO_RING_F_EVENT_IDX", 29),
    ("VIRTIO_F_VERSION_1", 32),
    ("VIRTIO_F_RING_RESET", 40),
];

/// What the guest shows as negotiated is what the device was told.
#[test]
fn features_are_those_that_the_device_was_told() {
    let mut vm = disks(Guest::new()).boot();
    let devices = vm.qmp(&qmp::x_query_virtio {});
    assert_eq!(devices.len(), 4);
    for device in devices {
        let status = vm.qmp(&qmp::x_query_virtio_status {
            path: device.path.clone(),
        });
        let serial_or_ro = format!("{:?}", status.guest_features);
        let name = virtio_name(&mut vm, &device.path);
        let features = vm.ok(&format!("cat /sys/bus/virtio/devices/{name}/features"));
        for (feature, bit) in FEATURES {
            let is_told = serial_or_ro.contains(&format!("{feature}:"));
            let is_shown = features.as_bytes().get(bit) == Some(&b'1');
            assert_eq!(
                is_told, is_shown,
                "{feature} of {name}: {features} {serial_or_ro}"
            );
        }
        assert!(
            features.as_bytes().get(32) == Some(&b'1'),
            "{name}: {features}"
        );
    }
}

/// The guest's name of a device of QEMU: disks are counted in the order of their PCI functions.
fn virtio_name(vm: &mut Vm, path: &str) -> String {
    let id = path
        .split('/')
        .find_map(|part| part.strip_prefix("disk"))
        .unwrap_or_else(|| panic!("a path with a disk's id: {path}"));
    let name = format!("virtio{id}");
    vm.ok(&format!("[ -e /sys/bus/virtio/devices/{name} ]"));
    name
}
