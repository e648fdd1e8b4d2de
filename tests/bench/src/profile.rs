// SPDX-License-Identifier: GPL-2.0

//! Says which functions execute the instructions of one I/O.

use crate::{
    cases::Case,
    deterministic,
    machine::{Bench, Subject},
    report::align,
    symbols::Function,
    Mode, //
};
use guest::Stack;
use std::collections::HashMap;

/// Instructions of one I/O by function, for each stack that was asked for.
pub struct Profile {
    case: &'static str,
    stacks: Vec<(Stack, HashMap<Function, f64>)>,
}

/// Less than this is not worth a line.
const LEAST: f64 = 0.5;

/// Profiles a case with each of the stacks.
///
/// # Errors
///
/// If the case fails.
pub fn measure(case: &'static Case, stacks: &[Stack]) -> anyhow::Result<Profile> {
    let mut profile = Profile {
        case: case.name,
        stacks: Vec::new(),
    };
    for &stack in stacks {
        eprintln!("booting: {} machine, {stack:?} stack", case.machine.name);
        let mut bench = Bench::boot(case.machine, stack, Mode::Deterministic)?;
        let cost = deterministic::cost(&mut bench, case, Subject::Stack(stack))?;
        let symbols = bench.symbols()?;
        let mut functions = HashMap::new();
        for (&address, &executed) in &cost.counted.blocks {
            *functions.entry(symbols.find(address)).or_default() += cost.each(executed);
        }
        profile.stacks.push((stack, functions));
        bench.finish();
    }
    Ok(profile)
}

impl Profile {
    /// A table of modules, and one of functions with at most so many lines.
    pub fn table(&self, lines: usize) -> String {
        let modules: Vec<HashMap<String, f64>> = self
            .stacks
            .iter()
            .map(|(_, functions)| {
                let mut modules = HashMap::new();
                for (function, executed) in functions {
                    *modules.entry(function.module.clone()).or_default() += executed;
                }
                modules
            })
            .collect();
        let by_function: Vec<_> = self
            .stacks
            .iter()
            .map(|(_, functions)| {
                let named = |(function, executed): (&Function, &f64)| {
                    (
                        format!("{} [{}]", function.name, function.module),
                        *executed,
                    )
                };
                functions.iter().map(named).collect()
            })
            .collect();
        format!(
            "instructions of one I/O, {}\n\n{}\n{}",
            self.case,
            self.part("module", &modules, usize::MAX),
            self.part("function", &by_function, lines)
        )
    }

    /// A table whose lines are the keys, the most expensive ones first.
    fn part(&self, title: &str, stacks: &[HashMap<String, f64>], lines: usize) -> String {
        let most = |key: &String| {
            let values = stacks.iter().filter_map(|stack| stack.get(key));
            values.fold(0.0, |most: f64, value| most.max(*value))
        };
        let mut keys: Vec<_> = stacks.iter().flat_map(HashMap::keys).collect();
        keys.sort();
        keys.dedup();
        keys.retain(|key| most(key) >= LEAST);
        keys.sort_by(|left, right| most(right).total_cmp(&most(left)));

        let cell = |value: Option<f64>, total: f64| match value {
            Some(value) if value >= LEAST => {
                format!("{value:.0} {:4.1}%", 100.0 * value / total)
            }
            _ => "-".into(),
        };
        let totals: Vec<f64> = stacks.iter().map(|stack| stack.values().sum()).collect();
        let line = |name: &str, values: &dyn Fn(usize) -> Option<f64>| {
            let cells: Vec<_> = (0..stacks.len())
                .map(|index| cell(values(index), totals[index]))
                .collect();
            let difference = match stacks.len() {
                2 => format!(
                    "{:+.0}",
                    values(1).unwrap_or(0.0) - values(0).unwrap_or(0.0)
                ),
                _ => String::new(),
            };
            [
                name.to_owned(),
                cells.first().cloned().unwrap_or_default(),
                cells.get(1).cloned().unwrap_or_default(),
                difference,
            ]
        };
        let name = |index: usize| {
            let stack = self.stacks.get(index);
            stack.map_or(String::new(), |(stack, _)| format!("{stack:?}"))
        };
        let difference = if stacks.len() == 2 { "difference" } else { "" };
        let mut table = vec![
            [title.to_owned(), name(0), name(1), difference.to_owned()],
            line("all", &|index| Some(totals[index])),
        ];
        for key in keys.into_iter().take(lines) {
            table.push(line(key, &|index| stacks[index].get(key).copied()));
        }
        align(&table)
    }
}
