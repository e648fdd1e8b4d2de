// SPDX-License-Identifier: GPL-2.0

//! Queues with an honest device.

use kernel::prelude::*;

#[kunit_tests(virtio_queue)]
mod tests {
    use super::*;

    use virtio::features::{
        ACCESS_PLATFORM,
        EVENT_IDX,
        INDIRECT_DESC, //
    };
    use virtio_ring::{
        AddError,
        Area,
        Segment,
        Submission, //
    };

    use crate::{
        core_device,
        device::{
            chain::Element,
            fault::Fault, //
        },
        driver::Plan,
        rig::{
            Offer,
            Rig, //
        },
        trace::{
            Event,
            Step, //
        },
        transport::QueueOffer,
    };

    fn element(addr: u64, len: u32, is_writable: bool) -> Element {
        Element {
            addr,
            len,
            is_writable,
        }
    }

    /// S6, SPLIT-FRAME-1: the device finds the readable segments and then the writable ones, as
    /// they were given; token and length come back.
    #[test]
    fn s6_buffer_goes_there_and_back() -> Result {
        let rig = Rig::plain()?;
        let token = rig.script().token(7);
        let is_added = rig.driver(|queue| {
            let readable = [Segment::new(0x1_0000, 16), Segment::new(0x9_8765_4321, 3)];
            let writable = [Segment::new(0x2_0000, 1024)];
            let result = queue.add(token, readable, writable);
            (result.is_ok(), Submission::Notify)
        })?;
        check!(is_added);
        check_eq!(rig.trace().count(Event::Notify(0)), 1);
        let matches = rig.ring(|ring| {
            let head = ring.pop()?;
            let expected = [
                element(0x1_0000, 16, false),
                element(0x9_8765_4321, 3, false),
                element(0x2_0000, 1024, true),
            ];
            let matches = ring.walk(head).eq(expected.map(Ok));
            ring.finish(head, 1000).then_some(matches)
        })?;
        check_eq!(matches, Some(true));
        check!(rig.interrupt());
        check!(*rig.returned()? == [(7, 1000)]);
        check!(rig.finish());
        Ok(())
    }

    /// Buffers that come back in another order do so with their own tokens.
    #[test]
    fn tokens_follow_their_buffers() -> Result {
        let rig = Rig::plain()?;
        for number in 0..8 {
            check_eq!(rig.add(number, 0, 1)?, None);
        }
        rig.ring(|ring| {
            let mut heads = [0; 8];
            for head in &mut heads {
                *head = ring.pop().unwrap_or(u16::MAX);
            }
            for (i, head) in heads.into_iter().enumerate().rev() {
                ring.finish(head, i as u32);
            }
        })?;
        check!(rig.interrupt());
        let returned = rig.returned()?;
        check_eq!(returned.len(), 8);
        for (i, &(number, len)) in returned.iter().enumerate() {
            check_eq!((number, len), (7 - i as u32, 7 - i as u32));
        }
        check!(rig.finish());
        Ok(())
    }

    /// S10, S12: a full queue refuses and gives the token back; what comes back makes room.
    #[test]
    fn full_queue_refuses() -> Result {
        let rig = Rig::plain()?;
        // Eight descriptors: 3 + 3 + 2.
        check_eq!(rig.add(1, 1, 2)?, None);
        check_eq!(rig.add(2, 1, 2)?, None);
        check_eq!(rig.add(3, 1, 2)?, Some(AddError::Full));
        check_eq!(rig.add(4, 1, 1)?, None);
        check_eq!(rig.add(5, 1, 0)?, Some(AddError::Full));
        check_eq!(rig.script().tokens(), 3);
        check_eq!(rig.driver(|queue| (queue.num_free(), Submission::Hold))?, 0);
        check_eq!(
            rig.driver(|queue| (queue.in_flight(), Submission::Hold))?,
            3
        );
        check!(rig.serve(512)?.is_some());
        check!(rig.interrupt());
        check_eq!(rig.add(6, 2, 1)?, None);
        check_eq!(rig.add(7, 1, 0)?, Some(AddError::Full));
        check!(rig.finish());
        Ok(())
    }

