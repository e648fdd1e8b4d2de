// SPDX-License-Identifier: GPL-2.0

//! The ring with rust-vmm's `virtio-queue` as the device, on the very same memory.
//!
//! No one here wrote that device side: it walks chains and tables, reads buffers, writes answers,
//! and decides by itself when to interrupt. So what both agree on is the wire format.

use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use host::ring::indirect::Table;
use host::ring::layout::{
    Layout,
    LEGACY_ALIGN,
    MODERN_ALIGN, //
};
use host::ring::split::{
    DescState,
    Ring,
    Segment,
    Used, //
};
use host::Fences;
use proptest::collection::vec;
use proptest::prelude::*;
use virtio_queue::{
    Queue,
    QueueT, //
};
use vm_memory::{
    Address,
    Bytes,
    GuestAddress,
    GuestMemoryBackend,
    GuestMemoryMmap, //
};

/// Where the queue is, as the device sees it.
const RING: GuestAddress = GuestAddress(0x4000);
/// Where buffers are, 4 KiB for each.
const BUFFERS: GuestAddress = GuestAddress(0x40_0000);
/// Where tables are, 4 KiB for each.
const TABLES: GuestAddress = GuestAddress(0x20_0000);
/// How many buffers and tables there are.
const PLACES: u64 = 256;

/// Both sides of a queue.
struct Pair {
    memory: GuestMemoryMmap,
    ring: Ring<Fences, Vec<DescState>>,
    queue: Queue,
    /// The place of each chain in flight.
    places: HashMap<u16, u64>,
    free_places: Vec<u64>,
}

/// What a chain is made of: lengths of what the device reads and of what it writes.
#[derive(Clone, Debug)]
struct Shape {
    readable: Vec<u32>,
    writable: Vec<u32>,
    indirect: bool,
}

