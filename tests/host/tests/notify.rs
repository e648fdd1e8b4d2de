// SPDX-License-Identifier: GPL-2.0

//! Notifications in both directions, and how they are suppressed.

use host::ring::wire::{
    AVAIL_F_NO_INTERRUPT,
    USED_F_NO_NOTIFY, //
};
use host::{
    Barrier,
    Driver,
    Recorder, //
};

/// SPLIT-AVAILNOTIF-3, SPLIT-AVAILNOTIF-4, SPLIT-AVAILNOTIF-2: without the event index, the flag
/// alone decides.
#[test]
fn flag_decides_about_notifying_without_event_index() {
    for avail_event in [0, 1, 0x8000, 0xffff] {
        let (mut driver, device) = Driver::new(4, false);
        device.set_avail_event(avail_event);
        driver.add(&[1], &[]).unwrap();
        assert!(driver.prepare_notify());
        device.set_used_flags(USED_F_NO_NOTIFY);
        driver.add(&[1], &[]).unwrap();
        assert!(!driver.prepare_notify());
        device.set_used_flags(0);
        driver.add(&[1], &[]).unwrap();
        assert!(driver.prepare_notify());
        // Bits nobody has given a meaning to mean nothing.
        device.set_used_flags(!USED_F_NO_NOTIFY);
        driver.add(&[1], &[]).unwrap();
        assert!(driver.prepare_notify());
    }
}

/// SPLIT-AVAILNOTIF-5, SPLIT-AVAILNOTIF-6, SPLIT-AVAILNOTIF-7: with the event index, it alone does.
#[test]
fn event_index_decides_about_notifying() {
    for flags in [0, USED_F_NO_NOTIFY] {
        let (mut driver, mut device) = Driver::new(4, true);
        device.set_used_flags(flags);
        for entry in 0..70_000_u32 {
            let entry = entry as u16;
            device.set_avail_event(entry.wrapping_add(entry % 3));
            driver.add(&[1], &[]).unwrap();
            assert_eq!(driver.prepare_notify(), entry % 3 == 0, "{entry}");
            device.serve();
            driver.pop_used().unwrap().unwrap();
        }
    }
}

/// SPLIT-AVAILNOTIF-6, SPLIT-SUPPLY-1: one question covers all entries since the last one, at
/// every place in the index range.
#[test]
fn one_notification_covers_a_batch() {
    let (mut driver, mut device) = Driver::new(8, true);
    let mut first = 0_u16;
    for round in 0..40_000_u16 {
        let batch = 1 + round % 8;
        let event = first.wrapping_add(round % 11).wrapping_sub(1);
        device.set_avail_event(event);
        for _ in 0..batch {
            driver.add(&[1], &[]).unwrap();
        }
        let asked_for = (0..batch).any(|i| first.wrapping_add(i) == event);
        assert_eq!(driver.prepare_notify(), asked_for, "{round}");
        first = first.wrapping_add(batch);
        for _ in 0..batch {
            device.serve();
            driver.pop_used().unwrap().unwrap();
        }
    }
    assert_eq!(first, device.avail_idx());
}

#[test]
fn nothing_added_needs_no_notification_and_no_barrier() {
    for event_idx in [false, true] {
        let barriers = Recorder::default();
        let (mut driver, _device) = Driver::with_barriers(4, event_idx, barriers.clone());
        assert!(!driver.prepare_notify());
        driver.add(&[1], &[]).unwrap();
        assert!(driver.prepare_notify());
        barriers.take();
        assert!(!driver.prepare_notify());
        assert_eq!(barriers.take(), []);
    }
}

/// With so many entries that the index went round, the device is notified whatever it asks for.
#[test]
fn index_that_went_round_forces_a_notification() {
    for (added, forced) in [
        (65_534, false),
        (65_535, true),
        (65_536, true),
        (65_541, true),
        (131_072, true),
    ] {
        let (mut driver, mut device) = Driver::new(4, true);
        driver.age(&mut device, added);
        // The one entry that was not placed, or the last that was.
        device.set_avail_event(device.avail_idx());
        assert_eq!(driver.prepare_notify(), forced, "{added}");
        driver.add(&[1], &[]).unwrap();
        assert!(driver.prepare_notify());
    }
}

/// SPLIT-NOTIFY-1: the device's wish is read after a full barrier, which follows the index.
#[test]
fn full_barrier_stands_between_index_and_wish() {
    for event_idx in [false, true] {
        let barriers = Recorder::default();
        let (mut driver, device) = Driver::with_barriers(4, event_idx, barriers.clone());
        driver.add(&[1], &[]).unwrap();
        barriers.take();
        // The device changes its mind right before the barrier; that must be noticed.
        let (layout, memory) = (device.layout(), device.share());
        barriers.at_barrier(move |barrier| {
            assert_eq!(barrier, Barrier::Full);
            assert_eq!(u16::from_le(memory.read(layout.avail() + 2)), 1);
            memory.write(layout.used(), USED_F_NO_NOTIFY.to_le());
            memory.write(layout.avail_event(), 5_u16.to_le());
        });
        assert!(!driver.prepare_notify());
        assert_eq!(barriers.take(), [Barrier::Full]);
    }
}

