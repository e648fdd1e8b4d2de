// SPDX-License-Identifier: GPL-2.0

//! Where a device says that its registers are, and how much of that is believed.
//!
//! Implements VIRTIO 1.4, 4.1.4 "Virtio Structure PCI Capabilities". *Core-only*: the host's tests
//! compile this file too. The input is the bytes of the capabilities and the lengths of the BARs;
//! the output is the parts of BARs to map. Nothing here touches a device.

/// The length of a capability that describes a structure, and the shortest that is looked at.
pub(crate) const HEADER_LEN: usize = 16;
/// The length of one with offsets and lengths of 64 bits, the longest that there is.
pub(crate) const LONGEST: usize = 24;
/// The kind (`cfg_type`) of a region of shared memory.
const SHARED_MEMORY: u8 = 8;
/// How many BARs there are; larger numbers are reserved.
pub(crate) const BARS: usize = 6;

/// The length of the common configuration structure without the fields of later features.
pub(crate) const COMMON_LEN: u32 = 56;
/// The same with all fields that are defined.
const COMMON_FULL_LEN: u32 = 64;
/// The length of the interrupt status structure.
const ISR_LEN: u32 = 1;
/// The length of a notification register.
const DOORBELL_LEN: u32 = 2;
/// No device has a longer configuration, nor notification structures that are mapped at once
/// (PCI-CAP-9).
pub(crate) const PAGE: u32 = 4096;

/// The kinds of structures (`cfg_type`) that the driver maps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The common configuration.
    Common = 1,
    /// The notification registers.
    Notify = 2,
    /// The interrupt status.
    Isr = 3,
    /// The configuration of the device type.
    Device = 4,
}

impl Kind {
    /// Returns the kind of a structure, or nothing for one that is reserved or not used
    /// (PCI-CAP-1).
    fn from_cfg_type(cfg_type: u8) -> Option<Self> {
        match cfg_type {
            1 => Some(Self::Common),
            2 => Some(Self::Notify),
            3 => Some(Self::Isr),
            4 => Some(Self::Device),
            _ => None,
        }
    }

    /// Returns the name of the structure, for messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Common => "common configuration",
            Self::Notify => "notification",
            Self::Isr => "interrupt status",
            Self::Device => "device configuration",
        }
    }
}

/// Why a device cannot be driven.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Defect {
    /// There is no common configuration: the device only does the legacy interface.
    LegacyOnly,
    /// A structure that every device has is not there.
    Missing(Kind),
    /// A structure is shorter than its registers.
    TooShort(Kind),
    /// The end of a structure is beyond the end of its BAR, or of any BAR.
    BeyondBar(Kind),
    /// The start of a structure is not aligned.
    Misaligned(Kind),
    /// A queue's notification register is outside of the notification structure.
    DoorbellOutside,
    /// The end of a region of shared memory is beyond the end of its BAR.
    SharedMemory,
}

impl Defect {
    /// Returns the defect and the structure that has it, for messages.
    pub(crate) const fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::LegacyOnly => ("missing", Kind::Common.name()),
            Self::Missing(kind) => ("missing", kind.name()),
            Self::TooShort(kind) => ("too short", kind.name()),
            Self::BeyondBar(kind) => ("beyond the end of its BAR", kind.name()),
            Self::Misaligned(kind) => ("not aligned", kind.name()),
            Self::DoorbellOutside => ("outside of its structure", "notification register"),
            Self::SharedMemory => ("beyond the end of its BAR", "shared memory"),
        }
    }
}

/// A part of a BAR that is to be mapped. It lies within the BAR and is not empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    /// The number of the BAR.
    pub(crate) bar: u8,
    /// Where the part starts in the BAR.
    pub(crate) offset: u64,
    /// How many bytes it has.
    pub(crate) len: u32,
}

/// A structure as its capability describes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Structure {
    kind: Kind,
    bar: u8,
    offset: u32,
    length: u32,
    /// The length of its BAR, not 0.
    bar_len: u64,
}

