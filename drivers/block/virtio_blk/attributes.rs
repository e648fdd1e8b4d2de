// SPDX-License-Identifier: GPL-2.0

//! The sysfs attributes that this driver adds to a disk: `serial`, `wwid` and `cache_type`, and for
//! devices that know how worn they are `pre_eol_info` and `life_time`, in the form that eMMC has for
//! them.

use core::fmt::Write;

use blk_mq::{
    AttributeMode,
    DiskAttribute,
    GenDisk,
    Status,
    TextBuffer, //
};
use kernel::prelude::*;

use crate::{
    config::Feature,
    operations::{
        ask,
        Disks, //
    },
    settings::{
        WRITE_BACK,
        WRITE_THROUGH, //
    },
    wire::{
        self,
        Kind,
        Lifetime,
        ID_LEN,
        LIFETIME_LEN, //
    },
};

/// All of them.
pub(crate) static ATTRIBUTES: &[&DiskAttribute<Disks>] =
    &[&SERIAL, &WWID, &CACHE_TYPE, &PRE_EOL_INFO, &LIFE_TIME];

static SERIAL: DiskAttribute<Disks> = DiskAttribute::new(c"serial", serial_show);
static WWID: DiskAttribute<Disks> = DiskAttribute::new(c"wwid", wwid_show);
static CACHE_TYPE: DiskAttribute<Disks> = DiskAttribute::new(c"cache_type", cache_type_show)
    .with_store(cache_type_store)
    .with_mode(cache_type_mode);
static PRE_EOL_INFO: DiskAttribute<Disks> =
    DiskAttribute::new(c"pre_eol_info", pre_eol_info_show).with_mode(lifetime_mode);
static LIFE_TIME: DiskAttribute<Disks> =
    DiskAttribute::new(c"life_time", life_time_show).with_mode(lifetime_mode);

/// Asks the device for its id. No newline follows; a device that fails has an empty one.
fn serial_show(disk: &GenDisk<Disks>, out: &mut TextBuffer<'_>) -> Result {
    let mut id = [0; ID_LEN];
    if ask(disk, Kind::GetId, 0, Some(&mut id))?.is_ok() {
        out.push_bytes(wire::id_text(&id))?;
    }
    Ok(())
}

/// Names the disk by its id, or by where its device is if it has none. A device that fails has
/// neither.
fn wwid_show(disk: &GenDisk<Disks>, out: &mut TextBuffer<'_>) -> Result {
    let mut id = [0; ID_LEN];
    match ask(disk, Kind::GetId, 0, Some(&mut id))? {
        Status::OK => {}
        // It may have written anything.
        Status::NOTSUPP => id = [0; ID_LEN],
        status => return status.to_result(),
    }
    let id = wire::id_text(&id);
    if !id.is_empty() {
        out.push_bytes(b"virtio.")?;
        for byte in id {
            // Whatever it is used for, a name has no blanks.
            out.push_bytes(&[if byte.is_ascii_graphic() { *byte } else { b'_' }])?;
        }
    } else {
        out.push_bytes(b"virtio-at.")?;
        out.push_bytes(disk.queue_data().bus_name.to_bytes())?;
    }
    out.push_bytes(b"\n")
}

fn cache_type_show(disk: &GenDisk<Disks>, out: &mut TextBuffer<'_>) -> Result {
    let told = disk.queue_data().settings.told();
    writeln!(out, "{}", told.cache_type())?;
    Ok(())
}

/// Takes `write back` or `write through`, with or without a newline.
fn cache_type_store(disk: &GenDisk<Disks>, text: &[u8]) -> Result {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let wanted = if text == WRITE_BACK.as_bytes() {
        true
    } else if text == WRITE_THROUGH.as_bytes() {
        false
    } else {
        return Err(EINVAL);
    };
    disk.queue_data().settings.set_write_cache(disk, wanted)
}

/// Only some devices let their driver choose.
fn cache_type_mode(disk: &GenDisk<Disks>) -> AttributeMode {
    if disk.queue_data().features.has(Feature::ConfigWce) {
        AttributeMode::ReadWrite
    } else {
        AttributeMode::ReadOnly
    }
}

/// Asks the device how worn it is.
///
/// # Errors
///
/// What the device says, and as [`ask`].
fn lifetime(disk: &GenDisk<Disks>) -> Result<Lifetime> {
    let mut answer = [0; LIFETIME_LEN];
    ask(disk, Kind::GetLifetime, 0, Some(&mut answer))?.to_result()?;
    Ok(Lifetime::parse(&answer))
}

fn pre_eol_info_show(disk: &GenDisk<Disks>, out: &mut TextBuffer<'_>) -> Result {
    let lifetime = lifetime(disk)?;
    writeln!(out, "0x{:02x}", lifetime.pre_eol_info)?;
    Ok(())
}

fn life_time_show(disk: &GenDisk<Disks>, out: &mut TextBuffer<'_>) -> Result {
    let lifetime = lifetime(disk)?;
    writeln!(out, "0x{:02x} 0x{:02x}", lifetime.type_a, lifetime.type_b)?;
    Ok(())
}

fn lifetime_mode(disk: &GenDisk<Disks>) -> AttributeMode {
    if disk.queue_data().features.has(Feature::Lifetime) {
        AttributeMode::ReadOnly
    } else {
        AttributeMode::Hidden
    }
}
