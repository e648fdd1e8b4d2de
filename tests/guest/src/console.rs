// SPDX-License-Identifier: GPL-2.0

//! What a guest's console must not say.
//!
//! The guest boots with `console_msg_format=syslog`, so each kernel line starts with its level in
//! angle brackets. Two kinds of lines fail a test:
//!
//! - [`NEVER`]: signs of a bug. No test can allow them.
//! - errors (level 3 and below): a test that provokes one names it with `Vm::expect`, and then it
//!   must appear. (Only the guest that runs the unit tests may log any.)

/// Parts of lines that mean a bug in the kernel or in a driver.
pub const NEVER: &[&str] = &[
    // Oopses, warnings, traps.
    "WARNING: ",
    "BUG: ",
    "BUG at ",
    "Oops",
    "Kernel panic",
    "Call Trace",
    "general protection",
    "stack segment",
    "double fault",
    "divide error",
    "invalid opcode",
    "unable to handle",
    "panicked at",
    "stack guard page",
    "cut here",
    // Sanitizers and checkers.
    "KASAN",
    "KCSAN",
    "KMSAN",
    "UBSAN",
    "kmemleak: ",
    "DMA-API:",
    "ODEBUG:",
    "refcount_t",
    "list_add corruption",
    "list_del corruption",
    "Slab corruption",
    "Redzone",
    "Poison overwritten",
    "Bad page state",
    "slab objects remaining",
    // Lockdep and its kin.
    "possible circular",
    "possible recursive",
    "possible irq lock inversion",
    "INFO: possible",
    "inconsistent lock state",
    "suspicious RCU",
    "suspicious rcu",
    "Invalid wait context",
    "sleeping function called from invalid context",
    "scheduling while atomic",
    "held lock freed",
    "bad unlock balance",
    "lock held when returning to user space",
    // Hangs.
    "hung_task",
    "blocked for more than",
    "soft lockup",
    "hard LOCKUP",
    "rcu_sched",
    "rcu_preempt",
    "detected stalls",
    "self-detected stall",
    "nobody cared",
    // Memory that was never there.
    "page allocation failure",
    "Out of memory",
    "oom-kill",
];

/// Lines that match [`NEVER`] in words only.
const HARMLESS: &[&str] = &[
    // What the debug kernel says when it starts to look.
    "DMA-API: preallocated",
    "DMA-API: debugging enabled",
    // The checkers announce themselves when they start.
    "KASAN: no memory accesses",
    "KernelAddressSanitizer initialized",
    "kmemleak: Kernel memory leak detector initialized",
    "kmemleak: Kernel memory leak detector disabled",
    "kmemleak: Automatic memory scanning thread",
    "rcu_preempt kthread",
];

/// Lines of errors that are none of a driver's.
const NO_ERRORS: &[&str] = &[
    // An orderly power-off, which the kernel prints as an emergency.
    "reboot: Power down",
    // QEMU's clock is read while the host gives the guest no time.
    "Unable to read current time from RTC",
];

/// A report of the kernel that no driver is to blame for.
struct Foreign {
    /// What is in its first line.
    first: &'static str,
    /// What is in it.
    parts: &'static [&'static str],
    /// What is not.
    without: Option<&'static str>,
}

const FOREIGN: &[Foreign] = &[
    // Every surprise removal from a PCIe slot: Linux 7.3's hotplug driver takes its own two locks in
    // both orders.
    Foreign {
        first: "WARNING: possible circular locking dependency",
        parts: &["pciehp_unconfigure_device", "pci_rescan_remove_lock"],
        without: Some("virtio"),
    },
    // The scan for partitions gets no memory, which only `any_allocation_of_a_bind_may_fail` brings
    // about.
    Foreign {
        first: "vmalloc error: size 32768,",
        parts: &["vm_struct allocation failed", "bdev_disk_changed"],
        without: None,
    },
];

/// Takes the reports out of a log that are [`FOREIGN`].
fn without_foreign_reports(log: &str) -> String {
    let mut kept = String::new();
    let mut lines = log.lines();
    while let Some(line) = lines.next() {
        let mut block = format!("{line}\n");
        if let Some(foreign) = FOREIGN.iter().find(|it| line.contains(it.first)) {
            let mut is_pure = true;
            for line in lines.by_ref() {
                block.push_str(line);
                block.push('\n');
                if line.contains("</TASK>") {
                    break;
                }
                // Another CPU may have something to say at the same time.
                is_pure &=
                    line.contains("Call Trace") || !NEVER.iter().any(|part| line.contains(part));
            }
            let is_without = foreign.without.is_none_or(|part| !block.contains(part));
            if is_pure && is_without && foreign.parts.iter().all(|part| block.contains(part)) {
                continue;
            }
        }
        kept.push_str(&block);
    }
    kept
}

