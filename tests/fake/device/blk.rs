// SPDX-License-Identifier: GPL-2.0

//! A small disk: what the device of type 2 does with a request.
//!
//! VIRTIO 1.4, 5.2.6 "Device Operation". A request is a header that the device reads, data one way
//! or the other, and a byte of status that the device writes last.

use super::{
    chain::{
        Element,
        Malformed, //
    },
    memory::{
        Memory,
        Window, //
    },
    ring::Ring,
    zones::{
        self,
        Zones,
        ENTRY, //
    },
};

/// Read from the disk (`VIRTIO_BLK_T_IN`).
pub const IN: u32 = 0;
/// Write to the disk (`VIRTIO_BLK_T_OUT`).
pub const OUT: u32 = 1;
/// Make all that was written last (`VIRTIO_BLK_T_FLUSH`).
pub const FLUSH: u32 = 4;
/// Tell the serial number (`VIRTIO_BLK_T_GET_ID`).
pub const GET_ID: u32 = 8;
/// Tell how worn the disk is (`VIRTIO_BLK_T_GET_LIFETIME`).
pub const GET_LIFETIME: u32 = 10;
/// Discard areas (`VIRTIO_BLK_T_DISCARD`).
pub const DISCARD: u32 = 11;
/// Write zeroes to areas (`VIRTIO_BLK_T_WRITE_ZEROES`).
pub const WRITE_ZEROES: u32 = 13;
/// Erase areas for good (`VIRTIO_BLK_T_SECURE_ERASE`).
pub const SECURE_ERASE: u32 = 14;

/// The feature of a disk that takes no writes (`VIRTIO_BLK_F_RO`).
pub const RO: u32 = 5;
/// Where the configuration says how many segments a request may have (`seg_max`).
pub const SEG_MAX: usize = 12;
/// Where the size of a block is in the configuration.
pub const BLK_SIZE: usize = 20;
/// Where the type of the cache is in the configuration.
pub const WRITEBACK: usize = 32;

/// Done (`VIRTIO_BLK_S_OK`).
pub const OK: u8 = 0;
/// Failed (`VIRTIO_BLK_S_IOERR`).
pub const IOERR: u8 = 1;
/// Not known (`VIRTIO_BLK_S_UNSUPP`).
pub const UNSUPP: u8 = 2;

/// Bytes of a sector.
pub const SECTOR: u64 = 512;
/// Bytes of a request's header.
const HEADER: u64 = 16;
/// Bytes of a serial number.
const ID_BYTES: u64 = 20;
/// Bytes of what is told about wear.
const LIFETIME_BYTES: u64 = 6;
/// Bytes of an entry in a list of areas.
const AREA: u64 = 16;
/// The flag of an area that may be freed.
const UNMAP: u32 = 1;
/// Bytes that are moved at once.
const PIECE: usize = 512;

/// What the data of a disk is kept in.
pub trait Store {
    /// The number of bytes.
    fn bytes(&self) -> u64;

    /// Copies bytes out; the caller has checked the range.
    fn read(&self, offset: u64, bytes: &mut [u8]);

    /// Copies bytes in; the caller has checked the range. Returns whether there was room.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> bool;

    /// Makes all stable that was written. Returns whether it has.
    fn flush(&mut self) -> bool {
        true
    }

    /// Forgets bytes, which read as zeroes from then on; the caller has checked the range.
    fn forget(&mut self, offset: u64, len: u64);

    /// Hears how many areas a list has that is about to be served.
    fn note_areas(&mut self, count: u64);

    /// How worn the disk is, if it knows: three little-endian numbers.
    fn lifetime(&self) -> Option<[u8; 6]>;

    /// The zones of the disk, if it has any.
    fn zones(&mut self) -> Option<Zones<'_>>;

    /// What lists of areas the disk takes with requests of a kind; none if it does not know it.
    fn areas(&self, kind: u32) -> Option<AreaLimits>;
}

/// What lists of areas a disk takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct AreaLimits {
    /// The most areas in a request.
    pub max_seg: u32,
    /// The most sectors in an area.
    pub max_sectors: u32,
    /// Whether areas may be freed.
    pub may_unmap: bool,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How many bytes were written to the buffer, status included.
    pub written: u32,
    /// How many bytes could have been.
    pub writable: u32,
    /// The status.
    pub status: u8,
}

/// A request on its way: where in the readable and the writable part it has come to.
struct Request<'a, M: Memory> {
    ring: &'a Ring<M>,
    head: u16,
    readable: u64,
    writable: u64,
}

