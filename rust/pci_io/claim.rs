// SPDX-License-Identifier: GPL-2.0

//! An enabled device, and the claim on those of its BARs that a driver uses.

use bindings_ext as bindings;
use kernel::{
    device::Core,
    error::to_result,
    pci,
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
};

use crate::{
    as_raw,
    BARS, //
};

/// A device that decodes its BARs. Dropping it disables the device, which ends bus mastering too.
///
/// # Invariants
///
/// The device's count of enablers includes this one.
pub struct Enabled {
    dev: ARef<pci::Device>,
}

impl Enabled {
    /// Enables the memory and the I/O BARs of a device.
    ///
    /// # Errors
    ///
    /// Whatever `pci_enable_device()` says.
    pub fn new(dev: &pci::Device<Core<'_>>) -> Result<Self> {
        // SAFETY: The device is valid, by its type invariant.
        to_result(unsafe { bindings::pci_enable_device(as_raw(dev)) })?;
        // INVARIANT: Enabled just now.
        Ok(Self { dev: dev.into() })
    }
}

impl Drop for Enabled {
    fn drop(&mut self) {
        // SAFETY: By the type invariant there is an enabling left to undo.
        unsafe { bindings::pci_disable_device(as_raw(&*self.dev)) };
    }
}

/// A claim on some BARs of an enabled device, against all other drivers.
///
/// # Invariants
///
/// The BARs of `bars` are claimed, and only numbers below [`BARS`] are in it.
pub struct Claim {
    bars: u8,
    device: Enabled,
}

impl Claim {
    /// Claims the BARs with the given numbers; `name` shows up in `/proc/iomem`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a number that no BAR has, `EBUSY` if someone else has claimed one of them.
    pub fn new(
        device: Enabled,
        bars: impl IntoIterator<Item = u8>,
        name: &'static CStr,
    ) -> Result<Arc<Self>> {
        let mut mask = 0u8;
        for bar in bars {
            if usize::from(bar) >= BARS {
                return Err(EINVAL);
            }
            mask |= 1 << bar;
        }
        // SAFETY: The device is valid; the name is static.
        to_result(unsafe {
            bindings::pci_request_selected_regions(
                as_raw(&*device.dev),
                mask.into(),
                name.as_char_ptr(),
            )
        })?;
        // INVARIANT: Claimed just now; the numbers have been checked.
        Ok(Arc::new(Self { bars: mask, device }, GFP_KERNEL)?)
    }

    /// Returns whether a BAR is part of the claim.
    pub fn has(&self, bar: u8) -> bool {
        usize::from(bar) < BARS && self.bars & (1 << bar) != 0
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::pci_dev {
        as_raw(&*self.device.dev)
    }

    /// Returns the device.
    pub(crate) fn device(&self) -> &pci::Device {
        &self.device.dev
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // SAFETY: By the type invariant these are claimed; windows into them share this claim, so
        // that there is none left.
        unsafe { bindings::pci_release_selected_regions(self.as_raw(), self.bars.into()) };
    }
}
