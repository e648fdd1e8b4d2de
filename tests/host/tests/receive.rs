// SPDX-License-Identifier: GPL-2.0

//! Receiving used buffers from the device, honest or not.

use host::ring::split::{
    DescState,
    Position,
    Ring,
    Segment,
    Used,
    Violation, //
};
use host::ring::{
    layout::Layout,
    wire::{
        Desc,
        DESC_F_NEXT, //
    },
};
use host::{
    Barrier,
    Driver,
    Fences,
    Recorder,
    Shared, //
};

#[test]
fn chains_come_back_in_the_order_of_the_used_ring() {
    let (mut driver, mut device) = Driver::new(8, false);
    let heads: Vec<_> = (0..4).map(|_| driver.add(&[1], &[10]).unwrap()).collect();
    assert_eq!(driver.pop_used(), Ok(None));
    for (len, at) in [2, 0, 3, 1].into_iter().enumerate() {
        device.finish(heads[at], len as u32);
    }
    for (len, at) in [2, 0, 3, 1].into_iter().enumerate() {
        assert!(driver.has_used());
        let used = Used {
            head: heads[at],
            len: len as u32,
        };
        assert_eq!(driver.pop_used(), Ok(Some(used)));
    }
    assert!(!driver.has_used());
    assert_eq!(driver.pop_used(), Ok(None));
    assert_eq!((driver.num_free(), driver.in_flight()), (8, 0));
}

/// U28: how far both sides have come is known at any time, also when the indices have wrapped.
#[test]
fn position_follows_both_sides() {
    let (mut driver, mut device) = Driver::new(8, false);
    for round in 0..=u16::MAX {
        let head = driver.add(&[1], &[]).unwrap();
        let before = Position {
            avail: round.wrapping_add(1),
            used: round,
            last_used: round,
        };
        assert_eq!(driver.position(), before);
        device.finish(head, 0);
        let used = round.wrapping_add(1);
        assert_eq!(driver.position(), Position { used, ..before });
        driver.pop_used().unwrap().unwrap();
        let last_used = used;
        let after = Position {
            used,
            last_used,
            ..before
        };
        assert_eq!(driver.position(), after);
    }
}

/// SPLIT-USED-1: the length reported is handed on, up to all that was writable.
#[test]
fn length_may_be_anything_up_to_what_was_offered() {
    for len in [0, 1, 29, 30] {
        let (mut driver, mut device) = Driver::new(8, false);
        let head = driver.add(&[100], &[10, 20]).unwrap();
        device.finish(head, len);
        assert_eq!(driver.pop_used(), Ok(Some(Used { head, len })));
    }
}

/// Runs a device that does one wrong thing, and checks what must follow from any of them.
fn violation(wrong: impl FnOnce(&mut Driver, &mut host::Device)) -> Violation {
    let (mut driver, mut device) = Driver::new(8, false);
    wrong(&mut driver, &mut device);
    let (free, flying) = (driver.num_free(), driver.in_flight());
    let violation = driver.pop_used().unwrap_err();
    assert_eq!(driver.violation(), Some(violation));

    // It is final: the same again, even if the device makes up for it.
    device.set_used_idx(device.used_idx().wrapping_add(1));
    for entry in 0..8 {
        device.set_used_entry(entry, 0, 0);
    }
    assert_eq!(driver.pop_used(), Err(violation));
    assert_eq!((driver.num_free(), driver.in_flight()), (free, flying));

    // Nobody is told to come and look, so that nobody loops.
    assert!(!driver.has_used());
    let at = driver.enable_callbacks_prepare();
    assert!(!driver.poll(at));
    assert!(driver.enable_callbacks());
    assert!(driver.enable_callbacks_delayed());

    // All that was in flight can be taken back after a reset.
    assert_eq!(
        std::iter::from_fn(|| driver.detach()).count(),
        flying.into()
    );
    assert_eq!(driver.num_free(), 8);
    violation
}

#[test]
fn id_out_of_range_is_a_violation() {
    for id in [8, 9, 0x8000, 0xffff, 0x1_0000, 0x1_0001, u32::MAX] {
        let found = violation(|driver, device| {
            driver.add(&[1], &[]).unwrap();
            driver.add(&[1], &[]).unwrap();
            device.finish_id(id, 0);
        });
        assert_eq!(found, Violation::IdOutOfRange(id));
    }
}

#[test]
fn id_of_a_free_descriptor_is_a_violation() {
    let found = violation(|driver, device| {
        driver.add(&[1], &[]).unwrap();
        device.finish_id(1, 0);
    });
    assert_eq!(found, Violation::IdNotInFlight(1));
}

