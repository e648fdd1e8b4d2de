// SPDX-License-Identifier: GPL-2.0

//! The steps of a device's initialization and of its end, as the device sees them.

use kernel::prelude::*;

#[kunit_tests(virtio_status)]
mod tests {
    use super::*;

    use virtio_ring::AddError;

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

    /// CORE-INIT-1 to CORE-INIT-11, CORE-STATUS-1, B21 to B25, D7: each step in its order, and
    /// `DRIVER_OK` by the driver's own probe.
    #[test]
    fn core_init_steps_in_order() -> Result {
        let rig = Rig::plain()?;
        check!(rig.trace().is(&[
            Event::Reset,
            Event::Status(0x1),
            Event::Status(0x3),
            Event::Features,
            Event::Status(0xb),
            Event::Driver(Step::Probe),
            Event::FindQueues(1),
            Event::Status(0xf),
        ]));
        check!(rig.has_driver());
        check!(rig.finish());
        Ok(())
    }

    /// CORE-INIT-11, B25: without queues of its own a driver leaves `DRIVER_OK` to the bus.
    #[test]
    fn core_init_11_bus_sets_driver_ok_after_probe() -> Result {
        let plan = Plan {
            queues: 0,
            ..Plan::NORMAL
        };
        let rig = Rig::new(Offer::PLAIN, plan)?;
        check!(rig.trace().is(&[
            Event::Reset,
            Event::Status(0x1),
            Event::Status(0x3),
            Event::Features,
            Event::Status(0xb),
            Event::Driver(Step::Probe),
            Event::Status(0xf),
        ]));
        check!(rig.finish());
        Ok(())
    }

    /// CORE-INIT-11, CORE-STATUS-2: `DRIVER_OK` is not set on a device that was reset while its
    /// driver was being bound, as one is that breaks the rules of its queue at once.
    #[test]
    fn core_init_11_no_driver_ok_after_a_reset() -> Result {
        let plan = Plan {
            is_reset: true,
            ..Plan::NORMAL
        };
        let rig = Rig::new(Offer::PLAIN, plan)?;
        check!(rig.has_driver());
        check_eq!(rig.status(), 0);
        check!(rig.finish());
        Ok(())
    }

    /// CORE-INIT-9, CORE-INIT-12, CORE-INIT-13, B24, N6: a device that takes `FEATURES_OK` back is
    /// marked as failed, and the driver never sees it.
    #[test]
    fn core_init_9_features_refused() -> Result {
        let rig = Rig::new(Offer::PLAIN.fault(Fault::FeaturesRefused), Plan::NORMAL)?;
        check!(!rig.has_driver());
        check_eq!(rig.script().probes(), 0);
        check_eq!(rig.status(), 0x83);
        check_eq!(rig.trace().count(Event::Driver(Step::Probe)), 0);
        check!(rig.finish());
        Ok(())
    }

    /// CORE-STATUS-2, B26: a probe that fails leaves FAILED, with no bit dropped on the way, and the
    /// device reset before its queues were freed (D18, H10).
    #[test]
    fn b26_failed_probe_before_driver_ok() -> Result {
        let plan = Plan {
            failures: 1,
            is_ready: false,
            ..Plan::NORMAL
        };
        let rig = Rig::new(Offer::PLAIN, plan)?;
        check!(!rig.has_driver());
        check_eq!(rig.status(), 0x83);
        check!(rig.trace().is(&[
            Event::Reset,
            Event::Status(0x1),
            Event::Status(0x3),
            Event::Features,
            Event::Status(0xb),
            Event::Driver(Step::Probe),
            Event::FindQueues(1),
            Event::Reset,
            Event::DeleteQueues,
            Event::Status(0x83),
        ]));
        check!(rig.finish());
        Ok(())
    }

    /// H10: the same for a probe that fails when the device is live already.
    #[test]
    fn h10_failed_probe_after_driver_ok() -> Result {
        let plan = Plan {
            failures: 1,
            ..Plan::NORMAL
        };
        let rig = Rig::new(Offer::PLAIN, plan)?;
        check!(!rig.has_driver());
        check_eq!(rig.status(), 0x83);
        let trace = rig.trace();
        check!(trace.first(Event::Status(0xf)) < trace.last(Event::Reset));
        check!(trace.last(Event::Reset) < trace.first(Event::DeleteQueues));
        check!(rig.finish());
        Ok(())
    }

    /// D6, CORE-STATUS-3: a device on which a probe has failed can be bound again; it is reset
    /// before that.
    #[test]
    fn d6_failed_device_binds_again() -> Result {
        let plan = Plan {
            failures: 2,
            ..Plan::NORMAL
        };
        let rig = Rig::new(Offer::PLAIN, plan)?;
        check!(!rig.has_driver());
        check!(!core_device::attach(rig.device())?);
        check_eq!(rig.status(), 0x83);
        rig.trace().clear();
        check!(core_device::attach(rig.device())?);
        check_eq!(rig.status(), 0xf);
        check!(rig.trace().is(&[
            Event::Reset,
            Event::Status(0x1),
            Event::Status(0x3),
            Event::Features,
            Event::Status(0xb),
            Event::Driver(Step::Probe),
            Event::FindQueues(1),
            Event::Status(0xf),
        ]));
        check!(rig.finish());
        Ok(())
    }

