// SPDX-License-Identifier: GPL-2.0

//! Devices and drivers find each other, and user space sees them.

use kernel::prelude::*;

#[kunit_tests(virtio_bus)]
mod tests {
    use super::*;

    use kernel::driver::Registration;
    use virtio::{
        driver::{
            Adapter,
            DeviceId as TableEntry,
            Driver,
            IdTable,
            Negotiated, //
        },
        id::{
            self,
            DeviceId, //
        },
        Device, //
    };

    use crate::{
        core_device,
        device::fault::Fault,
        driver::{
            Plan,
            TestFeature,
            ANY_VENDOR,
            LATE_DRIVER,
            NO_DRIVER,
            ONE_VENDOR,
            VENDOR, //
        },
        rig::{
            Offer,
            Rig, //
        },
        trace::{
            Event,
            Step, //
        },
    };

    fn offer(device: u32, vendor: u32) -> Offer<'static> {
        Offer {
            id: DeviceId::new(device, vendor),
            ..Offer::PLAIN
        }
    }

    fn rig(device: u32, vendor: u32) -> Result<Rig> {
        Rig::new(offer(device, vendor), Plan::NORMAL)
    }

    /// B2, B3, D1: an entry with a vendor means its own devices and no others.
    #[test]
    fn d1_vendor_in_table_matches_itself_only() -> Result {
        let matches = |table: (u32, u32), device: (u32, u32)| {
            DeviceId::new(table.0, table.1).matches(&DeviceId::new(device.0, device.1))
        };
        for (table, device, expected) in [
            ((2, 7), (2, 7), true),
            ((2, 7), (2, 8), false),
            ((2, 7), (3, 7), false),
            ((2, id::ANY), (2, 7), true),
            ((2, id::ANY), (2, 0), true),
            ((2, id::ANY), (3, 7), false),
            ((2, 7), (2, 0x1_0007), false),
            ((2, 7), (0x1_0002, 7), false),
        ] {
            check_eq!(matches(table, device), expected);
        }
        Ok(())
    }

    /// B4, D2: the wildcard counts in the device field too.
    #[test]
    fn d2_wildcard_in_device_field_matches_every_type() -> Result {
        for device in [1, 2, 0xffff, 0x1_0000, id::ANY] {
            let device = DeviceId::new(device, 7);
            check!(DeviceId::new(id::ANY, id::ANY).matches(&device));
            check!(DeviceId::new(id::ANY, 7).matches(&device));
            check!(!DeviceId::new(id::ANY, 8).matches(&device));
        }
        Ok(())
    }

    /// B6: what comes after an entry of type 0 is not looked at.
    #[test]
    fn b6_table_ends_at_type_zero() -> Result {
        let table = [
            DeviceId::new(5, id::ANY),
            DeviceId::new(0, id::ANY),
            DeviceId::new(2, id::ANY),
        ];
        check!(id::matches_any(table, DeviceId::new(5, 1)));
        check!(!id::matches_any(table, DeviceId::new(2, 1)));
        Ok(())
    }

    /// B2, B3: the same on the bus itself.
    #[test]
    fn b3_bus_binds_by_type_and_vendor() -> Result {
        for (device, vendor, expected) in [
            (ANY_VENDOR, 1, true),
            (ANY_VENDOR, VENDOR, true),
            (ONE_VENDOR, VENDOR, true),
            (ONE_VENDOR, 1, false),
            (NO_DRIVER, VENDOR, false),
        ] {
            let rig = rig(device, vendor)?;
            check_eq!(rig.has_driver(), expected);
            check!(rig.finish());
        }
        Ok(())
    }

    /// D3: ids have 32 bits when matching.
    #[test]
    fn d3_bus_looks_at_all_32_bits_of_an_id() -> Result {
        for (device, vendor) in [
            (0x1_0000 | ANY_VENDOR, 1),
            (0x8000_0000 | ANY_VENDOR, 1),
            (ONE_VENDOR, VENDOR & 0xffff),
        ] {
            let rig = rig(device, vendor)?;
            check!(!rig.has_driver());
            check!(rig.finish());
        }
        Ok(())
    }

    /// B7, B8, B10, D3: ids have 32 bits in sysfs, and each text ends with a newline.
    #[test]
    fn d3_sysfs_shows_all_32_bits_of_an_id() -> Result {
        let rig = rig(0x1_2345, 0xdead_beef)?;
        let text = |name| core_device::attribute(rig.device(), name);
        check!(*text(c"device")? == *c"0x12345\n");
        check!(*text(c"vendor")? == *c"0xdeadbeef\n");
        check!(*text(c"modalias")? == *c"virtio:d00012345vDEADBEEF\n");
        check!(rig.finish());
        Ok(())
    }

    /// B7 to B10: the formats that user space knows.
    #[test]
    fn b7_sysfs_formats() -> Result {
        let rig = rig(NO_DRIVER, 0x1af4)?;
        let text = |name| core_device::attribute(rig.device(), name);
        check!(*text(c"device")? == *c"0xfa03\n");
        check!(*text(c"vendor")? == *c"0x1af4\n");
        check!(*text(c"status")? == *c"0x00000001\n");
        check!(*text(c"modalias")? == *c"virtio:d0000FA03v00001AF4\n");
        check!(rig.finish());
        Ok(())
    }

    /// B9: the status is read from the device at each look.
    #[test]
    fn b9_sysfs_status_is_live() -> Result {
        let rig = Rig::plain()?;
        let text = || core_device::attribute(rig.device(), c"status");
        check!(*text()? == *c"0x0000000f\n");
        rig.machine().registers(|registers| registers.need_reset());
        check!(*text()? == *c"0x0000004f\n");
        check!(rig.finish());
        Ok(())
    }

    /// B11: one character for each of 128 bits, the lowest first.
    #[test]
    fn b11_sysfs_features() -> Result {
        let rig = Rig::new(Offer::PLAIN.with(0).with(5).with(70).with(3), Plan::NORMAL)?;
        let text = core_device::attribute(rig.device(), c"features")?;
        let text = text.to_bytes();
        check_eq!(text.len(), 129);
        for (bit, &character) in text.iter().enumerate() {
            let expected = match bit {
                0 | 5 | 32 | 70 => b'1',
                128 => b'\n',
                _ => b'0',
            };
            check_eq!(character, expected);
        }
        check!(rig.finish());
        Ok(())
    }

    /// B12, D10: the announcement lets user space find the driver's module.
    #[test]
    fn d10_announcement_has_the_alias() -> Result {
        let rig = rig(NO_DRIVER, 0xabcd)?;
        let text = core_device::announcement(rig.device())?;
        check!(*text == *c"MODALIAS=virtio:d0000FA03v0000ABCD");
        check!(rig.finish());
        Ok(())
    }

    /// B17, D8: no two devices have one name; a name is given again once its device has gone.
    #[test]
    fn d8_names_are_unique_and_used_again() -> Result {
        let first = rig(NO_DRIVER, 1)?;
        let second = rig(NO_DRIVER, 2)?;
        let third = rig(NO_DRIVER, 3)?;
        let gap = second.device().index();
        check!(first.device().index() != gap && gap != third.device().index());
        check!(first.device().index() != third.device().index());
        let name = core_device::name(second.device())?;
        check!(name.to_bytes().starts_with(b"virtio"));
        check!(second.finish());
        let fourth = rig(NO_DRIVER, 4)?;
        check_eq!(fourth.device().index(), gap);
        check!(*core_device::name(fourth.device())? == *name);
        Ok(())
    }

    /// B17, D6: a device that was left in some state is reset and then acknowledged.
    #[test]
    fn d6_registration_resets_and_acknowledges() -> Result {
        let rig = rig(NO_DRIVER, 1)?;
        check!(rig.trace().is(&[Event::Reset, Event::Status(1)]));
        check!(rig.finish());
        Ok(())
    }

    /// B19, D9: a device that does not finish its reset is not registered, and nothing is lost: the
    /// number in its name is free again.
    #[test]
    fn d9_failed_registration_gives_all_back() -> Result {
        let before = rig(NO_DRIVER, 1)?;
        let index = before.device().index();
        drop(before);
        let failed = Rig::new(Offer::PLAIN.fault(Fault::NoResetEver), Plan::NORMAL);
        check_eq!(failed.err(), Some(ETIMEDOUT));
        let after = rig(NO_DRIVER, 1)?;
        check_eq!(after.device().index(), index);
        Ok(())
    }

    /// A driver that is registered by a case.
    struct LateDriver;

    struct NoQueues;

    impl Driver for LateDriver {
        type Feature = TestFeature;
        type Data<'bound> = NoQueues;
        const ID_TABLE: IdTable = &LATE_TABLE;

        fn probe<'bound>(
            _dev: &'bound Device<kernel::device::Core<'_>>,
            _features: Negotiated<TestFeature>,
        ) -> impl PinInit<NoQueues, Error> + 'bound {
            Ok::<_, Error>(NoQueues)
        }
    }

    virtio::virtio_device_table!(LATE_TABLE, [TableEntry::new(LATE_DRIVER)]);

    /// B14, B16, D5: a driver finds devices that were there before it, and when it goes it is taken
    /// off them, which leaves them ready for another.
    #[test]
    fn d5_driver_that_goes_leaves_its_devices() -> Result {
        let rig = rig(LATE_DRIVER, 1)?;
        check!(!rig.has_driver());
        for _ in 0..3 {
            rig.trace().clear();
            let driver = KBox::pin_init(
                Registration::<Adapter<LateDriver>>::new(
                    c"virtio_kunit_late",
                    kernel::module::this_module::<crate::LocalModule>(),
                ),
                GFP_KERNEL,
            )?;
            check!(rig.has_driver());
            check_eq!(rig.status(), 0xf);
            drop(driver);
            check!(!rig.has_driver());
            // Reset, and acknowledged again (B31).
            check_eq!(rig.status(), 1);
            check_eq!(rig.trace().count(Event::Reset), 1);
        }
        check!(rig.finish());
        Ok(())
    }

    /// B31, B46: unbind and bind again, as from sysfs.
    #[test]
    fn b31_unbind_and_bind_again() -> Result {
        let rig = Rig::plain()?;
        for round in 1..5 {
            check_eq!(rig.script().probes(), round);
            check_eq!(rig.status(), 0xf);
            core_device::release(rig.device());
            check!(!rig.has_driver());
            check_eq!(rig.status(), 1);
            check!(core_device::attach(rig.device())?);
        }
        check_eq!(rig.trace().count(Event::Driver(Step::Unbind)), 4);
        check!(rig.finish());
        Ok(())
    }
}