#[test]
fn id_inside_of_a_chain_is_a_violation() {
    for id in [1, 2] {
        let found = violation(|driver, device| {
            driver.add(&[1, 1], &[1]).unwrap();
            device.finish_id(id, 0);
        });
        assert_eq!(found, Violation::IdNotInFlight(id));
    }
}

#[test]
fn second_return_of_a_chain_is_a_violation() {
    let found = violation(|driver, device| {
        let head = driver.add(&[1], &[]).unwrap();
        driver.add(&[1], &[]).unwrap();
        device.finish(head, 0);
        driver.pop_used().unwrap().unwrap();
        device.finish(head, 0);
    });
    assert_eq!(found, Violation::IdNotInFlight(0));
}

#[test]
fn length_above_what_was_offered_is_a_violation() {
    let found = violation(|driver, device| {
        let head = driver.add(&[100], &[10, 20]).unwrap();
        device.finish(head, 31);
    });
    let expected = Violation::LengthTooLong {
        head: 0,
        len: 31,
        offered: 30,
    };
    assert_eq!(found, expected);

    // Readable bytes do not count.
    let found = violation(|driver, device| {
        let head = driver.add(&[100], &[]).unwrap();
        device.finish(head, 1);
    });
    assert!(matches!(found, Violation::LengthTooLong { offered: 0, .. }));

    let found = violation(|driver, device| {
        let head = driver.add_indirect(Segment::new(0, 32), 7).unwrap();
        device.finish(head, u32::MAX);
    });
    assert!(matches!(found, Violation::LengthTooLong { offered: 7, .. }));
}

#[test]
fn index_past_what_is_in_flight_is_a_violation() {
    for idx in [3, 4, 9, 0x7fff, 0x8000, 0xffff] {
        let found = violation(|driver, device| {
            driver.add(&[1], &[]).unwrap();
            driver.add(&[1], &[]).unwrap();
            device.set_used_idx(idx);
        });
        let expected = Violation::IndexTooFar {
            idx,
            last: 0,
            in_flight: 2,
        };
        assert_eq!(found, expected);
    }
}

#[test]
fn index_that_goes_back_is_a_violation() {
    let found = violation(|driver, device| {
        for _ in 0..3 {
            driver.add(&[1], &[]).unwrap();
        }
        device.serve();
        device.serve();
        driver.pop_used().unwrap().unwrap();
        driver.pop_used().unwrap().unwrap();
        device.set_used_idx(1);
    });
    assert!(matches!(
        found,
        Violation::IndexTooFar {
            idx: 1,
            last: 2,
            in_flight: 1
        }
    ));
}

#[test]
fn violations_say_what_happened() {
    let texts = [
        (Violation::IdOutOfRange(9), "used id 9 is out of range"),
        (Violation::IdNotInFlight(3), "used id 3 is not in flight"),
        (
            Violation::LengthTooLong {
                head: 1,
                len: 3,
                offered: 2,
            },
            "used id 1 has length 3, offered were 2",
        ),
        (
            Violation::IndexTooFar {
                idx: 9,
                last: 1,
                in_flight: 2,
            },
            "used index 9 is too far from 1 with 2 in flight",
        ),
    ];
    for (violation, text) in texts {
        assert_eq!(violation.to_string(), text);
    }
}

/// Chains are freed from private memory: nothing in the table matters, whatever the device wrote.
#[test]
fn descriptor_table_is_never_read() {
    let (mut driver, mut device) = Driver::new(8, false);
    for round in 0..100_u16 {
        let first = driver.add(&[1, 1], &[1]).unwrap();
        let second = driver.add(&[1], &[1, 1, 1]).unwrap();
        for index in 0..8 {
            let garbage = Desc {
                addr: u64::MAX.into(),
                len: u32::MAX.into(),
                flags: (DESC_F_NEXT | round).into(),
                next: round.wrapping_mul(13).into(),
            };
            device.set_desc(index, garbage);
        }
        for head in [second, first] {
            device.finish(head, 1);
            assert_eq!(driver.pop_used(), Ok(Some(Used { head, len: 1 })));
        }
        assert_eq!(driver.num_free(), 8);
    }
    assert_eq!(driver.room().0, 8);
}

