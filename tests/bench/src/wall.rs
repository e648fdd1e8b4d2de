// SPDX-License-Identifier: GPL-2.0

//! Measuring on real time: what a user sees, as noisy as the host is.
//!
//! Every round boots both stacks, in turn the one and the other first, so that a host that becomes
//! slower does so for both. The result is the median of the rounds.

use crate::{
    cases::{self, Case, Target},
    fio::Length,
    machine::{self, Bench, Subject},
    report::{Measurement, Report},
    Mode, //
};
use anyhow::Context as _;
use guest::Stack;

/// How long a job runs.
const SECONDS: u32 = 3;
/// How long it runs once more, untimed, while QEMU traces notifications.
const TRACED_SECONDS: u32 = 1;

/// Measures the cases with each stack.
///
/// # Errors
///
/// If nothing can be measured at all. A case that fails is a failure in the report.
pub fn measure(cases: &[&'static Case], rounds: usize) -> anyhow::Result<Report> {
    let mut report = Report::new(Mode::Wall, machine::accelerator(Mode::Wall), cases);
    for machine in cases::machines(cases) {
        let cases: Vec<_> = cases
            .iter()
            .filter(|case| case.machine == machine)
            .collect();
        let mut samples = Vec::new();
        for round in 0..rounds {
            let mut stacks = [Stack::C, Stack::Rust];
            if round % 2 == 1 {
                stacks.reverse();
            }
            for stack in stacks {
                let name = machine.name;
                eprintln!(
                    "round {} of {rounds}: {name} machine, {stack:?} stack",
                    round + 1
                );
                let mut bench = Bench::boot(machine, stack, Mode::Wall)?;
                for case in &cases {
                    let mut subjects = vec![Subject::Stack(stack)];
                    if stack == Stack::C && case.target == Target::Disk {
                        subjects.push(Subject::Ceiling);
                    }
                    for subject in subjects {
                        let sample = run(&mut bench, case, subject);
                        samples.push((case.name, subject, sample));
                    }
                }
                bench.finish();
            }
        }
        for case in cases {
            for subject in [
                Subject::Stack(Stack::C),
                Subject::Stack(Stack::Rust),
                Subject::Ceiling,
            ] {
                let (of_case, others): (Vec<_>, Vec<_>) = samples
                    .into_iter()
                    .partition(|sample| (sample.0, sample.1) == (case.name, subject));
                samples = others;
                let of_case: anyhow::Result<Vec<_>> =
                    of_case.into_iter().map(|(_, _, sample)| sample).collect();
                match of_case {
                    Ok(all) if all.is_empty() => {}
                    all => report.add(case, subject, all.map(|all| Measurement::median(&all))),
                }
            }
        }
    }
    Ok(report)
}

fn run(bench: &mut Bench, case: &Case, subject: Subject) -> anyhow::Result<Measurement> {
    bench.prepare(case, subject)?;
    let runs = bench.run(case, subject, &[Length::Seconds(SECONDS)])?;
    let run = runs.first().context("nothing ran")?;
    let notifications = match subject {
        Subject::Stack(_) => Some(bench.notifications(case, Length::Seconds(TRACED_SECONDS))?),
        Subject::Ceiling => None,
    };
    Ok(Measurement {
        iops: run.outcome.iops,
        spread: None,
        instructions: None,
        notifications,
        interrupts: run.interrupts as f64 / run.outcome.ios as f64,
    })
}
