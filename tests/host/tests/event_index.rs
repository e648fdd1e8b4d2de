// SPDX-License-Identifier: GPL-2.0

//! Event index arithmetic against counting.

use host::ring::event::need_event;
use proptest::prelude::*;

/// Whether `event` is among the entries placed, found by placing them one by one.
fn counted(event: u16, new: u16, old: u16) -> bool {
    let mut entry = old;
    while entry != new {
        if entry == event {
            return true;
        }
        entry = entry.wrapping_add(1);
    }
    false
}

/// All combinations around zero, around the wrap and around half of the range.
#[test]
fn agrees_with_counting_around_every_edge() {
    let near = |edge: u16| (0..9).map(move |i| edge.wrapping_add(i).wrapping_sub(4));
    let values: Vec<u16> = [0, 0x7fff, 0x8000, 0xffff]
        .into_iter()
        .flat_map(near)
        .collect();
    for &event in &values {
        for &new in &values {
            for &old in &values {
                assert_eq!(
                    need_event(event, new, old),
                    counted(event, new, old),
                    "event {event} new {new} old {old}"
                );
            }
        }
    }
}

#[test]
fn one_entry_needs_an_event_only_if_asked_for() {
    for event in 0..=u16::MAX {
        assert!(need_event(event, event.wrapping_add(1), event));
        assert!(!need_event(event, event, event.wrapping_sub(1)));
        assert!(!need_event(
            event,
            event.wrapping_add(2),
            event.wrapping_add(1)
        ));
    }
}

#[test]
fn nothing_placed_needs_no_event() {
    for event in 0..=u16::MAX {
        assert!(!need_event(event, 7, 7));
    }
}

#[test]
fn all_but_one_of_the_range_leave_only_the_next_one_out() {
    assert!(!need_event(6, 6, 7));
    for event in (0..=u16::MAX).filter(|&event| event != 6) {
        assert!(need_event(event, 6, 7));
    }
}

proptest! {
    #[test]
    fn agrees_with_counting(event: u16, old: u16, placed in 0u16..) {
        let new = old.wrapping_add(placed);
        prop_assert_eq!(need_event(event, new, old), counted(event, new, old));
    }

    /// Nothing but differences matters.
    #[test]
    fn does_not_depend_on_where_counting_starts(event: u16, new: u16, old: u16, by: u16) {
        let moved = need_event(event.wrapping_add(by), new.wrapping_add(by), old.wrapping_add(by));
        prop_assert_eq!(need_event(event, new, old), moved);
    }
}
