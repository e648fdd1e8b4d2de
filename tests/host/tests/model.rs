// SPDX-License-Identifier: GPL-2.0

//! The ring against a model of it: whatever the order of events, both agree.
//!
//! The model keeps chains in ordinary collections and decides about notifications by looking at
//! every entry by itself. Runs begin at various ages, so that indices wrap in the middle of them.

use std::collections::{
    BTreeMap,
    VecDeque, //
};

use host::ring::split::{
    AddError,
    Segment,
    Used, //
};
use host::ring::wire::{
    DESC_F_INDIRECT,
    DESC_F_NEXT,
    DESC_F_WRITE,
    USED_F_NO_NOTIFY, //
};
use host::{
    Device,
    Driver, //
};
use proptest::collection::vec;
use proptest::prelude::*;

/// One thing that driver or device do.
#[derive(Clone, Debug)]
enum Event {
    Add {
        readable: Vec<u32>,
        writable: Vec<u32>,
    },
    AddIndirect {
        table: u32,
        writable: u32,
    },
    Abandon {
        segments: u8,
    },
    /// The device uses one of the chains it has, the `pick`th, and writes part of it.
    Use {
        pick: usize,
        part: u8,
    },
    Pop,
    Drain,
    Disable,
    Enable,
    EnableDelayed,
    /// The driver asks whether to notify, the device having said that it wants to hear of the entry
    /// `ahead` of where it stands, or not to be notified.
    Notify {
        ahead: u16,
        quiet: bool,
    },
}

fn lens(most: usize) -> impl Strategy<Value = Vec<u32>> {
    vec(1..5000_u32, 0..=most)
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (lens(4), lens(4)).prop_map(|(readable, writable)| Event::Add { readable, writable }),
        3 => (1..64_u32, 0..9000_u32)
            .prop_map(|(descs, writable)| Event::AddIndirect { table: descs * 16, writable }),
        1 => (0..12_u8).prop_map(|segments| Event::Abandon { segments }),
        7 => (any::<usize>(), any::<u8>()).prop_map(|(pick, part)| Event::Use { pick, part }),
        4 => Just(Event::Pop),
        2 => Just(Event::Drain),
        1 => Just(Event::Disable),
        1 => Just(Event::Enable),
        1 => Just(Event::EnableDelayed),
        2 => (0..12_u16, any::<bool>()).prop_map(|(ahead, quiet)| Event::Notify { ahead, quiet }),
    ]
}

/// What the model knows of a chain in flight.
#[derive(Clone, Debug)]
struct Chain {
    descriptors: u16,
    writable: u32,
    /// What the device must find: address, length, flags without `NEXT`.
    expected: Vec<(u64, u32, u16)>,
}

/// What the next used buffer must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// Bring an interrupt.
    Interrupt,
    /// Bring none.
    Quiet,
    /// Nothing is promised.
    Any,
}

struct Model {
    driver: Driver,
    device: Device,
    event_idx: bool,
    size: u16,
    /// Chains that the driver has not got back.
    flying: BTreeMap<u16, Chain>,
    /// Heads that the device has taken and not used.
    held: Vec<u16>,
    /// What the device has used and the driver has not seen.
    used: VecDeque<Used>,
    added_since_notify: u16,
    callbacks: bool,
    wish: Wish,
}

impl Model {
    fn new(size: u16, event_idx: bool, age: u32) -> Self {
        let (mut driver, mut device) = Driver::new(size.into(), event_idx);
        driver.age(&mut device, age);
        driver.prepare_notify();
        assert!(driver.enable_callbacks());
        Self {
            driver,
            device,
            event_idx,
            size,
            flying: BTreeMap::new(),
            held: Vec::new(),
            used: VecDeque::new(),
            added_since_notify: 0,
            callbacks: true,
            wish: Wish::Interrupt,
        }
    }

