// SPDX-License-Identifier: GPL-2.0

//! Queues with a device that breaks the rules.
//!
//! Whatever it does: the driver hears of an error, every token comes back once, and the device is
//! reset and used again, unless it goes on like that.

use kernel::prelude::*;

#[kunit_tests(virtio_hostile)]
mod tests {
    use super::*;

    use virtio::features::EVENT_IDX;
    use virtio_ring::{
        AddError,
        Segment,
        Submission, //
    };

    use crate::{
        core_device,
        device::fault::Fault,
        driver::Plan,
        machine::DeviceRing,
        rig::{
            Offer,
            Rig, //
        },
        trace::{
            Event,
            Step, //
        },
    };

    /// Puts three buffers of two descriptors out, lets the device do something to them, and checks
    /// that exactly `good` of them come back as used. Then the driver hears of an error, once; the
    /// device is reset, the other buffers are given back unused (H33), and the queue works again.
    fn breaks(good: usize, hostile: impl Fn(&mut DeviceRing)) -> Result<bool> {
        for offer in [Offer::PLAIN, Offer::PLAIN.with(EVENT_IDX)] {
            let rig = Rig::new(offer, Plan::NORMAL)?;
            for number in 0..3 {
                rig.add(number, 1, 1)?;
            }
            rig.trace().clear();
            rig.ring(|ring| hostile(ring))?;
            let was_handled = rig.interrupt();
            // Nobody is called for a queue that is out of use.
            let is_handled = rig.interrupt() || rig.interrupt();
            let is_used_again = rig.wait_for_recovery();
            let returned = rig.returned()?.len();
            let unused = rig.trace().count(Event::Driver(Step::Unused));
            let resets = rig.trace().count(Event::Reset);
            let is_reset_first =
                rig.trace().first(Event::Reset) < rig.trace().first(Event::Driver(Step::Unused));
            let interrupts = rig.interrupts();
            let is_whole = works(&rig)?;
            let is_content = rig.finish();
            if !was_handled
                || is_handled
                || !is_used_again
                || !is_whole
                || (returned, unused) != (good, 3 - good)
                || resets != 2
                || !is_reset_first
                || interrupts != (1, 1)
                || !is_content
            {
                pr_info!(
                    "handled {} {}, used again {} {}, returned {}, unused {}, resets {}, first {}, \
                     interrupts {:?}, content {}\n",
                    was_handled,
                    is_handled,
                    is_used_again,
                    is_whole,
                    returned,
                    unused,
                    resets,
                    is_reset_first,
                    interrupts,
                    is_content
                );
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns whether a buffer goes to the device and back.
    fn works(rig: &Rig) -> Result<bool> {
        let is_added = rig.add(1000, 1, 1)?.is_none();
        let is_served = rig.serve(9)? == Some(true);
        Ok(is_added && is_served && rig.interrupt() && *rig.returned()? == [(1000, 9)])
    }

    /// S12, H33: an id that no queue of this size has, also one that is in range when cut to 16 bits.
    #[test]
    fn s12_used_id_out_of_range() -> Result {
        for id in [8, 9, 5000, 0xffff, 0x1_0000, 0x8000_0000, u32::MAX] {
            check!(breaks(1, |ring| {
                ring.pop().map(|head| ring.finish(head, 0));
                ring.finish_id(id, 0);
            })?);
        }
        Ok(())
    }

    /// S12: an id in range that is not a chain's head, or not in flight.
    #[test]
    fn s12_used_id_not_in_flight() -> Result {
        for offset in [1, 6, 7] {
            check!(breaks(0, |ring| {
                let head = ring.pop().unwrap_or(0);
                ring.finish_id(u32::from((head + offset) % 8), 0);
            })?);
        }
        Ok(())
    }

    /// S12: the same buffer twice.
    #[test]
    fn s12_used_id_twice() -> Result {
        check!(breaks(1, |ring| {
            let head = ring.pop().unwrap_or(0);
            ring.finish(head, 0);
            ring.finish(head, 0);
        })?);
        Ok(())
    }

    /// S13, H6: more bytes than were offered, by one or by all.
    #[test]
    fn h6_length_too_long() -> Result {
        for len in [513, 1024, 0x8000_0000, u32::MAX] {
            check!(breaks(0, |ring| {
                ring.pop().map(|head| ring.finish(head, len));
            })?);
        }
        Ok(())
    }

    /// S12: an index that moves past all that is in flight, or backwards.
    #[test]
    fn used_index_jumps() -> Result {
        for by in [4, 8, 100, 0x7fff, 0x8000, 0xffff] {
            check!(breaks(0, |ring| ring.jump(by))?);
        }
        Ok(())
    }

    /// The index is within what is in flight, but its entries are not written: they are from
    /// earlier, or zero. The first is the head 0, which is in flight; then it is there no more.
    #[test]
    fn used_index_ahead_of_entries() -> Result {
        check!(breaks(1, |ring| ring.jump(2))?);
        Ok(())
    }

    /// H4, S21, D-ring: flags and links in the descriptor table mean nothing for what was taken.
    #[test]
    fn h4_scribbled_descriptors() -> Result {
        let rig = Rig::plain()?;
        for round in 0..4 {
            for number in 0..2 {
                check_eq!(rig.add(round * 2 + number, 1, 2)?, None);
            }
            rig.ring(|ring| {
                let heads = [ring.pop(), ring.pop()];
                ring.scribble();
                for head in heads.into_iter().flatten() {
                    ring.finish(head, 512);
                }
            })?;
            check!(rig.interrupt());
            check!(*rig.returned()? == [(round * 2, 512), (round * 2 + 1, 512)]);
        }
        // The next chains are whole again.
        check_eq!(rig.add(100, 4, 4)?, None);
        let count = rig.ring(|ring| {
            let head = ring.pop()?;
            Some(ring.walk(head).filter(Result::is_ok).count())
        })?;
        check_eq!(count, Some(8));
        check!(rig.finish());
        Ok(())
    }

    /// H33: a device that breaks the rules of one queue is reset as a whole, and what the other
    /// queues had comes back.
    #[test]
    fn h33_other_queues_are_given_back_too() -> Result {
        let plan = Plan {
            queues: 2,
            ..Plan::NORMAL
        };
        let rig = Rig::new(Offer::PLAIN, plan)?;
        let other = rig.channel(1)?;
        let token = rig.script().token(2);
        let is_added = other.access().ok_or(ENODEV)?.with(|queue, ()| {
            let result = queue.add(token, [], [Segment::new(0x1000, 8)]);
            (result.is_ok(), Submission::Notify)
        });
        check!(is_added);
        check_eq!(rig.add(1, 0, 1)?, None);
        check!(rig.break_rules()?);
        check!(rig.wait_for_recovery());
        check_eq!(rig.trace().count(Event::Driver(Step::Unused)), 2);
        check!(works(&rig)?);
        check!(rig.finish());
        Ok(())
    }

    /// CORE-STATUS-3, CORE-INIT-1: the way back is that of the first time, with the queues before
    /// `DRIVER_OK` and the notification after it.
    #[test]
    fn recovery_repeats_the_initialization() -> Result {
        let rig = Rig::new(Offer::PLAIN.with(EVENT_IDX), Plan::NORMAL)?;
        check_eq!(rig.add(1, 0, 1)?, None);
        rig.trace().clear();
        check!(rig.break_rules()?);
        check!(rig.wait_for(|| rig.trace().count(Event::Driver(Step::ConfigChanged)) > 0));
        check!(rig.trace().is(&[
            Event::Reset,
            Event::Driver(Step::Unused),
            Event::Reset,
            Event::Status(0x1),
            Event::Status(0x3),
            Event::Features,
            Event::Status(0xb),
            Event::RestoreQueues,
            Event::Driver(Step::Configure),
            Event::Status(0xf),
            Event::Driver(Step::ConfigChanged),
        ]));
        check!(rig.finish());
        Ok(())
    }

    /// A device that goes on breaking the rules is given up, not reset for ever.
    #[test]
    fn incorrigible_device_is_given_up() -> Result {
        let rig = Rig::plain()?;
        for _ in 0..5 {
            rig.trace().clear();
            check_eq!(rig.add(1, 0, 1)?, None);
            check!(rig.break_rules()?);
            check!(rig.wait_for_recovery());
        }
        check_eq!(rig.add(1, 0, 1)?, None);
        check!(rig.break_rules()?);
        check!(rig.wait_for_failure()?);
        check!(rig.finish());
        Ok(())
    }

    /// A device that does not agree to the features any more is given up.
    #[test]
    fn device_that_cannot_be_used_again_is_given_up() -> Result {
        let rig = Rig::plain()?;
        check_eq!(rig.add(1, 0, 1)?, None);
        rig.machine()
            .registers(|registers| registers.set_fault(Fault::FeaturesRefused));
        check!(rig.break_rules()?);
        check!(rig.wait_for_failure()?);
        check!(rig.finish());
        Ok(())
    }

    /// A buffer that comes while the device is out of use is refused, and the queue is as before.
    #[test]
    fn broken_queue_refuses_buffers() -> Result {
        let rig = Rig::plain()?;
        rig.freeze()?;
        check_eq!(rig.add(1, 0, 1)?, Some(AddError::Broken));
        rig.restore()?;
        check!(works(&rig)?);
        check!(rig.finish());
        Ok(())
    }

    /// H33, CORE-STATUS-3: a device that was reset can be bound again, and works.
    #[test]
    fn h33_device_can_be_bound_again() -> Result {
        let rig = Rig::plain()?;
        check_eq!(rig.add(1, 0, 1)?, None);
        check!(rig.break_rules()?);
        check!(rig.wait_for_recovery());
        core_device::release(rig.device());
        check!(core_device::attach(rig.device())?);
        check_eq!(rig.add(2, 0, 1)?, None);
        check_eq!(rig.serve(9)?, Some(true));
        check!(rig.interrupt());
        check!(*rig.returned()? == [(2, 9)]);
        check!(rig.finish());
        Ok(())
    }

    /// A device that is removed before it could be given up: each token comes back once all the
    /// same.
    #[test]
    fn removal_races_with_failure() -> Result {
        for _ in 0..5 {
            let rig = Rig::plain()?;
            for number in 0..4 {
                check_eq!(rig.add(number, 0, 1)?, None);
            }
            check!(rig.break_rules()?);
            check!(rig.finish());
        }
        Ok(())
    }

    /// H2: a device that never ends its reset does not hang its removal.
    #[test]
    fn h2_reset_that_never_ends() -> Result {
        let rig = Rig::plain()?;
        check_eq!(rig.add(1, 0, 1)?, None);
        rig.machine()
            .registers(|registers| registers.set_fault(Fault::NoReset));
        let script = rig.script().clone();
        drop(rig);
        check_eq!(script.probes(), 1);
        Ok(())
    }
}
