// SPDX-License-Identifier: GPL-2.0

//! A running guest.
//!
//! Its end, an explicit [`Vm::finish`] or the drop at the end of the test, powers it off and
//! searches the console's log and QEMU's own messages.

use crate::{
    agent::{Agent, Failure, Output},
    config::{self, patience, Stack},
    console,
    disk::Disk,
    guest::Guest, //
};
use qapi::{qmp, Qmp};
use std::{
    collections::HashMap,
    fs,
    io::BufReader,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    process::{Child, Stdio},
    sync::{Mutex, OnceLock},
    thread,
    time::{Duration, Instant}, //
};
use tempfile::TempDir;

/// How long a guest may take until its shell answers.
const BOOT_SECONDS: u64 = 90;
/// How long a command in the guest may take unless the test says otherwise.
const COMMAND_SECONDS: u64 = 60;
/// How long the guest may take to power off.
const POWER_OFF_SECONDS: u64 = 30;

type Monitor = Qmp<qapi::Stream<BufReader<UnixStream>, UnixStream>>;

/// A running guest, with a shell and QEMU's monitor.
pub struct Vm {
    child: Child,
    agent: Agent,
    monitor: Monitor,
    stack: Stack,
    log: PathBuf,
    messages: PathBuf,
    expected: Vec<String>,
    is_any_error_expected: bool,
    is_leak_checked: bool,
    /// How many marks the console has.
    marks: u32,
    /// Files that the guest uses until it is gone.
    disks: Vec<Disk>,
    _run: TempDir,
    is_finished: bool,
}

impl Vm {
    #[track_caller]
    pub(crate) fn start(guest: Guest, stack: Stack) -> Self {
        let run = tempfile::Builder::new()
            .prefix("virtio-guest-")
            .tempdir()
            .expect("making a directory for sockets");
        let log = log_path();
        let messages = log.with_extension("qemu.log");
        let _ = fs::remove_file(&log);

        let listen = |name| UnixListener::bind(run.path().join(name)).expect("making a socket");
        let (agent, monitor) = (listen("agent"), listen("qmp"));
        let mut child = guest
            .command(run.path(), &log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&messages).expect("making a log file"))
            .spawn()
            .expect("starting qemu-system-x86_64");

