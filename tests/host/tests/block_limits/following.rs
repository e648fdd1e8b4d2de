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
    progress.hear_limits(segments(seg_max));
    progress.put_in_force(progress.next(false));
    assert!(!progress.is_behind());
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
    progress.hear_limits(segments(128));
    assert_eq!(check_again(&mut progress, 8), Ok(()));
    assert_eq!(progress.told(), told(8, false));
    assert_eq!(check_again(&mut progress, 3), Err("seg_max"));
}

#[test]
fn the_size_is_no_reason_to_change_over() {
    let mut progress = with_segments(4);
    progress.hear_limits(Limits {
        capacity_sectors: 1024,
        ..segments(4)
    });
    assert!(!progress.is_behind() && !progress.is_next_new(false));
}

#[test]
fn what_the_block_layer_refuses_is_not_in_force() {
    let mut progress = with_segments(4);
    progress.hear_limits(segments(128));
    let before = progress.put_in_force(progress.next(false));
    assert_eq!(before, told(4, false));
    progress.put_in_force(before);
    assert!(progress.is_behind());
    assert_eq!(check_again(&mut progress, 4), Ok(()));
}

#[test]
fn flushes_come_before_the_cache() {
    let mut progress = Progress::new(told(4, false));
    assert!(progress.is_next_new(true));
    progress.put_in_force(progress.next(true));
    assert!(progress.sends_flushes());
    assert!(!progress.is_next_new(true) && progress.is_behind());
    // The device is asked, and does not cache all the same.
    progress.hear_write_cache(false);
    assert!(!progress.take_flush());
    progress.put_in_force(progress.next(false));
    assert!(!progress.sends_flushes() && !progress.is_behind());
}

#[test]
fn flushes_go_after_what_was_cached_is_flushed() {
    let mut progress = Progress::new(told(4, true));
    progress.hear_write_cache(false);
    // Other limits do not wait for that.
    progress.hear_limits(segments(3));
    assert_eq!(progress.next(false), told(3, true));
    assert!(progress.take_flush() && !progress.take_flush());
    assert_eq!(progress.next(false), told(3, false));
    progress.needs_flush();
    assert_eq!(progress.next(false), told(3, true));
}

#[test]
fn a_cache_that_came_and_went_is_flushed() {
    let mut progress = Progress::new(told(4, false));
    progress.hear_write_cache(true);
    progress.hear_write_cache(false);
    assert!(!progress.is_next_new(false) && progress.is_behind());
    assert!(progress.take_flush());
    assert!(!progress.is_behind());
}