impl<M: Memory> Request<'_, M> {
    /// Measures the two parts of the buffer.
    fn new(ring: &Ring<M>, head: u16) -> Result<Request<'_, M>, Malformed> {
        let (mut readable, mut writable) = (0, 0);
        for element in ring.walk(head) {
            let element = element?;
            *if element.is_writable {
                &mut writable
            } else {
                &mut readable
            } += u64::from(element.len);
        }
        Ok(Request {
            ring,
            head,
            readable,
            writable,
        })
    }

    /// Goes over the bytes `offset..end` of one of the parts in pieces that lie in one element:
    /// `f` gets the memory, where in it the piece starts, how long it is and how far it is into
    /// the range. Returns whether all of the memory was there.
    fn pieces(
        &self,
        is_writable: bool,
        offset: u64,
        end: u64,
        mut f: impl FnMut(&M::Window, usize, usize, u64) -> bool,
    ) -> bool {
        let mut at = 0;
        let wanted = |element: &Element| element.is_writable == is_writable;
        for element in self.ring.walk(self.head).flatten().filter(wanted) {
            let len = u64::from(element.len);
            let (from, to) = (offset.max(at), end.min(at + len));
            if from < to {
                // CAST: An element has less than 2^32 bytes.
                let (start, stop) = ((from - at) as usize, (to - at) as usize);
                let Some(window) = self.ring.memory().map(element.addr, element.len as usize)
                else {
                    return false;
                };
                let mut start = start;
                while start < stop {
                    let piece = PIECE.min(stop - start);
                    let done = at + start as u64 - offset;
                    if !f(&window, start, piece, done) {
                        return false;
                    }
                    start += piece;
                }
            }
            at += len;
        }
        at >= end
    }

    /// Writes bytes into the writable part.
    fn put(&self, offset: u64, bytes: &[u8]) -> bool {
        let end = offset + bytes.len() as u64;
        self.pieces(true, offset, end, |window, start, piece, done| {
            // CAST: Within `bytes`.
            let from = done as usize;
            match bytes.get(from..from + piece) {
                Some(bytes) => {
                    window.write(start, bytes);
                    true
                }
                None => false,
            }
        })
    }

    /// Reads 16 bytes of the readable part as one little-endian number.
    fn get(&self, offset: u64) -> Option<u128> {
        let mut bytes = [0u8; 16];
        let end = offset.checked_add(16)?;
        if self.readable < end {
            return None;
        }
        let is_read = self.pieces(false, offset, end, |window, start, piece, done| {
            // CAST: Within the 16 bytes.
            let to = done as usize;
            match bytes.get_mut(to..to + piece) {
                Some(bytes) => {
                    window.read(start, bytes);
                    true
                }
                None => false,
            }
        });
        is_read.then_some(u128::from_le_bytes(bytes))
    }

    /// Reads the header: the type and the sector.
    fn header(&self) -> Option<(u32, u64)> {
        // CAST: The fields of the header.
        self.get(0)
            .map(|header| (header as u32, (header >> 64) as u64))
    }

    /// Stores the data behind the header from byte `start` on.
    fn store(&self, start: u64, store: &mut impl Store) -> bool {
        let mut piece_of_store = [0u8; PIECE];
        self.pieces(
            false,
            HEADER,
            self.readable,
            |window, at, piece, done| match piece_of_store.get_mut(..piece) {
                Some(bytes) => {
                    window.read(at, bytes);
                    store.write(start + done, bytes)
                }
                None => false,
            },
        )
    }

    /// Serves what only a disk with zones knows. Returns how many bytes were written.
    fn serve_zones(&self, kind: u32, sector: u64, store: &mut impl Store) -> Result<u64, u8> {
        let room = self.writable.saturating_sub(1);
        let sectors = (self.readable - HEADER) / SECTOR;
        let mut zones = store.zones().ok_or(UNSUPP)?;
        match kind {
            zones::APPEND => {
                let at = zones.append(sector, sectors)?;
                let told = zones.appended_at(at).to_le_bytes();
                // The sector stands in front of the status, in as many bytes as it takes.
                if room == 8 && self.store(at * SECTOR, store) && self.put(0, &told) {
                    Ok(room)
                } else {
                    Err(IOERR)
                }
            }
            zones::REPORT => {
                // CAST: Less than what a chain can have.
                let entries = zones.report(sector, room as usize / ENTRY)?;
                let mut written = 0;
                for entry in entries {
                    if !self.put(written, &entry) {
                        return Err(IOERR);
                    }
                    written += ENTRY as u64;
                }
                Ok(written)
            }
            zones::OPEN | zones::CLOSE | zones::FINISH | zones::RESET | zones::RESET_ALL => {
                let (first, count) = zones.manage(kind, sector)?;
                store.forget(first * SECTOR, count * SECTOR);
                Ok(0)
            }
            _ => Err(UNSUPP),
        }
    }

    /// Reads the list of areas behind the header, and forgets them. Returns the status.
    fn forget(&self, kind: u32, limits: AreaLimits, store: &mut impl Store) -> u8 {
        let list = self.readable - HEADER;
        // BLK-DATA-2 to BLK-DATA-4, BLK-SEG-1 to BLK-SEG-3.
        if list == 0 || list % AREA != 0 || list / AREA > limits.max_seg.into() {
            return IOERR;
        }
        store.note_areas(list / AREA);
        let known = if kind == WRITE_ZEROES && limits.may_unmap {
            UNMAP
        } else {
            0
        };
        for at in (HEADER..self.readable).step_by(AREA as usize) {
            let Some(area) = self.get(at) else {
                return IOERR;
            };
            // CAST: The fields of an area.
            let (sector, sectors, flags) = (area as u64, (area >> 64) as u32, (area >> 96) as u32);
            // BLK-DISCARD-1.
            if flags & !known != 0 {
                return UNSUPP;
            }
            let end = sector
                .checked_add(sectors.into())
                .and_then(|end| end.checked_mul(SECTOR))
                .filter(|end| *end <= store.bytes());
            if sectors > limits.max_sectors || end.is_none() {
                return IOERR;
            }
            store.forget(sector * SECTOR, u64::from(sectors) * SECTOR);
        }
        OK
    }
}

