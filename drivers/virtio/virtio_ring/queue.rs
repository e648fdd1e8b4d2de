// SPDX-License-Identifier: GPL-2.0

//! A virtqueue as its driver has it: buffers with tokens.
//!
//! Implements VIRTIO 1.4, 2.7.13 "Supplying Buffers to The Device" and 2.7.14 "Receiving Used
//! Buffers From The Device" on top of the ring. Every buffer goes in with a token, a value of the
//! driver's own type that stands for whatever the device works on. The queue owns the token until
//! the device has used the buffer, or the device or the queue has been reset: that is what keeps the
//! driver from touching the memory, and from completing a request twice.
//!
//! All methods take `&mut self`: a queue is used under the lock of its [`crate::Channel`].

use core::ptr::NonNull;

use bindings_ext as bindings;
use kernel::{
    device::Bound,
    prelude::*,
    sync::Arc, //
};

use crate::{
    area::Area,
    buffer::{
        AddError,
        Segment,
        Used,
        Violation, //
    },
    cpu_barriers::CpuBarriers,
    indirect::Table,
    split::{
        Chain,
        DescState,
        Position,
        Statistics, //
    },
    virtqueue::{
        KernelRing,
        Virtqueue, //
    },
};

/// A buffer that was not added, with its token.
pub struct Refused<T> {
    /// Why.
    pub reason: AddError,
    /// What was given in.
    pub token: T,
}

/// A buffer in the descriptors of the ring, while it is built.
pub type RingChain<'a> = Chain<'a, CpuBarriers, KVec<DescState>>;

/// Whatever takes the segments of a buffer, one descriptor for each.
pub trait Descriptors {
    /// Appends a segment that the device reads.
    ///
    /// # Errors
    ///
    /// [`AddError::Order`] behind a segment that the device writes; [`AddError::Full`],
    /// [`AddError::TooLong`] or [`AddError::Empty`] if it cannot be described.
    fn push_readable(&mut self, segment: Segment) -> Result<(), AddError>;

    /// Appends a segment that the device writes.
    ///
    /// # Errors
    ///
    /// As [`push_readable`](Self::push_readable), but for the order.
    fn push_writable(&mut self, segment: Segment) -> Result<(), AddError>;
}

macro_rules! impl_descriptors {
    ($($ty:ty),*) => {$(
        impl Descriptors for $ty {
            #[inline]
            fn push_readable(&mut self, segment: Segment) -> Result<(), AddError> {
                <$ty>::push_readable(self, segment)
            }

            #[inline]
            fn push_writable(&mut self, segment: Segment) -> Result<(), AddError> {
                <$ty>::push_writable(self, segment)
            }
        }
    )*};
}

impl_descriptors!(RingChain<'_>, Table<'_>);

/// The driver's side of a virtqueue.
///
/// # Invariants
///
/// - `ring` is the ring of `vq`, and this is its only user.
/// - `tokens` has an entry for each descriptor; it holds a token exactly while a chain with that
///   head is in flight.
pub struct Queue<T> {
    vq: Arc<Virtqueue>,
    ring: NonNull<KernelRing>,
    tokens: KVec<Option<T>>,
    /// Its driver took it out of use for not going on. Something else may be wrong with it as well.
    is_stuck: bool,
}

// Nothing in a queue is pinned: tokens are moved in and out.
impl<T> Unpin for Queue<T> {}

// SAFETY: A queue can be used from any thread, one at a time, if its tokens can.
unsafe impl<T: Send> Send for Queue<T> {}

impl<T> Queue<T> {
    /// Takes the driver's side of `vq`.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it has been taken, `ENOMEM`.
    pub(crate) fn new(vq: Arc<Virtqueue>) -> Result<Self> {
        let size = usize::from(vq.size());
        let mut tokens = KVec::with_capacity(size, GFP_KERNEL)?;
        for _ in 0..size {
            tokens.push(None, GFP_KERNEL)?;
        }
        let ring = NonNull::new(vq.claim()?).ok_or(EINVAL)?;
        // INVARIANT: Claimed just now, and nothing is in flight.
        let mut this = Self {
            vq,
            ring,
            tokens,
            is_stuck: false,
        };
        this.set_callbacks();
        Ok(this)
    }

