// SPDX-License-Identifier: GPL-2.0

//! Sizes for people, as the kernel prints them: three digits, in both kinds of units. *Core-only*.

use core::fmt;

/// A number of bytes, shown like `1.07 GB/1.00 GiB`.
#[derive(Clone, Copy)]
pub struct Size(pub u64);

const DECIMAL: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
const BINARY: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

fn write_in(f: &mut fmt::Formatter<'_>, bytes: u64, base: u64, units: &[&str]) -> fmt::Result {
    let (mut whole, mut rest) = (bytes, 0);
    let mut units = units.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    for next in units {
        if whole < base {
            break;
        }
        (whole, rest) = (whole / base, whole % base);
        unit = next;
    }
    // Rounds `rest`, in parts of `base`, to parts of `digits`; carries into the whole.
    let rounded = |digits: u64| {
        let part = (rest * digits + base / 2) / base;
        (whole + part / digits, part % digits)
    };
    if unit == "B" {
        return write!(f, "{whole} {unit}");
    }
    match whole {
        0..10 => {
            let (whole, part) = rounded(100);
            write!(f, "{whole}.{part:02} {unit}")
        }
        10..100 => {
            let (whole, part) = rounded(10);
            write!(f, "{whole}.{part} {unit}")
        }
        _ => {
            let (whole, _) = rounded(1);
            write!(f, "{whole} {unit}")
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_in(f, self.0, 1000, &DECIMAL)?;
        f.write_str("/")?;
        write_in(f, self.0, 1024, &BINARY)
    }
}
