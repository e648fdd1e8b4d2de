// SPDX-License-Identifier: GPL-2.0

//! The device configuration space.

use kernel::prelude::*;

#[kunit_tests(virtio_config)]
mod tests {
    use super::*;

    use virtio::{
        config::{
            Config,
            Field, //
        },
        transport::SharedMemory, //
    };

    use crate::{
        device::fault::Fault,
        driver::{
            Plan,
            TestFeature, //
        },
        rig::{
            Offer,
            Rig, //
        },
        trace::Event,
    };

    /// Sixteen bytes, each of which says where it is.
    const SPACE: [u8; 16] = [
        0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e,
        0x1f,
    ];

    fn rig(config: &[u8], fault: Fault) -> Result<Rig> {
        let offer = Offer {
            config,
            fault,
            ..Offer::PLAIN.with(5)
        };
        Rig::new(offer, Plan::NORMAL)
    }

    fn config(rig: &Rig) -> Result<Config<'_, TestFeature>> {
        let negotiated = rig.script().negotiated().ok_or(ENODEV)?;
        Ok(rig.bound().config(negotiated))
    }

    fn at<V: virtio::config::Value>(offset: usize) -> Field<V, TestFeature> {
        Field::new(offset)
    }

    /// C5, C6, C22: values of each width are little-endian.
    #[test]
    fn c5_reads_of_each_width() -> Result {
        let rig = rig(&SPACE, Fault::None)?;
        let config = config(&rig)?;
        check_eq!(config.read(&at::<u8>(3))?, 0x13);
        check_eq!(config.read(&at::<u16>(2))?, 0x1312);
        check_eq!(config.read(&at::<u32>(4))?, 0x1716_1514);
        check_eq!(config.read(&at::<u64>(8))?, 0x1f1e_1d1c_1b1a_1918);
        check!(rig.finish());
        Ok(())
    }

    /// C7, CORE-CONFIG-4: a field of a feature that was not agreed on is not there.
    #[test]
    fn c7_field_of_a_feature_that_is_not_there() -> Result {
        let rig = rig(&SPACE, Fault::None)?;
        let config = config(&rig)?;
        let there = Field::<u16, _>::with(TestFeature::Fifth, 2);
        let absent = Field::<u16, _>::with(TestFeature::Low, 2);
        check_eq!(config.read(&there)?, 0x1312);
        check_eq!(config.read(&absent), Err(ENOENT));
        check_eq!(config.write(&absent, 1), Err(ENOENT));
        check_eq!(rig.trace().count(Event::Config(2)), 0);
        check!(rig.finish());
        Ok(())
    }

    /// C8, H8, CORE-CONFIG-6: a field beyond the end of the space, by one byte or by all, is an
    /// error, and the device is not asked. Others can be read still.
    #[test]
    fn c8_field_beyond_the_end() -> Result {
        let rig = rig(&SPACE, Fault::None)?;
        let config = config(&rig)?;
        check_eq!(config.read(&at::<u8>(15))?, 0x1f);
        check_eq!(config.read(&at::<u8>(16)), Err(EIO));
        check_eq!(config.read(&at::<u16>(15)), Err(EIO));
        check_eq!(config.read(&at::<u32>(13)), Err(EIO));
        check_eq!(config.read(&at::<u64>(9)), Err(EIO));
        check_eq!(config.read(&at::<u64>(usize::MAX - 3)), Err(EIO));
        check_eq!(config.write(&at::<u32>(13), 1), Err(EIO));
        check_eq!(config.read(&at::<u64>(8))?, 0x1f1e_1d1c_1b1a_1918);
        // The device notes accesses beyond the end.
        check!(rig.finish());
        Ok(())
    }

    /// C15: bytes are read one by one, as they were at one moment, and none beyond the end.
    #[test]
    fn c15_range_of_bytes() -> Result {
        let rig = rig(&SPACE, Fault::None)?;
        let mut bytes = [0; 4];
        config(&rig)?.read_bytes(5, &mut bytes)?;
        check_eq!(bytes, [0x15, 0x16, 0x17, 0x18]);
        config(&rig)?.read_bytes(12, &mut bytes)?;
        check_eq!(bytes, [0x1c, 0x1d, 0x1e, 0x1f]);
        check_eq!(config(&rig)?.read_bytes(13, &mut bytes), Err(EIO));
        check_eq!(config(&rig)?.read_bytes(usize::MAX, &mut bytes), Err(EIO));
        check_eq!(config(&rig)?.read_bytes(16, &mut []), Ok(()));
        check_eq!(config(&rig)?.read_bytes(17, &mut []), Err(EIO));
        check!(rig.finish());
        Ok(())
    }

    /// C15, CORE-CONFIG-1: bytes of a device that never holds still.
    #[test]
    fn c15_bytes_that_always_change() -> Result {
        let rig = rig(&SPACE, Fault::Generation)?;
        check_eq!(config(&rig)?.read_bytes(0, &mut [0; 2]), Err(EAGAIN));
        check!(rig.finish());
        Ok(())
    }

    /// C21: a region of shared memory is found by its id, and only by that.
    #[test]
    fn c21_shared_memory_by_id() -> Result {
        let region = SharedMemory {
            addr: 0xfe_0000_1000,
            len: 0x2_0000_0000,
        };
        let offer = Offer {
            shared_memory: Some((3, region)),
            ..Offer::PLAIN
        };
        let rig = Rig::new(offer, Plan::NORMAL)?;
        check_eq!(rig.bound().shared_memory(3), Some(region));
        check_eq!(rig.bound().shared_memory(0), None);
        check!(rig.finish());
        Ok(())
    }

    /// C19: a device without a configuration space.
    #[test]
    fn c19_no_configuration_at_all() -> Result {
        let rig = rig(&[], Fault::None)?;
        check_eq!(config(&rig)?.read(&at::<u8>(0)), Err(EIO));
        check!(rig.finish());
        Ok(())
    }

    /// C4, C14: a write reaches the device in the width of the field.
    #[test]
    fn c14_writes_of_each_width() -> Result {
        let rig = rig(&[0; 16], Fault::None)?;
        let config = config(&rig)?;
        config.write(&at::<u8>(1), 0xa1)?;
        config.write(&at::<u16>(2), 0xb2b1)?;
        config.write(&at::<u32>(4), 0xc4c3_c2c1)?;
        config.write(&at::<u64>(8), 0xd8d7_d6d5_d4d3_d2d1)?;
        let mut bytes = [0; 16];
        rig.machine()
            .registers(|registers| registers.read_config(0, &mut bytes));
        check_eq!(
            bytes,
            [
                0, 0xa1, 0xb1, 0xb2, 0xc1, 0xc2, 0xc3, 0xc4, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6,
                0xd7, 0xd8
            ]
        );
        check!(rig.finish());
        Ok(())
    }

    /// C16, H2, CORE-CONFIG-1: a device whose configuration never holds still does not hang the
    /// reader, and what needs one access only can be read all the same.
    #[test]
    fn c16_generation_that_always_changes() -> Result {
        let rig = rig(&SPACE, Fault::Generation)?;
        let config = config(&rig)?;
        check_eq!(config.read(&at::<u64>(0)), Err(EAGAIN));
        check_eq!(config.read(&at::<u32>(0))?, 0x1312_1110);
        let both = config.snapshot(|raw| Ok((raw.read(&at::<u8>(0))?, raw.read(&at::<u8>(1))?)));
        check_eq!(both, Err(EAGAIN));
        check!(rig.finish());
        Ok(())
    }

    /// C17, CORE-CONFIG-2, CORE-CONFIG-3: fields that change between two reads are read again until
    /// they belong together.
    #[test]
    fn c17_snapshot_belongs_together() -> Result {
        let rig = rig(&SPACE, Fault::None)?;
        let config = config(&rig)?;
        let mut tries = 0;
        let both = config.snapshot(|raw| {
            let first = raw.read(&at::<u16>(0))?;
            tries += 1;
            if tries <= 3 {
                rig.machine().registers(|registers| {
                    registers.change_config(0, &[tries, 0, tries, 0]);
                });
            }
            Ok((first, raw.read(&at::<u16>(2))?))
        })?;
        check_eq!(both, (3, 3));
        check_eq!(tries, 4);
        check!(rig.finish());
        Ok(())
    }

    /// An error inside of a snapshot ends it.
    #[test]
    fn c17_snapshot_passes_errors_on() -> Result {
        let rig = rig(&SPACE, Fault::None)?;
        let config = config(&rig)?;
        let result = config.snapshot(|raw| raw.read(&Field::<u8, _>::with(TestFeature::Low, 0)));
        check_eq!(result, Err(ENOENT));
        let result = config.snapshot(|raw| raw.read(&at::<u8>(16)));
        check_eq!(result, Err(EIO));
        check!(rig.finish());
        Ok(())
    }
}
