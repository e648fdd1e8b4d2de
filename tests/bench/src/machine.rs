// SPDX-License-Identifier: GPL-2.0

//! Boots the machine of a case, and prepares what its jobs work on.

use crate::{
    cases::{Case, Machine, Target},
    counters::{Counters, Snapshot},
    fio,
    symbols::Symbols,
    Mode, //
};
use anyhow::{bail, ensure, Context as _};
use guest::{config, console, Disk, Guest, Stack, Vm};
use qapi::qmp;
use serde_json::json;
use std::{
    env,
    fs,
    path::{Path, PathBuf}, //
};
use tempfile::TempDir;

/// What a job runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The stack's disk.
    Stack(Stack),
    /// null_blk, which ends a request where a driver would begin with it.
    Ceiling,
}

/// A guest that runs jobs.
pub struct Bench {
    vm: Vm,
    counting: Option<Counting>,
    /// Holds the counters' socket and QEMU's log.
    run: TempDir,
}

/// What a guest has that counts instructions.
struct Counting {
    counters: Counters,
    symbols: Symbols,
}

/// A run of a job.
pub struct Run {
    pub outcome: fio::Outcome,
    /// Interrupts of all disks.
    pub interrupts: u64,
}

/// The disk's size. It holds no data.
const DISK_BYTES: u64 = 1 << 30;
/// The size of the disk for the file system, whose data lies in a file of the host.
const FILESYSTEM_MIB: u64 = 1024;
/// How long fio may take, in seconds.
const JOB_SECONDS: u64 = 300;

/// The command line's words for a guest whose clock counts instructions: calibrating the local
/// APIC's timer spins for a minute of real time, and QEMU cannot start a second CPU. One that is
/// not started counts all the same where a driver asks how many queues to have.
const WORDS: &str = "nolapic_timer maxcpus=1";
const QEMU_LOG: &str = "qemu.log";
/// What QEMU traces for each request that it takes from a queue.
const REQUEST: &str = "virtqueue_alloc_element";
/// What it traces when it looks at a queue because it was told to.
const NOTIFICATION: &str = "virtio_queue_notify";

/// A function of the kernel that nothing calls but [`MARK`].
const MARKING_FUNCTION: &str = "__x64_sys_sethostname";
const MARK: &str = "hostname mark";

