// SPDX-License-Identifier: GPL-2.0

//! Interrupts of PCI devices: vectors with an affinity, and handlers under names made at run time.
//!
//! [`kernel::pci`] and [`kernel::irq`] allocate vectors that are not spread over the CPUs, and
//! want names and handlers that borrow. Here a [`Registration`] owns its handler, its name and a
//! share of the [`Vectors`], so that no handler outlives what it uses: a leaked registration leaks
//! all of it.
//!
//! TODO: send upstream as `pci::Device::alloc_irq_vectors_affinity()` and an `irq::Registration`
//! that owns its name.
//!
//! C headers: [`include/linux/pci.h`](srctree/include/linux/pci.h),
//! [`include/linux/interrupt.h`](srctree/include/linux/interrupt.h)

use core::ops::RangeInclusive;

use bindings_ext as bindings;
use kernel::{
    cpumask::{
        Cpumask,
        CpumaskVar, //
    },
    device::Bound,
    error::to_result,
    irq::Handler,
    pci,
    prelude::*,
    str::CString,
    sync::Arc, //
};

/// What kind of interrupt a device has been set up for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Messages, of which each has a vector of its own.
    MsiX,
    /// The one interrupt line, which other devices may share.
    Line,
}

/// The interrupt vectors of a device.
///
/// # Invariants
///
/// - `count` vectors are allocated until the drop; for a line that is 1.
/// - Handlers for them hold a reference to this.
pub struct Vectors<'a> {
    dev: &'a pci::Device<Bound>,
    kind: Kind,
    count: u16,
}

impl<'a> Vectors<'a> {
    /// Allocates MSI-X vectors, as many of `counts` as there are.
    ///
    /// With an `affinity` they are spread over the CPUs as it says, and the kernel manages where
    /// they go; the callbacks in it, if any, are the caller's own.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the device has vectors already, `ENOSPC` if there are fewer, or whatever else
    /// `pci_alloc_irq_vectors_affinity()` says.
    pub fn msix(
        dev: &'a pci::Device<Bound>,
        counts: RangeInclusive<u16>,
        affinity: Option<&mut bindings::irq_affinity>,
    ) -> Result<Arc<Self>> {
        let mut flags = bindings::PCI_IRQ_MSIX;
        if affinity.is_some() {
            flags |= bindings::PCI_IRQ_AFFINITY;
        }
        Self::new(dev, Kind::MsiX, counts, flags, affinity)
    }

    /// Sets the device up for its interrupt line.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the device has vectors already, `ENOSPC` if it has no line.
    pub fn line(dev: &'a pci::Device<Bound>) -> Result<Arc<Self>> {
        Self::new(dev, Kind::Line, 1..=1, bindings::PCI_IRQ_INTX, None)
    }

    fn new(
        dev: &'a pci::Device<Bound>,
        kind: Kind,
        counts: RangeInclusive<u16>,
        flags: u32,
        affinity: Option<&mut bindings::irq_affinity>,
    ) -> Result<Arc<Self>> {
        // SAFETY: The device is valid, by its type invariant.
        if unsafe { bindings::rust_ext_pci_has_irq_vectors(as_raw(dev)) } {
            return Err(EBUSY);
        }
        let affinity = affinity.map_or(core::ptr::null_mut(), core::ptr::from_mut);
        // SAFETY: The device is valid; the affinity is none, or valid for the call.
        let count = unsafe {
            bindings::rust_ext_pci_alloc_irq_vectors_affinity(
                as_raw(dev),
                (*counts.start()).into(),
                (*counts.end()).into(),
                flags,
                affinity,
            )
        };
        to_result(count)?;
        // INVARIANT: So many there are now, no more than were asked for.
        // CAST: The largest number asked for is a `u16`.
        let count = count as u16;
        Ok(Arc::new(Self { dev, kind, count }, GFP_KERNEL)?)
    }

    /// Returns how many vectors there are.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> u16 {
        self.count
    }

    /// Returns the number that the kernel gave to a vector.
    fn irq(&self, vector: u16) -> Result<u32> {
        if vector >= self.count {
            return Err(EINVAL);
        }
        // SAFETY: The device is valid, and the vector is allocated.
        let irq = unsafe { bindings::rust_ext_pci_irq_vector(as_raw(self.dev), vector.into()) };
        to_result(irq)?;
        Ok(irq.try_into()?)
    }

    /// Returns the CPUs that a vector goes to, if it was allocated with an affinity.
    pub fn affinity(&self, vector: u16) -> Option<&Cpumask> {
        if self.kind != Kind::MsiX || vector >= self.count {
            return None;
        }
        // SAFETY: The device is valid, and the vector is allocated.
        let mask =
            unsafe { bindings::rust_ext_pci_irq_get_affinity(as_raw(self.dev), vector.into()) };
        // SAFETY: The mask belongs to the vector, which stays allocated as long as `self`, and is
        // not written once it is made.
        (!mask.is_null()).then(|| unsafe { Cpumask::from_raw(mask) })
    }
}

