// SPDX-License-Identifier: GPL-2.0

//! PCI devices: what the `kernel` crate does not show of them yet.
//!
//! [`kernel::pci`] maps whole memory BARs. This crate maps [`Window`]s: parts of BARs, be they in
//! memory or I/O space, of which only those BARs are claimed that are used. It also walks the
//! list of capabilities and says whether a device is still plugged in.
//!
//! # Who owns what
//!
//! A [`Window`] shares a [`Claim`], and the claim owns the [`Enabled`] device. So the BARs stay
//! claimed and decoded for as long as anything is mapped, in whatever order things are dropped.
//! Drivers drop all of them when they are unbound, like every other resource.
//!
//! TODO: send upstream as `pci::Device::iomap_range()` and `pci::Device::capabilities()`.
//!
//! C header: [`include/linux/pci.h`](srctree/include/linux/pci.h)

#[path = "pci_io/claim.rs"]
mod claim;
#[path = "pci_io/window.rs"]
mod window;

pub use self::{
    claim::{
        Claim,
        Enabled, //
    },
    window::{
        Window,
        Word, //
    },
};

use bindings_ext as bindings;
use kernel::{
    device::{
        Bound,
        DeviceContext, //
    },
    pci,
    prelude::*, //
};

/// How many BARs a device can have.
pub const BARS: usize = bindings::PCI_STD_NUM_BARS as usize;

/// The capability id of structures that the vendor of a device defines.
pub const VENDOR_SPECIFIC: u8 = bindings::PCI_CAP_ID_VNDR as u8;

/// More capabilities than fit into a configuration space; a longer list has a loop.
const MAX_CAPABILITIES: usize = 48;

/// Returns the C structure of a device.
///
/// TODO: `pci::Device::as_raw()` is private; the type is a transparent wrapper.
fn as_raw<Ctx: DeviceContext>(dev: &pci::Device<Ctx>) -> *mut bindings::pci_dev {
    core::ptr::from_ref(dev).cast_mut().cast()
}

/// Where the capabilities of one kind are in the configuration space, in the order of the list.
pub struct Capabilities<'a> {
    dev: &'a pci::Device<Bound>,
    id: u8,
    last: Option<u8>,
    left: usize,
}

/// Walks the capabilities of `dev` that have the id `id`.
pub fn capabilities(dev: &pci::Device<Bound>, id: u8) -> Capabilities<'_> {
    Capabilities {
        dev,
        id,
        last: None,
        left: MAX_CAPABILITIES,
    }
}

impl Iterator for Capabilities<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        // The device can link its capabilities into a circle.
        self.left = self.left.checked_sub(1)?;
        let (dev, id) = (as_raw(self.dev), c_int::from(self.id));
        let position = match self.last {
            // SAFETY: The device is valid, by its type invariant.
            None => unsafe { bindings::pci_find_capability(dev, id) },
            // SAFETY: As above.
            Some(last) => unsafe { bindings::pci_find_next_capability(dev, last, id) },
        };
        if position == 0 {
            self.left = 0;
            return None;
        }
        self.last = Some(position);
        Some(position)
    }
}

/// Returns how long a BAR is; 0 if there is none of that number, neither in memory nor I/O space.
pub fn bar_len(dev: &pci::Device<Bound>, bar: u8) -> u64 {
    len_in(dev, bar, bindings::IORESOURCE_MEM | bindings::IORESOURCE_IO)
}

/// Returns how long a BAR in memory is; 0 if there is none of that number.
pub fn memory_bar_len(dev: &pci::Device<Bound>, bar: u8) -> u64 {
    len_in(dev, bar, bindings::IORESOURCE_MEM)
}

fn len_in(dev: &pci::Device<Bound>, bar: u8, spaces: u32) -> u64 {
    if usize::from(bar) >= BARS {
        return 0;
    }
    // SAFETY: The device is valid, and it has a resource of that number.
    let flags = unsafe { bindings::rust_ext_pci_resource_flags(as_raw(dev), bar.into()) };
    // CAST: A long has at least 32 bits.
    if flags & spaces as c_ulong == 0 {
        return 0;
    }
    dev.resource_len(bar.into()).unwrap_or(0)
}

/// Returns whether the device still answers, that is, whether it has not been pulled out.
pub fn is_present(dev: &pci::Device<Bound>) -> bool {
    // SAFETY: The device is valid, by its type invariant.
    unsafe { bindings::pci_device_is_present(as_raw(dev)) }
}

/// Returns whether the device says that it keeps its state when it sleeps.
pub fn keeps_state(dev: &pci::Device<Bound>) -> bool {
    let mut control = 0;
    // SAFETY: The device is valid, by its type invariant; the offsets are those of the capability.
    unsafe {
        let position = (*as_raw(dev)).pm_cap;
        let offset = c_int::from(position) + bindings::PCI_PM_CTRL as c_int;
        position != 0
            && bindings::pci_read_config_word(as_raw(dev), offset, &mut control) == 0
            // A device that does not answer reads as all ones.
            && control != u16::MAX
            && control & bindings::PCI_PM_CTRL_NO_SOFT_RESET as u16 != 0
    }
}

/// Gives the device the right to access memory and to raise message-signalled interrupts back,
/// which [`stop_dma`] took.
pub fn start_dma(dev: &pci::Device<Bound>) {
    // SAFETY: The device is valid, by its type invariant.
    unsafe { bindings::pci_set_master(as_raw(dev)) };
}

/// Takes the right to access memory and to raise message-signalled interrupts from a device: for
/// one that sleeps, or that cannot be stopped in any other way.
pub fn stop_dma(dev: &pci::Device<Bound>) {
    // SAFETY: The device is valid, by its type invariant.
    unsafe { bindings::pci_clear_master(as_raw(dev)) };
}
