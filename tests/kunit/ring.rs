// SPDX-License-Identifier: GPL-2.0

//! Buffers on their way through a queue, with an honest device.

use kernel::prelude::*;

#[kunit_tests(virtio_ring)]
mod tests {
    use super::*;

    use virtio::features::{
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
        device::chain::Element,
        driver::Plan,
        rig::{
            Offer,
            Rig, //
        },
        trace::Event, //
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
}
