// SPDX-License-Identifier: GPL-2.0

//! The ring of `virtio_ring`.

use crate::{
    Form,
    Peer,
    Ring,
    RANGE,
    SIZE, //
};
use host::{
    ring::{
        indirect::Table,
        split::Segment,
        wire::Desc, //
    },
    Device,
    Driver,
    Shared, //
};
use std::hint::black_box;

/// The most ranges of a buffer.
const TABLE: usize = 16;

/// A queue of `virtio_ring`, as the block driver uses it.
pub struct Ours {
    form: Form,
    driver: Driver,
    peer: Peer,
    table: Shared,
    _device: Device,
}

impl Ring for Ours {
    fn new(form: Form) -> Self {
        let (driver, device) = Driver::new(SIZE as u32, true);
        let start = device.memory().start().as_ptr() as usize;
        let layout = device.layout();
        // SAFETY: The memory is that of the queue, and is kept beside it.
        let peer = unsafe { Peer::new(start + layout.avail(), start + layout.used()) };
        Self {
            form,
            driver,
            peer,
            table: Shared::new(TABLE * size_of::<Desc>()),
            _device: device,
        }
    }

    fn round(&mut self, ranges: usize) {
        let readable = ranges - 1;
        let segment = |i: usize| Segment::new(black_box(i * RANGE) as u64, RANGE as u32);
        let head = match self.form {
            Form::Direct => {
                let mut chain = self.driver.begin();
                for i in 0..readable {
                    chain.push_readable(segment(i)).expect("room");
                }
                chain.push_writable(segment(readable)).expect("room");
                chain.publish().expect("room")
            }
            Form::Indirect => {
                let start = self.table.start();
                // SAFETY: The memory has room for so many descriptors, and the device is done with
                // the table of the round before.
                let mut table = unsafe { Table::new(start.cast(), TABLE as u16) };
                for i in 0..readable {
                    table.push_readable(segment(i)).expect("room");
                }
                table.push_writable(segment(readable)).expect("room");
                let (bytes, writable) = table.finish().expect("a table");
                let table = Segment::new(start.as_ptr() as u64, bytes);
                self.driver.add_indirect(table, writable).expect("room")
            }
        };
        black_box(self.driver.prepare_notify());
        self.peer.serve(RANGE as u32);
        let used = self.driver.pop_used().expect("an honest device");
        assert_eq!(used.map(|used| used.head), Some(head));
    }
}