        let agent = accept(&agent, &mut child);
        let monitor = accept(&monitor, &mut child).and_then(open_monitor);
        let (Some(agent), Some(monitor)) = (agent, monitor) else {
            let _ = child.kill();
            let text = fs::read_to_string(&messages).unwrap_or_default();
            panic!("QEMU did not start: {text}");
        };
        let mut vm = Self {
            child,
            agent: Agent::new(agent),
            monitor,
            stack,
            log,
            messages,
            expected: Vec::new(),
            is_any_error_expected: false,
            is_leak_checked: guest.is_leak_checked(),
            marks: 0,
            disks: guest.into_disks(),
            _run: run,
            is_finished: false,
        };
        if let Err(failure) = vm.agent.wait_ready(patience(BOOT_SECONDS)) {
            vm.fail(&format!("the guest did not come up: {failure:?}"));
        }
        vm
    }

    /// The stack that the guest runs.
    pub fn stack(&self) -> Stack {
        self.stack
    }

    /// Runs shell text in the guest.
    #[track_caller]
    pub fn sh(&mut self, text: &str) -> Output {
        self.sh_within(COMMAND_SECONDS, text)
    }

    /// Runs shell text that may take longer (or must not take as long) as others.
    #[track_caller]
    pub fn sh_within(&mut self, seconds: u64, text: &str) -> Output {
        match self.agent.run(text, patience(seconds)) {
            Ok(output) => output,
            Err(Failure::Gone) => self.fail(&format!("the guest died during: {text}")),
            Err(Failure::TimedOut(part)) => {
                self.show_cpu();
                self.fail(&format!(
                    "no end within {seconds} s: {text}\nso far: {part}"
                ))
            }
        }
    }

    /// Runs shell text that must succeed; gives what it printed.
    #[track_caller]
    pub fn ok(&mut self, text: &str) -> String {
        self.ok_within(COMMAND_SECONDS, text)
    }

    /// [`Vm::ok`] with a time limit of its own.
    #[track_caller]
    pub fn ok_within(&mut self, seconds: u64, text: &str) -> String {
        let output = self.sh_within(seconds, text);
        if !output.is_ok() {
            self.fail(&format!(
                "exit code {} of: {text}\n{}",
                output.code, output.text
            ));
        }
        output.text
    }

    /// Runs shell text that must fail; gives what it printed.
    #[track_caller]
    pub fn fails(&mut self, text: &str) -> String {
        let output = self.sh(text);
        if output.is_ok() {
            self.fail(&format!("this should fail: {text}\n{}", output.text));
        }
        output.text
    }

    /// Starts shell text in the background; [`Vm::join`] waits for it.
    #[track_caller]
    pub fn spawn(&mut self, job: &str, text: &str) {
        self.ok(&format!(
            "rm -f /run/{job}.code\nset +e\n( ( {text}\n); echo $? > /run/{job}.code ) \
             > /run/{job}.log 2>&1 &"
        ));
    }

    /// Waits for a background job.
    #[track_caller]
    pub fn join(&mut self, job: &str, seconds: u64) -> Output {
        self.wait_until(seconds, &format!("[ -s /run/{job}.code ]"));
        Output {
            code: self
                .ok(&format!("cat /run/{job}.code"))
                .parse()
                .unwrap_or(-1),
            text: self.ok(&format!("cat /run/{job}.log")),
        }
    }

    /// Waits until shell text succeeds.
    #[track_caller]
    pub fn wait_until(&mut self, seconds: u64, condition: &str) {
        let deadline = Instant::now() + patience(seconds);
        while !self.sh(condition).is_ok() {
            if Instant::now() > deadline {
                self.show_blocked_tasks();
                self.fail(&format!("not true within {seconds} s: {condition}"));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Writes random data to a disk of the guest and reads it back, past the page cache.
    #[track_caller]
    pub fn roundtrip(&mut self, disk: &str) {
        self.ok(&format!("/usr/lib/guest/roundtrip {disk}"));
    }

    /// Runs a command of QEMU's monitor.
    #[track_caller]
    pub fn qmp<C: qapi::Command>(&mut self, command: &C) -> C::Ok {
        match self.monitor.execute(command) {
            Ok(answer) => answer,
            Err(error) => self.fail(&format!("{}: {error}", C::NAME)),
        }
    }

    /// Waits until QEMU says that the guest is in some state.
    #[track_caller]
    pub fn wait_for_state(&mut self, seconds: u64, state: qmp::RunState) {
        let deadline = Instant::now() + patience(seconds);
        while self.qmp(&qmp::query_status {}).status != state {
            if Instant::now() > deadline {
                self.fail(&format!("not {state:?} within {seconds} s"));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until a part of a line is on the console.
    #[track_caller]
    pub fn wait_for_console(&mut self, seconds: u64, part: &str) {
        let deadline = Instant::now() + patience(seconds);
        while !self.console_so_far().contains(part) {
            if Instant::now() > deadline {
                self.fail(&format!("not on the console within {seconds} s: {part}"));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Gives the first disk another size.
    #[track_caller]
    pub fn resize(&mut self, mebibytes: i64) {
        self.qmp(&qmp::block_resize {
            device: None,
            node_name: Some("node0".into()),
            size: mebibytes << 20,
        });
    }

    /// Plugs in one more disk while the guest runs, with the given device id.
    #[track_caller]
    pub fn plug(&mut self, id: &str, disk: Disk) {
        // The back ends stay, so each needs a name of its own.
        let node = format!("plugged{}", self.disks.len());
        let backend = disk.blockdev(&node);
        let options: qmp::blockdev_add =
            serde_json::from_value(backend).expect("block device options");
        self.qmp(&options);
        let device = qmp::device_add {
            driver: "virtio-blk-pci".into(),
            id: Some(id.into()),
            bus: None,
            arguments: disk.device_arguments(&node),
        };
        self.qmp(&device);
        self.disks.push(disk);
    }

    /// Asks the guest to give a device up, and waits until it has.
    #[track_caller]
    pub fn unplug(&mut self, id: &str, seconds: u64) {
        self.qmp(&qmp::device_del { id: id.into() });
        let deadline = Instant::now() + patience(seconds);
        while self.has_device(id) {
            if Instant::now() > deadline {
                self.show_blocked_tasks();
                self.fail(&format!(
                    "the guest did not give up {id} within {seconds} s"
                ));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether QEMU has a device of this id.
    #[track_caller]
    pub fn has_device(&mut self, id: &str) -> bool {
        let path = "/machine/peripheral".into();
        self.qmp(&qmp::qom_list { path })
            .iter()
            .any(|property| property.name == id)
    }

    /// Says that the console (or QEMU) will print a line with this part, which is an error that the
    /// test provokes. The test fails if it does not come.
    pub fn expect(&mut self, part: &str) {
        self.expected.push(part.into());
    }

    /// Says that the test drives the drivers into errors of all kinds, which they log. Signs of a
    /// bug fail the test all the same.
    pub fn expect_any_error(&mut self) {
        self.is_any_error_expected = true;
    }

    /// All that the kernel has said until now. A thread of the kernel's own writes it to the
    /// console, which can be late when a command has ended.
    #[track_caller]
    pub fn console(&mut self) -> String {
        self.marks += 1;
        let mark = format!("guest: mark {}.", self.marks);
        self.ok(&format!("echo '<6>{mark}' > /dev/kmsg"));
        self.wait_for_console(COMMAND_SECONDS, &mark);
        self.console_so_far()
    }

    /// The console's log, as far as it has come.
    fn console_so_far(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Powers the guest off and searches its console.
    #[track_caller]
    pub fn finish(mut self) {
        self.end();
    }

    /// Waits until the guest powers off by itself, and searches its console.
    #[track_caller]
    pub fn powers_off(mut self) {
        self.is_finished = true;
        self.wait_for_end();
    }

    /// Ends the guest without asking it, as a power cut would.
    #[track_caller]
    pub fn cut_power(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.is_finished = true;
        self.judge();
    }

    #[track_caller]
    fn end(&mut self) {
        self.is_finished = true;
        let leaks = if self.is_leak_checked {
            // What is new is not judged, and what a scan finds must be found by two.
            self.ok_within(
                120,
                "f=/sys/kernel/debug/kmemleak
                 sleep 6; echo scan > $f; echo scan > $f; head -n 100 $f",
            )
        } else {
            String::new()
        };
        // The shell's end is what "init" waits for to power off.
        let _ = self
            .agent
            .run("sync; poweroff -f", patience(POWER_OFF_SECONDS));
        self.wait_for_end();
        assert!(leaks.is_empty(), "kmemleak:\n{leaks}");
    }

    /// Waits until the guest has powered off, and searches its console.
    #[track_caller]
    fn wait_for_end(&mut self) {
        let deadline = Instant::now() + patience(POWER_OFF_SECONDS);
        let status = loop {
            match self.child.try_wait().expect("waiting for QEMU") {
                Some(status) => break status,
                None if Instant::now() > deadline => {
                    self.fail("the guest did not power off");
                }
                None => thread::sleep(Duration::from_millis(20)),
            }
        };
        self.judge();
        assert!(status.success(), "QEMU ended with {status}");
    }

    /// Fails the test if the logs hold what they must not, or lack what they must.
    #[track_caller]
    fn judge(&self) {
        let messages = fs::read_to_string(&self.messages).unwrap_or_default();
        let mut log = self.console_so_far();
        for line in messages.lines() {
            log.push_str(&format!("\n<3>[QEMU] {line}"));
        }
        let complaints = console::complaints(&log, &self.expected, self.is_any_error_expected);
        assert!(
            complaints.is_empty(),
            "the console says (all of it is in {}):\n{}",
            self.log.display(),
            complaints.join("\n")
        );
    }

    /// Fails the test, with the end of the console.
    #[track_caller]
    pub fn fail(&mut self, why: &str) -> ! {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.is_finished = true;
        let messages = fs::read_to_string(&self.messages).unwrap_or_default();
        let console = self.console_so_far();
        let lines: Vec<_> = console.lines().collect();
        let tail = &lines[lines.len().saturating_sub(60)..];
        panic!(
            "{why}\n--- end of the console, {}\n{}\n--- QEMU\n{messages}",
            self.log.display(),
            tail.join("\n")
        );
    }

    /// Makes the kernel print which tasks are blocked, and where, if its shell still answers.
    fn show_blocked_tasks(&mut self) {
        let _ = self.agent.run(
            "echo w > /proc/sysrq-trigger; sleep 1",
            patience(POWER_OFF_SECONDS),
        );
    }

    /// Says where the CPU is, for a guest that does not answer.
    fn show_cpu(&mut self) {
        let command = qmp::human_monitor_command {
            command_line: "info registers".into(),
            cpu_index: None,
        };
        if let Ok(text) = self.monitor.execute(&command) {
            let at = text.lines().find(|line| line.contains("RIP="));
            eprintln!("CPU 0 is at: {}", at.unwrap_or("?"));
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        if thread::panicking() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            eprintln!("the guest's console is in {}", self.log.display());
        } else {
            self.end();
        }
    }
}

/// Waits for QEMU to connect; `None` if it ends instead.
fn accept(listener: &UnixListener, child: &mut Child) -> Option<UnixStream> {
    listener.set_nonblocking(true).expect("setting up a socket");
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).expect("setting up a socket");
            return Some(stream);
        }
        if child.try_wait().expect("waiting for QEMU").is_some() {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
    None
}

/// Greets QEMU's monitor; `None` if QEMU ends instead, as it does on a wrong option.
fn open_monitor(stream: UnixStream) -> Option<Monitor> {
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("setting a socket's timeout");
    let reader = BufReader::new(stream.try_clone().expect("sharing a socket"));
    let mut monitor = Qmp::new(qapi::Stream::new(reader, stream));
    monitor.handshake().ok()?;
    Some(monitor)
}

/// Where this guest's console goes: named after the test, and numbered from its second guest on.
fn log_path() -> PathBuf {
    static BOOTS: OnceLock<Mutex<HashMap<String, u32>>> = OnceLock::new();

    let directory = config::top().join("target/guest-logs");
    fs::create_dir_all(&directory).expect("making target/guest-logs");
    let name = thread::current()
        .name()
        .unwrap_or("unnamed")
        .replace("::", "-");
    let boots = BOOTS.get_or_init(Mutex::default);
    let mut boots = boots.lock().expect("no test panics here");
    let boot = boots.entry(name.clone()).or_default();
    *boot += 1;
    match *boot {
        1 => directory.join(format!("{name}.log")),
        more => directory.join(format!("{name}.{more}.log")),
    }
}
