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
use core::mem::{
    align_of,
    offset_of,
    size_of,
    MaybeUninit, //
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

impl RequestInfo {
    /// Calls `f` with the physical ranges of the data, in order, for a device that does without
    /// the DMA API.
    ///
    /// There are at most [`Self::nr_phys_segments`] of them, none longer than the queue's limit.
    ///
    /// # Errors
    ///
    /// The first one of `f`, which is not called any more then.
    #[inline]
    pub fn try_for_each_phys_range<E>(
        &self,
        mut f: impl FnMut(DmaRange) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut walk = MaybeUninit::<bindings::rust_ext_blk_walk>::uninit();
        let mut chunk = [const { MaybeUninit::<DmaRange>::uninit() }; CHUNK];
        // SAFETY: The request is valid and nobody changes its bios while it is borrowed. The
        // array has room for `CHUNK` entries.
        let mut filled = unsafe {
            bindings::rust_ext_blk_ranges_start(
                self.as_raw(),
                walk.as_mut_ptr(),
                chunk.as_mut_ptr().cast(),
                CHUNK as u32,
            )
        } as usize;

        loop {
            for range in chunk.iter().take(filled) {
                // SAFETY: The helper has initialised as many entries as it has returned.
                f(unsafe { range.assume_init_read() })?;
            }
            // Fewer than asked for means that the data has ended.
            if filled < CHUNK {
                return Ok(());
            }
            // SAFETY: As above; a full array means that `walk` was initialised.
            filled = unsafe {
                bindings::rust_ext_blk_ranges_next(
                    self.as_raw(),
                    walk.as_mut_ptr(),
                    chunk.as_mut_ptr().cast(),
                    CHUNK as u32,
                )
            } as usize;
        }
    }
}
