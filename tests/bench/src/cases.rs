// SPDX-License-Identifier: GPL-2.0

//! The table of what is measured. A new case, or a new kind of device, is a line here.

use crate::Mode;
use anyhow::{bail, ensure};

/// A fio job and the machine that it runs on.
#[derive(Debug)]
pub struct Case {
    pub name: &'static str,
    pub about: &'static str,
    pub machine: &'static Machine,
    /// fio's options, besides those that all jobs have.
    pub fio: &'static str,
    pub target: Target,
    /// How many pages a request has, if its buffer is made of pages that are no neighbours in
    /// memory. Deterministic mode checks that the device sees a segment for each page.
    pub scattered_pages: Option<u32>,
    /// How many I/Os of each job are counted in deterministic mode.
    pub ios: u64,
    pub modes: &'static [Mode],
}

/// What the job works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The disk itself, which forgets what is written.
    Disk,
    /// A file in a new ext4 on a second disk, which lies in a file of the host.
    Filesystem,
}

/// A machine with a disk. Cases on the same machine share a boot.
#[derive(Debug, PartialEq, Eq)]
pub struct Machine {
    pub name: &'static str,
    pub cpus: u32,
    /// Options of the disk's device.
    pub disk: &'static [&'static str],
    /// How many of the disk's queues are polled.
    pub poll_queues: u32,
    /// There is an IOMMU, and it is on.
    pub has_iommu: bool,
}

const PLAIN: Machine = Machine {
    name: "plain",
    cpus: 1,
    disk: &[],
    poll_queues: 0,
    has_iommu: false,
};

const IOMMU: Machine = Machine {
    name: "iommu",
    disk: &["iommu_platform=on"],
    has_iommu: true,
    ..PLAIN
};

const FOUR_QUEUES: Machine = Machine {
    name: "four-queues",
    cpus: 4,
    disk: &["num-queues=4"],
    ..PLAIN
};

/// A driver gives its first queue to requests that are not polled, and has no more queues than CPUs.
const POLLED: Machine = Machine {
    name: "polled",
    cpus: 2,
    disk: &["num-queues=2"],
    poll_queues: 1,
    ..PLAIN
};

const BOTH_MODES: &[Mode] = &[Mode::Deterministic, Mode::Wall];
const WALL: &[Mode] = &[Mode::Wall];

const RANDREAD: &str = "--rw=randread --bs=4k --iodepth=32";
const RANDWRITE: &str = "--rw=randwrite --bs=4k --iodepth=32";
const RANDREAD_BATCH: &str = "--rw=randread --bs=4k --iodepth=32 --iodepth_batch_submit=16 \
     --iodepth_batch_complete_min=1 --iodepth_batch_complete_max=16";
const RANDWRITE_BATCH: &str = "--rw=randwrite --bs=4k --iodepth=32 --iodepth_batch_submit=16 \
     --iodepth_batch_complete_min=1 --iodepth_batch_complete_max=16";

const DEFAULT: Case = Case {
    name: "",
    about: "",
    machine: &PLAIN,
    fio: "",
    target: Target::Disk,
    scattered_pages: None,
    ios: 20_000,
    modes: BOTH_MODES,
};

