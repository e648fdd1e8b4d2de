// SPDX-License-Identifier: GPL-2.0

//! A disk in memory, honest or not.

use core::sync::atomic::{
    AtomicBool,
    AtomicU32,
    Ordering, //
};

use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex, //
};

use super::{
    device::{
        blk::{
            self,
            AreaLimits,
            Outcome,
            Store, //
        },
        fault::{
            Fault,
            Plan, //
        },
        memory::copy,
        zones::{
            Zone,
            ZoneLimits,
            Zones, //
        },
    },
    machine::{
        DeviceRing,
        Machine,
        Nature, //
    },
};

/// The serial number.
const SERIAL: &[u8; 20] = b"virtio-fake-disk\0\0\0\0";
/// How worn the disk is: 80 % of the reserve used, SLC cells up to 30 %, MLC cells beyond what was
/// estimated.
const LIFETIME: [u8; 6] = [2, 0, 3, 0, 11, 0];
/// Bytes that are allocated at once.
const BLOCK: usize = 4096;
/// A status that the specification does not know.
const UNKNOWN_STATUS: u8 = 0x55;

/// Memory that is there once it was written to.
pub struct Sparse {
    blocks: KVVec<Option<KBox<[u8; BLOCK]>>>,
    areas: Areas,
    zones: KVVec<Zone>,
    zone_limits: ZoneLimits,
    /// Whether the disk tells how worn it is.
    knows_lifetime: bool,
    /// What is wrong with the request that is served now.
    fault: Fault,
    /// The largest number of areas in a request so far.
    largest_list: u64,
    /// Whether what is written now may be lost.
    is_caching: bool,
    /// How many bytes may be lost until they are flushed.
    volatile: u64,
    /// Whether it cannot flush them.
    fails_flush: bool,
}

/// What a disk can do with areas.
#[derive(Clone, Copy, Default)]
pub struct Areas {
    /// Discard them.
    pub discard: Option<AreaLimits>,
    /// Write zeroes to them.
    pub write_zeroes: Option<AreaLimits>,
    /// Erase them for good.
    pub secure_erase: Option<AreaLimits>,
}

impl Sparse {
    /// Makes a store of so many bytes, all zero, divided into zones if these have a size.
    pub fn new(bytes: usize, areas: Areas, zone_limits: ZoneLimits) -> Result<Self> {
        let count = bytes.div_ceil(BLOCK);
        let mut blocks = KVVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            blocks.push(None, GFP_KERNEL)?;
        }
        let mut zones = KVVec::new();
        if zone_limits.size != 0 {
            for number in 0..(bytes as u64 / blk::SECTOR).div_ceil(zone_limits.size) {
                zones.push(Zone::new(number, &zone_limits), GFP_KERNEL)?;
            }
        }
        Ok(Self {
            blocks,
            areas,
            zones,
            zone_limits,
            knows_lifetime: false,
            fault: Fault::None,
            largest_list: 0,
            is_caching: false,
            volatile: 0,
            fails_flush: false,
        })
    }

    /// Has the disk tell how worn it is.
    pub fn with_lifetime(self) -> Self {
        Self {
            knows_lifetime: true,
            ..self
        }
    }

    /// Splits a range into pieces that lie in one block: number of the block, start, and length.
    fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let mut at = offset;
        let mut left = len;
        core::iter::from_fn(move || {
            // CAST: A block number of a store in memory fits.
            let (block, start) = ((at / BLOCK as u64) as usize, (at % BLOCK as u64) as usize);
            let piece = left.min(BLOCK - start);
            at += piece as u64;
            left -= piece;
            (piece > 0).then_some((block, start, piece))
        })
    }
}

impl Store for Sparse {
    fn bytes(&self) -> u64 {
        (self.blocks.len() * BLOCK) as u64
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) {
        let mut rest = bytes;
        for (block, start, piece) in Self::pieces(offset, rest.len()) {
            let Some((to, after)) = rest.split_at_mut_checked(piece) else {
                return;
            };
            let from = self.blocks.get(block).and_then(Option::as_ref);
            match from.and_then(|from| from.get(start..start + piece)) {
                Some(from) => copy(to, from),
                None => to.fill(0),
            }
            rest = after;
        }
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> bool {
        if self.is_caching {
            self.volatile += bytes.len() as u64;
        }
        let mut rest = bytes;
        for (block, start, piece) in Self::pieces(offset, rest.len()) {
            let Some((from, after)) = rest.split_at_checked(piece) else {
                return false;
            };
            let Some(slot) = self.blocks.get_mut(block) else {
                return false;
            };
            if slot.is_none() {
                // Memory may be short because of what is being written here: do not wait for it.
                *slot = KBox::new([0; BLOCK], GFP_ATOMIC).ok();
            }
            let to = slot
                .as_mut()
                .and_then(|to| to.get_mut(start..start + piece));
            match to {
                Some(to) => copy(to, from),
                None => return false,
            }
            rest = after;
        }
        true
    }

    fn flush(&mut self) -> bool {
        if !self.fails_flush {
            self.volatile = 0;
        }
        !self.fails_flush
    }

    fn forget(&mut self, offset: u64, len: u64) {
        // CAST: The store is in memory.
        for (block, start, piece) in Self::pieces(offset, len as usize) {
            let Some(slot) = self.blocks.get_mut(block) else {
                return;
            };
            if piece == BLOCK {
                *slot = None;
            } else if let Some(bytes) = slot
                .as_mut()
                .and_then(|block| block.get_mut(start..start + piece))
            {
                bytes.fill(0);
            }
        }
    }

    fn note_areas(&mut self, count: u64) {
        self.largest_list = self.largest_list.max(count);
    }

    fn lifetime(&self) -> Option<[u8; 6]> {
        self.knows_lifetime.then_some(LIFETIME)
    }

    fn zones(&mut self) -> Option<Zones<'_>> {
        let sectors = self.bytes() / blk::SECTOR;
        (!self.zones.is_empty()).then_some(Zones {
            limits: self.zone_limits,
            zones: &mut self.zones,
            sectors,
            fault: self.fault,
        })
    }

