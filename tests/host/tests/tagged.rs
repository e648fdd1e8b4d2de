// SPDX-License-Identifier: GPL-2.0

//! The tagged configuration space.

use host::bus::tagged::{
    FieldError,
    Space, //
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Puts fields into the format of a configuration space.
fn space(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, data) in fields {
        bytes.extend([*kind, u8::try_from(data.len()).unwrap()]);
        bytes.extend(*data);
    }
    bytes
}

#[test]
fn field_is_found_by_type_and_used_up() {
    let mut bytes = space(&[(1, &[0xaa]), (7, &[1, 2, 3]), (9, &[])]);
    let mut space = Space::new(&mut bytes);
    assert_eq!(space.find(7), Ok(&[1, 2, 3][..]));
    assert_eq!(space.find(7), Err(FieldError::NotFound));
    assert_eq!(space.find(9), Ok(&[][..]));
    assert_eq!(space.find(9), Err(FieldError::NotFound));
    assert_eq!(space.find(1), Ok(&[0xaa][..]));
    assert_eq!(space.find(2), Err(FieldError::NotFound));
}

#[test]
fn fields_of_one_type_are_found_one_after_the_other() {
    let mut bytes = space(&[(2, &[1]), (3, &[9]), (2, &[2]), (2, &[3])]);
    let mut space = Space::new(&mut bytes);
    for value in 1..=3 {
        assert_eq!(space.value(2), Ok(value as u8));
    }
    assert_eq!(space.value::<u8>(2), Err(FieldError::NotFound));
    assert_eq!(space.value(3), Ok(9_u8));
}

#[test]
fn numbers_are_little_endian() {
    let data: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8];
    let mut bytes = space(&[(1, &data[..1]), (2, &data[..2]), (4, &data[..4]), (8, data)]);
    let mut space = Space::new(&mut bytes);
    assert_eq!(space.value(1), Ok(0x01_u8));
    assert_eq!(space.value(2), Ok(0x0201_u16));
    assert_eq!(space.value(4), Ok(0x0403_0201_u32));
    assert_eq!(space.value(8), Ok(0x0807_0605_0403_0201_u64));
}

/// A wrong length is an error of its own, and the right one still finds the field.
#[test]
fn wrong_size_does_not_use_the_field_up() {
    for len in 0..=255_u8 {
        let data = vec![0xee; usize::from(len)];
        let mut bytes = space(&[(5, &data)]);
        let mut space = Space::new(&mut bytes);
        for _ in 0..3 {
            if len != 1 {
                assert_eq!(space.value::<u8>(5), Err(FieldError::WrongSize));
            }
            if len != 2 {
                assert_eq!(space.value::<u16>(5), Err(FieldError::WrongSize));
            }
            if len != 4 {
                assert_eq!(space.value::<u32>(5), Err(FieldError::WrongSize));
            }
            if len != 8 {
                assert_eq!(space.value::<u64>(5), Err(FieldError::WrongSize));
            }
            if len % 2 != 0 {
                assert_eq!(space.features(5), Err(FieldError::WrongSize));
            }
        }
        match len {
            1 => assert_eq!(space.value(5), Ok(0xee_u8)),
            2 => assert_eq!(space.value(5), Ok(0xeeee_u16)),
            4 => assert_eq!(space.value(5), Ok(0xeeee_eeee_u32)),
            8 => assert_eq!(space.value(5), Ok(0xeeee_eeee_eeee_eeee_u64)),
            _ => assert_eq!(space.find(5), Ok(&data[..])),
        }
        assert_eq!(space.find(5), Err(FieldError::NotFound));
    }
}

#[test]
fn odd_lengths_hold_no_features() {
    for len in (1..=255_u8).step_by(2) {
        let data = vec![0xff; usize::from(len)];
        let mut bytes = space(&[(0, &data)]);
        let mut space = Space::new(&mut bytes);
        assert_eq!(space.features(0), Err(FieldError::WrongSize));
    }
}

/// Every even length and every bit: a bit is there exactly if offered, and one byte is written.
#[test]
fn every_bit_is_tested_and_acknowledged_on_its_own() {
    for len in (0..=254_u8).step_by(2) {
        let half = usize::from(len / 2);
        // Fields around it show whether anything leaks.
        let blank = space(&[
            (3, &[0xff; 4]),
            (0, &vec![0; usize::from(len)]),
            (4, &[0xff; 4]),
        ]);
        for bit in 0..u32::from(len / 2) * 8 + 20 {
            let mut bytes = blank.clone();
            let start = 8;
            let inside = bit < u32::from(len / 2) * 8;
            if inside {
                bytes[start + (bit / 8) as usize] = 1 << (bit % 8);
            }
            let mut expected = bytes.clone();
            if inside {
                expected[start + half + (bit / 8) as usize] = 1 << (bit % 8);
            }
            let mut space = Space::new(&mut bytes);
            let field = space.features(0).unwrap();
            assert_eq!(field.bits(), u32::from(len / 2) * 8);
            // Neighbours are not offered, and asking for them leaves no trace.
            assert!(!space.use_bit(field, bit + 1));
            assert!(!space.use_bit(field, bit.wrapping_sub(1)));
            assert_eq!(space.use_bit(field, bit), inside);
            assert_eq!(space.use_bit(field, bit), inside, "asking again");
            assert_eq!(bytes, expected, "len {len} bit {bit}");
        }
    }
}

