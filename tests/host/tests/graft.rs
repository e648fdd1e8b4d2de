// SPDX-License-Identifier: GPL-2.0

//! `scripts/graft`: the sources in a kernel tree, and out of it again.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output}, //
};
use tempfile::TempDir;

fn script(name: &str, arguments: &[&str]) -> Output {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts");
    let output = Command::new(scripts.join(name)).args(arguments).output();
    output.expect("running a script")
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

/// The kernel's source with copies of what the graft changes, and links to all else.
fn tree() -> TempDir {
    let output = script("kernel", &["source"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let source = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    let tree = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(&source).unwrap() {
        let name = entry.unwrap().file_name();
        if name != "drivers" {
            symlink(source.join(&name), tree.path().join(&name)).unwrap();
        }
    }
    for part in ["virtio", "block", "Kconfig", "Makefile"] {
        let part = Path::new("drivers").join(part);
        fs::create_dir_all(tree.path().join("drivers")).unwrap();
        copy(&source.join(&part), &tree.path().join(&part));
    }
    tree
}

/// Every file below `drivers`, with what is in it.
fn files(tree: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else {
                let text = fs::read(&path).unwrap();
                files.insert(path, text);
            }
        }
    }
    let mut all = BTreeMap::new();
    collect(&tree.join("drivers"), &mut all);
    all
}

/// A second graft changes nothing, and what is taken out leaves no trace.
#[test]
fn a_graft_is_idempotent_and_reversible() {
    let tree = tree();
    let path = tree.path().to_str().unwrap();
    let before = files(tree.path());

    assert!(script("graft", &["graft", path]).status.success());
    let grafted = files(tree.path());
    let changed: Vec<_> = before
        .iter()
        .filter(|(name, text)| grafted.get(*name) != Some(*text))
        .map(|(name, _)| name.strip_prefix(path).unwrap().to_str().unwrap())
        .collect();
    assert_eq!(
        changed,
        [
            "drivers/Kconfig",
            "drivers/Makefile",
            "drivers/block/Makefile",
            "drivers/virtio/Makefile"
        ]
    );
    let source = tree
        .path()
        .join("drivers/virtio-rust/drivers/virtio/virtio.rs");
    assert!(grafted.contains_key(&source));

    assert!(script("graft", &["graft", path]).status.success());
    assert!(
        files(tree.path()) == grafted,
        "the second graft changed a file"
    );

    assert!(script("graft", &["ungraft", path]).status.success());
    assert!(files(tree.path()) == before, "a file is not as it was");
    assert!(!tree.path().join("drivers/virtio-rust").exists());
}

/// A tree in which a hook has no place is refused, and no file of it is changed.
#[test]
fn a_tree_without_a_place_for_a_hook_is_left_alone() {
    let tree = tree();
    let path = tree.path().to_str().unwrap();
    fs::write(tree.path().join("drivers/block/Makefile"), "# nothing\n").unwrap();
    let before = files(tree.path());
    let output = script("graft", &["graft", path]);
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("drivers/block/Makefile is not as in Linux"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(files(tree.path()) == before);
}
