// SPDX-License-Identifier: GPL-2.0

//! Loading the stack, and making sure that it is the one that the test means.

use crate::{
    config::Stack,
    vm::Vm, //
};

/// The modules of the stack, from the bus up.
pub const MODULES: [&str; 4] = ["virtio", "virtio_ring", "virtio_pci", "virtio_blk"];

impl Vm {
    /// Loads the stack by name, as a user would, and checks that it is the right one.
    #[track_caller]
    pub fn load(&mut self) {
        self.ok("modprobe virtio_pci && modprobe virtio_blk");
        self.check_stack();
    }

    /// Removes all of the stack's modules.
    #[track_caller]
    pub fn unload(&mut self) {
        self.ok("/usr/lib/guest/unload");
    }

    /// The virtio modules in the kernel.
    #[track_caller]
    pub fn loaded_modules(&mut self) -> Vec<String> {
        let mut names: Vec<String> = self
            .ok("lsmod | awk '/^virtio/ { print $1 }'")
            .lines()
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    }

    /// Fails unless the loaded modules are those of the stack under test, all of them and no others.
    #[track_caller]
    pub fn check_stack(&mut self) {
        let loaded = self.loaded_modules();
        for module in MODULES {
            if !loaded.iter().any(|name| name == module) {
                self.fail(&format!("{module} is not loaded, only {loaded:?}"));
            }
            let file = self.ok(&format!("modinfo -n {module}"));
            let is_external = self
                .ok(&format!("cat /sys/module/{module}/taint"))
                .contains('O');
            let is_ours = file.contains("/updates/");
            if is_ours != is_external || is_ours != (self.stack() == Stack::Rust) {
                self.fail(&format!("{module} is the wrong one: {file}"));
            }
        }
        if self.stack() == Stack::Rust && loaded.len() != MODULES.len() {
            self.fail(&format!("modules besides the Rust stack: {loaded:?}"));
        }
    }
}