/// All cases, in the order of the report.
pub static ALL: &[Case] = &[
    Case {
        name: "randread-4k-qd32",
        about: "4 KiB random read, depth 32",
        fio: RANDREAD,
        ..DEFAULT
    },
    Case {
        name: "randwrite-4k-qd32",
        about: "4 KiB random write, depth 32",
        fio: RANDWRITE,
        ..DEFAULT
    },
    Case {
        name: "randread-4k-batch16",
        about: "4 KiB random read, depth 32, submitted by 16",
        fio: RANDREAD_BATCH,
        ..DEFAULT
    },
    Case {
        name: "randwrite-4k-batch16",
        about: "4 KiB random write, depth 32, submitted by 16",
        fio: RANDWRITE_BATCH,
        ..DEFAULT
    },
    Case {
        name: "randread-4k-qd1",
        about: "4 KiB random read, depth 1",
        fio: "--rw=randread --bs=4k --iodepth=1",
        modes: WALL,
        ..DEFAULT
    },
    Case {
        name: "read-128k-qd8",
        about: "128 KiB sequential read into 32 scattered pages, depth 8",
        fio: "--rw=read --bs=128k --iodepth=8",
        scattered_pages: Some(32),
        ios: 7_000,
        ..DEFAULT
    },
    Case {
        name: "randread-256k-64seg",
        about: "256 KiB random read into 64 scattered pages, depth 8",
        fio: "--rw=randread --bs=256k --iodepth=8",
        scattered_pages: Some(64),
        ios: 3_000,
        ..DEFAULT
    },
    Case {
        name: "randrw-4k-aio-qd64",
        about: "4 KiB random read and write, libaio, depth 64",
        fio: "--ioengine=libaio --rw=randrw --bs=4k --iodepth=64",
        ..DEFAULT
    },
    Case {
        name: "write-64k-ext4",
        about: "64 KiB buffered sequential write through ext4, synced at the end",
        fio: "--ioengine=psync --rw=write --bs=64k --end_fsync=1",
        target: Target::Filesystem,
        ios: 4_000,
        ..DEFAULT
    },
    Case {
        name: "randread-4k-4jobs",
        about: "4 KiB random read, depth 32, 4 jobs on 4 CPUs and 4 queues",
        machine: &FOUR_QUEUES,
        fio: "--rw=randread --bs=4k --iodepth=32 --numjobs=4",
        modes: WALL,
        ..DEFAULT
    },
    Case {
        name: "randread-4k-polled",
        about: "4 KiB random read, depth 32, polled",
        machine: &POLLED,
        fio: "--rw=randread --bs=4k --iodepth=32 --hipri=1 --cpus_allowed=0",
        ..DEFAULT
    },
    Case {
        name: "iommu-randread-4k-qd32",
        about: "4 KiB random read, depth 32, behind an IOMMU",
        machine: &IOMMU,
        fio: RANDREAD,
        ..DEFAULT
    },
    Case {
        name: "iommu-randwrite-4k-qd32",
        about: "4 KiB random write, depth 32, behind an IOMMU",
        machine: &IOMMU,
        fio: RANDWRITE,
        ..DEFAULT
    },
    Case {
        name: "iommu-randread-4k-batch16",
        about: "4 KiB random read, submitted by 16, behind an IOMMU",
        machine: &IOMMU,
        fio: RANDREAD_BATCH,
        ..DEFAULT
    },
    Case {
        name: "iommu-randwrite-4k-batch16",
        about: "4 KiB random write, submitted by 16, behind an IOMMU",
        machine: &IOMMU,
        fio: RANDWRITE_BATCH,
        ..DEFAULT
    },
];

/// The cases of a mode whose names hold `filter`.
///
/// # Errors
///
/// If there are none.
pub fn select(mode: Mode, filter: &str) -> anyhow::Result<Vec<&'static Case>> {
    let named: Vec<_> = ALL
        .iter()
        .filter(|case| case.name.contains(filter))
        .collect();
    ensure!(
        !named.is_empty(),
        "no case has '{filter}' in its name; there are: {}",
        names()
    );
    let selected: Vec<_> = named
        .iter()
        .copied()
        .filter(|case| case.modes.contains(&mode))
        .collect();
    ensure!(
        !selected.is_empty(),
        "'{filter}' names only cases that this mode cannot measure"
    );
    Ok(selected)
}

/// The case of this name.
///
/// # Errors
///
/// If there is none.
pub fn by_name(name: &str) -> anyhow::Result<&'static Case> {
    match ALL.iter().find(|case| case.name == name) {
        Some(case) => Ok(case),
        None => bail!("there is no case '{name}'; there are: {}", names()),
    }
}

/// The machines of these cases, each once, in order.
pub fn machines(cases: &[&'static Case]) -> Vec<&'static Machine> {
    let mut machines: Vec<&Machine> = Vec::new();
    for case in cases {
        if !machines.contains(&case.machine) {
            machines.push(case.machine);
        }
    }
    machines
}

fn names() -> String {
    let names: Vec<_> = ALL.iter().map(|case| case.name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_matches_nothing_is_an_error() {
        let error = select(Mode::Wall, "floppy").expect_err("no such case");
        assert!(error.to_string().contains("no case has 'floppy'"));
    }

    #[test]
    fn a_case_of_the_other_mode_is_an_error() {
        assert!(select(Mode::Deterministic, "4jobs").is_err());
        assert!(select(Mode::Wall, "4jobs").is_ok());
    }

    #[test]
    fn names_are_unique() {
        for case in ALL {
            assert!(std::ptr::eq(by_name(case.name).expect("a case"), case));
        }
    }
}
