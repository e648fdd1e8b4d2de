// SPDX-License-Identifier: GPL-2.0

//! Indirect tables.

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use host::ring::indirect::Table;
use host::ring::split::{
    AddError,
    Segment, //
};
use host::ring::wire::{
    Desc,
    DESC_F_INDIRECT,
    DESC_F_NEXT,
    DESC_F_WRITE, //
};

/// Room for tables, filled with something that must not matter.
fn room(len: usize) -> Vec<Desc> {
    let garbage = Desc {
        addr: u64::MAX.into(),
        len: u32::MAX.into(),
        flags: (DESC_F_INDIRECT | DESC_F_NEXT).into(),
        next: u16::MAX.into(),
    };
    vec![garbage; len]
}

fn table(room: &mut [Desc]) -> Table<'_> {
    let capacity = u16::try_from(room.len()).unwrap();
    // SAFETY: The table borrows all of the room.
    unsafe { Table::new(NonNull::from(room).cast(), capacity) }
}

/// SPLIT-INDIRECT-2, SPLIT-INDIRECT-5, SPLIT-FRAME-1: links are 1, 2, 3, no table in a table.
#[test]
fn descriptors_follow_each_other() {
    let mut room = room(5);
    let mut table = table(&mut room);
    table.push_readable(Segment::new(0x10, 16)).unwrap();
    table.push_readable(Segment::new(0x20, 512)).unwrap();
    table.push_writable(Segment::new(0x30, 1)).unwrap();
    assert_eq!(table.count(), 3);
    assert_eq!(table.finish(), Ok((48, 1)));

    let found: Vec<_> = room[..3]
        .iter()
        .map(|desc| (desc.addr.get(), desc.len.get(), desc.flags.get()))
        .collect();
    let expected = [
        (0x10, 16, DESC_F_NEXT),
        (0x20, 512, DESC_F_NEXT),
        (0x30, 1, DESC_F_WRITE),
    ];
    assert_eq!(found, expected);
    assert_eq!((room[0].next.get(), room[1].next.get()), (1, 2));
    // Behind the table nothing was touched.
    assert_eq!(room[3..], self::room(2));
}

#[test]
fn readable_after_writable_is_refused() {
    let mut room = room(4);
    let mut table = table(&mut room);
    table.push_writable(Segment::new(0, 7)).unwrap();
    assert_eq!(
        table.push_readable(Segment::new(0, 7)),
        Err(AddError::Order)
    );
    assert_eq!(table.finish(), Ok((16, 7)));
}

/// SPLIT-INDIRECT-3: no more descriptors than the capacity, which the caller takes from the queue.
#[test]
fn more_segments_than_capacity_are_too_long() {
    for capacity in [0_u16, 1, 2, 7] {
        let mut room = room(usize::from(capacity) + 1);
        let last = room.len() - 1;
        let mut table = table(&mut room[..last]);
        for _ in 0..capacity {
            table.push_writable(Segment::new(0, 2)).unwrap();
        }
        let extra = Segment::new(0, 2);
        assert_eq!(table.push_writable(extra), Err(AddError::TooLong));
        let result = table.finish();
        if capacity == 0 {
            assert_eq!(result, Err(AddError::Empty));
        } else {
            assert_eq!(
                result,
                Ok((u32::from(capacity) * 16, u32::from(capacity) * 2))
            );
        }
        assert_eq!(room[last], self::room(1)[0]);
    }
}

/// SPLIT-DESC-1: fewer than 2^32 bytes.
#[test]
fn table_of_too_many_bytes_is_refused() {
    let mut room = room(4);
    let mut table = table(&mut room);
    table.push_readable(Segment::new(0, 1)).unwrap();
    table.push_writable(Segment::new(0, u32::MAX - 1)).unwrap();
    let more = Segment::new(0, 1);
    assert_eq!(table.push_writable(more), Err(AddError::TooLong));
    assert_eq!(table.finish(), Ok((32, u32::MAX - 1)));
}

#[test]
fn empty_segments_and_tables_are_refused() {
    let mut room = room(4);
    let mut table = table(&mut room);
    assert_eq!(
        table.push_readable(Segment::new(0, 0)),
        Err(AddError::Empty)
    );
    assert_eq!(
        table.push_writable(Segment::new(0, 0)),
        Err(AddError::Empty)
    );
    assert_eq!(table.finish(), Err(AddError::Empty));
    assert_eq!(room, self::room(4));
}

/// The memory needs no contents, and the largest table is right.
#[test]
fn largest_table_is_written_from_front_to_back() {
    let mut room = vec![MaybeUninit::<Desc>::uninit(); 32768];
    let start = NonNull::from(room.as_mut_slice()).cast();
    // SAFETY: The room has so many descriptors and is not used before the table is finished.
    let mut table = unsafe { Table::new(start, 32768) };
    for addr in 0..32768 {
        table.push_readable(Segment::new(addr, 1)).unwrap();
    }
    assert_eq!(table.finish(), Ok((32768 * 16, 0)));
    for (index, desc) in room.into_iter().enumerate() {
        // SAFETY: The table was filled up to its capacity.
        let desc = unsafe { desc.assume_init() };
        assert_eq!(desc.addr.get(), index as u64);
        let is_last = index == 32767;
        assert_eq!(desc.flags.get(), if is_last { 0 } else { DESC_F_NEXT });
        assert!(is_last || usize::from(desc.next.get()) == index + 1);
    }
}
