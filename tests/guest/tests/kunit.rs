// SPDX-License-Identifier: GPL-2.0

//! The KUnit suites of the modules.
//!
//! A suite vanishes silently when something is configured wrongly, so the cases that ran are
//! compared with those that the sources have.

use guest::{config, Guest};
use std::{
    collections::BTreeMap,
    fs,
    path::Path, //
};

/// Cases of each suite, by name.
type Suites = BTreeMap<String, Vec<String>>;

#[test]
fn all_unit_tests_of_the_sources_pass() {
    let mut expected = Suites::new();
    for folder in ["drivers", "rust", "tests/kunit", "tests/fake"] {
        read_sources(&config::top().join(folder), &mut expected);
    }
    let count = |suites: &Suites| suites.values().map(Vec::len).sum::<usize>();
    assert!(
        count(&expected) > 20,
        "the sources have few unit tests: {expected:?}"
    );

    let mut vm = Guest::new()
        .checking_leaks()
        .cpus(2)
        .word("kunit.enable=1 kunit.autorun=1")
        .boot();
    vm.expect_any_error();
    vm.ok_within(
        240,
        "for file in $(find /lib/modules/*/updates -name '*kunit*.ko'); do
             modprobe $(basename $file .ko) || exit 1
         done",
    );
    let (passed, failed) = read_report(&vm.console());
    assert!(failed.is_empty(), "failed: {failed:#?}");

    let mut missing = Vec::new();
    for (suite, cases) in &expected {
        let ran = passed.get(suite).map_or(&[][..], Vec::as_slice);
        for case in cases.iter().filter(|case| !ran.contains(case)) {
            missing.push(format!("{suite}.{case}"));
        }
    }
    assert!(
        missing.is_empty(),
        "in the sources but did not run: {missing:#?}"
    );
    println!(
        "{} unit tests in {} suites passed",
        count(&expected),
        expected.len()
    );
}

/// Finds the functions under `#[test]` after each `#[kunit_tests(suite)]`.
fn read_sources(folder: &Path, suites: &mut Suites) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            read_sources(&path, suites);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("reading a source file");
            read_source(&text, suites);
        }
    }
}

fn read_source(text: &str, suites: &mut Suites) {
    let mut suite = None;
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("#[kunit_tests(") {
            suite = rest.split(')').next().map(str::to_owned);
        } else if line == "#[test]" {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
            is_test = false;
            let name = rest.split('(').next().unwrap_or_default();
            if let Some(suite) = &suite {
                suites.entry(suite.clone()).or_default().push(name.into());
            }
        }
    }
}

/// Reads KTAP from a console: the cases that passed, and those that did not.
fn read_report(console: &str) -> (Suites, Vec<String>) {
    let mut passed = Suites::new();
    let mut failed = Vec::new();
    let mut suite = String::new();
    for line in console.lines() {
        // After the level and the time comes KTAP, whose depth is its indentation.
        let Some((_, text)) = line.split_once("] ") else {
            continue;
        };
        let case = text.trim_start();
        if let Some(name) = case.strip_prefix("# Subtest: ") {
            suite = name.trim().to_owned();
        } else if case.starts_with("not ok ") || case.contains("# SKIP") {
            failed.push(format!("{suite}: {case}"));
        } else if let Some(name) = case
            .strip_prefix("ok ")
            .filter(|_| text.starts_with("    "))
        {
            let name = name.split(' ').nth(1).unwrap_or_default();
            passed.entry(suite.clone()).or_default().push(name.into());
        }
    }
    (passed, failed)
}

#[test]
fn reports_are_read_as_they_come() {
    let console = "<6>[    5.0]     KTAP version 1
<6>[    5.0]     # Subtest: virtio_bus
<6>[    5.0]     1..2
<6>[    5.0]     ok 1 matches_ids
<6>[    5.0]     not ok 2 frees_ids
<6>[    5.0] not ok 1 virtio_bus";
    let (passed, failed) = read_report(console);
    assert_eq!(passed["virtio_bus"], ["matches_ids"]);
    assert_eq!(failed.len(), 2);
}