impl Structure {
    /// Takes a capability apart; nothing if it does not describe a structure that can be used.
    fn parse(bytes: &[u8], bars: &[u64; BARS]) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER_LEN>()?;
        let [_vndr, _next, _len, cfg_type, bar, ..] = *header;
        Some(Self {
            kind: Kind::from_cfg_type(cfg_type)?,
            bar,
            offset: le32(header, 8)?,
            length: le32(header, 12)?,
            bar_len: *bars.get(usize::from(bar)).filter(|len| **len > 0)?,
        })
    }

    /// Chooses what to map: at least `min` bytes, at most `max`, aligned to `align`, from `start`
    /// on. A structure may say that it is longer than that (PCI-CAP-5, PCI-CAP-6), even longer
    /// than its BAR, as long as the `min` bytes are there.
    fn part(&self, start: u64, min: u32, max: u32, align: u64) -> Result<Part, Defect> {
        let len = u64::from(self.length)
            .checked_sub(start)
            .filter(|len| *len >= min.into() && *len > 0)
            .ok_or(Defect::TooShort(self.kind))?;
        // In 64 bits the sum of what a device can say cannot wrap around.
        let offset = u64::from(self.offset)
            .checked_add(start)
            .ok_or(Defect::BeyondBar(self.kind))?;
        if offset % align != 0 {
            return Err(Defect::Misaligned(self.kind));
        }
        let room = self
            .bar_len
            .checked_sub(offset)
            .filter(|room| *room >= min.into() && *room > 0)
            .ok_or(Defect::BeyondBar(self.kind))?;
        let len = len.min(room).min(max.into());
        Ok(Part {
            bar: self.bar,
            offset,
            // CAST: Not more than `max`.
            len: len as u32,
        })
    }
}

/// The notification structure: where each queue's register is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Doorbells {
    structure: Structure,
    multiplier: u32,
}

impl Doorbells {
    /// Returns the whole structure if it is small enough to be mapped at once.
    ///
    /// # Errors
    ///
    /// The defects of a structure.
    pub(crate) fn whole(&self) -> Result<Option<Part>, Defect> {
        let page = u64::from(PAGE);
        let in_page = u64::from(self.structure.offset) % page;
        if in_page + u64::from(self.structure.length) > page {
            return Ok(None);
        }
        self.structure
            .part(0, DOORBELL_LEN, PAGE, DOORBELL_LEN.into())
            .map(Some)
    }

    /// Returns where in the structure the register of a queue starts whose `queue_notify_off` is
    /// `notify_off`. The product fits into 64 bits whatever the device says.
    fn offset(&self, notify_off: u16) -> u64 {
        u64::from(notify_off) * u64::from(self.multiplier)
    }

    /// Returns the register of a queue as an offset into the structure's first `mapped` bytes.
    ///
    /// # Errors
    ///
    /// [`Defect::DoorbellOutside`] if it is not in there, [`Defect::Misaligned`].
    pub(crate) fn offset_in(&self, mapped: usize, notify_off: u16) -> Result<usize, Defect> {
        let offset = self.offset(notify_off);
        if offset % u64::from(DOORBELL_LEN) != 0 {
            return Err(Defect::Misaligned(Kind::Notify));
        }
        let end = offset + u64::from(DOORBELL_LEN);
        match (usize::try_from(offset), usize::try_from(end)) {
            (Ok(offset), Ok(end)) if end <= mapped => Ok(offset),
            _ => Err(Defect::DoorbellOutside),
        }
    }

    /// Returns the register of one queue, to be mapped by itself.
    ///
    /// # Errors
    ///
    /// [`Defect::DoorbellOutside`] if the structure ends before the register does, or the defects
    /// of a structure.
    pub(crate) fn single(&self, notify_off: u16) -> Result<Part, Defect> {
        let start = self.offset(notify_off);
        self.structure
            .part(start, DOORBELL_LEN, DOORBELL_LEN, DOORBELL_LEN.into())
            .map_err(|defect| match defect {
                Defect::TooShort(_) => Defect::DoorbellOutside,
                other => other,
            })
    }
}

/// Everything of a device that is to be mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    /// The common configuration, [`COMMON_LEN`] bytes at least.
    pub(crate) common: Part,
    /// The interrupt status.
    pub(crate) isr: Part,
    /// The notification registers.
    pub(crate) doorbells: Doorbells,
    /// The device configuration, if there is any.
    pub(crate) device: Option<Part>,
}

impl Layout {
    /// Returns the BARs that are used, some perhaps more than once.
    pub(crate) fn bars(&self) -> impl Iterator<Item = u8> {
        let always = [self.common.bar, self.isr.bar, self.doorbells.structure.bar];
        let device = self.device.map(|part| part.bar);
        always.into_iter().chain(device)
    }
}

/// Cuts off what is behind the end of a capability. That it is longer than the specification
/// says is fine (PCI-CAP-3).
fn until_end(bytes: &[u8]) -> &[u8] {
    let cap_len = bytes.get(2).map_or(0, |len| usize::from(*len));
    bytes.get(..cap_len).unwrap_or(bytes)
}