impl Pair {
    fn new(size: u16, align: usize, event_idx: bool) -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x60_0000)]).unwrap();
        let layout = Layout::new(size.into(), align).unwrap();
        let start = NonNull::new(memory.get_host_address(RING).unwrap()).unwrap();
        let state = vec![DescState::default(); size.into()];
        assert!(layout.bytes() < 0x10_0000);
        // SAFETY: The memory is that large and stays mapped as long as `memory` lives, which is as
        // long as the ring.
        let ring = unsafe { Ring::new(start, layout, event_idx, Fences, state) }.unwrap();
        let mut queue = Queue::new(size).unwrap();
        let part = |offset: usize| RING.unchecked_add(offset as u64);
        queue
            .try_set_desc_table_address(part(layout.desc()))
            .unwrap();
        queue
            .try_set_avail_ring_address(part(layout.avail()))
            .unwrap();
        queue
            .try_set_used_ring_address(part(layout.used()))
            .unwrap();
        queue.set_event_idx(event_idx);
        queue.set_ready(true);
        assert!(queue.is_valid(&memory));
        Self {
            memory,
            ring,
            queue,
            places: HashMap::new(),
            free_places: (0..PLACES).rev().collect(),
        }
    }

    /// The segments of a chain at a place: readable and writable ones.
    fn segments(place: u64, shape: &Shape) -> (Vec<Segment>, Vec<Segment>) {
        let mut addr = BUFFERS.0 + place * 0x1000;
        let mut lay_out = |lens: &[u32]| -> Vec<_> {
            lens.iter()
                .map(|&len| {
                    let segment = Segment::new(addr, len);
                    addr += u64::from(len);
                    segment
                })
                .collect()
        };
        let readable = lay_out(&shape.readable);
        let writable = lay_out(&shape.writable);
        assert!(addr <= BUFFERS.0 + (place + 1) * 0x1000);
        (readable, writable)
    }

    /// Adds a chain whose readable bytes are a pattern, if there is room.
    fn add(&mut self, shape: &Shape) -> Option<u16> {
        let place = self.free_places.pop()?;
        let (readable, writable) = Self::segments(place, shape);
        for segment in &readable {
            let pattern: Vec<u8> = (0..segment.len)
                .map(|i| (u64::from(i) + segment.addr) as u8)
                .collect();
            self.memory
                .write_slice(&pattern, GuestAddress(segment.addr))
                .unwrap();
        }
        let result = if shape.indirect {
            let addr = GuestAddress(TABLES.0 + place * 0x1000);
            let start = NonNull::new(self.memory.get_host_address(addr).unwrap()).unwrap();
            // SAFETY: 256 descriptors fit into the 4 KiB of the place, which no chain in flight has.
            let mut table = unsafe { Table::new(start.cast(), self.ring.size().min(256)) };
            readable
                .iter()
                .for_each(|&segment| table.push_readable(segment).unwrap());
            writable
                .iter()
                .for_each(|&segment| table.push_writable(segment).unwrap());
            let (bytes, writable_bytes) = table.finish().unwrap();
            self.ring
                .add_indirect(Segment::new(addr.0, bytes), writable_bytes)
        } else {
            let mut chain = self.ring.begin();
            readable
                .iter()
                .try_for_each(|&segment| chain.push_readable(segment))
                .and_then(|()| {
                    writable
                        .iter()
                        .try_for_each(|&segment| chain.push_writable(segment))
                })
                .and_then(|()| chain.publish())
        };
        match result {
            Ok(head) => {
                assert!(self.places.insert(head, place).is_none());
                Some(head)
            }
            Err(_) => {
                self.free_places.push(place);
                None
            }
        }
    }

    /// Lets the device take one chain, check what it reads, and answer with the complement of what
    /// it read; returns what it took.
    fn serve(&mut self, shapes: &HashMap<u16, Shape>) -> Option<Used> {
        let chain = self.queue.pop_descriptor_chain(&self.memory)?;
        let head = chain.head_index();
        let shape = &shapes[&head];
        let (readable, writable) = Self::segments(self.places[&head], shape);

        let descs: Vec<_> = chain.clone().collect();
        let seen: Vec<_> = descs
            .iter()
            .map(|desc| (desc.addr().0, desc.len(), desc.is_write_only()))
            .collect();
        let added: Vec<_> = readable
            .iter()
            .map(|segment| (segment.addr, segment.len, false))
            .chain(
                writable
                    .iter()
                    .map(|segment| (segment.addr, segment.len, true)),
            )
            .collect();
        assert_eq!(seen, added);

        for segment in readable {
            let mut bytes = vec![0; segment.len as usize];
            self.memory
                .read_slice(&mut bytes, GuestAddress(segment.addr))
                .unwrap();
            for (i, byte) in (segment.addr..).zip(bytes) {
                assert_eq!(byte, i as u8);
            }
        }
        let mut len = 0;
        for desc in chain.writable() {
            let answer: Vec<u8> = (0..desc.len())
                .map(|i| !((u64::from(i) + desc.addr().0) as u8))
                .collect();
            self.memory.write_slice(&answer, desc.addr()).unwrap();
            len += desc.len();
        }
        self.queue.add_used(&self.memory, head, len).unwrap();
        Some(Used { head, len })
    }

    /// Takes back one chain and checks the device's answer.
    fn pop(&mut self, shapes: &mut HashMap<u16, Shape>) -> Option<Used> {
        let used = self.ring.pop_used().unwrap()?;
        let place = self.places.remove(&used.head).unwrap();
        let shape = shapes.remove(&used.head).unwrap();
        let (_, writable) = Self::segments(place, &shape);
        assert_eq!(used.len, shape.writable.iter().sum::<u32>());
        for segment in writable {
            let mut bytes = vec![0; segment.len as usize];
            self.memory
                .read_slice(&mut bytes, GuestAddress(segment.addr))
                .unwrap();
            for (i, byte) in (segment.addr..).zip(bytes) {
                assert_eq!(byte, !(i as u8));
            }
        }
        self.free_places.push(place);
        Some(used)
    }
}

