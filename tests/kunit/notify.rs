// SPDX-License-Identifier: GPL-2.0

//! Notifications in both directions: when they are sent, and when they are not.

use kernel::prelude::*;

#[kunit_tests(virtio_notify)]
mod tests {
    use super::*;

    use virtio::features::EVENT_IDX;
    use virtio_ring::{
        Segment,
        Submission, //
    };

    use crate::{
        device::fault::Fault,
        driver::Plan,
        rig::{
            Offer,
            Rig, //
        },
        trace::Event, //
    };

    /// S9, SPLIT-AVAILNOTIF-3, SPLIT-AVAILNOTIF-4: the flag decides about notifications.
    #[test]
    fn s9_no_notify_flag() -> Result {
        let rig = Rig::plain()?;
        check_eq!(rig.add(1, 0, 1)?, None);
        check_eq!(rig.trace().count(Event::Notify(0)), 1);
        rig.ring(|ring| ring.refuse_notifications())?;
        check_eq!(rig.add(2, 0, 1)?, None);
        check_eq!(rig.trace().count(Event::Notify(0)), 1);
        rig.ring(|ring| ring.ask_for_notification())?;
        check_eq!(rig.add(3, 0, 1)?, None);
        check_eq!(rig.trace().count(Event::Notify(0)), 2);
        check!(rig.finish());
        Ok(())
    }

    /// S8, SPLIT-AVAILNOTIF-5 to SPLIT-AVAILNOTIF-7: with the event index the device is notified
    /// of the entry that it asked for, and the flag means nothing.
    #[test]
    fn s8_notification_by_event_index() -> Result {
        let rig = Rig::new(Offer::PLAIN.with(EVENT_IDX), Plan::NORMAL)?;
        rig.ring(|ring| {
            ring.set_avail_event(2);
            ring.set_used_flags(1);
        })?;
        for (number, expected) in [(0, 0), (1, 0), (2, 1), (3, 1)] {
            check_eq!(rig.add(number, 0, 1)?, None);
            check_eq!(rig.trace().count(Event::Notify(0)), expected);
        }
        check!(rig.finish());
        Ok(())
    }

    /// SPLIT-SUPPLY-1: what was held is notified by the next use, once.
    #[test]
    fn several_buffers_one_notification() -> Result {
        let rig = Rig::plain()?;
        for number in 0..3 {
            let token = rig.script().token(number);
            rig.driver(|queue| {
                let _ = queue.add(token, [], [Segment::new(0x1000, 1)]);
                ((), Submission::Hold)
            })?;
        }
        check_eq!(rig.trace().count(Event::Notify(0)), 0);
        for _ in 0..2 {
            rig.driver(|_| ((), Submission::Notify))?;
            check_eq!(rig.trace().count(Event::Notify(0)), 1);
        }
        check_eq!(rig.ring(|ring| ring.pending())?, 3);
        check!(rig.finish());
        Ok(())
    }

    /// S15, S16, SPLIT-USEDNOTIF-1 to SPLIT-USEDNOTIF-3, SPLIT-RECV-1: the device hears whether
    /// the driver wants interrupts, and one that it used meanwhile is found.
    #[test]
    fn s15_callbacks_off_and_on() -> Result {
        for event_idx in [false, true] {
            let offer = if event_idx {
                Offer::PLAIN.with(EVENT_IDX)
            } else {
                Offer::PLAIN
            };
            let rig = Rig::new(offer, Plan::NORMAL)?;
            let flag = |rig: &Rig| rig.ring(|ring| ring.avail_flags());
            for number in 0..4 {
                check_eq!(rig.add(number, 0, 1)?, None);
            }
            check_eq!(rig.serve(1)?, Some(true));
            check!(rig.interrupt());

            rig.driver(|queue| (queue.disable_callbacks(), Submission::Hold))?;
            check_eq!(flag(&rig)?, u16::from(!event_idx));
            check_eq!(rig.serve(2)?, Some(false));

            // One has been used already, so nobody else will tell.
            let is_all = rig.driver(|queue| (queue.enable_callbacks(), Submission::Hold))?;
            check!(!is_all);
            check_eq!(flag(&rig)?, 0);
            check!(rig.interrupt());
            check!(*rig.returned()? == [(0, 1), (1, 2)]);

            let is_all = rig.driver(|queue| (queue.enable_callbacks(), Submission::Hold))?;
            check!(is_all);
            check_eq!(rig.serve(3)?, Some(true));
            check!(rig.interrupt());
            check!(rig.finish());
        }
        Ok(())
    }