    fn free(&self) -> u16 {
        self.size
            - self
                .flying
                .values()
                .map(|chain| chain.descriptors)
                .sum::<u16>()
    }

    fn added(&mut self, head: u16, chain: Chain) {
        assert!(
            self.flying.insert(head, chain).is_none(),
            "head given out twice"
        );
        self.added_since_notify += 1;
        // SPLIT-SUPPLY-2: the device finds it right away.
        assert_eq!(self.device.take(), Some(head));
        assert_eq!(self.device.take(), None);
        self.held.push(head);
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Add { readable, writable } => {
                let segments = (readable.len() + writable.len()) as u16;
                let result = self.driver.add(&readable, &writable);
                let expected = if segments == 0 {
                    Err(AddError::Empty)
                } else if segments > self.size && self.flying.is_empty() {
                    Err(AddError::TooLong)
                } else if segments > self.free() {
                    Err(AddError::Full)
                } else {
                    Ok(())
                };
                assert_eq!(result.map(drop), expected);
                if let Ok(head) = result {
                    let made_up = |base: u64, flags| {
                        move |(at, &len): (u64, &u32)| (base + at * 0x1000, len, flags)
                    };
                    let expected = (0..)
                        .zip(&readable)
                        .map(made_up(0x1000, 0))
                        .chain((0..).zip(&writable).map(made_up(0x100_0000, DESC_F_WRITE)))
                        .collect();
                    let chain = Chain {
                        descriptors: segments,
                        writable: writable.iter().sum(),
                        expected,
                    };
                    self.added(head, chain);
                }
            }
            Event::AddIndirect { table, writable } => {
                let result = self
                    .driver
                    .add_indirect(Segment::new(0x77_0000, table), writable);
                if self.free() == 0 {
                    assert_eq!(result, Err(AddError::Full));
                } else {
                    let chain = Chain {
                        descriptors: 1,
                        writable,
                        expected: vec![(0x77_0000, table, DESC_F_INDIRECT)],
                    };
                    self.added(result.unwrap(), chain);
                }
            }
            Event::Abandon { segments } => {
                let mut chain = self.driver.begin();
                for _ in 0..segments {
                    let _ = chain.push_readable(Segment::new(0, 1));
                }
            }
            Event::Use { pick, part } => {
                if self.held.is_empty() {
                    return;
                }
                let head = self.held.swap_remove(pick % self.held.len());
                let chain = &self.flying[&head];
                // What the device still holds reads as it was added.
                let found: Vec<_> = self
                    .device
                    .chain(head)
                    .iter()
                    .map(|desc| {
                        (
                            desc.addr.get(),
                            desc.len.get(),
                            desc.flags.get() & !DESC_F_NEXT,
                        )
                    })
                    .collect();
                assert_eq!(found, chain.expected);
                let len = (u64::from(chain.writable) * u64::from(part) / 255) as u32;
                let interrupt = self.device.finish(head, len);
                match self.wish {
                    Wish::Interrupt => assert!(interrupt, "a lost interrupt"),
                    Wish::Quiet => assert!(!interrupt, "an unwanted interrupt"),
                    Wish::Any => {}
                }
                if self.event_idx && self.callbacks {
                    // With the event index one interrupt was asked for, not one per buffer.
                    self.wish = Wish::Any;
                }
                self.used.push_back(Used { head, len });
            }
            Event::Pop => {
                self.pop();
            }
            Event::Drain => while self.pop() {},
            Event::Disable => {
                self.driver.disable_callbacks();
                self.callbacks = false;
                self.wish = Wish::Quiet;
            }
            Event::Enable => {
                let done = self.driver.enable_callbacks();
                assert_eq!(done, self.used.is_empty());
                self.callbacks = true;
                self.wish = if done || !self.event_idx {
                    Wish::Interrupt
                } else {
                    Wish::Any
                };
            }
            Event::EnableDelayed => {
                let done = self.driver.enable_callbacks_delayed();
                assert_eq!(done, self.used.len() <= self.flying.len() * 3 / 4);
                self.callbacks = true;
                self.wish = if self.event_idx {
                    Wish::Any
                } else {
                    Wish::Interrupt
                };
            }
            Event::Notify { ahead, quiet } => {
                // Entries added are numbered so that the device stands behind the last one.
                let first = self
                    .device
                    .avail_idx()
                    .wrapping_sub(self.added_since_notify);
                self.device.set_avail_event(first.wrapping_add(ahead));
                self.device
                    .set_used_flags(if quiet { USED_F_NO_NOTIFY } else { 0 });
                let expected = if self.event_idx {
                    ahead < self.added_since_notify
                } else {
                    self.added_since_notify != 0 && !quiet
                };
                assert_eq!(self.driver.prepare_notify(), expected);
                self.added_since_notify = 0;
            }
        }
    }

    fn pop(&mut self) -> bool {
        let expected = self.used.pop_front();
        assert_eq!(self.driver.has_used(), expected.is_some());
        let popped = self.driver.pop_used();
        assert_eq!(popped, Ok(expected));
        match expected {
            Some(used) => {
                assert!(self.flying.remove(&used.head).is_some());
            }
            // Nothing left: from here on the next one must be heard of, unless it may wait.
            None if self.callbacks && self.wish == Wish::Any && !self.may_wait() => {
                self.wish = Wish::Interrupt;
            }
            None => {}
        }
        popped.is_ok_and(|used| used.is_some())
    }

    /// Whether a delayed callback may still be ahead.
    fn may_wait(&self) -> bool {
        self.device.used_event() != self.device.used_idx()
    }

    fn check(&self) {
        assert_eq!(self.driver.num_free(), self.free());
        assert_eq!(usize::from(self.driver.in_flight()), self.flying.len());
        assert_eq!(self.driver.size(), self.size);
        if self.event_idx {
            assert_eq!(self.device.avail_flags(), 0);
        } else {
            assert_eq!(self.device.avail_flags(), u16::from(!self.callbacks));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    /// SPLIT-FRAME-1, SPLIT-DESC-2, SPLIT-AVAIL-1, SPLIT-USEDNOTIF-1, SPLIT-USEDNOTIF-3,
    /// SPLIT-AVAILNOTIF-3, SPLIT-AVAILNOTIF-4, SPLIT-AVAILNOTIF-6, SPLIT-AVAILNOTIF-7.
    #[test]
    fn ring_agrees_with_model(
        log_size in 0u32..9,
        event_idx: bool,
        age in prop_oneof![Just(0), 65_400..65_540_u32],
        events in vec(event(), 1..250),
    ) {
        let mut model = Model::new(1 << log_size, event_idx, age);
        for event in events {
            model.apply(event);
            model.check();
        }
    }

    /// Chains come back in any order, many times over, and nothing is ever lost.
    #[test]
    fn any_order_of_use_gives_everything_back(
        log_size in 0u32..8,
        rounds in vec((vec(1..5_usize, 1..80), vec(any::<usize>(), 80)), 1..12),
    ) {
        let size = 1 << log_size;
        let (mut driver, mut device) = Driver::new(size, true);
        for (shapes, picks) in rounds {
            let mut flying: Vec<u16> = shapes
                .iter()
                .filter_map(|&len| driver.add(&vec![1; len], &[]).ok())
                .collect();
            for pick in picks {
                if flying.is_empty() {
                    break;
                }
                let head = flying.swap_remove(pick % flying.len());
                device.finish(head, 0);
                prop_assert_eq!(driver.pop_used(), Ok(Some(Used { head, len: 0 })));
            }
            prop_assert!(flying.is_empty());
            prop_assert_eq!(u32::from(driver.num_free()), size);
            prop_assert_eq!(driver.room(), (size as u16, AddError::TooLong));
        }
    }
}
