// SPDX-License-Identifier: GPL-2.0

//! The requests of the block driver as the device sees them, and its answers.

#[path = "../../../drivers/block/virtio_blk/wire.rs"]
mod wire;

use wire::{
    area,
    header,
    id_text,
    DeviceStatus,
    Kind,
    Lifetime,
    Outcome,
    HEADER_LEN,
    UNMAP, //
};

/// The bytes of a header: K19, K20, D26 (little-endian), D29 (no byte of it is left unset).
#[test]
fn header_is_type_priority_sector() {
    let bytes = |words: [u64; 2]| -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&words[0].to_le_bytes());
        bytes[8..].copy_from_slice(&words[1].to_le_bytes());
        bytes
    };
    let write = bytes(header(Kind::Write, 0x1234, 0x0102_0304_0506_0708));
    assert_eq!(
        write,
        [1, 0, 0, 0, 0x34, 0x12, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]
    );
    let read = bytes(header(Kind::Read, 0, 5));
    assert_eq!(read, [0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
}

/// BLK-FLUSH-1.
#[test]
fn requests_that_are_not_about_a_sector_say_sector_0() {
    assert_eq!(header(Kind::Flush, 0, 77), [4, 0]);
    assert_eq!(header(Kind::GetId, 0, 77), [8, 0]);
    assert_eq!(header(Kind::GetLifetime, 0, 77), [10, 0]);
    // BLK-ZONE-5.
    assert_eq!(header(Kind::ZoneResetAll, 0, 77), [26, 0]);
}

/// BLK-ZONE-2, BLK-ZONE-4, BLK-ZONE-6.
#[test]
fn requests_about_a_zone_name_it() {
    for (kind, code) in [
        (Kind::ZoneAppend, 15),
        (Kind::ZoneReport, 16),
        (Kind::ZoneOpen, 18),
        (Kind::ZoneClose, 20),
        (Kind::ZoneFinish, 22),
        (Kind::ZoneReset, 24),
    ] {
        assert_eq!(header(kind, 0, 8192), [code, 8192]);
        assert_eq!(kind.is_read(), kind == Kind::ZoneReport);
    }
}

/// K15.
#[test]
fn lifetime_is_three_little_endian_numbers() {
    let lifetime = Lifetime {
        pre_eol_info: 2,
        type_a: 3,
        type_b: 0x0b0a,
    };
    assert_eq!(Lifetime::parse(&[2, 0, 3, 0, 0x0a, 0x0b]), lifetime);
}

#[test]
fn data_goes_to_the_driver_in_reads_only() {
    assert!(Kind::Read.is_read() && Kind::GetId.is_read());
    assert!(!Kind::Write.is_read() && !Kind::Flush.is_read());
}

/// K26, K27; a status that the device never wrote is a failure (D33, H7), as is one that it made up.
#[test]
fn every_status_has_an_outcome() {
    for byte in 0..=u8::MAX {
        let expected = match byte {
            0 => Outcome::Done,
            2 => Outcome::Unsupported,
            5 => Outcome::TooManyOpenZones,
            6 => Outcome::TooManyActiveZones,
            _ => Outcome::Failed,
        };
        assert_eq!(DeviceStatus(byte).outcome(), expected, "status {byte}");
    }
    assert_eq!(DeviceStatus::PENDING.outcome(), Outcome::Failed);
}

/// K77.
#[test]
fn id_ends_at_the_first_zero_or_after_20_bytes() {
    assert_eq!(id_text(b"abc\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), b"abc");
    assert_eq!(id_text(b"abc\0def\0\0\0\0\0\0\0\0\0\0\0\0\0"), b"abc");
    assert_eq!(id_text(b"0123456789abcdefghij"), b"0123456789abcdefghij");
    assert_eq!(id_text(&[0; 20]), b"");
}

/// BLK-DATA-2 to BLK-DATA-4, BLK-DISCARD-1: 16 bytes, little-endian.
#[test]
fn areas_are_laid_out_as_the_device_reads_them() {
    let bytes = area(0x0102_0304_0506_0708, 0x1112_1314, UNMAP);
    assert_eq!(bytes[..8], [8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(bytes[8..12], [0x14, 0x13, 0x12, 0x11]);
    assert_eq!(bytes[12..], [1, 0, 0, 0]);
    for kind in [Kind::Discard, Kind::WriteZeroes, Kind::SecureErase] {
        assert_eq!(header(kind, 0, 77)[1], 0, "sectors are in the list");
        assert!(!kind.is_read());
    }
}