    /// S17: a delayed interrupt comes when three quarters of what is out have been used.
    #[test]
    fn s17_delayed_callbacks() -> Result {
        let rig = Rig::new(Offer::PLAIN.with(EVENT_IDX), Plan::NORMAL)?;
        for number in 0..8 {
            check_eq!(rig.add(number, 0, 1)?, None);
        }
        let is_all = rig.driver(|queue| (queue.enable_callbacks_delayed(), Submission::Hold))?;
        check!(is_all);
        for expected in [false, false, false, false, false, false, true] {
            check_eq!(rig.serve(1)?, Some(expected));
        }
        check!(rig.interrupt());
        check_eq!(rig.returned()?.len(), 7);
        check!(rig.finish());
        Ok(())
    }

    /// S14: with the event index, and callbacks on, an interrupt is asked for after each round.
    #[test]
    fn s14_used_event_follows() -> Result {
        let rig = Rig::new(Offer::PLAIN.with(EVENT_IDX), Plan::NORMAL)?;
        for round in 0..5 {
            check_eq!(rig.add(round, 0, 1)?, None);
            check_eq!(rig.add(round, 0, 1)?, None);
            // The second one needs no interrupt of its own: the first has brought one.
            check_eq!(rig.serve(1)?, Some(true));
            check_eq!(rig.serve(1)?, Some(false));
            check!(rig.interrupt());
            check_eq!(rig.returned()?.len(), 2);
        }
        check!(rig.finish());
        Ok(())
    }

    /// SPLIT-USEDNOTIF-5, D34: interrupts with nothing behind them.
    #[test]
    fn spurious_interrupts_are_harmless() -> Result {
        let rig = Rig::plain()?;
        check_eq!(rig.add(1, 0, 1)?, None);
        for _ in 0..10 {
            check!(rig.interrupt());
        }
        check_eq!(rig.returned()?.len(), 0);
        check_eq!(rig.interrupts(), (10, 0));
        check!(rig.serve(1)?.is_some());
        check!(rig.interrupt());
        check!(*rig.returned()? == [(1, 1)]);
        check!(rig.finish());
        Ok(())
    }

    /// D20, H21: an interrupt while queues are set up, or before `DRIVER_OK`, calls nobody.
    #[test]
    fn d20_interrupt_before_driver_ok() -> Result {
        let plan = Plan {
            is_early: true,
            ..Plan::NORMAL
        };
        let rig = Rig::new(Offer::PLAIN.fault(Fault::Spurious), plan)?;
        check_eq!(rig.interrupts(), (0, 0));
        check!(rig.interrupt());
        check_eq!(rig.interrupts(), (1, 0));
        check!(rig.finish());
        Ok(())
    }

    /// CORE-INIT-14: what is added before `DRIVER_OK` is notified after it.
    #[test]
    fn core_init_14_no_notification_before_driver_ok() -> Result {
        let plan = Plan {
            is_early: true,
            ..Plan::NORMAL
        };
        let rig = Rig::new(Offer::PLAIN, plan)?;
        check!(rig.is_content());
        rig.driver(|_| ((), Submission::Notify))?;
        check!(rig.trace().last(Event::Notify(0)) > rig.trace().first(Event::Status(0xf)));
        check!(rig.serve(1)?.is_some());
        check!(rig.interrupt());
        check_eq!(rig.returned()?.len(), 1);
        check!(rig.finish());
        Ok(())
    }

    /// A polled queue has no handler, and gives what was used to whoever asks.
    #[test]
    fn polled_queue_is_not_interrupted() -> Result {
        let plan = Plan {
            is_polled: true,
            ..Plan::NORMAL
        };
        let rig = Rig::new(Offer::PLAIN, plan)?;
        check_eq!(rig.add(3, 0, 1)?, None);
        check!(rig.serve(5)?.is_some());
        check!(!rig.interrupt());
        let popped = rig.driver(|queue| (queue.pop(), Submission::Hold))?;
        let popped = popped?.map(|(token, len)| (token.number, len));
        check_eq!(popped, Some((3, 5)));
        check!(rig.finish());
        Ok(())
    }
}
