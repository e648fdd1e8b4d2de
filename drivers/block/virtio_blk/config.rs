// SPDX-License-Identifier: GPL-2.0

//! The features and the configuration space of a block device.
//!
//! Implements VIRTIO 1.4, 5.2.3 "Feature bits" and 5.2.4 "Device configuration layout".

use kernel::{
    device::Bound,
    prelude::*, //
};
use virtio::{
    config::Field,
    driver::{
        self,
        Negotiated, //
    },
    Device,
};

use crate::{
    limits::{
        DeviceConfig,
        Discard,
        SecureErase,
        Topology,
        WriteZeroes, //
    },
    zones::{
        Zoned,
        HOST_MANAGED, //
    },
};

/// The features that this driver can use, with the numbers of their bits.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Feature {
    /// Segments have a largest size.
    SizeMax = 1,
    /// Requests have a largest number of segments.
    SegMax = 2,
    /// The disk tells a legacy geometry.
    Geometry = 4,
    /// The disk is read-only.
    Ro = 5,
    /// The disk tells the size of its blocks.
    BlkSize = 6,
    /// The disk can make its cache stable.
    Flush = 9,
    /// The disk tells more about its blocks.
    Topology = 10,
    /// The disk tells whether it caches writes.
    ConfigWce = 11,
    /// The disk has several queues.
    Mq = 12,
    /// Areas can be discarded.
    Discard = 13,
    /// Zeroes can be written without sending any.
    WriteZeroes = 14,
    /// The disk tells how worn it is.
    Lifetime = 15,
    /// Areas can be erased for good.
    SecureErase = 16,
    /// The disk may have zones.
    Zoned = 17,
}

impl driver::Feature for Feature {
    const ALL: &'static [Self] = &[
        Self::SizeMax,
        Self::SegMax,
        Self::Geometry,
        Self::Ro,
        Self::BlkSize,
        Self::Flush,
        Self::Topology,
        Self::ConfigWce,
        Self::Mq,
        Self::Discard,
        Self::WriteZeroes,
        Self::Lifetime,
        Self::SecureErase,
        Self::Zoned,
    ];

    fn bit(self) -> u32 {
        // CAST: The enum is one of `u32`.
        self as u32
    }

    fn name(self) -> &'static str {
        match self {
            Self::SizeMax => "VIRTIO_BLK_F_SIZE_MAX",
            Self::SegMax => "VIRTIO_BLK_F_SEG_MAX",
            Self::Geometry => "VIRTIO_BLK_F_GEOMETRY",
            Self::Ro => "VIRTIO_BLK_F_RO",
            Self::BlkSize => "VIRTIO_BLK_F_BLK_SIZE",
            Self::Flush => "VIRTIO_BLK_F_FLUSH",
            Self::Topology => "VIRTIO_BLK_F_TOPOLOGY",
            Self::ConfigWce => "VIRTIO_BLK_F_CONFIG_WCE",
            Self::Mq => "VIRTIO_BLK_F_MQ",
            Self::Discard => "VIRTIO_BLK_F_DISCARD",
            Self::WriteZeroes => "VIRTIO_BLK_F_WRITE_ZEROES",
            Self::Lifetime => "VIRTIO_BLK_F_LIFETIME",
            Self::SecureErase => "VIRTIO_BLK_F_SECURE_ERASE",
            Self::Zoned => "VIRTIO_BLK_F_ZONED",
        }
    }

    fn needs(self) -> Option<Self> {
        // What would the device cache, if nothing makes it stable?
        matches!(self, Self::ConfigWce).then_some(Self::Flush)
    }
}

