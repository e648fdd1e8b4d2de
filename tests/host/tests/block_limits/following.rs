// SPDX-License-Identifier: GPL-2.0

//! How a disk follows a device that says other things while it is in use (U17), and what the device is
//! held to when it is reset meanwhile (U15, H12).

use crate::{
    limits,
    limits::Limits,
    progress::{
        Progress,
        Told, //
    },
    DeviceConfig,
    PLAIN, //
};

/// The limits of a device that takes so many segments in a request.
fn segments(seg_max: u32) -> Limits {
    limits(DeviceConfig {
        seg_max: Some(seg_max),
        ..PLAIN
    })
    .unwrap()
}

fn told(seg_max: u32, has_write_cache: bool) -> Told {
    Told {
        limits: segments(seg_max),
        has_write_cache,
    }
}

/// A disk that was made with 128 segments and goes by so many now, without a cache.
fn with_segments(seg_max: u32) -> Progress {
    let mut progress = Progress::new(told(128, false));
    progress.hear(told(seg_max, false));
    progress.begin(false);
    progress.end(true);
    progress
}

fn check_again(progress: &mut Progress, seg_max: u32) -> Result<(), &'static str> {
    progress.check_again(&segments(seg_max), &segments(128))
}

#[test]
fn a_device_is_held_to_what_is_in_force() {
    let mut progress = with_segments(4);
    assert_eq!(check_again(&mut progress, 4), Ok(()));
    assert_eq!(check_again(&mut progress, 3), Err("seg_max"));
}

#[test]
fn what_was_only_said_is_forgotten_at_a_reset() {
    let mut progress = with_segments(4);
    progress.hear(told(128, false));
    assert_eq!(check_again(&mut progress, 8), Ok(()));
    assert_eq!(progress.told(), told(8, false));
    assert_eq!(check_again(&mut progress, 3), Err("seg_max"));
}

#[test]
fn a_device_is_held_to_both_while_the_block_layer_changes_over() {
    for (before, next) in [(4, 128), (128, 4)] {
        let mut progress = with_segments(before);
        progress.hear(told(next, false));
        progress.begin(false);
        // It has changed its mind since.
        progress.hear(told(4, false));
        assert_eq!(check_again(&mut progress, 8), Err("seg_max"));
        assert_eq!(check_again(&mut progress, 128), Ok(()));
    }
}

#[test]
fn what_the_block_layer_refuses_is_not_in_force() {
    let mut progress = with_segments(4);
    progress.hear(told(128, true));
    progress.begin(false);
    progress.end(false);
    assert_eq!(check_again(&mut progress, 4), Ok(()));
    assert!(!progress.sends_flushes());
}

#[test]
fn flushes_are_sent_once_the_block_layer_has_changed_over() {
    let mut progress = Progress::new(told(4, false));
    assert_eq!(progress.begin(true), told(4, true));
    assert!(!progress.sends_flushes() && !progress.stops_flushes());
    progress.end(true);
    assert!(progress.sends_flushes());
    // The device was asked, and does not cache all the same.
    progress.hear_write_cache(false);
    assert!(progress.sends_flushes());
    assert_eq!(progress.begin(false), told(4, false));
    assert!(!progress.sends_flushes() && progress.stops_flushes());
    progress.end(true);
    assert!(!progress.sends_flushes() && !progress.stops_flushes());
}
