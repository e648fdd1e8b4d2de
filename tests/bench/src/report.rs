// SPDX-License-Identifier: GPL-2.0

//! The results, as a table for people and as JSON and CSV for programs.

use crate::{cases::Case, machine::Subject, Mode};
use guest::Stack;
use serde::Serialize;
use std::fmt::Write as _;

/// Everything that a run found out.
#[derive(Debug, Serialize)]
pub struct Report {
    pub mode: Mode,
    pub accelerator: String,
    pub cases: Vec<Row>,
    /// The geometric mean of the ratios.
    pub geometric_mean: Option<f64>,
}

/// A case's results.
#[derive(Debug, Serialize)]
pub struct Row {
    pub name: &'static str,
    pub about: &'static str,
    pub c: Option<Measurement>,
    pub rust: Option<Measurement>,
    pub ceiling: Option<Measurement>,
    /// IOPS of the Rust stack, where those of the C stack are 1.
    pub ratio: Option<f64>,
    /// Why there are no numbers.
    pub error: Option<String>,
}

/// What was measured of one stack; all but IOPS is for one I/O.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    pub iops: f64,
    /// The distance of the best and the worst round, as a part of the median.
    pub spread: Option<f64>,
    pub instructions: Option<f64>,
    pub notifications: Option<f64>,
    pub interrupts: f64,
}

impl Measurement {
    /// The median of several measurements, each of its values for itself.
    pub fn median(all: &[Self]) -> Self {
        let sort = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values
        };
        let sorted = |value: fn(&Self) -> f64| sort(all.iter().map(value).collect());
        let middle = |values: &[f64]| {
            let half = values.len() / 2;
            match values.len() % 2 {
                1 => values[half],
                _ => (values[half - 1] + values[half]) / 2.0,
            }
        };
        let notifications: Option<Vec<_>> = all.iter().map(|one| one.notifications).collect();
        let iops = sorted(|one| one.iops);
        let median = middle(&iops);
        Self {
            iops: median,
            spread: Some((iops[iops.len() - 1] - iops[0]) / median),
            instructions: None,
            notifications: notifications.map(|values| middle(&sort(values))),
            interrupts: middle(&sorted(|one| one.interrupts)),
        }
    }
}

impl Report {
    pub fn new(mode: Mode, accelerator: String, cases: &[&'static Case]) -> Self {
        let row = |case: &&'static Case| Row {
            name: case.name,
            about: case.about,
            c: None,
            rust: None,
            ceiling: None,
            ratio: None,
            error: None,
        };
        Self {
            mode,
            accelerator,
            cases: cases.iter().map(row).collect(),
            geometric_mean: None,
        }
    }

    /// Enters what was measured, and says so. A case with an error has no ratio.
    pub fn add(&mut self, case: &Case, subject: Subject, measured: anyhow::Result<Measurement>) {
        let name = match subject {
            Subject::Stack(Stack::C) => "C",
            Subject::Stack(Stack::Rust) => "Rust",
            Subject::Ceiling => "no device",
        };
        let Some(row) = self.cases.iter_mut().find(|row| row.name == case.name) else {
            return;
        };
        match measured {
            Ok(measured) => {
                eprintln!("{}, {name}: {:.0} IOPS", case.name, measured.iops);
                *match subject {
                    Subject::Stack(Stack::C) => &mut row.c,
                    Subject::Stack(Stack::Rust) => &mut row.rust,
                    Subject::Ceiling => &mut row.ceiling,
                } = Some(measured);
            }
            Err(error) => {
                eprintln!("{}, {name}: FAILED: {error:#}", case.name);
                row.error.get_or_insert(format!("{name}: {error:#}"));
            }
        }
        row.ratio = match (&row.c, &row.rust, &row.error) {
            (Some(c), Some(rust), None) => Some(rust.iops / c.iops),
            _ => None,
        };
        let ratios: Vec<f64> = self.cases.iter().filter_map(|row| row.ratio).collect();
        self.geometric_mean = geometric_mean(&ratios);
    }

    /// The cases without numbers.
    pub fn failures(&self) -> impl Iterator<Item = &Row> {
        self.cases.iter().filter(|row| row.error.is_some())
    }

