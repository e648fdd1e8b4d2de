// SPDX-License-Identifier: GPL-2.0

//! A disk of the guest: what is behind it on the host, and the options of its device.

use serde_json::{json, Map, Value};
use std::{
    path::Path,
    process::Command,
    sync::Arc, //
};
use tempfile::NamedTempFile;

/// A `virtio-blk-pci` disk. A clone has the same image, so a second boot can read what the first
/// one wrote; the image's file goes away with the last clone.
#[derive(Clone, Debug)]
pub struct Disk {
    /// The `-blockdev` options, without the node's name.
    backend: Value,
    /// The `-device` options after the driver and the drive.
    options: Vec<String>,
    file: Option<Arc<NamedTempFile>>,
    is_read_only: bool,
}

impl Disk {
    /// A sparse file of zeroes.
    pub fn blank(mebibytes: u64) -> Self {
        let file = image_file();
        file.as_file()
            .set_len(mebibytes << 20)
            .expect("sizing a disk image");
        Self::over(file, "raw")
    }

    /// An empty qcow2 image. QEMU keeps changes of where things are in it to itself until a flush.
    pub fn qcow2(mebibytes: u64) -> Self {
        let file = image_file();
        let status = Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2"])
            .arg(file.path())
            .arg(format!("{mebibytes}M"))
            .status();
        assert!(status.expect("running qemu-img").success(), "qemu-img");
        Self::over(file, "qcow2")
    }

    /// A copy of an image, sparse like that.
    pub fn copy_of(image: &Path) -> Self {
        let file = image_file();
        let status = Command::new("cp")
            .arg("--sparse=always")
            .args([image, file.path()])
            .status();
        assert!(
            status.expect("copying a disk image").success(),
            "cannot copy {}",
            image.display()
        );
        Self::over(file, "raw")
    }

    fn over(file: NamedTempFile, format: &str) -> Self {
        let backend = json!({
            "driver": format,
            "discard": "unmap",
            "file": { "driver": "file", "filename": file.path(), "discard": "unmap" },
        });
        Self {
            file: Some(Arc::new(file)),
            ..Self::backend(backend)
        }
    }

    /// A disk that reads as zeroes and forgets writes, with a time to answer in nanoseconds.
    pub fn null(mebibytes: u64, latency_ns: u64) -> Self {
        Self::backend(json!({
            "driver": "null-co",
            "size": mebibytes << 20,
            "read-zeroes": true,
            "latency-ns": latency_ns,
        }))
    }

    /// A disk over any block driver of QEMU.
    pub fn backend(backend: Value) -> Self {
        Self {
            backend,
            options: Vec::new(),
            file: None,
            is_read_only: false,
        }
    }

    /// Puts another block driver between the disk and its backend.
    pub fn behind(mut self, wrap: impl FnOnce(Value) -> Value) -> Self {
        self.backend = wrap(self.backend);
        self
    }

    /// Adds options of the device, such as `num-queues=4`.
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    /// Makes the disk read-only.
    pub fn read_only(mut self) -> Self {
        self.is_read_only = true;
        self
    }

    /// Has the host check the ext4 file system that fills the disk, which no guest uses any more.
    #[track_caller]
    pub fn check(&self) {
        let check = Command::new("/sbin/e2fsck")
            .arg("-fn")
            .arg(self.path())
            .output()
            .expect("running e2fsck");
        let report = String::from_utf8_lossy(&check.stdout);
        assert!(check.status.success(), "{report}");
    }

    /// The image's file on the host.
    pub fn path(&self) -> &Path {
        self.file.as_ref().expect("a disk with a file").path()
    }

    /// The argument of `-blockdev`.
    pub(crate) fn blockdev(&self, node: &str) -> Value {
        let mut value = self.backend.clone();
        value["node-name"] = json!(node);
        if self.is_read_only {
            value["read-only"] = json!(true);
        }
        value
    }

    /// The arguments of the monitor's `device_add`, after driver, bus and id.
    pub(crate) fn device_arguments(&self, node: &str) -> Map<String, Value> {
        let mut arguments: Map<_, _> = self
            .options
            .iter()
            .filter_map(|option| option.split_once('='))
            .map(|(name, value)| (name.to_owned(), typed(value)))
            .collect();
        // Not a switch: it can also be "auto".
        arguments.insert("disable-legacy".into(), json!("on"));
        arguments.insert("drive".into(), json!(node));
        arguments
    }

    /// The argument of `-device`.
    pub(crate) fn device(&self, node: &str, id: &str) -> String {
        let mut device = format!("virtio-blk-pci,disable-legacy=on,drive={node},id={id}");
        for option in &self.options {
            device.push(',');
            device.push_str(option);
        }
        device
    }
}

/// The monitor wants numbers and switches as such, where the command line has text.
fn typed(value: &str) -> Value {
    match value {
        "on" => json!(true),
        "off" => json!(false),
        _ => value
            .parse::<i64>()
            .map_or_else(|_| json!(value), |number| json!(number)),
    }
}

fn image_file() -> NamedTempFile {
    tempfile::Builder::new()
        .prefix("virtio-guest-")
        .suffix(".img")
        .tempfile()
        .expect("making a disk image")
}