#[test]
fn acknowledged_bits_add_up() {
    // A field behind it, so that a bit too far would leave a trace.
    let mut bytes = space(&[(0, &[0b1010_0101, 0xff, 0b1000_0000, 0]), (0, &[0, 0])]);
    let mut space = Space::new(&mut bytes);
    let field = space.features(0).unwrap();
    let used: Vec<_> = (0..20).filter(|&bit| space.use_bit(field, bit)).collect();
    assert_eq!(used, [0, 2, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    assert_eq!(
        bytes,
        self::space(&[(0, &[0b1010_0101, 0xff, 0b1010_0101, 0xff]), (0, &[0, 0])])
    );
}

#[test]
fn bits_that_are_far_away_are_not_there() {
    let mut bytes = space(&[(0, &[0xff; 4])]);
    let mut space = Space::new(&mut bytes);
    let field = space.features(0).unwrap();
    for bit in [16, 17, 31, 32, 1 << 16, u32::MAX] {
        assert!(!space.use_bit(field, bit));
    }
    assert_eq!(bytes, self::space(&[(0, &[0xff; 4])]));
}

#[test]
fn truncated_field_ends_the_list() {
    let whole = space(&[(1, &[5]), (2, &[6, 7])]);
    for len in 0..whole.len() {
        let mut bytes = whole[..len].to_vec();
        let mut space = Space::new(&mut bytes);
        assert_eq!(space.find(2), Err(FieldError::NotFound), "{len}");
        let first = space.value::<u8>(1);
        assert_eq!(
            first,
            if len < 3 {
                Err(FieldError::NotFound)
            } else {
                Ok(5)
            }
        );
    }
}

#[test]
fn space_beyond_64_kib_ends_there_and_no_field_repeats() {
    let data = [3_u8; 255];
    let fields = vec![(1, &data[..]); 300];
    let mut bytes = space(&fields);
    let mut space = Space::new(&mut bytes);
    let found = std::iter::from_fn(|| space.find(1).ok().map(<[u8]>::len)).count();
    assert_eq!(found, 65535 / 257);
}

/// A feature field of another space may point anywhere; that is harmless.
#[test]
fn field_of_another_space_reaches_nothing_outside() {
    let mut large = space(&[(9, &[0; 200]), (0, &[0xff; 254])]);
    let field = Space::new(&mut large).features(0).unwrap();
    for len in 0..300 {
        let mut bytes = vec![0xff; len];
        let mut small = Space::new(&mut bytes);
        for bit in 0..field.bits() {
            let _ = small.use_bit(field, bit);
        }
        assert_eq!(bytes, vec![0xff; len]);
    }
}

#[test]
fn errors_say_what_is_wrong() {
    assert_eq!(FieldError::NotFound.to_string(), "no such field");
    assert_eq!(FieldError::WrongSize.to_string(), "field of the wrong size");
}

proptest! {
    /// Arbitrary bytes: the fields found are those that a plain walk finds, and nothing panics.
    #[test]
    fn garbage_is_walked_as_far_as_it_makes_sense(bytes in vec(0u8..6, 0..300), kind in 0u8..6) {
        let mut expected = Vec::new();
        let mut rest = &bytes[..];
        while let [found, len, tail @ ..] = rest {
            if tail.len() < usize::from(*len) {
                break;
            }
            let (data, tail) = tail.split_at(usize::from(*len));
            if *found == kind {
                expected.push(data.to_vec());
            }
            rest = tail;
        }
        let mut copy = bytes.clone();
        let mut space = Space::new(&mut copy);
        let found: Vec<_> = std::iter::from_fn(|| space.find(kind).ok().map(<[u8]>::to_vec)).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(copy, bytes);
    }

    #[test]
    fn using_bits_changes_acknowledgements_only(data in vec(any::<u8>(), 0..127), bits in vec(0u32..1100, 0..50)) {
        let half = data.len();
        let mut field = data.clone();
        field.resize(2 * half, 0);
        let mut bytes = space(&[(8, &[1, 2]), (0, &field)]);
        let mut space = Space::new(&mut bytes);
        let token = space.features(0).unwrap();
        let mut acknowledged = vec![0; half];
        for bit in bits {
            let offered = data.get((bit / 8) as usize).is_some_and(|byte| byte >> (bit % 8) & 1 != 0);
            prop_assert_eq!(space.use_bit(token, bit), offered);
            if offered {
                acknowledged[(bit / 8) as usize] |= 1 << (bit % 8);
            }
        }
        prop_assert_eq!(&bytes[6..6 + half], &data[..]);
        prop_assert_eq!(&bytes[6 + half..], &acknowledged[..]);
        prop_assert_eq!(&bytes[..6], &[8, 2, 1, 2, 0, (2 * half) as u8]);
    }
}