/// Does what a request asks for, and returns its status and how many bytes of data were written.
fn work<M: Memory>(
    request: &Request<'_, M>,
    store: &mut impl Store,
    serial: &[u8; ID_BYTES as usize],
) -> (u8, u64) {
    // The last byte is that of the status.
    let Some(room) = request.writable.checked_sub(1) else {
        return (IOERR, 0);
    };
    let Some((kind, sector)) = request.header() else {
        return (IOERR, 0);
    };
    let start = sector.checked_mul(SECTOR);
    let fits = |len: u64| {
        start.filter(|start| {
            len % SECTOR == 0
                && start
                    .checked_add(len)
                    .is_some_and(|end| end <= store.bytes())
        })
    };
    let mut piece_of_store = [0u8; PIECE];
    match kind {
        IN => {
            let Some(start) = fits(room) else {
                return (IOERR, 0);
            };
            let done = request.pieces(
                true,
                0,
                room,
                |window, at, piece, done| match piece_of_store.get_mut(..piece) {
                    Some(bytes) => {
                        store.read(start + done, bytes);
                        window.write(at, bytes);
                        true
                    }
                    None => false,
                },
            );
            if done {
                (OK, room)
            } else {
                (IOERR, 0)
            }
        }
        OUT => {
            let len = request.readable - HEADER;
            let Some(start) = fits(len) else {
                return (IOERR, 0);
            };
            let accepted = match store.zones() {
                Some(mut zones) => zones.write(sector, len / SECTOR),
                None => Ok(()),
            };
            match accepted {
                Ok(()) if request.store(start, store) => (OK, 0),
                Ok(()) => (IOERR, 0),
                Err(status) => (status, 0),
            }
        }
        FLUSH if store.flush() => (OK, 0),
        FLUSH => (IOERR, 0),
        GET_ID if room >= ID_BYTES => {
            let done = request.put(0, serial);
            (if done { OK } else { IOERR }, ID_BYTES)
        }
        GET_ID => (IOERR, 0),
        GET_LIFETIME => match store.lifetime() {
            None => (UNSUPP, 0),
            Some(lifetime) if room >= LIFETIME_BYTES && request.put(0, &lifetime) => {
                (OK, LIFETIME_BYTES)
            }
            Some(_) => (IOERR, 0),
        },
        _ => match store.areas(kind) {
            Some(limits) => (request.forget(kind, limits, store), 0),
            None => match request.serve_zones(kind, sector, store) {
                Ok(written) => (OK, written),
                Err(status) => (status, 0),
            },
        },
    }
}

/// Serves the request with the given head, and writes `status` or, without it, its true status.
///
/// # Errors
///
/// What is wrong with the chain.
pub fn serve<M: Memory>(
    ring: &Ring<M>,
    head: u16,
    store: &mut impl Store,
    serial: &[u8; ID_BYTES as usize],
    status: Option<u8>,
) -> Result<Outcome, Malformed> {
    let request = Request::new(ring, head)?;
    let (true_status, data) = work(&request, store, serial);
    let status = status.unwrap_or(true_status);
    let last = request.writable.saturating_sub(1);
    let has_status = request.writable > 0 && request.put(last, &[status]);
    // The length counts from the start, so with the status it is all (as other devices do it).
    let written = if has_status { request.writable } else { data };
    // CAST: A chain has less than 2^32 bytes.
    Ok(Outcome {
        written: written as u32,
        writable: request.writable as u32,
        status,
    })
}
