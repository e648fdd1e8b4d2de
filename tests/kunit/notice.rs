// SPDX-License-Identifier: GPL-2.0

//! Reports of configuration changes: delivered, held back, and delivered later.

use kernel::prelude::*;

#[kunit_tests(virtio_notice)]
mod tests {
    use super::*;

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
    };

    const REPORT: Event = Event::Driver(Step::ConfigChanged);

    /// C20: a change is reported to a bound driver, each time.
    #[test]
    fn c20_changes_are_reported() -> Result {
        let rig = Rig::plain()?;
        for count in 1..4 {
            rig.device().config_changed();
            check_eq!(rig.trace().count(REPORT), count);
        }
        check!(rig.finish());
        Ok(())
    }

    /// B33: what changes during the probe is reported once, after it.
    #[test]
    fn b33_change_during_probe_is_reported_after_it() -> Result {
        let plan = Plan {
            changes: 3,
            ..Plan::NORMAL
        };
        let rig = Rig::new(Offer::PLAIN, plan)?;
        check_eq!(rig.trace().count(REPORT), 1);
        check!(rig.trace().first(REPORT) > rig.trace().first(Event::Status(0xf)));
        check!(rig.finish());
        Ok(())
    }

    /// B33: no driver, no report; a driver that comes later hears of it.
    #[test]
    fn b33_change_without_a_driver() -> Result {
        let rig = Rig::plain()?;
        core_device::release(rig.device());
        rig.device().config_changed();
        check_eq!(rig.trace().count(REPORT), 0);
        check!(core_device::attach(rig.device())?);
        check_eq!(rig.trace().count(REPORT), 1);
        check!(rig.finish());
        Ok(())
    }

    /// B33: nothing is reported for a probe that has failed.
    #[test]
    fn b33_change_during_a_failed_probe() -> Result {
        let plan = Plan {
            changes: 1,
            failures: 1,
            ..Plan::NORMAL
        };
        let rig = Rig::new(Offer::PLAIN, plan)?;
        check!(!rig.has_driver());
        check_eq!(rig.trace().count(REPORT), 0);
        rig.device().config_changed();
        check_eq!(rig.trace().count(REPORT), 0);
        check!(rig.finish());
        Ok(())
    }

    /// B34: a driver can hold reports back; however many there were, it gets one afterwards.
    #[test]
    fn b34_driver_holds_reports_back() -> Result {
        let rig = Rig::plain()?;
        let dev = rig.bound();
        dev.disable_config_changes();
        for _ in 0..3 {
            dev.config_changed();
        }
        check_eq!(rig.trace().count(REPORT), 0);
        dev.enable_config_changes();
        check_eq!(rig.trace().count(REPORT), 1);
        // Nothing is left.
        dev.disable_config_changes();
        dev.enable_config_changes();
        check_eq!(rig.trace().count(REPORT), 1);
        dev.config_changed();
        check_eq!(rig.trace().count(REPORT), 2);
        check!(rig.finish());
        Ok(())
    }

    /// B34: holding reports back does not outlive the driver that did.
    #[test]
    fn b34_next_driver_gets_reports() -> Result {
        let rig = Rig::plain()?;
        rig.bound().disable_config_changes();
        core_device::release(rig.device());
        check!(core_device::attach(rig.device())?);
        rig.device().config_changed();
        check_eq!(rig.trace().count(REPORT), 1);
        check!(rig.finish());
        Ok(())
    }
}
