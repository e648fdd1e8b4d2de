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
    put_in_force(&mut progress, false);
    assert!(!progress.is_behind());
    progress
}

fn put_in_force(progress: &mut Progress, with_flushes: bool) {
    progress.put_in_force(progress.next(with_flushes).unwrap());
}

fn flush(progress: &mut Progress) {
    let up_to = progress.flush_to_send().unwrap();
    progress.flush_ended(up_to, true);
}

fn fail_to_flush(progress: &mut Progress) {
    let up_to = progress.flush_to_send().unwrap();
    progress.flush_ended(up_to, false);
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
    assert!(!progress.is_behind());
    assert_eq!(progress.next(false), None);
}

#[test]
fn flushes_come_before_the_cache() {
    let mut progress = Progress::new(told(4, false));
    put_in_force(&mut progress, true);
    assert!(progress.sends_flushes());
    assert_eq!(progress.next(true), None);
    // The device is asked, and does not cache all the same.
    progress.note_change();
    progress.hear_write_cache(false);
    flush(&mut progress);
    assert_eq!(progress.next(false), Some(told(4, false)));
    put_in_force(&mut progress, false);
    assert!(!progress.sends_flushes() && !progress.is_behind());
}

#[test]
fn flushes_go_after_what_was_cached_is_flushed() {
    let mut progress = Progress::new(told(4, true));
    progress.hear_write_cache(false);
    // Other limits do not wait for that.
    progress.hear_limits(segments(3));
    assert_eq!(progress.next(false), Some(told(3, true)));
    flush(&mut progress);
    assert_eq!(progress.next(false), Some(told(3, false)));
}

#[test]
fn a_flush_that_fails_leaves_it_to_others() {
    for had_cache in [false, true] {
        let mut progress = Progress::new(told(4, had_cache));
        progress.hear_write_cache(!had_cache);
        progress.hear_write_cache(false);
        fail_to_flush(&mut progress);
        if !had_cache {
            assert!(progress.is_behind());
            put_in_force(&mut progress, false);
        }
        assert!(progress.sends_flushes() && !progress.is_behind());
        // It is still due, but others have to ask for it.
        assert_eq!(progress.next(false), None);
        assert_eq!(progress.flush_to_send(), None);
        progress.retry_flush();
        flush(&mut progress);
        assert!(progress.is_behind());
        assert_eq!(progress.next(false), Some(told(4, false)));
    }
}

#[test]
fn a_change_has_a_flush_that_failed_sent_again() {
    let mut progress = Progress::new(told(4, true));
    progress.hear_write_cache(false);
    fail_to_flush(&mut progress);
    progress.note_change();
    assert!(progress.is_behind());
    flush(&mut progress);
    assert_eq!(progress.next(false), Some(told(4, false)));
    // It is not sent without need.
    progress.retry_flush();
    assert_eq!(progress.flush_to_send(), None);
}

#[test]
fn a_device_that_fails_because_of_a_flush_is_not_flushed_again() {
    let mut progress = Progress::new(told(4, false));
    progress.note_end_of_cache();
    let up_to = progress.flush_to_send().unwrap();
    // The device is reset for it.
    progress.note_end_of_cache();
    progress.flush_ended(up_to, false);
    assert_eq!(progress.flush_to_send(), None);
    put_in_force(&mut progress, false);
    assert!(progress.sends_flushes() && !progress.is_behind());
}

#[test]
fn no_flush_comes_too_early() {
    let mut progress = Progress::new(told(4, false));
    progress.hear_write_cache(true);
    // What is written now would have none.
    assert_eq!(progress.flush_to_send(), None);
    put_in_force(&mut progress, false);
    assert!(progress.is_behind());
    flush(&mut progress);
    assert!(!progress.is_behind());
}

#[test]
fn a_cache_that_came_and_went_is_flushed() {
    let mut progress = Progress::new(told(4, false));
    progress.hear_write_cache(true);
    progress.hear_write_cache(false);
    assert!(progress.is_behind());
    flush(&mut progress);
    assert!(!progress.is_behind());
    assert_eq!(progress.next(false), None);
    assert_eq!(progress.flush_to_send(), None);
}

#[test]
fn a_change_during_a_flush_needs_another() {
    let mut progress = Progress::new(told(4, true));
    progress.hear_write_cache(false);
    let first = progress.flush_to_send().unwrap();
    assert!(progress.is_behind());
    progress.hear_write_cache(true);
    progress.flush_ended(first, true);
    assert!(progress.is_behind());
    assert_ne!(progress.flush_to_send(), None);
}
