// SPDX-License-Identifier: GPL-2.0

//! The block driver has no `unsafe` code, and names no bindings of C. A search of its text: the
//! compiler's own lint would also find what the kernel's macros write.

use std::{fs, path::Path};

fn check(path: &Path) -> usize {
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap();
        return entries.map(|entry| check(&entry.unwrap().path())).sum();
    }
    if path.extension().is_none_or(|extension| extension != "rs") {
        return 0;
    }
    let text = fs::read_to_string(path).unwrap();
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap();
        let is_low = code
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|word| ["unsafe", "bindings", "bindings_ext"].contains(&word));
        assert!(!is_low, "{}:{}: {line}", path.display(), number + 1);
    }
    1
}

#[test]
fn the_block_driver_has_no_unsafe_code() {
    let drivers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../drivers/block");
    assert!(check(&drivers) > 10, "the sources are elsewhere");
}