/// Searches a console log; gives the lines that fail the test, and complaints about lines of
/// `expected` that are not there.
pub fn complaints(log: &str, expected: &[String], is_any_error_expected: bool) -> Vec<String> {
    let log = without_foreign_reports(log);
    let mut found = Vec::new();
    for line in log.lines() {
        let harmless = HARMLESS.iter().any(|part| line.contains(part));
        let is_bug = !harmless && NEVER.iter().any(|part| line.contains(part));
        let is_error = !is_any_error_expected
            && level(line).is_some_and(|level| level <= 3)
            && !NO_ERRORS.iter().any(|end| line.ends_with(end))
            && !expected.iter().any(|part| line.contains(part.as_str()));
        if is_bug || is_error {
            found.push(line.to_owned());
        }
    }
    for part in expected {
        if !log.contains(part.as_str()) {
            found.push(format!("(expected, but never printed: {part})"));
        }
    }
    found
}

/// The level of a kernel line, `<3>[    1.234567] text`.
fn level(line: &str) -> Option<u8> {
    let (number, rest) = line.strip_prefix('<')?.split_once('>')?;
    rest.starts_with('[').then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(log: &str, expected: &[&str]) -> Vec<String> {
        let expected: Vec<_> = expected.iter().map(|part| (*part).to_owned()).collect();
        complaints(log, &expected, false)
    }

    #[test]
    fn quiet_logs_pass() {
        assert!(check(
            "<6>[    0.1] Linux version\nguest: up\n<4>[   1.0] warning: x",
            &[]
        )
        .is_empty());
    }

    #[test]
    fn a_warning_cannot_be_expected() {
        let log = "<4>[    1.5] WARNING: CPU: 0 PID: 1 at x.c:1";
        assert_eq!(check(log, &["WARNING: CPU"]), [log]);
    }

    #[test]
    fn an_error_must_be_expected() {
        let log = "<3>[    1.5] I/O error, dev vda, sector 8";
        assert_eq!(check(log, &[]), [log]);
        assert!(check(log, &["I/O error, dev vda"]).is_empty());
    }

    #[test]
    fn only_the_report_of_another_driver_is_passed_over() {
        let report = |frame: &str| {
            format!(
                "<4>[1.0] WARNING: possible circular locking dependency detected\n\
                 <4>[1.0] (pci_rescan_remove_lock){{+.+.}}-{{4:4}}\n<4>[1.0] Call Trace:\n\
                 <4>[1.0]  {frame}+0x1/0x2\n<4>[1.0]  </TASK>\n"
            )
        };
        let foreign = report("pciehp_unconfigure_device");
        assert!(check(&foreign, &[]).is_empty());
        let bug = "<4>[2.0] BUG: KASAN";
        assert_eq!(check(&format!("{foreign}{bug}"), &[]), [bug]);
        for other in [
            "pciehp_unconfigure_device+0x1/0x2\n<4>[1.0] BUG: KASAN: something else",
            "blk_mq_freeze_queue",
            "pciehp_unconfigure_device virtio_pci_remove",
        ] {
            assert!(!check(&report(other), &[]).is_empty(), "{other}");
        }
    }

    #[test]
    fn only_the_scan_for_partitions_may_lack_memory() {
        let report = |frame: &str| {
            format!(
                "<4>[1.0] sh: vmalloc error: size 32768, align 0x1, vm_struct allocation failed, \
                 mode:0xdc0\n<4>[1.0] Call Trace:\n<4>[1.0]  {frame}+0x1/0x2\n<4>[1.0]  </TASK>\n"
            )
        };
        assert!(check(&report("bdev_disk_changed"), &[]).is_empty());
        assert_eq!(check(&report("start"), &[]), ["<4>[1.0] Call Trace:"]);
    }

    #[test]
    fn what_is_expected_must_come() {
        assert_eq!(check("<6>[    0.1] quiet", &["I/O error"]).len(), 1);
    }
}
