// SPDX-License-Identifier: GPL-2.0

//! The sysfs attributes that this driver adds to a disk: `serial` and `cache_type`.

use blk_mq::{
    DiskAttribute,
    GenDisk,
    Op,
    TextBuffer, //
};
use kernel::prelude::*;

use crate::{
    operations::Disks,
    wire::{
        self,
        ID_LEN, //
    },
};

/// All of them.
pub(crate) static ATTRIBUTES: &[&DiskAttribute<Disks>] = &[&SERIAL, &CACHE_TYPE];

static SERIAL: DiskAttribute<Disks> = DiskAttribute::new(c"serial", serial_show);
static CACHE_TYPE: DiskAttribute<Disks> = DiskAttribute::new(c"cache_type", cache_type_show);

/// Asks the device for its id. No newline follows; a device that fails has an empty one.
fn serial_show(disk: &GenDisk<Disks>, out: &mut TextBuffer<'_>) -> Result {
    let mut id = [0; ID_LEN];
    let status = disk.passthrough(Op::DRV_IN)?.execute(Some(&mut id))?;
    if status.is_ok() {
        out.push_bytes(wire::id_text(&id))?;
    }
    Ok(())
}

fn cache_type_show(disk: &GenDisk<Disks>, out: &mut TextBuffer<'_>) -> Result {
    let text = if disk.queue_data().has_write_cache {
        "write back\n"
    } else {
        "write through\n"
    };
    out.push_bytes(text.as_bytes())
}
