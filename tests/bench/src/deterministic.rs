// SPDX-License-Identifier: GPL-2.0

//! Counting the instructions of one I/O.
//!
//! The guest has one CPU and `-icount`, so that it executes the same instructions whatever the host
//! does, and a device that answers at once (the plugin sees to that). Two runs of the same job, a
//! short and a long one, differ by what their I/Os cost: starting fio costs the same in both. What
//! is counted is all that the guest executes, fio included.
//!
//! IOPS are those of a CPU that executes an instruction each nanosecond.

use crate::{
    cases::{self, Case, Target},
    counters::Snapshot,
    fio::Length,
    machine::{self, Bench, Subject},
    report::{Measurement, Report},
    Mode, //
};
use anyhow::{bail, ensure};
use guest::Stack;

/// Instructions in a second of the guest.
const INSTRUCTIONS_PER_SECOND: f64 = 1e9;

/// A few pages of a scattered buffer may be neighbours all the same.
const LEAST_SHARE: f64 = 0.96;

/// What a number of I/Os cost.
pub struct Cost {
    pub ios: i64,
    pub counted: Snapshot,
    interrupts: i64,
}

/// Measures the cases with each stack.
///
/// # Errors
///
/// If nothing can be measured at all. A case that fails is a failure in the report.
pub fn measure(cases: &[&'static Case]) -> anyhow::Result<Report> {
    let mut report = Report::new(
        Mode::Deterministic,
        machine::accelerator(Mode::Deterministic),
        cases,
    );
    for machine in cases::machines(cases) {
        for stack in [Stack::C, Stack::Rust] {
            eprintln!("booting: {} machine, {stack:?} stack", machine.name);
            let mut bench = Bench::boot(machine, stack, Mode::Deterministic)?;
            for case in cases.iter().filter(|case| case.machine == machine) {
                let mut subjects = vec![Subject::Stack(stack)];
                // Nothing comes back from null_blk, so it cannot hold a file system.
                if stack == Stack::C && case.target == Target::Disk {
                    subjects.push(Subject::Ceiling);
                }
                for subject in subjects {
                    let measured = cost(&mut bench, case, subject).map(|cost| cost.per_io());
                    report.add(case, subject, measured);
                }
            }
            bench.finish();
        }
    }
    Ok(report)
}

/// What the case's I/Os cost.
///
/// # Errors
///
/// If the job fails, the kernel complains, or the device does not come to rest.
pub fn cost(bench: &mut Bench, case: &Case, subject: Subject) -> anyhow::Result<Cost> {
    let short = Length::Ios(case.ios / 20);
    bench.prepare(case, subject)?;
    // What a case that failed has left behind is not this one's.
    bench.forget()?;
    if let (Some(pages), true) = (case.scattered_pages, subject != Subject::Ceiling) {
        let segments = bench.segments(case, short)?;
        ensure!(
            segments >= f64::from(pages) * LEAST_SHARE,
            "the requests had only {segments:.1} segments: the buffer is not scattered"
        );
        // That run was not for counting.
        bench.forget()?;
    }
    // The first run fills caches.
    let runs = bench.run(case, subject, &[short, short, Length::Ios(case.ios)])?;
    let counted = bench.counted()?;
    let ([_, short, long], [_, short_counted, long_counted]) = (&runs[..], &counted[..]) else {
        bail!("{} runs, but {} were counted", runs.len(), counted.len());
    };
    let cost = Cost {
        ios: i64::try_from(long.outcome.ios)? - i64::try_from(short.outcome.ios)?,
        counted: long_counted.since(short_counted),
        interrupts: i64::try_from(long.interrupts)? - i64::try_from(short.interrupts)?,
    };
    ensure!(
        cost.ios == i64::try_from(case.ios - case.ios / 20)?,
        "{} I/Os were counted, not {}",
        cost.ios,
        case.ios - case.ios / 20
    );
    let unsettled = short_counted.unsettled + long_counted.unsettled;
    ensure!(
        unsettled == 0,
        "the device was too slow after {unsettled} notifications; is the host very busy?"
    );
    Ok(cost)
}

impl Cost {
    /// A share of the cost for each I/O.
    pub fn each(&self, count: i64) -> f64 {
        count as f64 / self.ios as f64
    }

    fn per_io(&self) -> Measurement {
        let instructions = self.each(self.counted.instructions());
        Measurement {
            iops: INSTRUCTIONS_PER_SECOND / instructions,
            spread: None,
            instructions: Some(instructions),
            notifications: Some(self.each(self.counted.notifications)),
            interrupts: self.each(self.interrupts),
        }
    }
}
