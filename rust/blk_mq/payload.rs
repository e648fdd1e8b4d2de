// SPDX-License-Identifier: GPL-2.0

//! Payloads that the driver makes: the list of areas of a discard and its kin.
//!
//! Such requests name areas of the disk but carry no data. A device that wants a list of the
//! areas gets it as the data of the request.

use crate::{
    Op,
    Operations,
    Request,
    Status, //
};
use bindings_ext as bindings;
use core::mem::ManuallyDrop;
use kernel::{
    alloc::flags,
    prelude::*, //
};

/// An area of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectorRange {
    /// Where it starts, in units of 512 bytes.
    pub sector: u64,
    /// Its length in the same unit.
    pub nr_sectors: u32,
}

/// log2 of the size of a sector.
const SECTOR_SHIFT: u32 = 9;

impl<O: Operations> Request<O> {
    /// Makes a list of the areas of this request its data, and returns how many there are.
    ///
    /// `to_bytes` turns an area into an entry of the list. There are several if this is a discard,
    /// the queue allows several discard segments, and requests were merged. The list is freed with
    /// the request.
    ///
    /// # Errors
    ///
    /// [`Status::RESOURCE`] if there is no memory now, [`Status::IOERR`] if the request has more
    /// areas than it claims, or has got its list already.
    pub fn set_discard_payload<const N: usize>(
        &mut self,
        mut to_bytes: impl FnMut(SectorRange) -> [u8; N],
    ) -> Result<u16, Status> {
        // SAFETY: The request is ours; its queue and bios are valid.
        let (max_segments, segments, first_bio) = unsafe {
            let rq = &*self.as_raw();

            (
                (*rq.q).limits.max_discard_segments,
                rq.nr_phys_segments.max(1),
                rq.bio,
            )
        };

        if self.has_special_payload() {
            return Err(Status::IOERR);
        }

        // All but such discards are merged by contiguity, so the bios are no areas of their own.
        let is_single = max_segments <= 1 || self.op() != Op::DISCARD;
        let count = if is_single { 1 } else { segments };
        let mut list = KVec::<[u8; N]>::with_capacity(usize::from(count), flags::GFP_ATOMIC)
            .map_err(|_| Status::RESOURCE)?;
        let mut push = |range| {
            list.push_within_capacity(to_bytes(range))
                .map_err(|_| Status::IOERR)
        };

        if is_single {
            push(SectorRange {
                sector: self.sector(),
                nr_sectors: self.bytes() >> SECTOR_SHIFT,
            })?;
        } else {
            let mut bio = first_bio;

            // SAFETY: The bios of a request are valid while it is ours.
            while let Some(current) = unsafe { bio.as_ref() } {
                push(SectorRange {
                    sector: current.bi_iter.bi_sector,
                    nr_sectors: current.bi_iter.bi_size >> SECTOR_SHIFT,
                })?;
                bio = current.bi_next;
            }
        }

        // CAST: At most `count`, which is a `u16`.
        let filled = list.len() as u16;
        let len = u32::try_from(list.len() * N).map_err(|_| Status::IOERR)?;

        if len == 0 {
            return Err(Status::IOERR);
        }

        let mut list = ManuallyDrop::new(list);

        // SAFETY: The request is ours. The list was allocated by `kmalloc` and is not used after
        // this; it is given back by `free_payload`.
        unsafe { bindings::rust_ext_blk_set_payload(self.as_raw(), list.as_mut_ptr().cast(), len) };
        Ok(filled)
    }

    /// Frees the payload that is there.
    #[cold]
    pub(crate) fn free_payload(&mut self) {
        // SAFETY: The request is ours, and a special payload of a request of this crate comes
        // from `set_discard_payload`.
        unsafe { bindings::rust_ext_blk_free_payload(self.as_raw()) };
    }
}