/// SPLIT-USEDNOTIF-1, SPLIT-USEDNOTIF-2: without the event index, flags are 0 or 1 as asked for.
#[test]
fn flag_suppresses_callbacks_without_event_index() {
    let (mut driver, mut device) = Driver::new(4, false);
    assert_eq!(device.avail_flags(), 0);
    for _ in 0..3 {
        driver.disable_callbacks();
        assert_eq!(device.avail_flags(), AVAIL_F_NO_INTERRUPT);
        driver.disable_callbacks();
        assert_eq!(device.avail_flags(), AVAIL_F_NO_INTERRUPT);
        driver.add(&[1], &[]).unwrap();
        assert_eq!(device.avail_flags(), AVAIL_F_NO_INTERRUPT);
        device.serve();
        assert!(!driver.enable_callbacks());
        assert_eq!(device.avail_flags(), 0);
        driver.pop_used().unwrap().unwrap();
        assert!(driver.enable_callbacks());
        driver.disable_callbacks();
        assert!(driver.enable_callbacks_delayed());
        assert_eq!(device.avail_flags(), 0);
    }
    assert_eq!(device.used_event(), 0);
}

/// SPLIT-USEDNOTIF-3, SPLIT-USEDNOTIF-4: with the event index, flags stay 0 and no interrupt comes
/// while callbacks are off, for half of the index range.
#[test]
fn parked_event_suppresses_callbacks() {
    // Start at various places, so that the parked value wraps in some.
    for age in [0_u32, 1, 0x7ffe, 0x8000, 0xfff0] {
        let (mut driver, mut device) = Driver::new(4, true);
        driver.age(&mut device, age);
        driver.disable_callbacks();
        for _ in 0..0x7fff {
            let head = driver.add(&[1], &[]).unwrap();
            assert!(!device.finish(head, 0));
            driver.pop_used().unwrap().unwrap();
            assert_eq!(device.avail_flags(), 0);
        }
        assert!(driver.enable_callbacks());
        let head = driver.add(&[1], &[]).unwrap();
        assert!(device.finish(head, 0));
        assert_eq!(device.avail_flags(), 0);
    }
}

/// After `pop_used` found nothing, the next used buffer brings an interrupt, at every index.
#[test]
fn drained_ring_with_callbacks_gets_an_interrupt() {
    for event_idx in [false, true] {
        let (mut driver, mut device) = Driver::new(8, event_idx);
        for round in 0..70_000_u32 {
            for _ in 0..1 + round % 3 {
                driver.add(&[1], &[]).unwrap();
            }
            let interrupts = (0..1 + round % 3)
                .filter(|_| {
                    let head = device.take().unwrap();
                    device.finish(head, 0)
                })
                .count();
            assert!(interrupts >= 1, "{round}");
            while driver.pop_used().unwrap().is_some() {}
        }
    }
}

/// A driver that takes exactly what there is, and does not look again, is not forgotten either.
#[test]
fn ring_emptied_without_a_second_look_gets_an_interrupt() {
    let (mut driver, mut device) = Driver::new(8, true);
    for _ in 0..1000 {
        let head = driver.add(&[1], &[]).unwrap();
        assert!(device.finish(head, 0));
        driver.pop_used().unwrap().unwrap();
    }
}

/// SPLIT-RECV-1: a buffer used between the last look and enabling callbacks is reported.
#[test]
fn enabling_callbacks_notices_what_came_in_between() {
    for event_idx in [false, true] {
        for delayed in [false, true] {
            let (mut driver, mut device) = Driver::new(4, event_idx);
            let head = driver.add(&[1], &[]).unwrap();
            driver.disable_callbacks();
            assert_eq!(driver.pop_used(), Ok(None));
            assert!(!device.finish(head, 0));
            let done = if delayed {
                driver.enable_callbacks_delayed()
            } else {
                driver.enable_callbacks()
            };
            assert!(!done);
            assert!(driver.has_used());
        }
    }
}

#[test]
fn poll_notices_what_came_since_prepare() {
    for event_idx in [false, true] {
        let (mut driver, mut device) = Driver::new(4, event_idx);
        driver.disable_callbacks();
        let head = driver.add(&[1], &[]).unwrap();
        let at = driver.enable_callbacks_prepare();
        assert!(!driver.poll(at));
        assert!(device.finish(head, 0));
        assert!(driver.poll(at));
        driver.pop_used().unwrap().unwrap();
        let at = driver.enable_callbacks_prepare();
        assert!(!driver.poll(at));
    }
}

