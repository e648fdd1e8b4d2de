// SPDX-License-Identifier: GPL-2.0

//! What a guest shall be, and the one place where QEMU's command line is made.

use crate::{
    config::{self, Stack},
    disk::Disk,
    vm::Vm, //
};
use std::{
    path::{Path, PathBuf},
    process::Command, //
};

/// Describes a guest; [`Guest::boot`] starts it.
pub struct Guest {
    stack: Stack,
    kernel: PathBuf,
    initrd: Option<PathBuf>,
    machine: String,
    accelerator: String,
    cpu: String,
    cpus: u32,
    memory_mib: u32,
    command_line: Vec<String>,
    arguments: Vec<String>,
    disks: Vec<Disk>,
    is_autoloading: bool,
    is_loading: bool,
    is_leak_checked: bool,
}

impl Guest {
    /// A `q35` machine with one CPU and no disk, that loads the stack under test.
    pub fn new() -> Self {
        Self::with_stack(config::stack())
    }

    /// The same with the C stack, to compare with.
    pub fn with_c_stack() -> Self {
        Self::with_stack(Stack::C)
    }

    /// The same with the given stack.
    pub fn with_stack(stack: Stack) -> Self {
        Self {
            stack,
            kernel: config::kernel(),
            initrd: Some(config::initrd(stack)),
            machine: "q35".into(),
            accelerator: accelerator(),
            cpu: "max".into(),
            cpus: 1,
            memory_mib: 512,
            command_line: Vec::new(),
            arguments: Vec::new(),
            disks: Vec::new(),
            is_autoloading: false,
            is_loading: true,
            is_leak_checked: false,
        }
    }

    /// A guest whose kernel has the Rust stack built in and whose root is its first disk.
    pub fn with_builtin_stack(root: Disk) -> Self {
        Self {
            kernel: config::builtin_kernel(),
            initrd: None,
            is_loading: false,
            ..Self::with_stack(Stack::Rust)
        }
        .word("root=/dev/vda rw rootfstype=ext4 init=/init")
        .disk(root)
    }

    /// The number of CPUs.
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// The size of memory.
    pub fn memory_mib(mut self, memory_mib: u32) -> Self {
        self.memory_mib = memory_mib;
        self
    }

    /// The `-machine` argument.
    pub fn machine(mut self, machine: &str) -> Self {
        self.machine = machine.into();
        self
    }

    /// The `-accel` argument, instead of what the runner chose.
    pub fn accelerator(mut self, accelerator: &str) -> Self {
        self.accelerator = accelerator.into();
        self
    }

    /// The `-cpu` argument.
    pub fn cpu(mut self, cpu: &str) -> Self {
        self.cpu = cpu.into();
        self
    }

    /// Adds words to the kernel's command line.
    pub fn word(mut self, word: &str) -> Self {
        self.command_line.push(word.into());
        self
    }

    /// Adds an argument with a value to QEMU's command line, before the disks.
    pub fn qemu(mut self, argument: &str, value: &str) -> Self {
        self.arguments.extend([argument.into(), value.into()]);
        self
    }

    /// Adds a disk; its device's id is `diskN`, counted from 0.
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// Puts fio into the guest, and the tools of zones, of more file systems and of the device
    /// mapper. They make booting slower.
    pub fn with_tools(mut self) -> Self {
        let path = self.initrd.take().expect("a guest with an initramfs");
        self.initrd = Some(PathBuf::from(format!("{}.tools", path.display())));
        self
    }

    /// Leaves loading the stack to the test.
    pub fn unloaded(mut self) -> Self {
        self.is_loading = false;
        self
    }

    /// Leaves loading the stack to the guest's uevents.
    pub fn autoloading(mut self) -> Self {
        self.is_autoloading = true;
        self.is_loading = false;
        self
    }

    /// Searches for leaked memory at the end, if the kernel can do that. It is for guests in which
    /// something is taken down, since it costs a minute.
    pub fn checking_leaks(mut self) -> Self {
        self.is_leak_checked = true;
        self
    }

    /// Whether leaked memory is to be searched for.
    pub(crate) fn is_leak_checked(&self) -> bool {
        self.is_leak_checked && config::is_debug()
    }

    /// Starts the guest, waits for its shell, and loads the stack unless told otherwise.
    #[track_caller]
    pub fn boot(self) -> Vm {
        let (stack, is_loading) = (self.stack, self.is_loading);
        let mut vm = Vm::start(self, stack);
        if is_loading {
            vm.load();
        }
        vm
    }

    /// The disks, to be kept while the guest runs.
    pub(crate) fn into_disks(self) -> Vec<Disk> {
        self.disks
    }

    /// QEMU, ready to be started.
    pub(crate) fn command(&self, run: &Path, console: &Path) -> Command {
        let mut words = vec![
            "console=ttyS0 console_msg_format=syslog printk.time=1".to_owned(),
            // An oops ends the guest, and so the test, at once.
            "oops=panic panic=-1".to_owned(),
            // On a busy host an emulated timer may seem dead to the kernel's check of it.
            "no_timer_check".to_owned(),
            // The clocksource watchdog waits for another CPU with interrupts off, and measures the
            // wait with a clock that the waiting CPU itself has to advance as long as jiffies are
            // the clocksource. If the other CPUs are already stopped for the change to the TSC,
            // both wait for ever. It takes a busy host to get there.
            "tsc=nowatchdog".to_owned(),
        ];
        if !self.is_autoloading {
            words.push("guest.autoload=off".into());
        }
        if config::is_debug() {
            // While the kernel identifies its CPU, KASAN takes five levels of page tables for four,
            // and an interrupt at that moment for a wild access.
            words.push("no5lvl".into());
            if !self.is_leak_checked {
                words.push("kmemleak=off".into());
            }
        }
        words.extend(self.command_line.iter().cloned());

        let run = run.display();
        let console = console.display();
        let options = [
            ("-display", "none".to_owned()),
            ("-accel", self.accelerator.clone()),
            ("-cpu", self.cpu.clone()),
            ("-machine", self.machine.clone()),
            ("-smp", self.cpus.to_string()),
            ("-m", self.memory_mib.to_string()),
            ("-append", words.join(" ")),
            ("-chardev", format!("file,id=console,path={console}")),
            ("-serial", "chardev:console".into()),
            ("-chardev", format!("socket,id=agent,path={run}/agent")),
            ("-serial", "chardev:agent".into()),
            ("-chardev", format!("socket,id=qmp,path={run}/qmp")),
            ("-mon", "chardev=qmp,mode=control".into()),
        ];
        // A test that is killed takes its guest along.
        let mut qemu = Command::new("setpriv");
        qemu.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
        qemu.args(["-nodefaults", "-no-user-config", "-no-reboot"]);
        for (name, value) in options {
            qemu.args([name, &value]);
        }
        qemu.arg("-kernel").arg(&self.kernel).args(&self.arguments);
        if let Some(initrd) = &self.initrd {
            qemu.arg("-initrd").arg(initrd);
        }
        for (index, disk) in self.disks.iter().enumerate() {
            let node = format!("node{index}");
            qemu.args(["-blockdev", &disk.blockdev(&node).to_string()])
                .args(["-device", &disk.device(&node, &format!("disk{index}"))]);
        }
        qemu
    }
}

impl Default for Guest {
    fn default() -> Self {
        Self::new()
    }
}

fn accelerator() -> String {
    match config::accel().as_str() {
        "tcg" => "tcg,thread=multi".into(),
        other => other.into(),
    }
}
