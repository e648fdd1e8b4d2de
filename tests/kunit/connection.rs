// SPDX-License-Identifier: GPL-2.0

//! Devices that their transport loses and finds again.

use kernel::prelude::*;

#[kunit_tests(virtio_connection)]
mod tests {
    use super::*;

    use kernel::time::{
        delay::fsleep,
        Delta, //
    };
    use virtio_ring::{
        AddError,
        Live, //
    };

    use crate::{
        device::fault::Fault,
        driver::Plan,
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

    /// M45: nobody resets a device to which its transport does not get through, and it keeps what it
    /// has. That comes back when it is reset after it was found, and the device is used again.
    #[test]
    fn m45_lost_and_found() -> Result {
        let mut rig = Rig::plain()?;
        check_eq!(rig.add(1, 0, 1)?, None);
        rig.trace().clear();
        rig.cut_off();
        check!(rig.bound().is_gone());
        check_eq!(rig.add(2, 0, 1)?, Some(AddError::Broken));
        // Asks for a reset, for which there is time enough.
        rig.channel(0)?.access().ok_or(ENODEV)?.fail();
        fsleep(Delta::from_millis(50));
        check!(rig.trace().is(&[]));
        check_eq!(rig.script().tokens(), 1);

        // The bus resets it.
        rig.machine().reset()?;
        rig.reconnect()?;
        check!(rig.wait_for_recovery());
        check!(!rig.bound().is_gone());
        check_eq!(rig.add(3, 0, 1)?, None);
        check!(rig.serve(1)?.is_some() && rig.interrupt());
        check!(*rig.returned()? == [(3, 1)]);
        check!(rig.finish());
        Ok(())
    }

    /// M45: a device that is lost while it is reset may not have heard of that, and keeps what it has
    /// until it is reset once more.
    #[test]
    fn m45_lost_during_a_reset() -> Result {
        let mut rig = Rig::plain()?;
        check_eq!(rig.add(1, 0, 1)?, None);
        rig.trace().clear();
        rig.lose_during_reset(Event::Reset, Live::fail)?;
        check_eq!(rig.machine().trace().count(Event::Reset), 1);
        check_eq!(rig.script().tokens(), 1);

        rig.trace().clear();
        rig.reconnect()?;
        check!(rig.wait_for_recovery());
        check_eq!(rig.add(2, 0, 1)?, None);
        check!(rig.serve(1)?.is_some() && rig.interrupt());
        check!(*rig.returned()? == [(2, 1)]);
        check!(rig.finish());
        Ok(())
    }

    /// M45: a device that was not reset on the bus is reset all the same, as what it had under way
    /// may be lost.
    #[test]
    fn m45_found_unharmed() -> Result {
        let mut rig = Rig::plain()?;
        check_eq!(rig.add(1, 0, 1)?, None);
        rig.cut_off();
        rig.trace().clear();
        rig.reconnect()?;
        check!(rig.wait_for_recovery());
        check!(rig.trace().count(Event::Reset) > 0);
        check_eq!(rig.add(2, 0, 1)?, None);
        check!(rig.finish());
        Ok(())
    }

    /// M45, U13: a device that does not answer any more when it is looked for is given up, with all
    /// that was in flight.
    #[test]
    fn m45_lost_for_good() -> Result {
        let mut rig = Rig::plain()?;
        check_eq!(rig.add(1, 0, 1)?, None);
        rig.cut_off();
        rig.machine()
            .registers(|registers| registers.set_fault(Fault::Gone));
        rig.reconnect()?;
        check!(rig.wait_for_failure()?);
        check!(rig.finish());
        Ok(())
    }

    /// M45: errors on the bus do not count as failures of the device, of which it may have few.
    #[test]
    fn m45_lost_again_and_again() -> Result {
        let mut rig = Rig::plain()?;
        for number in 0..10 {
            check_eq!(rig.add(number, 0, 1)?, None);
            rig.cut_off();
            rig.trace().clear();
            rig.reconnect()?;
            check!(rig.wait_for_recovery());
            check!(rig.wait_for(|| !rig.is_broken()));
        }
        check!(rig.finish());
        Ok(())
    }

    /// M45, B35: a device that is lost while the system sleeps wakes up when it is found.
    #[test]
    fn m45_lost_in_its_sleep() -> Result {
        let mut rig = Rig::plain()?;
        rig.freeze()?;
        rig.cut_off();
        rig.trace().clear();
        rig.restore()?;
        check_eq!(rig.trace().count(Event::Reset), 0);
        rig.reconnect()?;
        check!(rig.wait_for_recovery());
        check!(rig.wait_for(|| !rig.is_broken()));
        check_eq!(rig.add(1, 0, 1)?, None);
        check!(rig.finish());
        Ok(())
    }

    /// M45, B35: a device that is lost when the system goes to sleep keeps what it has until it was
    /// reset.
    #[test]
    fn m45_asleep_while_lost() -> Result {
        for is_found_first in [true, false] {
            let mut rig = Rig::plain()?;
            check_eq!(rig.add(1, 0, 1)?, None);
            rig.cut_off();
            rig.trace().clear();
            rig.freeze()?;
            check_eq!(rig.trace().count(Event::Reset), 0);
            check_eq!(rig.script().tokens(), 1);
            if is_found_first {
                rig.reconnect()?;
                rig.restore()?;
            } else {
                rig.restore()?;
                check_eq!(rig.script().tokens(), 1);
                rig.reconnect()?;
            }
            check!(rig.wait_for_recovery());
            check!(rig.wait_for(|| !rig.is_broken()));
            check_eq!(rig.add(2, 0, 1)?, None);
            // Its driver hears of changes again.
            let changed = Event::Driver(Step::ConfigChanged);
            rig.device().config_changed();
            check!(eventually(|| rig.trace().count(changed) > 0));
            check!(rig.finish());
        }
        Ok(())
    }

    /// M45: a device that goes while it is lost is not waited for.
    #[test]
    fn m45_removed_while_lost() -> Result {
        let rig = Rig::plain()?;
        check_eq!(rig.add(1, 0, 1)?, None);
        rig.cut_off();
        check!(rig.finish());
        Ok(())
    }

    /// M45: a device without a driver, or whose driver has no queues, is led to where it was.
    #[test]
    fn m45_found_without_queues() -> Result {
        let no_queues = Plan {
            queues: 0,
            ..Plan::NORMAL
        };
        let mut rig = Rig::new(Offer::PLAIN, no_queues)?;
        rig.cut_off();
        rig.machine().reset()?;
        rig.reconnect()?;
        check_eq!(rig.status(), 0xf);
        check!(!rig.bound().is_gone());

        crate::core_device::release(rig.device());
        rig.cut_off();
        rig.machine().reset()?;
        rig.reconnect()?;
        check_eq!(rig.status(), 0x1);
        check!(rig.finish());
        Ok(())
    }
}
