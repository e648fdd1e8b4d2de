// SPDX-License-Identifier: GPL-2.0

//! Lists of requests that a task has collected before it submits them at once.
//!
//! C header: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h)

use crate::{
    Operations,
    Request,
    RequestInfo, //
};
use bindings_ext as bindings;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};

/// Requests of one disk, in order, none of them started.
///
/// What a driver leaves in the list, the block layer queues one by one after the call. So a driver
/// that has no room looks with [`Self::peek`] and stops.
///
/// # Invariants
///
/// All requests of the list belong to disks of `O`, and to whoever holds the list.
pub struct RequestList<'a, O: Operations> {
    list: &'a mut bindings::rq_list,
    _of: PhantomData<O>,
}

impl<'a, O: Operations> RequestList<'a, O> {
    /// Wraps a raw list.
    ///
    /// # Safety
    ///
    /// The invariants of [`RequestList`] must hold for `list`.
    #[inline]
    pub(crate) unsafe fn from_raw(list: &'a mut bindings::rq_list) -> Self {
        Self {
            list,
            _of: PhantomData,
        }
    }

    /// Whether no request is left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.head.is_null()
    }

    /// The request that [`Self::pop`] would take.
    #[inline]
    pub fn peek(&self) -> Option<&RequestInfo> {
        let rq = NonNull::new(self.list.head)?;

        // SAFETY: By the type invariant, the request is ours, and it stays in the list while that
        // is borrowed.
        Some(unsafe { RequestInfo::from_raw(rq) })
    }

    /// Takes the first request, and starts it.
    #[inline]
    pub fn pop(&mut self) -> Option<Request<O>> {
        let rq = NonNull::new(self.list.head)?;

        // SAFETY: By the type invariant, the request is valid, and as it is in a list, this is the
        // active field.
        unsafe {
            self.list.head = (*rq.as_ptr()).__bindgen_anon_1.rq_next;
            (*rq.as_ptr()).__bindgen_anon_1.rq_next = core::ptr::null_mut();
        }
        if self.list.head.is_null() {
            self.list.tail = core::ptr::null_mut();
        }

        // SAFETY: The request is one of `O`, not started, and nobody's but the list's, which it
        // has just left.
        Some(unsafe { Request::start(rq) })
    }
}
