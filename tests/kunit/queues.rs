// SPDX-License-Identifier: GPL-2.0

//! Queues from their set-up to their end, and the memory that they share with the device.

use kernel::prelude::*;

#[kunit_tests(virtio_queues)]
mod tests {
    use super::*;

    use virtio::features::{
        ACCESS_PLATFORM,
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
        driver::Plan,
        rig::{
            Offer,
            Rig, //
        },
        trace::{
            Event,
            Step, //
        },
        transport::QueueOffer, //
    };

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

    /// B45: the queues of a device are in its list from their creation to their end.
    #[test]
    fn b45_list_of_queues() -> Result {
        let offer = Offer {
            queues: QueueOffer { count: 3, size: 4 },
            ..Offer::PLAIN
        };
        let plan = Plan {
            queues: 3,
            ..Plan::NORMAL
        };
        let rig = Rig::new(offer, plan)?;
        check!(*core_device::queue_numbers(rig.device())? == [0, 1, 2]);
        core_device::release(rig.device());
        check!(core_device::queue_numbers(rig.device())?.is_empty());
        check!(rig.finish());
        Ok(())
    }

    /// SPLIT-INDIRECT-1: no table goes to a device that does not know them.
    #[test]
    fn s19_tables_have_to_be_agreed_on() -> Result {
        for is_offered in [false, true] {
            let offer = if is_offered {
                Offer::PLAIN.with(INDIRECT_DESC)
            } else {
                Offer::PLAIN
            };
            let rig = Rig::new(offer, Plan::NORMAL)?;
            let token = rig.script().token(1);
            let reason = rig.driver(|queue| {
                let result = queue.add_indirect(token, Segment::new(0x1000, 16), 1);
                (result.err().map(|refused| refused.reason), Submission::Hold)
            })?;
            let expected = (!is_offered).then_some(AddError::NotAgreed);
            check_eq!(reason, expected);
            check!(rig.finish());
        }
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