    /// What can never fit is told apart from what does not fit now (H31), and bad buffers are
    /// refused without harm (SPLIT-DESC-1, SPLIT-FRAME-1).
    #[test]
    fn h31_impossible_buffers_are_told_apart() -> Result {
        let rig = Rig::plain()?;
        check_eq!(rig.add(1, 4, 5)?, Some(AddError::TooLong));
        check_eq!(rig.add(2, 0, 0)?, Some(AddError::Empty));
        for (lens, reason) in [
            ([0, 512], AddError::Empty),
            ([u32::MAX, 512], AddError::TooLong),
        ] {
            let token = rig.script().token(3);
            let refused = rig.driver(|queue| {
                let result = queue.add(token, lens.map(|len| Segment::new(0x1000, len)), []);
                (result.err().map(|refused| refused.reason), Submission::Hold)
            })?;
            check_eq!(refused, Some(reason));
        }
        // All eight are still there.
        check_eq!(rig.add(4, 4, 4)?, None);
        let all = rig.ring(|ring| {
            let head = ring.pop()?;
            Some(ring.walk(head).filter(Result::is_ok).count())
        })?;
        check_eq!(all, Some(8));
        check!(rig.finish());
        Ok(())
    }

    /// Goes round a queue so often that its 16-bit indices wrap, many buffers at a time; each time
    /// the device is notified once.
    fn wrap(offer: Offer<'_>) -> Result<bool> {
        const BATCH: u32 = 1000;
        let rig = Rig::new(offer.size(1024), Plan::NORMAL)?;
        for round in 0..67 {
            rig.trace().clear();
            let script = rig.script().clone();
            let added = rig.driver(|queue| {
                let added = (0..BATCH).take_while(|i| {
                    let segment = Segment::new(0x1000, BATCH);
                    queue.add(script.token(round + i), [], [segment]).is_ok()
                });
                (added.count(), Submission::Notify)
            })?;
            let served = rig.ring(|ring| {
                let heads = (0..BATCH).map_while(|i| {
                    let head = ring.pop()?;
                    ring.finish(head, i);
                    Some(head)
                });
                let served = heads.count();
                // The next buffer is to be notified.
                ring.pop().is_none().then_some(served)
            })?;
            let is_handled = rig.interrupt();
            let is_right = rig.script().returned(|returned| {
                let expected = (0..BATCH).map(|i| (round + i, i));
                let is_right = returned.used.iter().copied().eq(expected);
                returned.used.clear();
                is_right
            });
            let notified = rig.trace().count(Event::Notify(0));
            if (added, served) != (1000, Some(1000)) || !is_handled || !is_right || notified != 1 {
                return Ok(false);
            }
        }
        Ok(rig.finish())
    }

    /// S8, S9: indices go past 65535 and on from 0.
    #[test]
    fn indices_wrap() -> Result {
        check!(wrap(Offer::PLAIN)?);
        Ok(())
    }

    /// The same with the event index.
    #[test]
    fn indices_wrap_with_event_idx() -> Result {
        check!(wrap(Offer::PLAIN.with(EVENT_IDX))?);
        Ok(())
    }

    /// S2: every power of two is a good size, down to 1; all of its descriptors can be used.
    #[test]
    fn s2_every_power_of_two() -> Result {
        for shift in 0..16 {
            let size = 1 << shift;
            let rig = Rig::new(Offer::PLAIN.size(size), Plan::NORMAL)?;
            check!(rig.has_driver());
            for number in 0..size.min(20) {
                check_eq!(rig.add(number, 0, 1)?, None);
            }
            if size < 20 {
                check_eq!(rig.add(99, 0, 1)?, Some(AddError::Full));
            }
            for _ in 0..size.min(20) {
                check!(rig.serve(1)?.is_some());
            }
            check!(rig.interrupt());
            check_eq!(rig.returned()?.len(), size.min(20) as usize);
            check!(rig.finish());
        }
        Ok(())
    }

