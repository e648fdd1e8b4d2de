// SPDX-License-Identifier: GPL-2.0

//! What a block request looks like to the device.
//!
//! Implements VIRTIO 1.4, 5.2.6 "Device Operation": a header that the device reads, the data, and
//! one status byte that it writes last. *Core-only*.

/// The type of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Read sectors (`VIRTIO_BLK_T_IN`).
    Read,
    /// Write sectors (`VIRTIO_BLK_T_OUT`).
    Write,
    /// Make what was written before stable (`VIRTIO_BLK_T_FLUSH`).
    Flush,
    /// Read the device's id, 20 bytes (`VIRTIO_BLK_T_GET_ID`).
    GetId,
    /// Read how worn the device is, 6 bytes (`VIRTIO_BLK_T_GET_LIFETIME`).
    GetLifetime,
    /// Discard areas, which come as data (`VIRTIO_BLK_T_DISCARD`).
    Discard,
    /// Write zeroes to an area, which comes as data (`VIRTIO_BLK_T_WRITE_ZEROES`).
    WriteZeroes,
    /// Erase an area for good, which comes as data (`VIRTIO_BLK_T_SECURE_ERASE`).
    SecureErase,
    /// Write where the write pointer of a zone is (`VIRTIO_BLK_T_ZONE_APPEND`).
    ZoneAppend,
    /// Read what zones there are (`VIRTIO_BLK_T_ZONE_REPORT`).
    ZoneReport,
    /// Open a zone (`VIRTIO_BLK_T_ZONE_OPEN`).
    ZoneOpen,
    /// Close a zone (`VIRTIO_BLK_T_ZONE_CLOSE`).
    ZoneClose,
    /// Make a zone full (`VIRTIO_BLK_T_ZONE_FINISH`).
    ZoneFinish,
    /// Make a zone empty (`VIRTIO_BLK_T_ZONE_RESET`).
    ZoneReset,
    /// Make all zones empty (`VIRTIO_BLK_T_ZONE_RESET_ALL`).
    ZoneResetAll,
}

impl Kind {
    /// The number that stands for it in the header.
    const fn code(self) -> u32 {
        match self {
            Self::Read => 0,
            Self::Write => 1,
            Self::Flush => 4,
            Self::GetId => 8,
            Self::GetLifetime => 10,
            Self::Discard => 11,
            Self::WriteZeroes => 13,
            Self::SecureErase => 14,
            Self::ZoneAppend => 15,
            Self::ZoneReport => 16,
            Self::ZoneOpen => 18,
            Self::ZoneClose => 20,
            Self::ZoneFinish => 22,
            Self::ZoneReset => 24,
            Self::ZoneResetAll => 26,
        }
    }

    /// Returns whether the device writes the data of such a request.
    pub const fn is_read(self) -> bool {
        matches!(
            self,
            Self::Read | Self::GetId | Self::GetLifetime | Self::ZoneReport
        )
    }
}

/// The length of the header in bytes.
pub const HEADER_LEN: usize = 16;

/// The length of the answer to [`Kind::GetId`] (BLK-DATA-5).
pub const ID_LEN: usize = 20;

/// Makes the header of a request: type, I/O priority and first sector, little-endian (D26).
///
/// Only reads, writes and requests about one zone have a sector; it is 0 in all others
/// (BLK-FLUSH-1, BLK-ZONE-5).
#[inline]
pub const fn header(kind: Kind, ioprio: u16, sector: u64) -> [u64; 2] {
    let sector = match kind {
        Kind::Read
        | Kind::Write
        | Kind::ZoneAppend
        | Kind::ZoneReport
        | Kind::ZoneOpen
        | Kind::ZoneClose
        | Kind::ZoneFinish
        | Kind::ZoneReset => sector,
        Kind::Flush
        | Kind::GetId
        | Kind::GetLifetime
        | Kind::Discard
        | Kind::WriteZeroes
        | Kind::SecureErase
        | Kind::ZoneResetAll => 0,
    };
    // CAST: Widening; the words are stored little-endian, which puts the type first.
    [kind.code() as u64 | (ioprio as u64) << 32, sector]
}

/// Asks the device to free the area as well (`VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP`).
pub const UNMAP: u32 = 1;

/// Makes an entry in the list of areas of [`Kind::Discard`], [`Kind::WriteZeroes`] or
/// [`Kind::SecureErase`]; `flags` is [`UNMAP`] or 0, and always 0 but for writing zeroes
/// (BLK-DISCARD-1).
pub fn area(sector: u64, num_sectors: u32, flags: u32) -> [u8; 16] {
    let words = u128::from(sector) | u128::from(num_sectors) << 64 | u128::from(flags) << 96;
    words.to_le_bytes()
}

/// The status byte of a request, whatever the device wrote there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceStatus(pub u8);

/// What has become of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Done.
    Done,
    /// The device does not know such requests.
    Unsupported,
    /// Too many zones are open (`VIRTIO_BLK_S_ZONE_OPEN_RESOURCE`).
    TooManyOpenZones,
    /// Too many zones are active (`VIRTIO_BLK_S_ZONE_ACTIVE_RESOURCE`).
    TooManyActiveZones,
    /// The device failed, or said something that it may not say.
    Failed,
}

impl DeviceStatus {
    /// What is there before the device writes; no status that a device may give (H7, D33).
    pub const PENDING: Self = Self(0xff);

    /// Takes the status that the device wrote.
    pub const fn outcome(self) -> Outcome {
        match self.0 {
            0 => Outcome::Done,
            2 => Outcome::Unsupported,
            5 => Outcome::TooManyOpenZones,
            6 => Outcome::TooManyActiveZones,
            _ => Outcome::Failed,
        }
    }
}

/// Takes the bytes of an id that come before the first zero: a device pads with zeroes, but need
/// not (VIRTIO 1.4, 5.2.6).
pub fn id_text(id: &[u8; ID_LEN]) -> &[u8] {
    id.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The length of the answer to [`Kind::GetLifetime`].
pub const LIFETIME_LEN: usize = 6;

/// How worn a device is, whatever it says (VIRTIO 1.4, 5.2.6 "Device Operation").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lifetime {
    /// How much of the reserve is used: 1 for normal, 2 for 80 %, 3 for 90 %; 0 if not known.
    pub pre_eol_info: u16,
    /// How worn the SLC cells are, in steps of 10 %; 11 if beyond what was estimated, 0 if not
    /// known.
    pub type_a: u16,
    /// The same for the MLC cells.
    pub type_b: u16,
}

impl Lifetime {
    /// Takes an answer apart.
    pub const fn parse(&[a, b, c, d, e, f]: &[u8; LIFETIME_LEN]) -> Self {
        Self {
            pre_eol_info: u16::from_le_bytes([a, b]),
            type_a: u16::from_le_bytes([c, d]),
            type_b: u16::from_le_bytes([e, f]),
        }
    }
}
