// SPDX-License-Identifier: GPL-2.0

//! The directory `virtio` in debugfs, with one for each device that shows something.

use kernel::{
    debugfs::Dir,
    device::Bound,
    prelude::*,
    sync::global_lock, //
};

use crate::Device;

global_lock! {
    // SAFETY: Initialized by `Root::new`, before anything can register a device.
    unsafe(uninit) static ROOT: Mutex<Option<Dir>> = None;
}

/// The directory, for as long as the module is there.
pub(crate) struct Root(());

impl Root {
    /// Makes the directory.
    ///
    /// # Safety
    ///
    /// Called once.
    pub(crate) unsafe fn new() -> Self {
        // SAFETY: The caller's promise.
        unsafe { ROOT.init() };
        *ROOT.lock() = Some(Dir::new(c"virtio"));
        Self(())
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        *ROOT.lock() = None;
    }
}

impl Device<Bound> {
    /// Makes the device's directory in debugfs, `virtio/virtioN`, which goes with the last reference
    /// to it or to what is in it. Called by `virtio_ring`. May sleep.
    pub fn debugfs_dir(&self) -> Option<Dir> {
        let name = self.as_ref().name();
        ROOT.lock().as_ref().map(|root| root.subdir(name))
    }
}