/// Asking for a notification and looking once more have a full barrier in between.
#[test]
fn full_barrier_stands_between_enabling_and_looking() {
    for event_idx in [false, true] {
        for delayed in [false, true] {
            let barriers = Recorder::default();
            let (mut driver, device) = Driver::with_barriers(4, event_idx, barriers.clone());
            driver.add(&[1], &[]).unwrap();
            driver.disable_callbacks();
            barriers.take();
            let (layout, memory) = (device.layout(), device.share());
            barriers.at_barrier(move |barrier| {
                assert_eq!(barrier, Barrier::Full);
                // The wish is there already, and the answer is not read yet.
                assert_eq!(memory.read::<u16>(layout.avail()), 0);
                assert_eq!(memory.read::<u16>(layout.used_event()), 0);
                memory.write(layout.used() + 2, 1_u16.to_le());
            });
            let done = if delayed {
                driver.enable_callbacks_delayed()
            } else {
                driver.enable_callbacks()
            };
            assert!(!done);
            assert_eq!(barriers.take(), [Barrier::Full]);
        }
    }
}

/// With callbacks enabled and the event index, a drain asks once and looks again after a full
/// barrier; with callbacks disabled there is no full barrier at all.
#[test]
fn draining_costs_one_full_barrier_and_none_without_callbacks() {
    let barriers = Recorder::default();
    let (mut driver, mut device) = Driver::with_barriers(8, true, barriers.clone());
    for (enabled, expected) in [
        (true, &[Barrier::Read, Barrier::Full][..]),
        (false, &[Barrier::Read][..]),
    ] {
        if !enabled {
            // What was asked for just before is not worth a barrier either.
            driver.enable_callbacks_prepare();
            driver.disable_callbacks();
        }
        for _ in 0..4 {
            driver.add(&[1], &[]).unwrap();
            device.serve();
        }
        barriers.take();
        while driver.pop_used().unwrap().is_some() {}
        assert_eq!(barriers.take(), expected);
    }
}

/// What the device used before it saw the wish is found by the look after the barrier.
#[test]
fn drain_finds_what_was_used_while_asking() {
    let barriers = Recorder::default();
    let (mut driver, mut device) = Driver::with_barriers(8, true, barriers.clone());
    let first = driver.add(&[1], &[]).unwrap();
    let second = driver.add(&[1], &[]).unwrap();
    device.finish(first, 0);
    let (layout, memory) = (device.layout(), device.share());
    barriers.at_barrier(move |barrier| {
        if barrier == Barrier::Full {
            memory.write(layout.used() + 12, u32::from(second).to_le());
            memory.write(layout.used() + 2, 2_u16.to_le());
        }
    });
    assert_eq!(driver.pop_used().unwrap().unwrap().head, first);
    assert_eq!(driver.pop_used().unwrap().unwrap().head, second);
}

/// A delayed callback comes after three quarters of what is in flight, and not much later.
#[test]
fn delayed_callback_waits_for_most_of_what_is_in_flight() {
    for age in [0_u32, 0xfff8] {
        let (mut driver, mut device) = Driver::new(16, true);
        driver.age(&mut device, age);
        let heads: Vec<_> = (0..16).map(|_| driver.add(&[1], &[]).unwrap()).collect();
        driver.disable_callbacks();
        assert!(driver.enable_callbacks_delayed());
        let interrupts: Vec<_> = heads.iter().map(|&head| device.finish(head, 0)).collect();
        let at: Vec<_> = (0..16).filter(|&i| interrupts[i]).collect();
        assert_eq!(at, [12]);
    }
}

#[test]
fn delayed_callback_reports_that_most_is_used_already() {
    for event_idx in [false, true] {
        for (used, done) in [(12, true), (13, false)] {
            let (mut driver, mut device) = Driver::new(16, event_idx);
            for _ in 0..16 {
                driver.add(&[1], &[]).unwrap();
            }
            for _ in 0..used {
                device.serve();
            }
            assert_eq!(driver.enable_callbacks_delayed(), done);
        }
    }
}

/// SPLIT-USEDNOTIF-5: a callback with nothing behind it finds nothing and changes nothing.
#[test]
fn spurious_callback_finds_nothing() {
    for event_idx in [false, true] {
        let (mut driver, _device) = Driver::new(4, event_idx);
        driver.add(&[1], &[]).unwrap();
        for _ in 0..10 {
            driver.disable_callbacks();
            assert_eq!(driver.pop_used(), Ok(None));
            assert!(driver.enable_callbacks());
            assert_eq!((driver.in_flight(), driver.num_free()), (1, 3));
        }
    }
}