impl Drop for Vectors<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the vectors are allocated and have no handler left.
        unsafe { bindings::rust_ext_pci_free_irq_vectors(as_raw(self.dev)) };
    }
}

/// Returns the C structure of a device.
///
/// TODO: `pci::Device::as_raw()` is private; the type is a transparent wrapper.
fn as_raw(dev: &pci::Device<Bound>) -> *mut bindings::pci_dev {
    core::ptr::from_ref(dev).cast_mut().cast()
}

/// Returns whether a device has an interrupt line.
pub fn has_line(dev: &pci::Device<Bound>) -> bool {
    // SAFETY: The device is valid; the number is set when the device is enabled.
    unsafe { (*as_raw(dev)).irq != 0 }
}

/// What the kernel keeps pointers to while a handler is registered.
struct Action<T> {
    handler: T,
    name: CString,
}

/// A handler for one vector. Dropping it waits until the handler does not run any more.
///
/// # Invariants
///
/// - `irq` has an action whose cookie is `action`; both stay until the drop.
/// - Its affinity hint is `hint`, or none.
pub struct Registration<'a, T: Handler + Send + 'static> {
    irq: u32,
    vector: u16,
    action: KBox<Action<T>>,
    hint: Option<KBox<CpumaskVar>>,
    vectors: Arc<Vectors<'a>>,
}

impl<'a, T: Handler + Send + 'static> Registration<'a, T> {
    /// Registers a handler for a vector; `name` shows up in `/proc/interrupts`. The handler may be
    /// called before this returns.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such vector, or whatever `request_irq()` says.
    pub fn new(vectors: &Arc<Vectors<'a>>, vector: u16, name: CString, handler: T) -> Result<Self> {
        let irq = vectors.irq(vector)?;
        let flags = match vectors.kind {
            Kind::MsiX => 0,
            // CAST: A long has at least 32 bits.
            Kind::Line => bindings::IRQF_SHARED as c_ulong,
        };
        let action = KBox::new(Action { handler, name }, GFP_KERNEL)?;
        // SAFETY: The action is complete and stays in its box until the interrupt has been freed,
        // with `'static` contents; `call` takes such a cookie.
        to_result(unsafe {
            bindings::request_threaded_irq(
                irq,
                Some(Self::call),
                None,
                flags,
                action.name.as_char_ptr(),
                core::ptr::from_ref(&*action).cast_mut().cast(),
            )
        })?;
        // INVARIANT: Registered just now.
        Ok(Self {
            irq,
            vector,
            action,
            hint: None,
            vectors: vectors.clone(),
        })
    }

    /// Returns the vector that the handler is for.
    pub fn vector(&self) -> u16 {
        self.vector
    }

    /// Has the interrupt go to the CPUs in `mask` and tells user space so, in
    /// `/proc/irq/*/affinity_hint`; without a mask the hint is withdrawn, and the interrupt goes
    /// where it went. Sleeps.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a vector that was allocated with an affinity, and `ENOMEM`. That none of the CPUs
    /// is online is not told.
    pub fn set_affinity(&mut self, mask: Option<&Cpumask>) -> Result {
        if self.vectors.affinity(self.vector).is_some() {
            return Err(EINVAL);
        }
        let mut hint = match mask {
            Some(mask) => {
                let mut copy = KBox::new(CpumaskVar::new_zero(GFP_KERNEL)?, GFP_KERNEL)?;
                mask.copy(&mut copy);
                Some(copy)
            }
            None => None,
        };
        let raw = hint
            .as_mut()
            .map_or(core::ptr::null_mut(), |mask| mask.as_raw());
        // SAFETY: By the type invariant this is an interrupt with an action. The mask stays until
        // another hint is set, or none.
        let result =
            to_result(unsafe { bindings::rust_ext_irq_set_affinity_and_hint(self.irq, raw) });
        // INVARIANT: This is the hint now, so that the one before is not used any more.
        self.hint = hint;
        result
    }

    /// Waits until no call of the handler runs that had started before.
    pub fn synchronize(&self) {
        // SAFETY: By the type invariant this is an interrupt with an action.
        unsafe { bindings::synchronize_irq(self.irq) };
    }

    /// Calls the handler.
    ///
    /// # Safety
    ///
    /// `cookie` is an [`Action`] of this type that is registered.
    unsafe extern "C" fn call(_irq: c_int, cookie: *mut c_void) -> bindings::irqreturn_t {
        // SAFETY: The cookie is an action that stays until the interrupt is freed. It is only
        // shared, and its handler is `Sync`.
        let action = unsafe { &*cookie.cast_const().cast::<Action<T>>() };
        bindings::irqreturn(action.handler.handle() as c_uint)
    }
}

impl<T: Handler + Send + 'static> Drop for Registration<'_, T> {
    fn drop(&mut self) {
        if self.hint.is_some() {
            let _ = self.set_affinity(None);
        }
        // SAFETY: By the type invariant the action is registered with this cookie. The call waits
        // for handlers that run, so nothing uses the action afterwards.
        unsafe {
            bindings::free_irq(
                self.irq,
                core::ptr::from_ref(&*self.action).cast_mut().cast(),
            )
        };
    }
}
