// SPDX-License-Identifier: GPL-2.0

//! The steps of a device's initialization cannot be taken in another order: what tries to does not
//! compile.

use std::{
    fs,
    path::Path,
    process::Command, //
};

/// Compiles a function body that has a device's status field as `field`. Returns the codes of the
/// compiler's errors.
fn errors_of(body: &str) -> Vec<String> {
    let status =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../drivers/virtio/virtio/status.rs");
    let source = format!(
        "#![allow(dead_code)]
         #[path = {:?}]
         pub mod status;
         pub use status::*;

         pub struct Field;
         impl StatusField for Field {{
             fn status(&self) -> Status {{ Status::RESET }}
             fn set_status(&self, _: Status) {{}}
         }}

         pub fn body(field: &Field) -> Result<(), FeaturesRefused> {{
             {body}
             Ok(())
         }}",
        fs::canonicalize(status).expect("the source of the steps")
    );
    let dir = tempfile::tempdir().expect("making a directory");
    let file = dir.path().join("steps.rs");
    fs::write(&file, source).expect("writing the source");
    let output = Command::new("rustc")
        .args(["--edition=2021", "--crate-type=lib", "--emit=metadata"])
        .arg("--out-dir")
        .args([dir.path(), &file])
        .output()
        .expect("running rustc");
    let text = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("error[")?.split(']').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(output.status.success(), errors.is_empty(), "{text}");
    errors
}

/// CORE-INIT-1 to CORE-INIT-11: the one order that there is.
#[test]
fn the_steps_compile_in_their_order() {
    let body = "Handshake::start(field).acknowledge().driver().features_ok()?.driver_ok();";
    assert!(errors_of(body).is_empty());
    let resumed = "Handshake::resume(field).driver().features_ok()?.give_up();";
    assert!(errors_of(resumed).is_empty());
}

/// No such method at that step.
#[test]
fn no_step_can_be_skipped() {
    for body in [
        "Handshake::start(field).driver();",
        "Handshake::start(field).features_ok()?;",
        "Handshake::start(field).driver_ok();",
        "Handshake::start(field).acknowledge().features_ok()?;",
        "Handshake::start(field).acknowledge().driver_ok();",
        "Handshake::start(field).acknowledge().driver().driver_ok();",
    ] {
        assert_eq!(errors_of(body), ["E0599"], "{body}");
    }
}

/// Use of a moved value.
#[test]
fn no_step_can_be_repeated() {
    for body in [
        "let step = Handshake::start(field); step.acknowledge(); step.acknowledge();",
        "let step = Handshake::resume(field).driver().features_ok()?; step.driver_ok(); step.driver_ok();",
        "let step = Handshake::resume(field).driver(); step.give_up(); step.features_ok()?;",
    ] {
        assert_eq!(errors_of(body), ["E0382"], "{body}");
    }
}

/// What makes a step out of nothing is private.
#[test]
fn no_step_can_be_forged() {
    let made = "let _: Handshake<'_, Field, FeaturesOk> = Handshake::at(field);";
    assert_eq!(errors_of(made), ["E0624"]);
    let built = "let _: Handshake<'_, Field, FeaturesOk> =
                     Handshake { field, step: core::marker::PhantomData };";
    assert_eq!(errors_of(built), ["E0451"]);
    let advanced = "let _: Handshake<'_, Field, FeaturesOk> =
                        Handshake::start(field).advance(Status::FEATURES_OK);";
    assert_eq!(errors_of(advanced), ["E0624"]);
}
