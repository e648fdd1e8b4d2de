// SPDX-License-Identifier: GPL-2.0

//! `scripts/check-kdir`: a kernel that modules cannot be built for is refused with one sentence that
//! says why.

use std::{
    fs,
    path::Path,
    process::Command, //
};
use tempfile::TempDir;

const CONFIG: &str =
    "CONFIG_MODULES=y\nCONFIG_RUST=y\nCONFIG_VIRTIO=m\nCONFIG_PCI=y\nCONFIG_BLOCK=y\n";

/// A build tree as far as it is looked at: its version, and its configuration if it has any.
fn tree(version: &str, config: Option<&str>) -> TempDir {
    let tree = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = tree.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("Makefile", &format!("kernelversion:\n\t@echo {version}\n"));
    if let Some(config) = config {
        for name in [".config", "include/config/auto.conf"] {
            write(name, config);
        }
        write("rust/libkernel.rmeta", "");
        write("Module.symvers", "");
    }
    tree
}

#[track_caller]
fn refused(tree: &Path, reason: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/check-kdir");
    let output = Command::new(script).arg(tree).output().unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(reason), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(output.stdout.is_empty());
}

#[test]
fn what_is_no_build_tree_is_refused() {
    let nothing = tempfile::tempdir().unwrap();
    refused(&nothing.path().join("nowhere"), "is not a directory");
    refused(nothing.path(), "is not a kernel build tree");
    refused(tree("7.3.4", None).path(), "is not configured");
}

#[test]
fn another_release_is_refused() {
    let tree = tree("6.12.1", Some(CONFIG));
    refused(
        tree.path(),
        "is Linux 6.12.1, but these modules are for Linux 7.3",
    );
}

#[test]
fn a_kernel_without_rust_is_refused() {
    let tree = tree("7.3.4", Some("CONFIG_MODULES=y\nCONFIG_VIRTIO=m\n"));
    refused(tree.path(), "has no CONFIG_RUST");
}

#[test]
fn a_kernel_with_the_c_stack_built_in_is_refused() {
    let config = CONFIG.replace("CONFIG_VIRTIO=m", "CONFIG_VIRTIO=y");
    refused(tree("7.3.4", Some(&config)).path(), "has CONFIG_VIRTIO=y");
}

#[test]
fn a_kernel_without_virtio_is_refused() {
    let config = CONFIG.replace("CONFIG_VIRTIO=m\n", "");
    refused(tree("7.3.4", Some(&config)).path(), "has no CONFIG_VIRTIO");
}

#[test]
fn a_kernel_of_another_compiler_is_refused() {
    let text = "CONFIG_RUSTC_VERSION_TEXT=\"rustc 1.80.0 (not here)\"\n";
    let tree = tree("7.3.4", Some(&format!("{CONFIG}{text}")));
    refused(tree.path(), "was built by 'rustc 1.80.0 (not here)'");
}