/// Reads a little-endian field of a capability.
fn le32(bytes: &[u8], offset: usize) -> Option<u32> {
    let field = bytes.get(offset..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*field))
}

/// A region of memory that the device shares (VIRTIO 1.4, 4.1.4.7 "Shared memory capability").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SharedRegion {
    /// The number of the BAR.
    pub(crate) bar: u8,
    /// Where the region starts in the BAR.
    pub(crate) offset: u64,
    /// How many bytes it has, 1 at least. All of them are in the BAR.
    pub(crate) len: u64,
}

impl SharedRegion {
    /// Looks whether a capability describes the region with the given id, and where that is. As with
    /// structures, those with a reserved BAR or one that is not there are passed over, and an empty
    /// region is none.
    ///
    /// # Errors
    ///
    /// [`Defect::SharedMemory`] for one that ends beyond its BAR.
    pub(crate) fn find(bytes: &[u8], bars: &[u64; BARS], id: u8) -> Result<Option<Self>, Defect> {
        let Some(region) = Self::parse(until_end(bytes), bars, id) else {
            return Ok(None);
        };
        let bar_len = bars.get(usize::from(region.bar)).copied().unwrap_or(0);
        match region.offset.checked_add(region.len) {
            Some(end) if end <= bar_len => Ok(Some(region)),
            _ => Err(Defect::SharedMemory),
        }
    }

    fn parse(bytes: &[u8], bars: &[u64; BARS], id: u8) -> Option<Self> {
        let [_vndr, _next, _len, cfg_type, bar, found, ..] = *bytes.first_chunk::<LONGEST>()?;
        let is_there = bars.get(usize::from(bar)).is_some_and(|len| *len > 0);
        if cfg_type != SHARED_MEMORY || found != id || !is_there {
            return None;
        }
        let region = Self {
            bar,
            offset: le64(bytes, 8, 16)?,
            len: le64(bytes, 12, 20)?,
        };
        (region.len > 0).then_some(region)
    }
}

/// Reads a field of which the upper half is elsewhere.
fn le64(bytes: &[u8], low: usize, high: usize) -> Option<u64> {
    Some(u64::from(le32(bytes, low)?) | u64::from(le32(bytes, high)?) << 32)
}

/// The structures found so far.
#[derive(Default)]
pub(crate) struct Found {
    common: Option<Structure>,
    notify: Option<Doorbells>,
    isr: Option<Structure>,
    device: Option<Structure>,
}

impl Found {
    /// Looks at a vendor-specific capability, in the order of the device's list.
    ///
    /// `bytes` starts at the capability and may be longer than it. `bars` has the length of each
    /// BAR, 0 for those that are not there. Of each kind the first that can be used is kept
    /// (PCI-CAP-2). Passed over are: kinds that are not known or not used, reserved BARs
    /// (PCI-CAP-4), BARs that are not there, and capabilities too short to say anything.
    pub(crate) fn add(&mut self, bytes: &[u8], bars: &[u64; BARS]) {
        let bytes = until_end(bytes);
        let Some(structure) = Structure::parse(bytes, bars) else {
            return;
        };
        let slot = match structure.kind {
            Kind::Common => &mut self.common,
            Kind::Isr => &mut self.isr,
            Kind::Device => &mut self.device,
            Kind::Notify => {
                if let Some(multiplier) = le32(bytes, HEADER_LEN) {
                    self.notify.get_or_insert(Doorbells {
                        structure,
                        multiplier,
                    });
                }
                return;
            }
        };
        slot.get_or_insert(structure);
    }

    /// Checks what was found against the BARs and says what to map.
    ///
    /// # Errors
    ///
    /// The first defect.
    pub(crate) fn layout(self) -> Result<Layout, Defect> {
        let common = self.common.ok_or(Defect::LegacyOnly)?;
        let isr = self.isr.ok_or(Defect::Missing(Kind::Isr))?;
        let doorbells = self.notify.ok_or(Defect::Missing(Kind::Notify))?;
        // Finds the defects of the structure, whether it is mapped at once or not.
        doorbells
            .structure
            .part(0, DOORBELL_LEN, DOORBELL_LEN, DOORBELL_LEN.into())?;
        Ok(Layout {
            common: common.part(0, COMMON_LEN, COMMON_FULL_LEN, 4)?,
            isr: isr.part(0, ISR_LEN, ISR_LEN, 1)?,
            doorbells,
            // One without bytes is as good as none.
            device: match self.device.filter(|device| device.length > 0) {
                Some(device) => Some(device.part(0, 1, PAGE, 4)?),
                None => None,
            },
        })
    }
}
