// SPDX-License-Identifier: GPL-2.0

//! What is mapped of a device: finding it, claiming it, and giving it all back.
//!
//! Implements the device's side of VIRTIO 1.4, 4.1.3.1 "PCI Device Layout Detection". This file
//! brings [`capability`], which decides, together with [`pci_io`], which acts.

use kernel::{
    alloc::AllocError,
    device::{
        Bound,
        Core, //
    },
    dma::{
        Device as _,
        DmaMask, //
    },
    io::Io,
    pci,
    prelude::*,
    sync::Arc, //
};
use pci_io::{
    Claim,
    Enabled,
    Window, //
};
use virtio::transport::SharedMemory;

use crate::{
    capability::{
        self,
        Defect,
        Found,
        Layout,
        Part,
        SharedRegion, //
    },
    common,
    notify::NotifyArea, //
};

/// Why a device could not be taken over.
pub(crate) enum Error {
    /// What the device says of itself makes no sense.
    Defect(Defect),
    /// The kernel could not do something.
    Kernel(kernel::error::Error),
}

impl From<Defect> for Error {
    fn from(defect: Defect) -> Self {
        Self::Defect(defect)
    }
}

impl From<kernel::error::Error> for Error {
    fn from(error: kernel::error::Error) -> Self {
        Self::Kernel(error)
    }
}

impl From<AllocError> for Error {
    fn from(error: AllocError) -> Self {
        Self::Kernel(error.into())
    }
}

impl Error {
    /// Writes to the log what is wrong with the device, and returns the code of the error.
    pub(crate) fn report(self, dev: &pci::Device<Bound>) -> kernel::error::Error {
        match self {
            Self::Kernel(error) => error,
            Self::Defect(Defect::LegacyOnly) => {
                dev_info!(
                    dev,
                    "device has only the legacy virtio interface, which is not supported\n"
                );
                ENODEV
            }
            Self::Defect(defect) => {
                let (what, whose) = defect.describe();
                dev_err!(dev, "{} is {}\n", whose, what);
                EINVAL
            }
        }
    }
}

/// The length of the interrupt status register.
pub(crate) const ISR_LEN: usize = 1;

/// The structures of a device, mapped.
pub(crate) struct Hardware {
    /// The common configuration.
    pub(crate) common: Window<{ common::LEN }>,
    /// The interrupt status; reading it acknowledges the interrupt.
    pub(crate) isr: Arc<Window<ISR_LEN>>,
    /// The notification registers.
    pub(crate) notify: NotifyArea,
    /// The device configuration, if there is any.
    pub(crate) device: Option<Window>,
}

impl Hardware {
    /// Enables a device, finds its structures and maps them.
    ///
    /// # Errors
    ///
    /// A [`Defect`] of the device, or what enabling, claiming or mapping says.
    pub(crate) fn new(dev: &pci::Device<Core<'_>>) -> Result<Self, Error> {
        let enabled = Enabled::new(dev)?;
        let layout = find_layout(dev)?;
        set_dma_mask(dev);

        let claim = Claim::new(enabled, layout.bars(), c"virtio-pci-modern")?;
        Ok(Self {
            common: map(&claim, layout.common)?,
            isr: Arc::new(map(&claim, layout.isr)?, GFP_KERNEL)?,
            notify: NotifyArea::new(&claim, layout.doorbells)?,
            device: match layout.device {
                Some(part) => Some(map(&claim, part)?),
                None => None,
            },
        })
    }
}

/// Finds the structures of a device.
fn find_layout(dev: &pci::Device<Bound>) -> Result<Layout, Defect> {
    let mut found = Found::default();
    let bars = bar_lengths(|bar| pci_io::bar_len(dev, bar));
    for_each_capability(dev, |bytes| found.add(bytes, &bars));
    found.layout()
}

/// Finds a region of memory that a device shares, by its id. The log says if it cannot be used.
pub(crate) fn shared_memory(dev: &pci::Device<Bound>, id: u8) -> Option<SharedMemory> {
    let mut found = Ok(None);
    let bars = bar_lengths(|bar| pci_io::memory_bar_len(dev, bar));
    for_each_capability(dev, |bytes| {
        // The first is taken, if it can be used or not.
        if found == Ok(None) {
            found = SharedRegion::find(bytes, &bars, id);
        }
    });
    let region = found
        .map_err(|defect| Error::from(defect).report(dev))
        .ok()??;
    let start = dev.resource_start(region.bar.into()).ok()?;
    Some(SharedMemory {
        // A BAR lies within the physical addresses.
        addr: start.checked_add(region.offset)?,
        len: region.len,
    })
}

/// Returns the length of each BAR, as `len_of` tells it by its number.
fn bar_lengths(len_of: impl Fn(u8) -> u64) -> [u64; capability::BARS] {
    let mut bars = [0; capability::BARS];
    for (bar, len) in (0..).zip(&mut bars) {
        *len = len_of(bar);
    }
    bars
}

/// Calls `f` with each capability of the vendor's, in the order of the list.
fn for_each_capability(dev: &pci::Device<Bound>, mut f: impl FnMut(&[u8])) {
    let config = dev.config_space();
    for position in pci_io::capabilities(dev, pci_io::VENDOR_SPECIFIC) {
        let mut bytes = [0; capability::LONGEST];
        let mut len = 0;
        // The last capability may be so near to the end that not all of this is there.
        for (offset, byte) in (usize::from(position)..).zip(&mut bytes) {
            let Ok(value) = config.try_read8(offset) else {
                break;
            };
            *byte = value;
            len += 1;
        }
        f(bytes.get(..len).unwrap_or(&bytes));
    }
}

/// Maps a part of a BAR.
///
/// # Errors
///
/// Those of [`Window::map`].
pub(crate) fn map<const MIN: usize>(
    claim: &Arc<Claim>,
    part: Part,
) -> Result<Window<MIN>, kernel::error::Error> {
    Window::map(claim, part.bar, part.offset, usize::try_from(part.len)?)
}

/// Lets the device address all memory, or at least the lower 4 GiB.
fn set_dma_mask(dev: &pci::Device<Core<'_>>) {
    let set = |mask| {
        // SAFETY: The device is being probed and is not yet on the virtio bus, so that nobody
        // allocates or maps memory for it.
        unsafe { dev.dma_set_mask_and_coherent(mask) }
    };
    if set(DmaMask::new::<64>()).is_err() && set(DmaMask::new::<32>()).is_err() {
        dev_warn!(
            dev,
            "neither 64-bit nor 32-bit DMA can be set up, this might not work\n"
        );
    }
}
