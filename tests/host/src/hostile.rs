// SPDX-License-Identifier: GPL-2.0

//! A device that does what arbitrary bytes tell it to, and the promises that must hold nevertheless.
//!
//! This is the body of the fuzzer in `fuzz/`; `tests/hostile_device.rs` runs it on other bytes.

use std::collections::HashMap;

use crate::ring::layout::MAX_SIZE;
use crate::ring::split::{
    AddError,
    Segment,
    Violation, //
};
use crate::ring::wire::Desc;
use crate::{
    Device,
    Driver, //
};

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many chains were added.
    pub added: u32,
    /// How many came back from the device.
    pub used: u32,
    /// Why no more did.
    pub violation: Option<Violation>,
}

/// What the driver knows of a chain it has added.
struct Token {
    descriptors: u16,
    writable: u32,
}

struct Run {
    driver: Driver,
    device: Device,
    /// For how many more steps the device behaves.
    honest_steps: u32,
    tokens: HashMap<u16, Token>,
    summary: Summary,
}

/// The instructions of a run.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn word(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes([self.byte()?, self.byte()?]))
    }
}

/// Runs a driver against a device, both led by `data`, and checks after each step what a ring
/// promises whatever the device does.
///
/// # Panics
///
/// If a promise is broken.
pub fn run(data: &[u8]) -> Summary {
    let mut input = Input(data);
    let setup = input.byte().unwrap_or(0);
    let honest_steps = u32::from(input.byte().unwrap_or(0)) * 2;
    let size = (1 << (setup & 0x0f)).min(MAX_SIZE);
    let (driver, device) = Driver::new(size, setup & 0x10 != 0);
    let mut run = Run {
        driver,
        device,
        honest_steps,
        tokens: HashMap::new(),
        summary: Summary::default(),
    };
    while run.step(&mut input).is_some() {
        run.check();
    }
    run.end()
}

impl Run {
    /// Does one thing, or returns [`None`] at the end of the input.
    fn step(&mut self, input: &mut Input<'_>) -> Option<()> {
        let mut step = input.byte()? % 16;
        if let Some(left) = self.honest_steps.checked_sub(1) {
            self.honest_steps = left;
            step %= 9;
        }
        match step {
            0 | 1 => {
                let shape = input.byte()?;
                let readable = vec![16; usize::from(shape & 0x0f)];
                let writable = vec![512; usize::from(shape >> 4)];
                let result = self.driver.add(&readable, &writable);
                let descriptors = u16::from(shape & 0x0f) + u16::from(shape >> 4);
                self.added(result, descriptors, u32::from(shape >> 4) * 512);
            }
            2 => {
                let writable = input.byte()?.into();
                let result = self.driver.add_indirect(Segment::new(0x5000, 16), writable);
                self.added(result, 1, writable);
            }
            3 | 4 => self.pop(),
            5 => self.callbacks(input.byte()?),
            6 => {
                // The driver gives up on a chain.
                self.driver.room();
            }
            // From here on, it is the device. First the honest kind.
            7 => {
                if let Some(head) = self.device.take() {
                    let known = self.tokens.get(&(head % self.driver.size()));
                    self.device.finish(head, known.map_or(0, |t| t.writable));
                }
            }
            8 => {
                self.device.serve();
            }
            // One that lies in plausible ways.
            9 => {
                let id = u32::from(input.byte()?);
                self.device.finish_id(id, input.byte()?.into());
            }
            10 => {
                let id = u32::from(input.word()?) << (input.byte()? % 17);
                self.device.finish_id(id, input.word()?.into());
            }
            11 => {
                let idx = self.device.used_idx().wrapping_add(input.byte()?.into());
                self.device.set_used_idx(idx);
            }
            12 => self.device.set_used_idx(input.word()?),
            13 => {
                self.device.set_used_flags(input.word()?);
                self.device.set_avail_event(input.word()?);
            }
            // And one that writes anywhere.
            14 => {
                let desc = Desc {
                    addr: u64::from(input.word()?).into(),
                    len: u32::from(input.word()?).into(),
                    flags: input.word()?.into(),
                    next: input.word()?.into(),
                };
                self.device.set_desc(input.word()?, desc);
            }
            _ => {
                let memory = self.device.memory();
                let offset = usize::from(input.word()?) * 16 + usize::from(input.byte()?);
                memory.write(offset % memory.bytes(), input.byte()?);
            }
        }
        Some(())
    }

    fn added(&mut self, result: Result<u16, AddError>, descriptors: u16, writable: u32) {
        match result {
            Ok(head) => {
                assert!(head < self.driver.size());
                let token = Token {
                    descriptors,
                    writable,
                };
                let before = self.tokens.insert(head, token);
                assert!(before.is_none(), "a head was given out twice");
                self.summary.added += 1;
            }
            Err(AddError::Full) => assert!(self.free() < descriptors),
            Err(AddError::TooLong) => assert!(self.driver.size() < descriptors),
            Err(AddError::Empty) => assert_eq!(descriptors, 0),
            Err(AddError::Order) => panic!("the order was right"),
            Err(AddError::Broken | AddError::NotAgreed) => {
                panic!("only the owner of a ring says that")
            }
        }
    }

    fn pop(&mut self) {
        match self.driver.pop_used() {
            Ok(Some(used)) => {
                assert_eq!(self.summary.violation, None, "a violation was forgotten");
                let token = self.tokens.remove(&used.head);
                let token = token.expect("a token comes back once");
                assert!(used.len <= token.writable);
                self.summary.used += 1;
            }
            Ok(None) => assert_eq!(self.summary.violation, None, "a violation was forgotten"),
            Err(violation) => {
                let first = *self.summary.violation.get_or_insert(violation);
                assert_eq!(first, violation);
                assert!(!violation.to_string().is_empty());
            }
        }
    }

    fn callbacks(&mut self, which: u8) {
        match which % 6 {
            0 => self.driver.disable_callbacks(),
            1 => {
                let at = self.driver.enable_callbacks_prepare();
                let _ = self.driver.poll(at);
            }
            2 => {
                let _ = self.driver.enable_callbacks();
            }
            3 => {
                let _ = self.driver.enable_callbacks_delayed();
            }
            4 => {
                let _ = self.driver.prepare_notify();
            }
            _ => {
                let _ = self.driver.has_used();
            }
        }
    }

    /// The number of descriptors that no chain in flight has.
    fn free(&self) -> u16 {
        let taken: u16 = self.tokens.values().map(|token| token.descriptors).sum();
        self.driver.size() - taken
    }

    fn check(&self) {
        assert_eq!(self.driver.num_free(), self.free());
        assert_eq!(usize::from(self.driver.in_flight()), self.tokens.len());
        assert_eq!(self.driver.violation(), self.summary.violation);
    }

    /// Takes everything back, as after a reset, and looks at what is left.
    fn end(mut self) -> Summary {
        while let Some(head) = self.driver.detach() {
            assert!(self.tokens.remove(&head).is_some());
            self.check();
        }
        assert!(self.tokens.is_empty(), "a token was lost");
        let size = self.driver.size();
        assert_eq!(self.driver.num_free(), size);
        assert_eq!(self.driver.room(), (size, AddError::TooLong));
        self.summary
    }
}
