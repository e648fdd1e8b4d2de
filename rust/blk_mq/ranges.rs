// SPDX-License-Identifier: GPL-2.0

//! The physical ranges of a request's data.
//!
//! There is no scatterlist between a request and the device: a C helper walks the bios and fills
//! a small array, so most requests cost one call. This is for devices that use physical
//! addresses; for the others see [`Request::map_dma`](crate::Request::map_dma).
//!
//! C header: [`include/linux/bvec.h`](srctree/include/linux/bvec.h)

use crate::RequestInfo;
use bindings_ext as bindings;
use core::{
    iter::FusedIterator,
    mem::{
        align_of,
        offset_of,
        size_of,
        MaybeUninit, //
    },
};

/// A contiguous range of a request's data, with an address that the device can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct DmaRange {
    /// Where it starts.
    pub addr: u64,
    /// Its length in bytes, which is not 0.
    pub len: u32,
}

// The C helpers fill arrays of these.
const _: () = {
    type Raw = bindings::rust_ext_blk_range;

    assert!(size_of::<DmaRange>() == size_of::<Raw>());
    assert!(align_of::<DmaRange>() == align_of::<Raw>());
    assert!(offset_of!(DmaRange, addr) == offset_of!(Raw, addr));
    assert!(offset_of!(DmaRange, len) == offset_of!(Raw, len));
};

/// How many ranges a call of the helper fetches.
const CHUNK: usize = 16;

/// Iterator over the physical ranges of a request's data.
///
/// There are at most [`RequestInfo::nr_phys_segments`] of them, none longer than the queue's limit.
///
/// # Invariants
///
/// - `pos <= filled <= CHUNK`, and the first `filled` entries of `chunk` are initialised.
/// - `walk` is initialised.
pub struct PhysRanges<'a> {
    rq: &'a RequestInfo,
    walk: MaybeUninit<bindings::rust_ext_blk_walk>,
    chunk: [MaybeUninit<DmaRange>; CHUNK],
    pos: usize,
    filled: usize,
}

impl<'a> PhysRanges<'a> {
    /// Starts at the first byte of the data of a request.
    #[inline]
    pub(crate) fn new(rq: &'a RequestInfo) -> Self {
        let mut this = Self {
            rq,
            walk: MaybeUninit::uninit(),
            chunk: [const { MaybeUninit::uninit() }; CHUNK],
            pos: 0,
            filled: 0,
        };

        // INVARIANT: The helper initialises `walk`, and as many entries as it returns.
        // SAFETY: The request is valid and nobody changes its bios while it is borrowed. The
        // array has room for `CHUNK` entries.
        this.filled = unsafe {
            bindings::rust_ext_blk_ranges_start(
                rq.as_raw(),
                this.walk.as_mut_ptr(),
                this.chunk.as_mut_ptr().cast(),
                CHUNK as u32,
            )
        } as usize;
        this
    }

    /// Fetches the next ranges.
    #[cold]
    fn refill(&mut self) {
        self.pos = 0;
        // INVARIANT: The helper initialises as many entries as it returns.
        // SAFETY: As in `new`; `walk` is initialised by the type invariant.
        self.filled = unsafe {
            bindings::rust_ext_blk_ranges_next(
                self.rq.as_raw(),
                self.walk.as_mut_ptr(),
                self.chunk.as_mut_ptr().cast(),
                CHUNK as u32,
            )
        } as usize;
    }
}

impl Iterator for PhysRanges<'_> {
    type Item = DmaRange;

    #[inline]
    fn next(&mut self) -> Option<DmaRange> {
        if self.pos == self.filled {
            // Fewer than asked for means that the data has ended.
            if self.filled < CHUNK {
                return None;
            }
            self.refill();
            if self.filled == 0 {
                return None;
            }
        }

        let range = self.chunk.get(self.pos)?;

        self.pos += 1;
        // SAFETY: By the type invariant, entries below `filled` are initialised.
        Some(unsafe { range.assume_init_read() })
    }
}

impl FusedIterator for PhysRanges<'_> {}
