// SPDX-License-Identifier: GPL-2.0

//! Supplying buffers to the device: framing, chains, indirect tables, room.

use host::ring::split::{
    AddError,
    Segment, //
};
use host::ring::wire::{
    DESC_F_INDIRECT,
    DESC_F_NEXT,
    DESC_F_WRITE, //
};
use host::{
    Barrier,
    Driver,
    Recorder, //
};

fn segment(len: u32) -> Segment {
    Segment::new(0xdead_0000, len)
}

/// SPLIT-FRAME-1, SPLIT-FRAME-2: readable first, one descriptor per segment, in the order given.
#[test]
fn chain_is_readable_then_writable_in_the_order_given() {
    let (mut driver, mut device) = Driver::new(8, false);
    let mut chain = driver.begin();
    chain
        .push_readable(Segment::new(0x1_0000_0000, 16))
        .unwrap();
    chain.push_writable(Segment::new(0x2000, 4096)).unwrap();
    chain.push_writable(Segment::new(0x3000, 1)).unwrap();
    let head = chain.publish().unwrap();

    assert_eq!(device.take(), Some(head));
    let descs: Vec<_> = device
        .chain(head)
        .iter()
        .map(|desc| (desc.addr.get(), desc.len.get(), desc.flags.get()))
        .collect();
    assert_eq!(
        descs,
        [
            (0x1_0000_0000, 16, DESC_F_NEXT),
            (0x2000, 4096, DESC_F_NEXT | DESC_F_WRITE),
            (0x3000, 1, DESC_F_WRITE),
        ]
    );
    assert_eq!(driver.num_free(), 5);
    assert_eq!(driver.in_flight(), 1);
}

/// SPLIT-FRAME-1: the other order cannot be built, and trying does no harm.
#[test]
fn readable_after_writable_is_refused() {
    let (mut driver, device) = Driver::new(8, false);
    let mut chain = driver.begin();
    chain.push_readable(segment(1)).unwrap();
    chain.push_writable(segment(2)).unwrap();
    assert_eq!(chain.push_readable(segment(3)), Err(AddError::Order));
    let head = chain.publish().unwrap();
    let lens: Vec<_> = device
        .chain(head)
        .iter()
        .map(|desc| desc.len.get())
        .collect();
    assert_eq!(lens, [1, 2]);
}

/// SPLIT-DESC-1: fewer than 2^32 bytes in a chain.
#[test]
fn chain_of_too_many_bytes_is_refused() {
    let (mut driver, device) = Driver::new(8, false);
    let mut chain = driver.begin();
    chain.push_readable(segment(u32::MAX - 1)).unwrap();
    assert_eq!(chain.push_readable(segment(2)), Err(AddError::TooLong));
    assert_eq!(chain.push_writable(segment(2)), Err(AddError::TooLong));
    assert_eq!(
        chain.push_writable(segment(u32::MAX)),
        Err(AddError::TooLong)
    );
    chain.push_writable(segment(1)).unwrap();
    assert_eq!(chain.push_writable(segment(1)), Err(AddError::TooLong));
    let head = chain.publish().unwrap();
    assert_eq!(device.chain(head).len(), 2);
}

#[test]
fn empty_segments_and_chains_are_refused() {
    let (mut driver, device) = Driver::new(4, false);
    let mut chain = driver.begin();
    assert_eq!(chain.push_readable(segment(0)), Err(AddError::Empty));
    assert_eq!(chain.push_writable(segment(0)), Err(AddError::Empty));
    assert_eq!(chain.publish(), Err(AddError::Empty));
    assert_eq!(driver.add_indirect(segment(0), 0), Err(AddError::Empty));
    assert_eq!((device.avail_idx(), driver.num_free()), (0, 4));
}

/// SPLIT-INDIRECT-3: no chain has more descriptors than the queue; and one with as many works.
#[test]
fn chain_longer_than_the_queue_is_too_long_and_not_merely_full() {
    for size in [1, 2, 8, 64] {
        let (mut driver, mut device) = Driver::new(u32::from(size), false);
        assert_eq!(driver.room(), (size, AddError::TooLong));

        let head = driver.add(&vec![1; size.into()], &[]).unwrap();
        assert_eq!(driver.num_free(), 0);
        assert_eq!(driver.room(), (0, AddError::Full));
        assert_eq!(driver.add_indirect(segment(16), 0), Err(AddError::Full));
        assert_eq!(device.take(), Some(head));
        assert_eq!(device.chain(head).len(), size.into());

        device.finish(head, 0);
        assert_eq!(driver.pop_used().unwrap().unwrap().head, head);
        assert_eq!(driver.room(), (size, AddError::TooLong));
    }
}

#[test]
fn full_ring_takes_as_much_as_was_given_back() {
    let (mut driver, mut device) = Driver::new(8, false);
    let heads: Vec<_> = (0..4).map(|_| driver.add(&[1], &[1]).unwrap()).collect();
    assert_eq!(driver.add(&[1], &[1]), Err(AddError::Full));
    device.finish(heads[2], 0);
    driver.pop_used().unwrap().unwrap();
    assert_eq!(driver.room(), (2, AddError::Full));
    assert_eq!(driver.add(&[1, 1], &[1]), Err(AddError::Full));
    driver.add(&[1], &[1]).unwrap();
    assert_eq!(driver.room(), (0, AddError::Full));
}

