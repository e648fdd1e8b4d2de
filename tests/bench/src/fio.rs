// SPDX-License-Identifier: GPL-2.0

//! fio's command line and what it answers.

use crate::{
    cases::{Case, Target},
    machine::Subject, //
};
use anyhow::{ensure, Context as _};
use serde::Deserialize;
use std::fmt::Write as _;

/// When a job ends.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// After so many I/Os of each of its jobs.
    Ios(u64),
    /// After so many seconds.
    Seconds(u32),
}

/// What came out of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    pub ios: u64,
    pub iops: f64,
}

const SCATTERED_BUFFER: &str = "/tmp/scattered";

/// Fills two files in memory page by page in turn, so that pages that follow each other in a file
/// are no neighbours in memory. fio takes its buffers from the first one.
pub const MAKE_SCATTERED_BUFFER: &str = "[ -e /tmp/scattered ] || awk 'BEGIN {
    for (page = 0; page < 1024; page++) {
        printf \"%4096s\", \"\" > \"/tmp/scattered\"; fflush(\"/tmp/scattered\")
        printf \"%4096s\", \"\" > \"/tmp/between\"; fflush(\"/tmp/between\")
    }
}'";

/// The shell text that runs a case's job.
pub fn command(case: &Case, subject: Subject, length: Length) -> String {
    let target = match (case.target, subject) {
        (Target::Filesystem, _) => "/mnt/file",
        (Target::Disk, Subject::Ceiling) => "/dev/nullb0",
        (Target::Disk, Subject::Stack(_)) => "/dev/vda",
    };
    let mut fio = format!(
        "fio --name=job --filename={target} --size={} --ioengine=io_uring --group_reporting \
         --norandommap --randrepeat=1 --eta=never --output-format=json --output=/run/fio.json {}",
        match case.target {
            Target::Disk => "1g",
            Target::Filesystem => "512m",
        },
        case.fio
    );
    if case.target == Target::Disk {
        fio.push_str(" --direct=1");
    }
    if case.scattered_pages.is_some() {
        write!(fio, " --iomem=mmapshared:{SCATTERED_BUFFER}").expect("writing to a string");
    }
    let length = match length {
        Length::Ios(ios) => format!("--number_ios={ios}"),
        Length::Seconds(seconds) => format!("--time_based --runtime={seconds}"),
    };
    // Each run writes a new file, or only the first one would allocate its blocks.
    format!("rm -f /mnt/file; {fio} {length}")
}

/// The shell text that prints the last job's answer. fio may put notes before its JSON.
pub const SHOW_ANSWER: &str = "sed -n '/^{/,$p' /run/fio.json";

/// The part of fio's JSON that counts.
#[derive(Deserialize)]
struct Answer {
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Job {
    error: i64,
    read: Direction,
    write: Direction,
}

#[derive(Deserialize)]
struct Direction {
    total_ios: u64,
    iops: f64,
}

impl Outcome {
    /// Reads fio's answer at the start of a text; says how long it was, too.
    ///
    /// # Errors
    ///
    /// If it is not what fio 3 prints, if a job failed, or if nothing was done.
    pub fn parse(text: &str) -> anyhow::Result<(Self, usize)> {
        let mut answers = serde_json::Deserializer::from_str(text).into_iter::<Answer>();
        let answer = answers
            .next()
            .context("no answer of fio")?
            .with_context(|| format!("fio's answer: {text}"))?;
        let mut outcome = Self { ios: 0, iops: 0.0 };
        for job in &answer.jobs {
            ensure!(job.error == 0, "fio: error {}", job.error);
            outcome.ios += job.read.total_ios + job.write.total_ios;
            outcome.iops += job.read.iops + job.write.iops;
        }
        ensure!(outcome.ios > 0, "fio did nothing");
        Ok((outcome, answers.byte_offset()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(error: i64, ios: u64) -> String {
        format!(
            r#"{{"jobs": [{{"error": {error}, "read": {{"total_ios": {ios}, "iops": 2.5, "bw": 1}},
               "write": {{"total_ios": 3, "iops": 0.5}}}}]}}"#
        )
    }

    #[test]
    fn reads_and_writes_count_together() {
        let text = answer(0, 4);
        let (outcome, length) = Outcome::parse(&format!("{text}\nmore")).expect("an answer");
        assert_eq!(outcome, Outcome { ios: 7, iops: 3.0 });
        assert_eq!(length, text.len());
    }

    #[test]
    fn a_failed_job_is_an_error() {
        assert!(Outcome::parse(&answer(5, 4)).is_err());
        assert!(Outcome::parse("fio: no such file").is_err());
    }
}