fn shape() -> impl Strategy<Value = Shape> {
    (vec(1..300_u32, 0..5), vec(1..300_u32, 0..5), any::<bool>())
        .prop_filter("a buffer has segments", |(readable, writable, _)| {
            readable.len() + writable.len() != 0
        })
        .prop_map(|(readable, writable, indirect)| Shape {
            readable,
            writable,
            indirect,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    /// SPLIT-FRAME-1, SPLIT-INDIRECT-2, SPLIT-INDIRECT-4, SPLIT-AVAIL-1: the device finds every
    /// chain as it was made, direct or in a table, and the driver finds the answer.
    #[test]
    fn device_reads_what_was_added_and_driver_gets_the_answer(
        log_size in 3u32..9,
        legacy: bool,
        event_idx: bool,
        shapes in vec(shape(), 1..300),
        batch in 1..40_usize,
    ) {
        let align = if legacy { LEGACY_ALIGN } else { MODERN_ALIGN };
        let mut pair = Pair::new(1 << log_size, align, event_idx);
        let mut flying = HashMap::new();
        for shapes in shapes.chunks(batch) {
            let mut order = Vec::new();
            for shape in shapes {
                if let Some(head) = pair.add(shape) {
                    flying.insert(head, shape.clone());
                    order.push(head);
                }
            }
            prop_assert!(!order.is_empty());
            let mut used = Vec::new();
            while let Some(one) = pair.serve(&flying) {
                used.push(one);
            }
            prop_assert_eq!(used.iter().map(|used| used.head).collect::<Vec<_>>(), order);
            for expected in used {
                prop_assert_eq!(pair.pop(&mut flying), Some(expected));
            }
            prop_assert_eq!(pair.pop(&mut flying), None);
        }
        prop_assert_eq!(u32::from(pair.ring.num_free()), 1 << log_size);
        prop_assert!(flying.is_empty() && pair.places.is_empty());
    }

    /// Notifications in both directions, with both sides suppressing them as they do in earnest:
    /// whoever goes to sleep is woken up, and all the work gets done.
    #[test]
    fn neither_side_sleeps_for_ever(
        log_size in 3u32..7,
        event_idx: bool,
        age in prop_oneof![3 => Just(0), 1 => 65_400..65_540_u32],
        turns in vec((any::<bool>(), 1..5_usize), 50..400),
    ) {
        let mut pair = Pair::new(1 << log_size, MODERN_ALIGN, event_idx);
        let shape = Shape { readable: vec![16], writable: vec![1], indirect: false };
        let mut flying = HashMap::new();
        for _ in 0..age {
            let head = pair.ring.add_indirect(Segment::new(TABLES.0, 16), 0).unwrap();
            let chain = pair.queue.pop_descriptor_chain(&pair.memory).unwrap();
            prop_assert_eq!(chain.head_index(), head);
            pair.queue.add_used(&pair.memory, head, 0).unwrap();
            prop_assert_eq!(pair.ring.pop_used(), Ok(Some(Used { head, len: 0 })));
        }
        pair.ring.prepare_notify();
        let _ = pair.queue.needs_notification(&pair.memory).unwrap();
        prop_assert!(pair.ring.enable_callbacks());
        prop_assert!(!pair.queue.enable_notification(&pair.memory).unwrap());

        // A side that sleeps does nothing until the other one notifies it.
        let (mut driver_awake, mut device_awake) = (true, false);
        let mut submitted = 0;
        let mut completed = 0;
        let mut step = |driver_turn: bool, work: usize, pair: &mut Pair, submit: bool| {
            if driver_turn {
                let mut added = 0;
                while submit && added < work {
                    let Some(head) = pair.add(&shape) else { break };
                    flying.insert(head, shape.clone());
                    added += 1;
                }
                submitted += added;
                if pair.ring.prepare_notify() {
                    device_awake = true;
                }
                if driver_awake {
                    pair.ring.disable_callbacks();
                    while pair.pop(&mut flying).is_some() {
                        completed += 1;
                    }
                    driver_awake = !pair.ring.enable_callbacks();
                }
            } else if device_awake {
                pair.queue.disable_notification(&pair.memory).unwrap();
                let mut idle = false;
                for _ in 0..work {
                    idle = pair.serve(&flying).is_none();
                }
                if pair.queue.needs_notification(&pair.memory).unwrap() {
                    driver_awake = true;
                }
                if idle {
                    device_awake = pair.queue.enable_notification(&pair.memory).unwrap();
                }
            }
            (submitted, completed)
        };
        for (driver_turn, work) in turns {
            step(driver_turn, work, &mut pair, true);
        }
        // No new work: what was submitted gets done.
        let mut counts = (0, 0);
        for turn in 0..400 {
            counts = step(turn % 2 == 0, 4, &mut pair, false);
        }
        prop_assert_eq!(counts.0, counts.1);
        prop_assert_eq!(pair.ring.in_flight(), 0);
    }
}

/// A chain as long as the queue, and one table as long as the queue, are valid for the device.
#[test]
fn longest_chains_are_valid_for_the_device() {
    for indirect in [false, true] {
        let mut pair = Pair::new(128, MODERN_ALIGN, false);
        let shape = Shape {
            readable: vec![8; 64],
            writable: vec![8; 64],
            indirect,
        };
        let head = pair.add(&shape).unwrap();
        let mut flying = HashMap::from([(head, shape)]);
        let used = Used { head, len: 512 };
        assert_eq!(pair.serve(&flying), Some(used));
        assert_eq!(pair.pop(&mut flying), Some(used));
        assert_eq!(pair.ring.num_free(), 128);
    }
}

/// The index the device sees is the number of chains, modulo 2^16.
#[test]
fn device_sees_the_index_wrap() {
    let mut pair = Pair::new(8, MODERN_ALIGN, true);
    let shape = Shape {
        readable: vec![1],
        writable: vec![1],
        indirect: true,
    };
    let mut flying = HashMap::new();
    for count in 0..66_000_u32 {
        let idx = pair
            .queue
            .avail_idx(&pair.memory, Ordering::Acquire)
            .unwrap();
        assert_eq!(idx.0, count as u16);
        flying.insert(pair.add(&shape).unwrap(), shape.clone());
        let used = pair.serve(&flying);
        assert!(used.is_some());
        assert_eq!(pair.pop(&mut flying), used);
    }
}