    /// A table to read.
    pub fn table(&self) -> String {
        let number = |value: Option<f64>, digits: usize| {
            value.map_or("-".into(), |value| format!("{value:.digits$}"))
        };
        let both = |row: &Row, digits, value: fn(&Measurement) -> Option<f64>| {
            let of = |stack: &Option<Measurement>| number(stack.as_ref().and_then(value), digits);
            format!("{} / {}", of(&row.c), of(&row.rust))
        };
        let iops = |stack: &Option<Measurement>| number(stack.as_ref().map(|one| one.iops), 0);

        let mut lines = vec![[
            "case",
            "C IOPS",
            "Rust IOPS",
            "Rust/C",
            "no device",
            "instr/IO C / Rust",
            "notif/IO C / Rust",
            "irqs/IO C / Rust",
            "spread % C / Rust",
        ]
        .map(str::to_owned)];
        for row in self.cases.iter().filter(|row| row.error.is_none()) {
            lines.push([
                row.name.to_owned(),
                iops(&row.c),
                iops(&row.rust),
                number(row.ratio, 3),
                iops(&row.ceiling),
                both(row, 0, |one| one.instructions),
                both(row, 3, |one| one.notifications),
                both(row, 3, |one| Some(one.interrupts)),
                both(row, 1, |one| one.spread.map(|spread| spread * 100.0)),
            ]);
        }
        let mut text = format!("{:?} mode, {}\n\n", self.mode, self.accelerator);
        text.push_str(&align(&lines));
        if let Some(mean) = self.geometric_mean {
            writeln!(text, "\ngeometric mean of Rust/C: {mean:.3}").expect("writing to a string");
        }
        for row in self.failures() {
            let error = row.error.as_deref().unwrap_or_default();
            writeln!(text, "\nFAILED {}: {error}", row.name).expect("writing to a string");
        }
        text
    }

    /// A line for each case and stack.
    pub fn csv(&self) -> String {
        let mut text =
            String::from("case,stack,iops,spread,instructions,notifications,interrupts\n");
        let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        for row in &self.cases {
            for (stack, measured) in [
                ("c", &row.c),
                ("rust", &row.rust),
                ("ceiling", &row.ceiling),
            ] {
                let Some(one) = measured else { continue };
                writeln!(
                    text,
                    "{},{stack},{},{},{},{},{}",
                    row.name,
                    one.iops,
                    number(one.spread),
                    number(one.instructions),
                    number(one.notifications),
                    one.interrupts
                )
                .expect("writing to a string");
            }
        }
        text
    }
}

/// Puts cells under each other: the first column to the left, the others to the right.
pub fn align<const COLUMNS: usize>(lines: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or(0)
    };
    // What this mode cannot measure has no column.
    let is_empty = |column: usize| {
        let mut cells = lines.iter().skip(1).map(|line| line[column].as_str());
        lines.len() > 1 && cells.all(|cell| matches!(cell, "" | "-" | "- / -"))
    };
    let widths: [Option<usize>; COLUMNS] =
        std::array::from_fn(|column| (!is_empty(column)).then(|| width(column)));
    let mut text = String::new();
    for line in lines {
        for (column, cell) in line.iter().enumerate() {
            let Some(width) = widths[column] else {
                continue;
            };
            let cell = match column {
                0 => format!("{cell:width$}"),
                _ => format!("  {cell:>width$}"),
            };
            text.push_str(&cell);
        }
        text.push('\n');
    }
    text
}

fn geometric_mean(ratios: &[f64]) -> Option<f64> {
    let logarithms: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    (!ratios.is_empty()).then(|| (logarithms / ratios.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(iops: f64) -> Measurement {
        Measurement {
            iops,
            spread: None,
            instructions: None,
            notifications: None,
            interrupts: 1.0,
        }
    }

    #[test]
    fn the_median_ignores_an_outlier() {
        let all = [10.0, 1000.0, 11.0].map(measured);
        let median = Measurement::median(&all);
        assert_eq!(median.iops, 11.0);
        assert_eq!(median.spread, Some(90.0));
        assert_eq!(Measurement::median(&all[..2]).iops, 505.0);
    }

    #[test]
    fn the_mean_is_geometric() {
        assert_eq!(geometric_mean(&[]), None);
        assert_eq!(geometric_mean(&[0.5, 2.0]), Some(1.0));
    }

    #[test]
    fn a_case_that_failed_has_no_ratio() {
        let case = &crate::cases::ALL[0];
        let mut report = Report::new(Mode::Wall, "kvm".into(), &[case]);
        report.add(case, Subject::Stack(Stack::C), Ok(measured(2.0)));
        report.add(case, Subject::Stack(Stack::Rust), Ok(measured(3.0)));
        assert_eq!(report.cases[0].ratio, Some(1.5));
        report.add(case, Subject::Ceiling, Err(anyhow::anyhow!("no disk")));
        assert_eq!(report.cases[0].ratio, None);
        assert_eq!(report.geometric_mean, None);
        assert!(report
            .table()
            .contains("FAILED randread-4k-qd32: no device: no disk"));
    }
}
