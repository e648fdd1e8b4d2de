// SPDX-License-Identifier: GPL-2.0

//! Devices that lose their state and get it back.

use kernel::prelude::*;

#[kunit_tests(virtio_pm)]
mod tests {
    use super::*;

    use crate::{
        core_device,
        device::fault::Fault,
        driver::Plan,
        rig::{
            Offer,
            Rig, //
        },
        trace::{
            Event,
            Step, //
        },
    };

    /// A driver without queues, so that a reset takes nothing from it.
    const NO_QUEUES: Plan = Plan {
        queues: 0,
        ..Plan::NORMAL
    };

    /// B35: the driver stops first; then the device is led through all steps again, with the
    /// features it had, before the driver goes on.
    #[test]
    fn b35_freeze_and_restore() -> Result {
        let rig = Rig::new(Offer::PLAIN.with(5), NO_QUEUES)?;
        rig.trace().clear();
        rig.freeze()?;
        check!(rig.trace().is(&[Event::Driver(Step::Freeze)]));

        rig.trace().clear();
        let features = rig.bound().features();
        rig.restore()?;
        check!(rig.trace().is(&[
            Event::Reset,
            Event::Status(0x1),
            Event::Status(0x3),
            Event::Features,
            Event::Status(0xb),
            Event::Driver(Step::Restore),
            Event::Status(0xf),
        ]));
        check!(rig.bound().features() == features);
        check!(rig.finish());
        Ok(())
    }

    /// B35: what the device had comes back before it forgets it, and its queues are set up anew,
    /// between `FEATURES_OK` and `DRIVER_OK`.
    #[test]
    fn b35_queues_over_freeze_and_restore() -> Result {
        let rig = Rig::plain()?;
        for round in 0..3 {
            for number in 0..4 {
                check_eq!(rig.add(number, 1, 1)?, None);
            }
            // Used, but not taken back yet.
            check!(rig.serve(7)?.is_some());
            rig.trace().clear();
            rig.freeze()?;
            check!(*rig.returned()? == [(0, 7)]);
            check_eq!(rig.trace().count(Event::Driver(Step::Unused)), 3);
            check_eq!(rig.script().tokens(), 0);
            check_eq!(rig.status(), 0);

            rig.trace().clear();
            rig.restore()?;
            check!(rig.trace().is(&[
                Event::Reset,
                Event::Status(0x1),
                Event::Status(0x3),
                Event::Features,
                Event::Status(0xb),
                Event::Driver(Step::Restore),
                Event::RestoreQueues,
                Event::Driver(Step::Configure),
                Event::Status(0xf),
            ]));
            check_eq!(rig.add(round, 0, 1)?, None);
            check!(rig.serve(8)?.is_some());
            check!(rig.interrupt());
            check!(*rig.returned()? == [(round, 8)]);
        }
        check!(rig.finish());
        Ok(())
    }

    /// B33, B35: a change of the configuration while the device sleeps is told afterwards.
    #[test]
    fn b35_changes_wait_until_restore() -> Result {
        let rig = Rig::new(Offer::PLAIN, NO_QUEUES)?;
        rig.freeze()?;
        rig.bound().config_changed();
        check_eq!(rig.trace().count(Event::Driver(Step::ConfigChanged)), 0);
        rig.restore()?;
        check_eq!(rig.trace().count(Event::Driver(Step::ConfigChanged)), 1);
        check!(rig.finish());
        Ok(())
    }

    /// B35: a driver that cannot stop now keeps its device, and goes on hearing of changes.
    #[test]
    fn b35_freeze_refused() -> Result {
        let plan = Plan {
            refusal: Some(EBUSY),
            ..Plan::NORMAL
        };
        let rig = Rig::new(Offer::PLAIN, plan)?;
        check!(rig.freeze() == Err(EBUSY));
        check_eq!(rig.status(), 0xf);
        rig.bound().config_changed();
        check_eq!(rig.trace().count(Event::Driver(Step::ConfigChanged)), 1);
        check!(rig.finish());
        Ok(())
    }