const CAPACITY: Field<u64, Feature> = Field::new(0);
const SIZE_MAX: Field<u32, Feature> = Field::with(Feature::SizeMax, 8);
const SEG_MAX: Field<u32, Feature> = Field::with(Feature::SegMax, 12);
const CYLINDERS: Field<u16, Feature> = Field::with(Feature::Geometry, 16);
const HEADS: Field<u8, Feature> = Field::with(Feature::Geometry, 18);
const SECTORS: Field<u8, Feature> = Field::with(Feature::Geometry, 19);
const BLK_SIZE: Field<u32, Feature> = Field::with(Feature::BlkSize, 20);
const PHYSICAL_BLOCK_EXP: Field<u8, Feature> = Field::with(Feature::Topology, 24);
const ALIGNMENT_OFFSET: Field<u8, Feature> = Field::with(Feature::Topology, 25);
const MIN_IO_SIZE: Field<u16, Feature> = Field::with(Feature::Topology, 26);
const OPT_IO_SIZE: Field<u32, Feature> = Field::with(Feature::Topology, 28);
const WRITEBACK: Field<u8, Feature> = Field::with(Feature::ConfigWce, 32);
const NUM_QUEUES: Field<u16, Feature> = Field::with(Feature::Mq, 34);
const MAX_DISCARD_SECTORS: Field<u32, Feature> = Field::with(Feature::Discard, 36);
const MAX_DISCARD_SEG: Field<u32, Feature> = Field::with(Feature::Discard, 40);
const DISCARD_SECTOR_ALIGNMENT: Field<u32, Feature> = Field::with(Feature::Discard, 44);
const MAX_WRITE_ZEROES_SECTORS: Field<u32, Feature> = Field::with(Feature::WriteZeroes, 48);
const WRITE_ZEROES_MAY_UNMAP: Field<u8, Feature> = Field::with(Feature::WriteZeroes, 56);
const MAX_SECURE_ERASE_SECTORS: Field<u32, Feature> = Field::with(Feature::SecureErase, 60);
const MAX_SECURE_ERASE_SEG: Field<u32, Feature> = Field::with(Feature::SecureErase, 64);
const SECURE_ERASE_SECTOR_ALIGNMENT: Field<u32, Feature> = Field::with(Feature::SecureErase, 68);

const ZONE_SECTORS: Field<u32, Feature> = Field::with(Feature::Zoned, 72);
const MAX_OPEN_ZONES: Field<u32, Feature> = Field::with(Feature::Zoned, 76);
const MAX_ACTIVE_ZONES: Field<u32, Feature> = Field::with(Feature::Zoned, 80);
const MAX_APPEND_SECTORS: Field<u32, Feature> = Field::with(Feature::Zoned, 84);
const WRITE_GRANULARITY: Field<u32, Feature> = Field::with(Feature::Zoned, 88);
const ZONE_MODEL: Field<u8, Feature> = Field::with(Feature::Zoned, 92);

/// The legacy geometry that a device tells.
#[derive(Clone, Copy)]
pub(crate) struct Geometry {
    pub(crate) cylinders: u16,
    pub(crate) heads: u8,
    pub(crate) sectors: u8,
}

/// All that this driver reads of a device's configuration, in one consistent snapshot.
pub(crate) struct Config {
    /// What the limits are made of.
    pub(crate) device: DeviceConfig,
    /// The legacy geometry, if the device has one.
    pub(crate) geometry: Option<Geometry>,
    /// Whether written data may be lost until it is flushed.
    pub(crate) has_write_cache: bool,
    /// Whether the device takes no writes.
    pub(crate) is_read_only: bool,
    /// How many queues the device has.
    pub(crate) num_queues: u16,
}

/// Turns a field that is not there into nothing.
fn optional<T>(value: Result<T>) -> Result<Option<T>> {
    match value {
        Ok(value) => Ok(Some(value)),
        Err(error) if error == ENOENT => Ok(None),
        Err(error) => Err(error),
    }
}

