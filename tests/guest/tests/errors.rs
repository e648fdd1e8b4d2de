// SPDX-License-Identifier: GPL-2.0

//! A device that fails requests, and disks that refuse them.

use guest::{Disk, Guest};
use qapi::qmp;
use serde_json::json;

/// A disk whose QEMU back end fails requests of one kind that touch a sector.
fn failing(kind: &str, sector: i64, is_once: bool) -> Disk {
    Disk::blank(16).behind(|inner| {
        json!({
            "driver": "blkdebug",
            "image": inner,
            "inject-error": [{
                "event": "none",
                "iotype": kind,
                "sector": sector,
                "errno": 5,
                "once": is_once,
            }],
        })
    })
}

#[test]
fn a_write_error_is_eio_and_the_disk_goes_on() {
    let disk = failing("write", 2048, false).option("werror=report");
    let mut vm = Guest::new().cpus(2).disk(disk).boot();
    vm.expect("I/O error, dev vda, sector 2048 op 0x1:(WRITE)");
    for _ in 0..3 {
        let error = vm.fails("dd if=/dev/zero of=/dev/vda bs=4k count=1 seek=256 oflag=direct");
        assert!(error.contains("Input/output error"), "{error}");
        vm.ok("dd if=/dev/zero of=/dev/vda bs=4k count=1 seek=257 oflag=direct");
    }
    vm.ok("dd if=/dev/vda of=/dev/null bs=4k count=1 skip=256 iflag=direct");
    vm.ok("/usr/lib/guest/roundtrip vda 2 4");
}

#[test]
fn a_read_error_is_eio_and_the_disk_goes_on() {
    let disk = failing("read", 2048, false).option("rerror=report");
    let mut vm = Guest::new().disk(disk).boot();
    vm.expect("I/O error, dev vda, sector 2048 op 0x0:(READ)");
    let error = vm.fails("dd if=/dev/vda of=/dev/null bs=4k count=1 skip=256 iflag=direct");
    assert!(error.contains("Input/output error"), "{error}");
    vm.ok("/usr/lib/guest/roundtrip vda 2 4");
}

#[test]
fn a_flush_error_reaches_fsync() {
    let disk = failing("flush", -1, true).option("werror=report");
    let mut vm = Guest::new().disk(disk).boot();
    vm.expect("I/O error, dev vda, sector 0 op 0x1:(WRITE)");
    let write = "dd if=/dev/zero of=/dev/vda bs=4k count=1 oflag=direct conv=fsync";
    let error = vm.fails(write);
    assert!(error.contains("Input/output error"), "{error}");
    vm.ok(write);
}

/// QEMU stops the guest at the error; after "cont" it tries again, and the guest never knows.
#[test]
fn an_error_that_the_host_mends_is_not_seen() {
    let disk = failing("write", 2048, true).option("werror=stop");
    let mut vm = Guest::new().disk(disk).boot();
    vm.spawn(
        "write",
        "dd if=/dev/zero of=/dev/vda bs=4k count=1 seek=256 oflag=direct",
    );
    vm.wait_for_state(30, qmp::RunState::io_error);
    vm.qmp(&qmp::cont {});
    assert!(vm.join("write", 30).is_ok());
    vm.roundtrip("vda");
}

#[test]
fn a_read_only_disk_cannot_be_written() {
    let disk = Disk::blank(16).read_only();
    let mut vm = Guest::new().disk(disk).boot();
    assert_eq!(vm.ok("cat /sys/block/vda/ro"), "1");
    assert_eq!(vm.ok("blockdev --getro /dev/vda"), "1");
    let error = vm.fails("dd if=/dev/zero of=/dev/vda bs=4k count=1 oflag=direct");
    assert!(
        error.contains("Operation not permitted") || error.contains("Read-only"),
        "{error}"
    );
    vm.ok("dd if=/dev/vda bs=1M count=4 iflag=direct | cmp -n 4194304 - /dev/zero");
    // Nor can a user take the protection away: the device has said so.
    vm.sh("blockdev --setrw /dev/vda");
    vm.fails("dd if=/dev/urandom of=/dev/vda bs=4k count=1 oflag=direct");
    vm.ok("dd if=/dev/vda bs=4k count=1 iflag=direct | cmp -n 4096 - /dev/zero");
}

#[test]
fn io_beyond_the_end_is_refused() {
    let mut vm = Guest::new().disk(Disk::blank(16)).boot();
    let error = vm.fails("dd if=/dev/zero of=/dev/vda bs=4k seek=4096 count=1 oflag=direct");
    assert!(error.contains("No space left on device"), "{error}");
    assert_eq!(
        vm.ok("dd if=/dev/vda bs=4k skip=4095 count=2 iflag=direct 2>/dev/null | wc -c"),
        "4096"
    );
}