    /// B27: a device that was given up is still given up afterwards, also with no driver.
    #[test]
    fn b27_failed_is_remembered() -> Result {
        let rig = Rig::new(Offer::PLAIN.fault(Fault::FeaturesRefused), Plan::NORMAL)?;
        check!(!rig.has_driver());
        rig.freeze()?;
        rig.restore()?;
        check_eq!(rig.status(), 0x81);
        check!(rig.finish());
        Ok(())
    }

    /// B35, CORE-INIT-9: a device that offers less than before is marked as failed; its driver
    /// does not use it.
    #[test]
    fn b35_fewer_features_after_restore() -> Result {
        let offer = Offer::PLAIN.with(5).fault(Fault::FeaturesShrink);
        let rig = Rig::new(offer, NO_QUEUES)?;
        check!(rig.bound().features().contains(5));
        rig.freeze()?;
        check!(rig.restore() == Err(ENODEV));
        check_eq!(rig.status(), 0x83);
        check_eq!(rig.trace().count(Event::Driver(Step::Restore)), 0);
        check!(rig.finish());
        Ok(())
    }

    /// CORE-STATUS-3: a device whose driver could not go on begins anew the next time.
    #[test]
    fn core_status_3_a_failed_restore_is_forgotten() -> Result {
        let rig = Rig::new(Offer::PLAIN, NO_QUEUES)?;
        let set_fault = |fault| {
            rig.machine()
                .registers(|registers| registers.set_fault(fault));
        };
        set_fault(Fault::FeaturesRefused);
        rig.freeze()?;
        check!(rig.restore() == Err(ENODEV));
        check_eq!(rig.status(), 0x83);
        set_fault(Fault::None);
        rig.freeze()?;
        rig.restore()?;
        check_eq!(rig.status(), 0xf);
        check!(rig.finish());
        Ok(())
    }

    /// B36: a reset by the transport is like a suspend, and works without a driver too.
    #[test]
    fn b36_reset_by_the_transport() -> Result {
        let mut rig = Rig::new(Offer::PLAIN, NO_QUEUES)?;
        rig.reset_by_transport()?;
        check_eq!(rig.trace().count(Event::Driver(Step::Freeze)), 1);
        check_eq!(rig.trace().count(Event::Driver(Step::Restore)), 1);
        check_eq!(rig.status(), 0xf);

        // A driver that somebody has taken off stays off.
        core_device::release(rig.device());
        rig.reset_by_transport()?;
        check_eq!(rig.status(), 0x1);
        check!(rig.finish());
        Ok(())
    }

    /// M44, U10: a driver that cannot stop is taken off for the reset, and bound again after it.
    #[test]
    fn m44_reset_below_a_driver_without_hooks() -> Result {
        reset_below_a_driver_that_says(EOPNOTSUPP)
    }

    /// B36: so is one that refuses just now, as the reset comes all the same.
    #[test]
    fn b36_reset_refused() -> Result {
        reset_below_a_driver_that_says(EBUSY)
    }

    fn reset_below_a_driver_that_says(refusal: Error) -> Result {
        let plan = Plan {
            refusal: Some(refusal),
            ..Plan::NORMAL
        };
        let mut rig = Rig::new(Offer::PLAIN, plan)?;
        check_eq!(rig.add(0, 1, 1)?, None);
        rig.trace().clear();
        rig.reset_by_transport()?;
        check!(rig.has_driver());
        check_eq!(rig.status(), 0xf);
        check_eq!(rig.script().tokens(), 0);
        for step in [Step::Freeze, Step::Unbind, Step::Drop, Step::Probe] {
            check_eq!(rig.trace().count(Event::Driver(step)), 1);
        }
        check_eq!(rig.trace().count(Event::Driver(Step::Restore)), 0);
        // The queue that it has now works.
        check_eq!(rig.add(1, 1, 1)?, None);
        check!(rig.serve(7)?.is_some());
        check!(rig.interrupt());
        check!(*rig.returned()? == [(1, 7)]);
        check!(rig.finish());
        Ok(())
    }

    /// B35: queues that were not stopped are not used again by a device that has forgotten them; it
    /// is given up.
    #[test]
    fn b35_restore_without_freeze() -> Result {
        let rig = Rig::plain()?;
        check_eq!(rig.add(0, 1, 1)?, None);
        check!(rig.restore() == Err(EBUSY));
        check_eq!(rig.status(), 0x83);
        check!(rig.finish());
        Ok(())
    }
}
