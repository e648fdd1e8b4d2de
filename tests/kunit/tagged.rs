// SPDX-License-Identifier: GPL-2.0

//! The configuration in the form of 2007, from the fake device.

use kernel::prelude::*;

#[kunit_tests(virtio_tagged)]
mod tests {
    use super::*;

    use virtio::tagged::{
        FieldError,
        Space, //
    };

    use crate::{
        device::{
            registers::CONFIG_MAX,
            tagged::Writer, //
        },
        driver::Plan,
        rig::{
            Offer,
            Rig, //
        },
    };

    /// Puts a device with such a configuration on the bus, and returns what a driver reads.
    fn through_a_device(fields: &[(u8, &[u8])]) -> Result<[u8; CONFIG_MAX]> {
        let mut writer = Writer::new();
        for (kind, data) in fields {
            if !writer.field(*kind, data) {
                return Err(ENOSPC);
            }
        }
        let offer = Offer {
            config: writer.bytes(),
            ..Offer::PLAIN
        };
        let rig = Rig::new(offer, Plan::NORMAL)?;
        let negotiated = rig.script().negotiated().ok_or(ENODEV)?;
        let mut space = [0; CONFIG_MAX];
        let bytes = space.get_mut(..writer.bytes().len()).ok_or(ENOSPC)?;
        rig.bound().config(negotiated).read_bytes(0, bytes)?;
        check!(rig.finish());
        Ok(space)
    }

    /// C1, C2: a field is found by its type, with its length, and once.
    #[test]
    fn c2_field_is_used_up_once_found() -> Result {
        let mut bytes = through_a_device(&[(3, b"abc"), (4, b"\x01\x02"), (3, b"de")])?;
        let mut space = Space::new(&mut bytes);
        check!(space.find(3) == Ok(b"abc"));
        check!(space.find(3) == Ok(b"de"));
        check_eq!(space.find(3), Err(FieldError::NotFound));
        check_eq!(space.value::<u16>(4), Ok(0x0201));
        check_eq!(space.value::<u16>(4), Err(FieldError::NotFound));
        check_eq!(space.find(9), Err(FieldError::NotFound));
        Ok(())
    }

    /// D11, C8: a look with the wrong size does not lose the field.
    #[test]
    fn d11_wrong_size_does_not_use_a_field_up() -> Result {
        let mut bytes = through_a_device(&[(7, &[1, 2, 3, 4, 5, 6, 7, 8])])?;
        let mut space = Space::new(&mut bytes);
        check_eq!(space.value::<u8>(7), Err(FieldError::WrongSize));
        check_eq!(space.value::<u16>(7), Err(FieldError::WrongSize));
        check_eq!(space.value::<u32>(7), Err(FieldError::WrongSize));
        check_eq!(space.value::<u64>(7), Ok(0x0807_0605_0403_0201));
        check_eq!(space.value::<u64>(7), Err(FieldError::NotFound));
        Ok(())
    }

    /// D12, C9: each bit that is offered is found, whatever the length of the field, and is
    /// acknowledged in the mirrored half and nowhere else.
    #[test]
    fn d12_every_bit_of_every_length() -> Result {
        for half in 1..=32usize {
            for bit in 0..half as u32 * 8 + 8 {
                let mut data = [0; 64];
                if let Some(byte) = data
                    .get_mut(..half)
                    .and_then(|h| h.get_mut(bit as usize / 8))
                {
                    *byte = 1 << (bit % 8);
                }
                let mut writer = Writer::new();
                check!(writer.field(1, data.get(..2 * half).ok_or(EINVAL)?));
                let mut bytes = *writer.all();
                let mut space = Space::new(&mut bytes);
                let field = space.features(1).map_err(|_| EINVAL)?;
                let is_offered = bit < half as u32 * 8;
                check_eq!(space.use_bit(field, bit), is_offered);
                // No other bit is on offer.
                for other in 0..half as u32 * 8 + 8 {
                    check_eq!(space.use_bit(field, other), is_offered && other == bit);
                }
                for (i, &byte) in bytes.iter().enumerate().take(2 + 2 * half).skip(2 + half) {
                    let at = 2 + half + bit as usize / 8;
                    let expected = if is_offered && i == at {
                        1 << (bit % 8)
                    } else {
                        0
                    };
                    check_eq!(byte, expected);
                }
            }
        }
        Ok(())
    }

    /// D13: lengths chosen by the host, odd or beyond the end, crash nothing.
    #[test]
    fn d13_odd_and_broken_lengths() -> Result {
        let mut bytes = through_a_device(&[(1, &[0xff; 5]), (2, &[0xff; 4])])?;
        let mut space = Space::new(&mut bytes);
        check_eq!(space.features(1).err(), Some(FieldError::WrongSize));
        let field = space.features(2).map_err(|_| EINVAL)?;
        check_eq!(field.bits(), 16);
        check!(!space.use_bit(field, 16));
        check!(!space.use_bit(field, u32::MAX));
        let mut short = [1, 200, 0, 0];
        check_eq!(Space::new(&mut short).find(1), Err(FieldError::NotFound));
        let mut cut = [1];
        check_eq!(Space::new(&mut cut).find(1), Err(FieldError::NotFound));
        Ok(())
    }
}