/// Prints how many interrupts the disks have raised. Columns of numbers are one for each CPU.
const INTERRUPTS: &str =
    "awk '/virtio/ { for (i = 2; i <= NF; i++) if ($i ~ /^[0-9]+$/) sum += $i }
     END { print \"interrupts\", sum + 0 }' /proc/interrupts";

/// String instructions cost one instruction for each byte there. Without these features the kernel
/// copies by words, which is nearer to what copying costs.
const CPU: &str = "max,erms=off,fsrm=off";

impl Bench {
    /// Boots a machine.
    ///
    /// # Errors
    ///
    /// If there is no plugin. A guest that does not boot is a panic, as in the tests.
    pub fn boot(machine: &Machine, stack: Stack, mode: Mode) -> anyhow::Result<Self> {
        let run = tempfile::Builder::new().prefix("virtio-bench-").tempdir()?;
        let socket = run.path().join("counters");
        let backend = json!({
            "driver": "null-co",
            "size": DISK_BYTES,
            "read-zeroes": false,
        });
        let disk = machine
            .disk
            .iter()
            .fold(Disk::backend(backend), |disk, option| disk.option(option));
        let mut guest = Guest::with_stack(stack)
            .with_tools()
            .cpus(machine.cpus)
            .memory_mib(1024)
            .qemu("-D", &run.path().join(QEMU_LOG).display().to_string())
            .disk(disk)
            .disk(Disk::blank(FILESYSTEM_MIB));
        if machine.poll_queues > 0 {
            guest = guest.word(&format!("virtio_blk.poll_queues={}", machine.poll_queues));
        }
        if machine.has_iommu {
            guest = guest
                .machine("q35,kernel-irqchip=split")
                .word("intel_iommu=on")
                .qemu("-device", "intel-iommu,intremap=on,device-iotlb=on");
        }
        if mode == Mode::Deterministic {
            let plugin = plugin()?;
            guest = guest
                .accelerator("tcg,thread=single")
                .cpu(CPU)
                .word(WORDS)
                .qemu("-icount", "shift=0,sleep=off")
                .qemu(
                    "-plugin",
                    &format!("{},socket={}", plugin.display(), socket.display()),
                );
        }
        let mut bench = Self {
            vm: guest.boot(),
            counting: None,
            run,
        };
        if mode == Mode::Deterministic {
            let symbols = Symbols::parse(&bench.sh("cat /proc/kallsyms")?)?;
            let marking = symbols
                .address(MARKING_FUNCTION)
                .with_context(|| format!("the kernel has no {MARKING_FUNCTION}"))?;
            bench.counting = Some(Counting {
                counters: Counters::new(socket, marking)?,
                symbols,
            });
        }
        Ok(bench)
    }

    /// Makes what the case's job needs: its disk or file, and its buffers.
    ///
    /// # Errors
    ///
    /// If the guest cannot.
    pub fn prepare(&mut self, case: &Case, subject: Subject) -> anyhow::Result<()> {
        if case.target == Target::Filesystem {
            self.sh(
                "umount /mnt 2>/dev/null || true; mkfs.ext4 -q -F /dev/vdb && mount /dev/vdb /mnt",
            )?;
        }
        if case.scattered_pages.is_some() {
            self.sh(fio::MAKE_SCATTERED_BUFFER)?;
        }
        if subject == Subject::Ceiling {
            let (queues, polled) = (case.machine.cpus, case.machine.poll_queues);
            // Without a limit of its own, null_blk would get 128 KiB in two requests.
            self.sh(&format!(
                "[ -b /dev/nullb0 ] || modprobe null_blk nr_devices=1 queue_mode=2 irqmode=0 \
                 completion_nsec=0 gb=1 max_sectors=8192 submit_queues={queues} \
                 poll_queues={polled}"
            ))?;
        }
        Ok(())
    }

    /// Runs a job several times, as long as `lengths` say, with a mark before and after each. The
    /// host has no part in it until the last one has ended.
    ///
    /// # Errors
    ///
    /// If fio fails, or if the kernel complains.
    pub fn run(
        &mut self,
        case: &Case,
        subject: Subject,
        lengths: &[fio::Length],
    ) -> anyhow::Result<Vec<Run>> {
        let mut script = String::new();
        for length in lengths {
            let fio = fio::command(case, subject, *length);
            for part in [INTERRUPTS, MARK, &fio, MARK, INTERRUPTS, fio::SHOW_ANSWER] {
                script.push_str(part);
                script.push('\n');
            }
        }
        let text = self.sh(&script)?;
        let complaints = console::complaints(&self.vm.console(), &[], false);
        ensure!(
            complaints.is_empty(),
            "the guest's console says: {}",
            complaints.join("\n")
        );

        // Each run's text ends with fio's answer, which is JSON.
        let mut runs = Vec::new();
        let mut rest = text.as_str();
        for _ in lengths {
            let (numbers, json) = rest.split_at(rest.find('{').context("no answer of fio")?);
            let interrupts: Vec<u64> = numbers
                .lines()
                .filter_map(|line| line.strip_prefix("interrupts ")?.parse().ok())
                .collect();
            let (outcome, length) = fio::Outcome::parse(json)?;
            match interrupts[..] {
                [before, after] => runs.push(Run {
                    outcome,
                    interrupts: after - before,
                }),
                _ => bail!("the guest says: {numbers}"),
            }
            rest = &json[length..];
        }
        Ok(runs)
    }

    /// How many places in memory a request's data had, on average over a run of the job. QEMU's
    /// trace of what it takes from the queue says so; there, header and status are two more.
    ///
    /// # Errors
    ///
    /// If the job fails, or if QEMU traces nothing.
    pub fn segments(&mut self, case: &Case, length: fio::Length) -> anyhow::Result<f64> {
        let (_, trace) = self.traced(REQUEST, case, length)?;
        let segments: Vec<f64> = trace.lines().filter_map(segments_of_element).collect();
        ensure!(!segments.is_empty(), "QEMU traces nothing");
        Ok(segments.iter().sum::<f64>() / segments.len() as f64)
    }

    /// How many notifications QEMU saw for each I/O of a run of the job. Where it is slower than the
    /// guest it sees several as one.
    ///
    /// # Errors
    ///
    /// If the job fails.
    pub fn notifications(&mut self, case: &Case, length: fio::Length) -> anyhow::Result<f64> {
        let (run, trace) = self.traced(NOTIFICATION, case, length)?;
        let lines = trace.lines();
        let seen = lines.filter(|line| line.contains(NOTIFICATION)).count();
        ensure!(seen > 0, "QEMU traces nothing");
        Ok(seen as f64 / run.outcome.ios as f64)
    }

    /// Runs the job once; returns what QEMU traces of one kind of event meanwhile, too.
    fn traced(
        &mut self,
        event: &str,
        case: &Case,
        length: fio::Length,
    ) -> anyhow::Result<(Run, String)> {
        let subject = Subject::Stack(self.vm.stack());
        let log = self.run.path().join(QEMU_LOG);
        // What was traced for another case stays in the log.
        let traced_before = fs::metadata(&log).map_or(0, |log| log.len());
        self.trace(event, true);
        let runs = self.run(case, subject, &[length]);
        self.trace(event, false);
        let run = runs?.pop().context("nothing ran")?;
        let log = fs::read(&log).context("QEMU's trace")?;
        let log = String::from_utf8_lossy(&log[usize::try_from(traced_before)?..]);
        Ok((run, log.into_owned()))
    }

    fn trace(&mut self, event: &str, enable: bool) {
        self.vm.qmp(&qmp::trace_event_set_state {
            name: event.into(),
            enable,
            ignore_unavailable: None,
        });
    }

    /// What was counted between two marks each, since the last call.
    ///
    /// # Errors
    ///
    /// If nothing is counted here, or a mark is missing.
    pub fn counted(&self) -> anyhow::Result<Vec<Snapshot>> {
        let marks = self.counting()?.counters.marks()?;
        ensure!(
            !marks.is_empty() && marks.len() % 2 == 0,
            "{} marks came from the guest",
            marks.len()
        );
        let spans = marks.chunks_exact(2).map(|pair| pair[1].since(&pair[0]));
        Ok(spans.collect())
    }

    /// Forgets what was counted since the last call, as after a case that failed.
    ///
    /// # Errors
    ///
    /// If nothing is counted here.
    pub fn forget(&self) -> anyhow::Result<()> {
        self.counting()?.counters.marks()?;
        Ok(())
    }

    /// The functions of the guest's kernel.
    ///
    /// # Errors
    ///
    /// If nothing is counted here.
    pub fn symbols(&self) -> anyhow::Result<&Symbols> {
        Ok(&self.counting()?.symbols)
    }

    fn counting(&self) -> anyhow::Result<&Counting> {
        self.counting.as_ref().context("nothing is counted here")
    }

    /// Runs shell text in the guest.
    ///
    /// # Errors
    ///
    /// If it fails.
    fn sh(&mut self, text: &str) -> anyhow::Result<String> {
        let output = self.vm.sh_within(JOB_SECONDS, text);
        if !output.is_ok() {
            bail!("exit code {} of: {text}\n{}", output.code, output.text);
        }
        Ok(output.text)
    }

    /// Powers the guest off.
    pub fn finish(self) {
        self.vm.finish();
    }
}

/// The number of data segments in a line of the trace: `... in_num 65 out_num 1`.
fn segments_of_element(line: &str) -> Option<f64> {
    let (_, numbers) = line.split_once("in_num ")?;
    let (incoming, outgoing) = numbers.split_once(" out_num ")?;
    let all: f64 = incoming.parse::<f64>().ok()? + outgoing.trim().parse::<f64>().ok()?;
    Some(all - 2.0)
}

/// The plugin that counts; cargo puts it beside this program.
fn plugin() -> anyhow::Result<PathBuf> {
    let path = env::current_exe()?.with_file_name("libinstruction_counter.so");
    ensure!(
        Path::new(&path).exists(),
        "{} is missing; start this by scripts/bench, which builds it",
        path.display()
    );
    Ok(path)
}

/// Whether the accelerator is KVM, TCG, ...
pub fn accelerator(mode: Mode) -> String {
    match mode {
        Mode::Deterministic => "tcg -icount shift=0,sleep=off".into(),
        Mode::Wall => config::accel(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_status_are_no_segments() {
        let line = "virtqueue_alloc_element elem 0x55 size 240 in_num 65 out_num 1";
        assert_eq!(segments_of_element(line), Some(64.0));
        assert_eq!(segments_of_element("something else"), None);
    }
}