    /// Has callbacks for a driver that wants to be told about used buffers, and only for that.
    fn set_callbacks(&mut self) {
        if !self.vq.has_callback() {
            self.disable_callbacks();
        }
    }

    /// Takes the queue out of use, and has the device looked after.
    pub(crate) fn fail(&mut self) {
        self.is_stuck = false;
        self.vq.fail();
    }

    /// The same for a queue of which the device is only slow to use what it has.
    pub(crate) fn fail_stuck(&mut self) {
        if !self.vq.is_broken() {
            self.is_stuck = true;
        }
        self.vq.fail();
    }

    /// Returns whether it may help to reset the queue and not the device: one of which the device has
    /// used nothing since it was new, or reset, is not helped by that.
    pub(crate) fn may_be_reset_alone(&mut self) -> bool {
        // The count wraps: the device is reset for nothing once in so many times.
        self.is_stuck && self.violation().is_none() && self.used_count() != 0
    }

    /// Returns whether the driver took the queue out of use for not going on.
    pub(crate) fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// Makes the queue as it was when it was new, and lets buffers in again. Only after the device, or
    /// the queue, has been reset; all buffers have been [detached](Self::detach).
    pub(crate) fn restart(&mut self) {
        self.ring().restart();
        // By the type invariant no token is left without its chain.
        self.tokens.iter_mut().for_each(|token| *token = None);
        self.set_callbacks();
        self.is_stuck = false;
        self.vq.mend();
    }

