// SPDX-License-Identifier: GPL-2.0

//! Measures the Rust stack beside the kernel's C stack, and beside a disk without a device.
//!
//! `scripts/bench` prepares kernel and images, and calls this. A case is a fio job and the machine
//! that it runs on, see [`cases`]. There are two ways to measure it:
//!
//! - [`deterministic`]: count the instructions that the guest executes for one I/O;
//! - [`wall`]: let the guest run on real time, several times.
//!
//! [`profile`] says which functions the counted instructions belong to.

mod cases;
mod chart;
mod counters;
mod deterministic;
mod fio;
mod machine;
mod profile;
mod report;
mod symbols;
mod wall;

use anyhow::{ensure, Context as _};
use clap::{Parser, Subcommand, ValueEnum};
use guest::Stack;
use serde::Serialize;
use std::{
    fs,
    path::PathBuf,
    process::ExitCode, //
};

#[derive(Parser)]
#[command(about = "Measures the Rust stack beside the C stack, in guests under QEMU")]
struct Arguments {
    /// Only say whether the arguments are right.
    #[arg(long, global = true)]
    check: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures, prints a table, and writes it as JSON, CSV and SVG to target/bench.
    Run {
        #[arg(long, value_enum, default_value_t = Mode::Deterministic)]
        mode: Mode,
        /// Only the cases with this text in their names.
        #[arg(long, default_value = "")]
        cases: String,
        /// How often each case is measured with each stack (wall mode).
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// Says where the instructions of one I/O go, by function.
    Profile {
        /// One stack only.
        #[arg(long, value_enum)]
        stack: Option<StackName>,
        /// The case's name.
        #[arg(long, default_value = "randread-4k-qd32")]
        case: String,
        /// How many functions to print.
        #[arg(long, default_value_t = 60)]
        lines: usize,
    },
    /// Lists the cases.
    List,
}

/// What the clock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Executed instructions.
    Deterministic,
    /// Real time.
    Wall,
}

#[derive(Clone, Copy, ValueEnum)]
enum StackName {
    Rust,
    C,
}

impl From<StackName> for Stack {
    fn from(name: StackName) -> Self {
        match name {
            StackName::Rust => Self::Rust,
            StackName::C => Self::C,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let is_check = arguments.check;
    let done = match arguments.command {
        Command::Run {
            mode,
            cases,
            rounds,
        } => run(mode, &cases, rounds, is_check),
        Command::Profile { stack, case, lines } => profile(stack, &case, lines, is_check),
        Command::List => {
            for case in cases::ALL {
                println!("{:24} {}", case.name, case.about);
            }
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mode: Mode, filter: &str, rounds: usize, is_check: bool) -> anyhow::Result<()> {
    let cases = cases::select(mode, filter)?;
    ensure!(rounds > 0, "--rounds: at least one");
    if is_check {
        return Ok(());
    }
    let report = match mode {
        Mode::Deterministic => deterministic::measure(&cases),
        Mode::Wall => wall::measure(&cases, rounds),
    }?;
    println!("\n{}", report.table());

    let folder = output_folder()?;
    let name = match mode {
        Mode::Deterministic => "deterministic",
        Mode::Wall => "wall",
    };
    let write = |extension: &str, text: String| {
        let path = folder.join(format!("{name}.{extension}"));
        fs::write(&path, text).with_context(|| path.display().to_string())
    };
    write("json", serde_json::to_string_pretty(&report)? + "\n")?;
    write("csv", report.csv())?;
    write("svg", chart::draw(&report)?)?;
    println!("written to target/bench/{name}.json, .csv and .svg");

    let failed = report.failures().count();
    ensure!(failed == 0, "{failed} of {} cases failed", cases.len());
    Ok(())
}

fn profile(
    stack: Option<StackName>,
    case: &str,
    lines: usize,
    is_check: bool,
) -> anyhow::Result<()> {
    let case = cases::by_name(case)?;
    ensure!(
        case.modes.contains(&Mode::Deterministic),
        "{} cannot be measured in deterministic mode",
        case.name
    );
    if is_check {
        return Ok(());
    }
    let stacks = match stack {
        Some(stack) => vec![stack.into()],
        None => vec![Stack::C, Stack::Rust],
    };
    let profile = profile::measure(case, &stacks)?;
    println!("\n{}", profile.table(lines));
    let path = output_folder()?.join(format!("profile-{}.txt", case.name));
    fs::write(&path, profile.table(usize::MAX)).with_context(|| path.display().to_string())?;
    println!("all of it is in target/bench/profile-{}.txt", case.name);
    Ok(())
}

fn output_folder() -> anyhow::Result<PathBuf> {
    let folder = guest::config::top().join("target/bench");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}