/// Entries are read after the barrier that follows reading the index, and a batch needs only one.
#[test]
fn read_barrier_stands_between_index_and_entries() {
    let barriers = Recorder::default();
    let (mut driver, mut device) = Driver::with_barriers(8, false, barriers.clone());
    let heads: Vec<_> = (0..3).map(|_| driver.add(&[], &[5]).unwrap()).collect();
    barriers.take();
    assert_eq!(driver.pop_used(), Ok(None));
    assert_eq!(barriers.take(), []);
    for &head in &heads {
        device.finish(head, 1);
    }
    // What an entry says before the barrier does not matter.
    let (layout, memory) = (device.layout(), device.share());
    barriers.at_barrier(move |barrier| {
        assert_eq!(barrier, Barrier::Read);
        memory.write(layout.used() + 8, 4_u32.to_le());
    });
    let used = Used {
        head: heads[0],
        len: 4,
    };
    assert_eq!(driver.pop_used(), Ok(Some(used)));
    assert_eq!(barriers.take(), [Barrier::Read]);
    driver.pop_used().unwrap().unwrap();
    driver.pop_used().unwrap().unwrap();
    assert_eq!(driver.pop_used(), Ok(None));
    assert_eq!(barriers.take(), []);
}

/// The wrap of all indices, on the smallest and on the largest queue.
#[test]
fn smallest_and_largest_queue_survive_the_wrap() {
    for size in [1, 32768] {
        let (mut driver, mut device) = Driver::new(size, true);
        let mut left = 200_000_u32;
        while left != 0 {
            let batch = left.min(size);
            for _ in 0..batch {
                driver.add(&[], &[1]).unwrap();
            }
            assert_eq!(u32::from(driver.in_flight()), batch);
            for _ in 0..batch {
                let head = device.take().unwrap();
                device.finish(head, 1);
            }
            assert_eq!(device.take(), None);
            for _ in 0..batch {
                assert!(driver.pop_used().unwrap().is_some());
            }
            assert_eq!(driver.pop_used(), Ok(None));
            assert_eq!(u32::from(driver.num_free()), size);
            left -= batch;
        }
    }
}

#[test]
fn largest_queue_takes_back_a_full_chain_and_scattered_ones() {
    let (mut driver, mut device) = Driver::new(32768, false);
    let head = driver.add(&vec![1; 32768], &[]).unwrap();
    assert_eq!(driver.num_free(), 0);
    device.finish(head, 0);
    driver.pop_used().unwrap().unwrap();
    assert_eq!(driver.num_free(), 32768);

    for _ in 0..32768 {
        driver.add(&[1], &[]).unwrap();
    }
    let mut back = vec![false; 32768];
    while let Some(head) = driver.detach() {
        assert!(!std::mem::replace(&mut back[usize::from(head)], true));
    }
    assert!(back.into_iter().all(|back| back));
    assert_eq!((driver.num_free(), driver.in_flight()), (32768, 0));
}

/// CORE-CLEANUP-2 is the caller's part; what is in flight after it comes back once each.
#[test]
fn detach_returns_exactly_what_is_in_flight() {
    let (mut driver, mut device) = Driver::new(16, false);
    let heads: Vec<_> = (0..5)
        .map(|n| driver.add(&vec![1; n + 1], &[]).unwrap())
        .collect();
    device.finish(heads[1], 0);
    device.finish(heads[3], 0);
    // One of the two is taken back, the other one was used but not seen.
    assert_eq!(driver.pop_used().unwrap().unwrap().head, heads[1]);
    let mut left: Vec<_> = std::iter::from_fn(|| driver.detach()).collect();
    left.sort_unstable();
    assert_eq!(left, [heads[0], heads[2], heads[3], heads[4]]);
    assert_eq!((driver.num_free(), driver.in_flight()), (16, 0));
    assert_eq!(driver.detach(), None);
    // Entries that were seen before are not looked at any more.
    device.set_used_idx(5);
    assert_eq!(driver.pop_used(), Ok(None));
}

#[test]
fn wrong_number_of_states_is_refused() {
    let layout = Layout::new(4, 4).unwrap();
    let memory = Shared::new(layout.bytes());
    for len in [0, 3, 5] {
        let state = vec![DescState::default(); len];
        // SAFETY: The memory is of the right size and outlives the ring.
        let ring = unsafe { Ring::new(memory.start(), layout, false, Fences, state) };
        assert!(ring.is_none());
    }
}

/// SPLIT-AVAILNOTIF-1: whatever was in the memory, a new ring starts with zeroes.
#[test]
fn new_ring_clears_its_memory() {
    let layout = Layout::new(4, 4).unwrap();
    let memory = Shared::new(layout.bytes());
    for offset in 0..layout.bytes() {
        memory.write(offset, 0xa5_u8);
    }
    let state = [DescState::default(); 4];
    // SAFETY: The memory is of the right size and outlives the ring.
    let ring = unsafe {
        Ring::new(
            memory.start(),
            layout,
            true,
            Fences,
            Box::new(state) as Box<[_]>,
        )
    };
    assert!(ring.is_some());
    assert!((0..layout.bytes()).all(|offset| memory.read::<u8>(offset) == 0));
}