    /// S2, K-limits: a device with a size that no queue can have is refused.
    #[test]
    fn s2_impossible_sizes_are_refused() -> Result {
        for size in [0, 3, 100, 65535, 65536, u32::MAX] {
            let rig = Rig::new(Offer::PLAIN.size(size), Plan::NORMAL)?;
            check!(!rig.has_driver());
            check_eq!(rig.status(), 0x8b);
            check!(rig.finish());
        }
        Ok(())
    }

    /// D17, C11: as many queues as are asked for, each with its own buffers and interrupts.
    #[test]
    fn d17_several_queues() -> Result {
        let offer = Offer {
            queues: QueueOffer { count: 5, size: 4 },
            ..Offer::PLAIN
        };
        let plan = Plan {
            queues: 5,
            ..Plan::NORMAL
        };
        let rig = Rig::new(offer, plan)?;
        for index in 0..5 {
            let channel = rig.channel(index)?;
            let live = channel.access().ok_or(ENODEV)?;
            let token = rig.script().token(index as u32);
            let is_added = live.with(|queue, ()| {
                let result = queue.add(token, [], [Segment::new(0x1000, 100)]);
                (result.is_ok(), Submission::Notify)
            });
            check!(is_added);
        }
        for index in (0..5).rev() {
            check_eq!(rig.trace().count(Event::Notify(index as u16)), 1);
            let len = index as u32 * 10;
            let used = rig
                .machine()
                .queue(index, |ring| ring.pop().map(|head| ring.finish(head, len)));
            check_eq!(used, Some(Some(true)));
            check!(rig.machine().interrupt(index));
            check!(*rig.returned()? == [(index as u32, len)]);
        }
        check!(rig.finish());
        Ok(())
    }

    /// C11: a driver that asks for more queues than there are gets none, and the device is failed.
    #[test]
    fn c11_more_queues_than_there_are() -> Result {
        let plan = Plan {
            queues: 3,
            ..Plan::NORMAL
        };
        let rig = Rig::new(Offer::PLAIN, plan)?;
        check!(!rig.has_driver());
        check_eq!(rig.status(), 0x8b);
        check!(rig.finish());
        Ok(())
    }

    /// S19, SPLIT-INDIRECT-2, SPLIT-INDIRECT-4: a table takes one descriptor, whatever is in it.
    #[test]
    fn s19_indirect_table() -> Result {
        let rig = Rig::new(Offer::PLAIN.with(INDIRECT_DESC), Plan::NORMAL)?;
        let area = Area::new(rig.bound(), 16 * 8)?;
        let mut table = area.table(0, 8).ok_or(EINVAL)?;
        let mut expected = [element(0, 0, false); 6];
        for (i, expected) in (0..6).zip(&mut expected) {
            let segment = Segment::new(0x5000 + 0x1000 * u64::from(i), 100 + i);
            *expected = element(segment.addr, segment.len, i >= 2);
            let pushed = if i < 2 {
                table.push_readable(segment)
            } else {
                table.push_writable(segment)
            };
            check!(pushed.is_ok());
        }
        let (len, writable) = table.finish().map_err(|_| EINVAL)?;
        let segment = area.segment(0, len).ok_or(EINVAL)?;
        let token = rig.script().token(1);
        let free = rig.driver(|queue| {
            let has_indirect = queue.virtqueue().has_indirect();
            let result = queue.add_indirect(token, segment, writable);
            let free = (has_indirect && result.is_ok()).then(|| queue.num_free());
            (free, Submission::Notify)
        })?;
        check_eq!(free, Some(7));
        let matches = rig.ring(|ring| {
            let head = ring.pop()?;
            let mut chain = ring.walk(head);
            let matches = chain.by_ref().eq(expected.map(Ok)) && chain.is_indirect();
            ring.finish(head, writable);
            Some(matches)
        })?;
        check_eq!(matches, Some(true));
        check!(rig.interrupt());
        check!(*rig.returned()? == [(1, writable)]);
        check!(rig.finish());
        Ok(())
    }