    /// Returns the tokens of all buffers that the device has.
    pub fn tokens_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.tokens.iter_mut().flatten()
    }

    #[inline]
    fn ring(&mut self) -> &mut KernelRing {
        // SAFETY: By the type invariant.
        unsafe { self.ring.as_mut() }
    }

    /// Returns the transport's view of the queue.
    #[inline]
    pub fn virtqueue(&self) -> &Virtqueue {
        &self.vq
    }

    /// Allocates memory that can be shared with the device, without sleeping.
    ///
    /// # Errors
    ///
    /// As [`Area::new`], also if there is only no memory at this moment.
    pub fn new_area(&self, len: usize) -> Result<Area> {
        let dev = self.vq.device().as_raw();
        // SAFETY: Drivers reach a queue only through a channel, which is closed before the device
        // is unbound.
        let dev = unsafe { virtio::Device::<Bound>::from_raw(dev) };
        Area::allocate(dev, len, bindings::GFP_NOWAIT)
    }

    /// Returns how many descriptors are free.
    pub fn num_free(&mut self) -> u16 {
        self.ring().num_free()
    }

    /// Returns what the queue has done since it was new.
    pub(crate) fn statistics(&mut self) -> Statistics {
        self.ring().statistics()
    }

    /// Returns how far driver and device have come in the ring.
    pub(crate) fn position(&mut self) -> Position {
        self.ring().position()
    }

    /// Returns what the device did wrong, if anything, since the queue was new.
    pub(crate) fn violation(&mut self) -> Option<Violation> {
        self.ring().violation()
    }

    /// Returns how many buffers were ever taken back, which wraps.
    pub(crate) fn used_count(&mut self) -> u16 {
        self.ring().last_used()
    }

    /// Returns how many buffers the device has.
    pub fn in_flight(&mut self) -> u16 {
        self.ring().in_flight()
    }

    /// Adds a buffer of segments that the device reads and then segments that it writes, one
    /// descriptor for each.
    ///
    /// The token must keep the memory alive. The device hears of it when the channel is told to
    /// notify it.
    ///
    /// # Errors
    ///
    /// The buffer comes back if there is no room, it is not well-formed, or the queue is broken; the
    /// queue is as before.
    #[inline]
    pub fn add(
        &mut self,
        token: T,
        readable: impl IntoIterator<Item = Segment>,
        writable: impl IntoIterator<Item = Segment>,
    ) -> Result<(), Refused<T>> {
        self.add_with(token, |_, chain| {
            for segment in readable {
                chain.push_readable(segment)?;
            }
            for segment in writable {
                chain.push_writable(segment)?;
            }
            Ok(())
        })
    }

    /// As [`add`](Self::add), with the segments given by a function that is lent the token.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add), and those of `build`.
    #[inline]
    pub fn add_with(
        &mut self,
        token: T,
        build: impl FnOnce(&T, &mut RingChain<'_>) -> Result<(), AddError>,
    ) -> Result<(), Refused<T>> {
        if self.vq.is_broken() {
            return self.keep(token, Err(AddError::Broken));
        }
        let mut chain = self.ring().begin();
        let result = match build(&token, &mut chain) {
            Ok(()) => chain.publish(),
            Err(reason) => Err(reason),
        };
        self.keep(token, result)
    }

    /// Adds a buffer that a table of indirect descriptors describes, in one descriptor of the ring.
    ///
    /// `writable_bytes` is what the table offers to the device for writing, as
    /// [`crate::Table::finish`] tells.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add), and [`AddError::NotAgreed`] for a queue without
    /// [indirect descriptors](Virtqueue::has_indirect) (SPLIT-INDIRECT-1).
    #[inline]
    pub fn add_indirect(
        &mut self,
        token: T,
        table: Segment,
        writable_bytes: u32,
    ) -> Result<(), Refused<T>> {
        let result = if self.vq.is_broken() {
            Err(AddError::Broken)
        } else if !self.vq.has_indirect() {
            Err(AddError::NotAgreed)
        } else {
            self.ring().add_indirect(table, writable_bytes)
        };
        self.keep(token, result)
    }

    /// Keeps the token of a chain that was added.
    #[inline]
    fn keep(&mut self, token: T, result: Result<u16, AddError>) -> Result<(), Refused<T>> {
        match result {
            Ok(head) => {
                // INVARIANT: The chain with this head is in flight now. The entry is there, and
                // empty, as the head was free.
                if let Some(entry) = self.tokens.get_mut(usize::from(head)) {
                    *entry = Some(token);
                }
                Ok(())
            }
            Err(reason) => Err(Refused { reason, token }),
        }
    }

    /// Takes back the next buffer that the device has used: its token, and how many bytes the
    /// device says it has written, at most what it was offered.
    ///
    /// # Errors
    ///
    /// `EIO` if the device broke the rules of the ring. The queue is out of use then; what is in
    /// flight stays with the device until it is reset.
    #[inline]
    pub fn pop(&mut self) -> Result<Option<(T, u32)>> {
        match self.ring().pop_used() {
            Ok(Some(Used { head, len })) => {
                let token = self
                    .tokens
                    .get_mut(usize::from(head))
                    .and_then(Option::take);
                // By the type invariant there is a token.
                token.map(|token| Some((token, len))).ok_or(EIO)
            }
            Ok(None) => Ok(None),
            Err(violation) => {
                self.report(violation);
                Err(EIO)
            }
        }
    }

    /// Says what the device did wrong, the first time.
    #[cold]
    fn report(&self, violation: Violation) {
        let vq = self.virtqueue();
        if vq.is_broken() {
            return;
        }
        vq.fail();
        dev_err!(vq.device(), "queue {}: {}\n", vq.index(), violation);
    }

    /// Returns whether the device has to be notified of what was added since the last call.
    #[inline]
    pub(crate) fn prepare_notify(&mut self) -> bool {
        self.ring().prepare_notify()
    }

    /// Asks the device not to interrupt; a hint that it may not heed.
    #[inline]
    pub fn disable_callbacks(&mut self) {
        self.ring().disable_callbacks();
    }

    /// Asks the device to interrupt when it uses the next buffer.
    ///
    /// Returns `false` if it has used some already, which may bring no interrupt any more.
    #[inline]
    pub fn enable_callbacks(&mut self) -> bool {
        self.ring().enable_callbacks()
    }

    /// Asks the device to interrupt when it has used most of what is in flight; otherwise like
    /// [`enable_callbacks`](Self::enable_callbacks).
    pub fn enable_callbacks_delayed(&mut self) -> bool {
        self.ring().enable_callbacks_delayed()
    }

    /// Takes back a buffer that the device has not used. Only after the device, or the queue, has been
    /// reset.
    pub(crate) fn detach(&mut self) -> Option<T> {
        while let Some(head) = self.ring().detach() {
            let token = self
                .tokens
                .get_mut(usize::from(head))
                .and_then(Option::take);
            if token.is_some() {
                return token;
            }
        }
        None
    }
}

impl kernel::fmt::Display for Violation {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}