/// SPLIT-DESC-2, SPLIT-DESC-4: links of a fresh ring follow the table; nothing loops afterwards.
#[test]
fn chains_of_a_fresh_ring_are_laid_out_in_order() {
    let (mut driver, device) = Driver::new(8, false);
    for (head, len) in [(0, 3), (3, 1), (4, 4)] {
        assert_eq!(driver.add(&vec![1; len], &[]), Ok(head));
        for (at, desc) in (head..).zip(device.chain(head)) {
            if desc.flags.get() & DESC_F_NEXT != 0 {
                assert_eq!(desc.next.get(), at + 1);
            }
        }
        assert_eq!(device.chain(head).len(), len);
    }
}

/// SPLIT-DESC-2: chains are disjoint and end, whatever order they come back in.
#[test]
fn chains_never_share_a_descriptor() {
    let (mut driver, mut device) = Driver::new(16, false);
    let mut flying: Vec<u16> = Vec::new();
    for round in 0..2000_usize {
        let len = 1 + round % 5;
        match driver.add(&vec![1; len], &[]) {
            Ok(head) => flying.push(head),
            Err(error) => {
                assert_eq!(error, AddError::Full);
                device.finish(flying.remove(round % flying.len()), 0);
                driver.pop_used().unwrap().unwrap();
            }
        }
        let mut seen = [false; 16];
        for &head in &flying {
            let mut index = head;
            loop {
                assert!(!std::mem::replace(&mut seen[usize::from(index)], true));
                let desc = device.desc(index);
                if desc.flags.get() & DESC_F_NEXT == 0 {
                    break;
                }
                index = desc.next.get();
            }
        }
        let taken = seen.iter().filter(|&&seen| seen).count();
        assert_eq!(taken, usize::from(16 - driver.num_free()));
    }
}

/// An abandoned chain leaves no trace, for as often as one likes.
#[test]
fn abandoned_chain_leaves_the_ring_as_it_was() {
    let (mut driver, device) = Driver::new(4, false);
    let head = driver.add(&[7], &[9]).unwrap();
    for _ in 0..10 {
        let mut chain = driver.begin();
        chain.push_readable(segment(1)).unwrap();
        chain.push_writable(segment(1)).unwrap();
        drop(chain);
        assert_eq!((driver.num_free(), driver.in_flight()), (2, 1));
        assert_eq!(device.avail_idx(), 1);
    }
    let lens: Vec<_> = device
        .chain(head)
        .iter()
        .map(|desc| desc.len.get())
        .collect();
    assert_eq!(lens, [7, 9]);
    driver.add(&[1], &[1]).unwrap();
    assert_eq!(driver.num_free(), 0);
}

/// SPLIT-INDIRECT-4: an indirect descriptor is a chain by itself, without `NEXT`.
#[test]
fn indirect_table_takes_one_descriptor() {
    let (mut driver, mut device) = Driver::new(2, false);
    let table = Segment::new(0xabc0, 48);
    let head = driver.add_indirect(table, 100).unwrap();
    assert_eq!(device.take(), Some(head));
    let desc = device.desc(head);
    assert_eq!((desc.addr.get(), desc.len.get()), (0xabc0, 48));
    assert_eq!(desc.flags.get(), DESC_F_INDIRECT);
    assert_eq!((driver.num_free(), driver.in_flight()), (1, 1));

    // Flags of an earlier use do not come back.
    device.finish(head, 100);
    assert_eq!(driver.pop_used().unwrap().unwrap().len, 100);
    assert_eq!(driver.add(&[5], &[]), Ok(head));
    assert_eq!(device.desc(head).flags.get(), 0);
}

/// SPLIT-AVAIL-1, SPLIT-SUPPLY-2: entries go to successive slots; the index counts up, also past
/// 65535.
#[test]
fn available_index_only_goes_up_by_one() {
    let (mut driver, mut device) = Driver::new(4, false);
    for count in 0..=140_000_u32 {
        let expected = count as u16;
        assert_eq!(device.avail_idx(), expected);
        let head = driver.add(&[1], &[]).unwrap();
        assert_eq!(device.avail_idx(), expected.wrapping_add(1));
        assert_eq!(device.avail_entry(expected), head);
        assert_eq!(device.serve(), Some(head));
        assert_eq!(driver.pop_used().unwrap().unwrap().head, head);
    }
}

/// SPLIT-IDX-1: when the index moves, everything it exposes has been written, with one barrier in
/// between.
#[test]
fn write_barrier_stands_between_entry_and_index() {
    let barriers = Recorder::default();
    let (mut driver, device) = Driver::with_barriers(8, true, barriers.clone());
    let layout = device.layout();
    let memory = device.share();
    barriers.at_barrier(move |barrier| {
        assert_eq!(barrier, Barrier::Write);
        let half = |offset| u16::from_le(memory.read::<u16>(offset));
        let idx = half(layout.avail() + 2);
        let head = half(layout.avail() + 4 + 2 * usize::from(idx));
        // The new entry and its descriptor are there, the index is still the old one.
        assert_eq!(head, idx);
        let len: u32 = memory.read(layout.desc() + 16 * usize::from(head) + 8);
        assert_eq!(u32::from_le(len), 48 + u32::from(idx));
        let flags = half(layout.desc() + 16 * usize::from(head) + 12);
        assert_eq!(flags, if idx == 0 { 0 } else { DESC_F_INDIRECT });
    });
    driver.add(&[48], &[]).unwrap();
    assert_eq!(barriers.take(), [Barrier::Write]);
    for idx in 1..8 {
        driver.add_indirect(segment(48 + idx), 0).unwrap();
        assert_eq!(barriers.take(), [Barrier::Write]);
    }
    assert_eq!(device.avail_idx(), 8);
}