    /// SPLIT-INDIRECT-1: without the feature the queue says so.
    #[test]
    fn split_indirect_1_not_agreed_on() -> Result {
        let rig = Rig::plain()?;
        let has = rig.driver(|queue| (queue.virtqueue().has_indirect(), Submission::Hold))?;
        check!(!has);
        check!(rig.finish());
        Ok(())
    }

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

    /// D15, S18, D22: every token that the device still has comes back once when it is removed,
    /// those in use and those that wait.
    #[test]
    fn d15_every_token_comes_back_once() -> Result {
        let rig = Rig::new(Offer::PLAIN.size(64), Plan::NORMAL)?;
        for number in 0..20 {
            check_eq!(rig.add(number, 1, number % 3)?, None);
        }
        for _ in 0..5 {
            check!(rig.serve(0)?.is_some());
        }
        check!(rig.interrupt());
        // Used, but not taken back.
        for _ in 0..5 {
            check!(rig.serve(0)?.is_some());
        }
        // Taken by the device, and not used.
        rig.ring(|ring| ring.pop())?;
        check_eq!(rig.returned()?.len(), 5);
        check_eq!(rig.script().tokens(), 15);
        core_device::release(rig.device());
        check_eq!(rig.trace().count(Event::Driver(Step::Unused)), 15);
        check_eq!(rig.script().tokens(), 0);
        check!(rig.finish());
        Ok(())
    }

    /// A channel that outlives its device gives nothing and harms nobody.
    #[test]
    fn channel_after_the_device_has_gone() -> Result {
        let rig = Rig::plain()?;
        let channel = rig.channel(0)?;
        check!(channel.access().is_some());
        core_device::release(rig.device());
        check!(channel.access().is_none());
        check!(rig.finish());
        check!(channel.access().is_none());
        Ok(())
    }

    /// D18, CORE-CLEANUP-2: after a reset the device finds nothing, and its interrupts do nothing.
    #[test]
    fn d18_no_queue_after_reset() -> Result {
        let rig = Rig::plain()?;
        check_eq!(rig.add(1, 0, 1)?, None);
        rig.bound().reset()?;
        check_eq!(rig.serve(1).err(), Some(ENODEV));
        check!(rig.finish());
        Ok(())
    }

    /// N13, CORE-RSVD-4: with ACCESS_PLATFORM, rings and areas come from the DMA API.
    #[test]
    fn n13_access_platform() -> Result {
        let rig = Rig::new(Offer::PLAIN.with(ACCESS_PLATFORM), Plan::NORMAL)?;
        check!(rig.has_driver());
        check!(rig.bound().dma_device().is_some());
        for number in 0..20 {
            check_eq!(rig.add(number, 1, 1)?, None);
            check!(rig.serve(1)?.is_some());
            check!(rig.interrupt());
        }
        check_eq!(rig.returned()?.len(), 20);
        let area = Area::new(rig.bound(), 100)?;
        check!(area.write(3, &[1, 2, 3]));
        let mut bytes = [9; 5];
        check!(area.read(2, &mut bytes));
        check_eq!(bytes, [0, 1, 2, 3, 0]);
        drop(area);
        check!(rig.finish());
        Ok(())
    }

    /// An area keeps everybody inside.
    #[test]
    fn area_is_bounded() -> Result {
        let rig = Rig::plain()?;
        let area = Area::new(rig.bound(), 64)?;
        check_eq!(Area::new(rig.bound(), 0).err(), Some(EINVAL));
        check!(area.segment(0, 64).is_some());
        check!(area.segment(1, 64).is_none());
        check!(area.segment(usize::MAX, 2).is_none());
        check!(!area.write(62, &[1, 2, 3]));
        check!(!area.write_le64(4, 1));
        check!(area.write_le64(56, 0x0807_0605_0403_0201));
        check_eq!(area.read_u8(63), Some(8));
        check_eq!(area.read_u8(64), None);
        check!(!area.read(60, &mut [0; 5]));
        check!(area.table(0, 4).is_some());
        check!(area.table(0, 5).is_none());
        check!(area.table(8, 1).is_none());
        drop(area);
        check!(rig.finish());
        Ok(())
    }
}