    fn areas(&self, kind: u32) -> Option<AreaLimits> {
        match kind {
            blk::DISCARD => self.areas.discard,
            blk::WRITE_ZEROES => self.areas.write_zeroes,
            blk::SECURE_ERASE => self.areas.secure_erase,
            _ => None,
        }
    }
}

/// A disk.
#[pin_data]
pub struct Disk {
    #[pin]
    store: Mutex<Sparse>,
    plan: Plan,
    served: AtomicU32,
    is_holding: AtomicBool,
}

impl Disk {
    /// Makes a disk that behaves as planned.
    pub fn new(store: Sparse, plan: Plan) -> Result<Pin<KBox<Self>>> {
        KBox::pin_init(
            try_pin_init!(Self {
                store <- new_mutex!(store, "virtio_fake::store"),
                plan,
                served: AtomicU32::new(0),
                is_holding: AtomicBool::new(false),
            }),
            GFP_KERNEL,
        )
    }

    /// The largest number of areas in a request so far.
    pub fn largest_list(&self) -> u64 {
        self.store.lock().largest_list
    }

    /// Has flushes fail, or not any more.
    pub fn fail_flush(&self, wanted: bool) {
        self.store.lock().fails_flush = wanted;
    }

    /// How many bytes may be lost until they are flushed.
    pub fn volatile(&self) -> u64 {
        self.store.lock().volatile
    }

    /// Serves one request, and writes `status` or its true status.
    fn serve_one(&self, ring: &DeviceRing, head: u16, status: Option<u8>) -> Outcome {
        let result = blk::serve(ring, head, &mut *self.store.lock(), SERIAL, status);
        result.unwrap_or_else(|malformed| {
            pr_err!("driver has made a bad request: {:?}\n", malformed);
            Outcome {
                written: 0,
                writable: 0,
                status: blk::IOERR,
            }
        })
    }

    /// Has the disk serve no requests, or serve them again. It is to be woken up then.
    pub fn hold(&self, wanted: bool) {
        self.is_holding.store(wanted, Ordering::Relaxed);
    }

    /// Serves one request with something wrong. Returns whether to interrupt the driver.
    fn answer(
        &self,
        fault: Fault,
        machine: &Machine<Pin<KBox<Self>>>,
        ring: &mut DeviceRing,
        head: u16,
    ) -> bool {
        let size = ring.size();
        match fault {
            Fault::IdOutOfRange => ring.finish_id(u32::from(size) + 77, 0),
            Fault::IdNotInFlight => ring.finish_id(u32::from(head ^ 1), 0),
            Fault::Twice => {
                let outcome = self.serve_one(ring, head, None);
                ring.finish(head, outcome.written) | ring.finish(head, outcome.written)
            }
            Fault::LengthTooLong => {
                let outcome = self.serve_one(ring, head, None);
                ring.finish(head, outcome.writable.saturating_add(1))
            }
            Fault::IndexJump => {
                ring.jump(0x8000);
                true
            }
            Fault::Scribble => {
                let outcome = self.serve_one(ring, head, None);
                ring.scribble_chain(head);
                ring.finish(head, outcome.written)
            }
            Fault::NoAnswer => false,
            Fault::NoQueueReset => {
                machine.registers(|registers| registers.set_fault(Fault::NoQueueReset));
                false
            }
            Fault::Gone => {
                machine.registers(|registers| registers.set_fault(Fault::Gone));
                false
            }
            Fault::NeedsReset => {
                machine.registers(|registers| registers.need_reset());
                machine.config_changed();
                false
            }
            Fault::NoInterrupt => {
                let outcome = self.serve_one(ring, head, None);
                ring.finish(head, outcome.written);
                false
            }
            Fault::NothingWritten => ring.finish(head, 0),
            Fault::IoError | Fault::UnknownStatus => {
                let status = if fault == Fault::IoError {
                    blk::IOERR
                } else {
                    UNKNOWN_STATUS
                };
                let outcome = self.serve_one(ring, head, Some(status));
                ring.finish(head, outcome.written)
            }
            _ => {
                self.store.lock().fault = fault;
                let outcome = self.serve_one(ring, head, None);
                ring.finish(head, outcome.written)
            }
        }
    }
}

impl Nature for Pin<KBox<Disk>> {
    const IS_ALIVE: bool = true;

    fn serve(&self, machine: &Machine<Self>, _index: u16, ring: &mut DeviceRing) -> bool {
        let mut wants_interrupt = false;
        while !self.is_holding.load(Ordering::Relaxed)
            && machine.registers(|registers| registers.is_live())
        {
            let Some(head) = ring.pop() else {
                break;
            };
            let writeback = machine.registers(|registers| registers.config_byte(blk::WRITEBACK));
            self.store.lock().is_caching = writeback != 0;
            let fault = self.plan.at(self.served.fetch_add(1, Ordering::Relaxed));
            wants_interrupt |= self.answer(fault, machine, ring, head);
        }
        wants_interrupt
    }
}