    /// D6: the same where the features were refused at first.
    #[test]
    fn d6_refused_device_binds_again() -> Result {
        let rig = Rig::new(Offer::PLAIN.fault(Fault::FeaturesRefused), Plan::NORMAL)?;
        check!(!rig.has_driver());
        rig.machine()
            .registers(|registers| registers.set_fault(Fault::None));
        check!(core_device::attach(rig.device())?);
        check_eq!(rig.status(), 0xf);
        check!(rig.finish());
        Ok(())
    }

    /// D5, D18, D22, CORE-CLEANUP-2, B30, B31: the driver is told, the device is reset, and only
    /// then buffers and queues are taken back; then the device is ready for another driver.
    #[test]
    fn d18_reset_before_anything_is_freed() -> Result {
        let rig = Rig::plain()?;
        check_eq!(rig.add(1, 1, 1)?, None);
        check_eq!(rig.add(2, 0, 1)?, None);
        rig.trace().clear();
        core_device::release(rig.device());
        let trace = rig.trace();
        check_eq!(trace.first(Event::Driver(Step::Unbind)), Some(0));
        check_eq!(trace.first(Event::Reset), Some(1));
        check_eq!(trace.first(Event::Driver(Step::Drop)), Some(2));
        check_eq!(trace.count(Event::Driver(Step::Unused)), 2);
        check!(trace.last(Event::Driver(Step::Unused)) < trace.first(Event::DeleteQueues));
        check!(trace.first(Event::DeleteQueues) < trace.first(Event::Status(1)));
        check_eq!(rig.status(), 1);
        check_eq!(rig.script().tokens(), 0);
        check!(rig.finish());
        Ok(())
    }

    /// B37, CORE-INIT-14: at shutdown the device is reset. Its queues take nothing any more, so that
    /// nobody waits for an answer, and it comes to no harm when it is removed after that.
    #[test]
    fn b37_shutdown_resets() -> Result {
        let rig = Rig::plain()?;
        check_eq!(rig.add(1, 0, 1)?, None);
        rig.trace().clear();
        core_device::shutdown(rig.device());
        check!(rig.trace().is(&[Event::Reset]));
        check_eq!(rig.status(), 0);
        check_eq!(rig.add(2, 0, 1)?, Some(AddError::Broken));
        check!(!rig.interrupt());
        check_eq!(rig.trace().count(Event::Notify(0)), 0);
        check!(rig.finish());
        Ok(())
    }

    /// A device that has gone is not bound, and nothing waits for it.
    #[test]
    fn gone_device_is_not_bound() -> Result {
        let rig = Rig::new(Offer::PLAIN.fault(Fault::Gone), Plan::NORMAL)?;
        check!(!rig.has_driver());
        check_eq!(rig.script().probes(), 0);
        drop(rig);
        Ok(())
    }

    /// B38: a device that goes while it is bound is taken off with all buffers given back.
    #[test]
    fn gone_device_is_removed() -> Result {
        let rig = Rig::plain()?;
        check_eq!(rig.add(1, 1, 1)?, None);
        rig.machine()
            .registers(|registers| registers.set_fault(Fault::Gone));
        let script = rig.script().clone();
        drop(rig);
        check_eq!(script.tokens(), 0);
        Ok(())
    }

    /// CORE-STATUS-4, B28: NEEDS_RESET keeps neither removal nor the next driver from working.
    #[test]
    fn b28_device_that_needs_reset_binds_again() -> Result {
        let rig = Rig::plain()?;
        rig.machine().registers(|registers| registers.need_reset());
        check_eq!(rig.status(), 0x4f);
        core_device::release(rig.device());
        check_eq!(rig.status(), 1);
        check!(core_device::attach(rig.device())?);
        check_eq!(rig.status(), 0xf);
        check!(rig.finish());
        Ok(())
    }

    /// D4: the end of a probe leaves the status alone while the device is being reset, which a device
    /// can ask for before that.
    #[test]
    fn d4_end_of_probe_stays_out_of_a_reset() -> Result {
        let plan = Plan {
            needs_reset: true,
            ..Plan::NORMAL
        };
        let rig = Rig::new(Offer::PLAIN, plan)?;
        let status = rig.status();
        // Before anything is checked, as nothing can end until then.
        rig.script().go_on();
        check!(rig.has_driver());
        check_eq!(status, 0xb);
        check!(rig.wait_for(|| rig.status() == 0xf));
        check_eq!(rig.script().probes(), 1);
        check!(rig.finish());
        Ok(())
    }
}
