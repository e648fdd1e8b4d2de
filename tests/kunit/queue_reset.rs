// SPDX-License-Identifier: GPL-2.0

//! Queues that are reset one by one.

use kernel::prelude::*;

#[kunit_tests(virtio_queue_reset)]
mod tests {
    use super::*;

    use virtio::features::RING_RESET;
    use virtio_ring::{
        Access,
        Live,
        Segment,
        Submission, //
    };

    use crate::{
        device::{
            fault::Fault,
            registers::Complaints, //
        },
        driver::{
            Plan,
            TestQueue, //
        },
        machine::DeviceRing,
        rig::{
            eventually,
            Offer,
            Rig, //
        },
        trace::{
            Event,
            Step, //
        },
    };

    const TWO_QUEUES: Plan = Plan {
        queues: 2,
        ..Plan::NORMAL
    };

    /// A device whose first queue has used one buffer and has another, and whose second queue has one.
    fn busy(offer: Offer<'_>) -> Result<Rig> {
        let rig = Rig::new(offer, TWO_QUEUES)?;
        check!(rig.has_driver());
        check_eq!(rig.add(1, 0, 1)?, None);
        check!(rig.serve(1)?.is_some() && rig.interrupt());
        check!(*rig.returned()? == [(1, 1)]);
        check_eq!(rig.add(2, 0, 1)?, None);

        let token = rig.script().token(10);
        let segment = Segment::new(0x20_0000, 512);
        let add = |live: Access<'_, TestQueue>| {
            live.with(|queue, ()| {
                let result = queue.add(token, [], [segment]);
                (result.is_ok(), Submission::Notify)
            })
        };
        check_eq!(rig.channel(1)?.access().map(add), Some(true));
        rig.trace().clear();
        Ok(rig)
    }

    fn fail_queue(rig: &Rig, index: usize) -> Result {
        rig.channel(index)?.access().ok_or(ENODEV)?.fail_queue();
        Ok(())
    }

    /// Has the device use what it has of the second queue.
    fn serve_second(rig: &Rig, len: u32) -> bool {
        let finish = |ring: &mut DeviceRing| ring.pop().map(|head| ring.finish(head, len));
        rig.machine().queue(1, finish).flatten().is_some() && rig.machine().interrupt(1)
    }

    fn is_used_again(rig: &Rig) -> bool {
        eventually(|| rig.trace().count(Event::RestoreQueue(0)) == 1 && !rig.is_broken())
    }

    /// Fails the first queue, and waits for the reset of the whole device, before which the queue is
    /// reset so many times.
    fn fails_with_the_device(rig: &Rig, of_queue: usize) -> Result {
        rig.trace().clear();
        fail_queue(rig, 0)?;
        check!(eventually(|| {
            rig.trace().count(Event::RestoreQueues) == 1 && rig.status() == 0xf
        }));
        check_eq!(rig.trace().count(Event::ResetQueue(0)), of_queue);
        Ok(())
    }

    /// R19, CORE-VQRESET-1, CORE-VQRESET-2, CORE-VQENABLE-1: a queue that is stuck is reset and used
    /// again, and what it had is given back. The device is not reset, and its other queue goes on with
    /// what it has.
    #[test]
    fn r19_a_stuck_queue_is_reset_alone() -> Result {
        let rig = busy(Offer::PLAIN.with(RING_RESET))?;
        fail_queue(&rig, 0)?;
        check!(is_used_again(&rig));
        check!(rig.trace().is(&[
            Event::ResetQueue(0),
            Event::Driver(Step::Unused),
            Event::RestoreQueue(0),
        ]));
        check_eq!(rig.script().tokens(), 1);

        // The second queue has its buffer still.
        check!(serve_second(&rig, 5));
        check!(*rig.returned()? == [(10, 5)]);
        // The first begins at the beginning.
        check_eq!(rig.add(3, 0, 1)?, None);
        check!(eventually(|| rig.trace().count(Event::Notify(0)) == 1));
        check!(rig.serve(7)?.is_some() && rig.interrupt());
        check!(*rig.returned()? == [(3, 7)]);
        check!(rig.is_content());
        check!(rig.finish());
        Ok(())
    }

    /// What the device has used before the reset of the queue is done.
    #[test]
    fn r19_what_was_used_is_not_lost() -> Result {
        let rig = busy(Offer::PLAIN.with(RING_RESET))?;
        check!(rig.serve(9)?.is_some());
        fail_queue(&rig, 0)?;
        check!(is_used_again(&rig));
        check!(*rig.returned()? == [(2, 9)]);
        check_eq!(rig.trace().count(Event::Driver(Step::Unused)), 0);
        check!(rig.finish());
        Ok(())
    }

    /// PCI-COMMON-7: what a device has of a queue whose reset does not end stays with it, until the
    /// whole device has been reset.
    #[test]
    fn r19_a_device_that_does_not_reset_a_queue_is_reset() -> Result {
        let rig = busy(Offer::PLAIN.with(RING_RESET).fault(Fault::NoQueueReset))?;
        fails_with_the_device(&rig, 1)?;
        let trace = rig.trace();
        check_eq!(trace.first(Event::ResetQueue(0)), Some(0));
        check_eq!(trace.first(Event::Reset), Some(1));
        check_eq!(trace.count(Event::Driver(Step::Unused)), 2);
        check!(trace.first(Event::Driver(Step::Unused)) > Some(1));
        check!(rig.finish());
        Ok(())
    }

    /// So is one that does not take on a queue that it has reset.
    #[test]
    fn r19_a_device_that_does_not_take_a_queue_on_again_is_reset() -> Result {
        let rig = busy(Offer::PLAIN.with(RING_RESET).fault(Fault::NoQueueRestore))?;
        fails_with_the_device(&rig, 1)?;
        check_eq!(rig.trace().count(Event::RestoreQueue(0)), 0);
        check_eq!(rig.add(3, 0, 1)?, None);
        check!(rig.serve(1)?.is_some() && rig.interrupt());
        check!(*rig.returned()? == [(3, 1)]);
        check!(rig.finish());
        Ok(())
    }

    /// A driver that is suspended while a queue is reset waits for that, and the device's reset comes
    /// after it.
    #[test]
    fn r19_suspended_during_the_reset_of_a_queue() -> Result {
        let rig = busy(Offer::PLAIN.with(RING_RESET))?;
        rig.hold_reset_until(Step::Freeze, Event::ResetQueue(0), Live::fail_queue)?;
        rig.freeze()?;
        check!(rig.trace().is(&[
            Event::ResetQueue(0),
            Event::Driver(Step::Freeze),
            Event::Driver(Step::Unused),
            Event::RestoreQueue(0),
            Event::Reset,
            Event::Driver(Step::Unused),
        ]));
        rig.restore()?;
        check_eq!(rig.add(3, 0, 1)?, None);
        check!(rig.serve(1)?.is_some() && rig.interrupt());
        check!(*rig.returned()? == [(3, 1)]);
        check!(rig.finish());
        Ok(())
    }

    /// So does one that is unbound.
    #[test]
    fn r19_unbound_during_the_reset_of_a_queue() -> Result {
        let rig = busy(Offer::PLAIN.with(RING_RESET))?;
        rig.hold_reset_until(Step::Unbind, Event::ResetQueue(0), Live::fail_queue)?;
        let machine = rig.machine().clone();
        check!(rig.finish());
        let restored = machine.trace().first(Event::RestoreQueue(0));
        check!(restored > machine.trace().first(Event::Driver(Step::Unbind)));
        check!(restored < machine.trace().first(Event::DeleteQueues));
        Ok(())
    }

    /// A device with which it was not agreed on is reset as a whole.
    #[test]
    fn r19_no_feature_no_reset_of_a_queue() -> Result {
        let rig = busy(Offer::PLAIN)?;
        fails_with_the_device(&rig, 0)?;
        check!(rig.machine().complaints() == Complaints::NONE);
        check!(rig.finish());
        Ok(())
    }

    /// U50: a queue that has done nothing since its reset was not helped by that: the device is reset.
    #[test]
    fn u50_the_second_stage_is_the_device() -> Result {
        let rig = busy(Offer::PLAIN.with(RING_RESET))?;
        fail_queue(&rig, 0)?;
        check!(is_used_again(&rig));
        check_eq!(rig.add(3, 0, 1)?, None);
        fails_with_the_device(&rig, 0)?;
        check!(rig.finish());
        Ok(())
    }

    /// U50: queues of a device that are stuck again and again are not reset alone for ever.
    #[test]
    fn u50_there_is_an_end_of_it() -> Result {
        let rig = busy(Offer::PLAIN.with(RING_RESET))?;
        for _ in 0..5 {
            check!(rig.serve(1)?.is_some() && rig.interrupt());
            rig.trace().clear();
            fail_queue(&rig, 0)?;
            check!(is_used_again(&rig));
            check_eq!(rig.add(3, 0, 1)?, None);
        }
        check!(rig.serve(1)?.is_some() && rig.interrupt());
        fails_with_the_device(&rig, 0)?;
        check!(rig.finish());
        Ok(())
    }

    /// Queues that are stuck together are both reset, and the device is not.
    #[test]
    fn r19_two_stuck_queues() -> Result {
        let rig = busy(Offer::PLAIN.with(RING_RESET))?;
        check!(serve_second(&rig, 5));
        fail_queue(&rig, 0)?;
        fail_queue(&rig, 1)?;
        check!(is_used_again(&rig));
        check!(eventually(|| rig.trace().count(Event::RestoreQueue(1)) == 1));
        check_eq!(rig.trace().count(Event::Reset), 0);
        check!(rig.finish());
        Ok(())
    }

    /// A device that breaks the rules of a ring may break others: it is reset as a whole, also if that
    /// is seen only when its queue has been reset.
    #[test]
    fn r19_a_liar_is_reset_as_a_whole() -> Result {
        let rig = busy(Offer::PLAIN.with(RING_RESET))?;
        rig.ring(|ring| ring.finish_id(77, 0))?;
        fails_with_the_device(&rig, 1)?;
        check_eq!(rig.trace().count(Event::RestoreQueue(0)), 0);
        check!(rig.finish());
        Ok(())
    }

    /// U13: a device that is gone does not answer, and is given up.
    #[test]
    fn r19_a_device_that_is_gone_is_given_up() -> Result {
        let rig = busy(Offer::PLAIN.with(RING_RESET))?;
        rig.machine()
            .registers(|registers| registers.set_fault(Fault::Gone));
        fail_queue(&rig, 0)?;
        check!(rig.wait_for_failure()?);
        check_eq!(rig.trace().count(Event::ResetQueue(0)), 0);
        check!(rig.finish());
        Ok(())
    }

    /// M45: a device that is lost while a queue is reset is reset when it is found.
    #[test]
    fn m45_lost_during_the_reset_of_a_queue() -> Result {
        let mut rig = busy(Offer::PLAIN.with(RING_RESET))?;
        rig.lose_during_reset(Event::ResetQueue(0), Live::fail_queue)?;
        // It hears nothing more, and keeps what it has.
        check!(rig.trace().is(&[Event::ResetQueue(0)]));
        check_eq!(rig.script().tokens(), 2);
        rig.trace().clear();
        rig.reconnect()?;
        check!(rig.wait_for_recovery());
        check_eq!(rig.add(3, 0, 1)?, None);
        check!(rig.serve(1)?.is_some() && rig.interrupt());
        check!(*rig.returned()? == [(3, 1)]);
        check!(rig.finish());
        Ok(())
    }
}