impl Config {
    /// Reads the configuration. May sleep.
    ///
    /// # Errors
    ///
    /// `EIO` if the space is too short for a field that the features promise; `EAGAIN` if the device never
    /// holds still.
    pub(crate) fn read(dev: &Device<Bound>, features: Negotiated<Feature>) -> Result<Self> {
        dev.config(features).snapshot(|raw| {
            let topology = match optional(raw.read(&PHYSICAL_BLOCK_EXP))? {
                Some(physical_block_exp) => Some(Topology {
                    physical_block_exp,
                    alignment_offset: raw.read(&ALIGNMENT_OFFSET)?,
                    min_io_size: raw.read(&MIN_IO_SIZE)?,
                    opt_io_size: raw.read(&OPT_IO_SIZE)?,
                }),
                None => None,
            };
            let geometry = match optional(raw.read(&CYLINDERS))? {
                Some(cylinders) => Some(Geometry {
                    cylinders,
                    heads: raw.read(&HEADS)?,
                    sectors: raw.read(&SECTORS)?,
                }),
                None => None,
            };
            let discard = match optional(raw.read(&MAX_DISCARD_SECTORS))? {
                Some(max_sectors) => Some(Discard {
                    max_sectors,
                    max_seg: raw.read(&MAX_DISCARD_SEG)?,
                    sector_alignment: raw.read(&DISCARD_SECTOR_ALIGNMENT)?,
                }),
                None => None,
            };
            let write_zeroes = match optional(raw.read(&MAX_WRITE_ZEROES_SECTORS))? {
                Some(max_sectors) => Some(WriteZeroes {
                    max_sectors,
                    may_unmap: raw.read(&WRITE_ZEROES_MAY_UNMAP)? != 0,
                }),
                None => None,
            };
            let secure_erase = match optional(raw.read(&MAX_SECURE_ERASE_SECTORS))? {
                Some(max_sectors) => Some(SecureErase {
                    max_sectors,
                    max_seg: raw.read(&MAX_SECURE_ERASE_SEG)?,
                    sector_alignment: raw.read(&SECURE_ERASE_SECTOR_ALIGNMENT)?,
                }),
                None => None,
            };
            let zoned = match optional(raw.read(&ZONE_MODEL))? {
                Some(model) => Some(Zoned {
                    zone_sectors: raw.read(&ZONE_SECTORS)?,
                    max_open_zones: raw.read(&MAX_OPEN_ZONES)?,
                    max_active_zones: raw.read(&MAX_ACTIVE_ZONES)?,
                    max_append_sectors: raw.read(&MAX_APPEND_SECTORS)?,
                    write_granularity: raw.read(&WRITE_GRANULARITY)?,
                    model,
                }),
                None => None,
            };
            // Without the field, a device that can flush has something to flush (BLK-INIT-3).
            let has_write_cache = match optional(raw.read(&WRITEBACK))? {
                Some(writeback) => writeback != 0,
                None => features.has(Feature::Flush),
            };
            Ok(Self {
                device: DeviceConfig {
                    capacity_sectors: raw.read(&CAPACITY)?,
                    size_max: optional(raw.read(&SIZE_MAX))?,
                    seg_max: optional(raw.read(&SEG_MAX))?,
                    blk_size: optional(raw.read(&BLK_SIZE))?,
                    topology,
                    discard,
                    write_zeroes,
                    secure_erase,
                    zoned,
                },
                geometry,
                has_write_cache,
                is_read_only: features.has(Feature::Ro),
                num_queues: optional(raw.read(&NUM_QUEUES))?.unwrap_or(1),
            })
        })
    }

    /// The same, with a line in the log if the device never holds still.
    pub(crate) fn read_or_log(dev: &Device<Bound>, features: Negotiated<Feature>) -> Result<Self> {
        Self::read(dev, features).inspect_err(|error| {
            if *error == EAGAIN {
                dev_err!(dev, "configuration changes faster than it can be read\n");
            }
        })
    }

    /// Asks the device to cache what is written, or not to, and returns what it does (VIRTIO 1.4,
    /// 5.2.5.1 "Driver Requirements: Device Initialization").
    ///
    /// # Errors
    ///
    /// `ENOENT` for a device that does not let its driver choose, and as [`read`](Self::read).
    pub(crate) fn set_write_cache(
        dev: &Device<Bound>,
        features: Negotiated<Feature>,
        has_write_cache: bool,
    ) -> Result<bool> {
        let config = dev.config(features);
        config.write(&WRITEBACK, has_write_cache.into())?;
        Ok(config.read(&WRITEBACK)? != 0)
    }

    /// Reads whether zones have to be written from start to end. The feature need only be offered.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub(crate) fn is_host_managed(
        dev: &Device<Bound>,
        features: Negotiated<Feature>,
    ) -> Result<bool> {
        let model = optional(dev.config(features).read(&ZONE_MODEL))?;
        Ok(model == Some(HOST_MANAGED))
    }
}
