// SPDX-License-Identifier: GPL-2.0

//! The ring against a device that writes what and where it likes.
//!
//! `host::hostile` says what must hold: nothing panics or reaches outside, every token comes back
//! at most once, private state stays as it was, and a violation is final.

use host::hostile::{
    self,
    Summary, //
};
use proptest::collection::vec;
use proptest::prelude::*;

/// A small generator of pseudo-random numbers (xorshift), so that failures repeat.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 32) as u8).collect()
    }
}

/// The body of the fuzzer over a few thousand inputs, for where there is no fuzzer.
#[test]
fn fuzzer_body_holds_over_pseudo_random_inputs() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut total = Summary::default();
    let mut violations = 0;
    for round in 0..6000 {
        let mut input = random.bytes(16 + round % 700);
        // Mostly small queues, which fill up and wrap.
        input[0] &= if round % 8 == 0 { 0x1f } else { 0x13 };
        let summary = hostile::run(&input);
        total.added += summary.added;
        total.used += summary.used;
        violations += u32::from(summary.violation.is_some());
    }
    // The inputs must get somewhere, or they show nothing.
    assert!(total.added > 10_000, "{total:?}");
    assert!(total.used > 10_000, "{total:?}");
    assert!(violations > 1_000, "{violations}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Instructions of all kinds, with inputs that shrink when something fails.
    #[test]
    fn promises_hold_whatever_the_device_writes(input in vec(any::<u8>(), 1..600)) {
        hostile::run(&input);
    }

    /// Garbage all over the memory before each of the driver's steps.
    #[test]
    fn promises_hold_in_garbage(
        setup in 0u8..0x20,
        steps in vec((0u8..7, any::<u8>(), vec((any::<u16>(), any::<u8>(), any::<u8>()), 0..8)), 1..80),
    ) {
        let mut input = vec![setup, 0];
        for (step, argument, garbage) in steps {
            input.extend([step, argument]);
            for (offset, fine, byte) in garbage {
                input.push(15);
                input.extend(offset.to_le_bytes());
                input.extend([fine, byte]);
            }
        }
        hostile::run(&input);
    }
}
