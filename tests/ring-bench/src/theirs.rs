// SPDX-License-Identifier: GPL-2.0

//! The ring of the crate `virtio-drivers`.

use crate::{
    Form,
    Peer,
    Ring,
    RANGE,
    SIZE, //
};
use std::{
    alloc::{
        alloc_zeroed,
        dealloc,
        Layout, //
    },
    hint::black_box,
    ptr::NonNull, //
};
use virtio_drivers::{
    queue::VirtQueue,
    transport::{
        DeviceStatus,
        DeviceType,
        InterruptStatus,
        Transport, //
    },
    BufferDirection,
    Hal,
    PhysAddr,
    Result,
    PAGE_SIZE, //
};

/// Memory as it is: addresses are pointers.
struct Host;

fn pages(count: usize) -> Layout {
    Layout::from_size_align(count * PAGE_SIZE, PAGE_SIZE).expect("a sensible size")
}

// SAFETY: The memory is fresh, zeroed and aligned, and the device has the same addresses.
unsafe impl Hal for Host {
    fn dma_alloc(count: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        // SAFETY: Nobody asks for no pages.
        let start = NonNull::new(unsafe { alloc_zeroed(pages(count)) }).expect("memory");
        (start.as_ptr() as PhysAddr, start)
    }

    unsafe fn dma_dealloc(_paddr: PhysAddr, vaddr: NonNull<u8>, count: usize) -> i32 {
        // SAFETY: Allocated above, with the same layout.
        unsafe { dealloc(vaddr.as_ptr(), pages(count)) };
        0
    }

    unsafe fn mmio_phys_to_virt(_paddr: PhysAddr, _size: usize) -> NonNull<u8> {
        unreachable!("there is no such memory")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr() as PhysAddr
    }

    unsafe fn unshare(_paddr: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}

/// A transport that only learns where the queue is.
#[derive(Default)]
struct Address {
    avail: PhysAddr,
    used: PhysAddr,
}

impl Transport for Address {
    fn device_type(&self) -> DeviceType {
        DeviceType::Block
    }

    fn read_device_features(&mut self) -> u64 {
        0
    }

    fn write_driver_features(&mut self, _features: u64) {}

    fn max_queue_size(&mut self, _queue: u16) -> u32 {
        SIZE as u32
    }

    fn notify(&mut self, _queue: u16) {}

    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::empty()
    }

    fn set_status(&mut self, _status: DeviceStatus) {}

    fn set_guest_page_size(&mut self, _size: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(
        &mut self,
        _queue: u16,
        _size: u32,
        _descriptors: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        self.avail = driver_area;
        self.used = device_area;
    }

    fn queue_unset(&mut self, _queue: u16) {}

    fn queue_used(&mut self, _queue: u16) -> bool {
        false
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::empty()
    }

    fn read_config_generation(&self) -> u32 {
        0
    }

    fn read_config_space<T>(&self, _offset: usize) -> Result<T> {
        unreachable!("there is no configuration")
    }

    fn write_config_space<T>(&mut self, _offset: usize, _value: T) -> Result<()> {
        unreachable!("there is no configuration")
    }
}

/// A queue of `virtio-drivers`.
pub struct Theirs {
    queue: VirtQueue<Host, SIZE>,
    peer: Peer,
    memory: Vec<[u8; RANGE]>,
}

impl Ring for Theirs {
    fn new(form: Form) -> Self {
        let mut address = Address::default();
        let queue = VirtQueue::new(&mut address, 0, form == Form::Indirect, true).expect("a queue");
        // SAFETY: The queue is kept beside the device.
        let peer = unsafe { Peer::new(address.avail as usize, address.used as usize) };
        Self {
            queue,
            peer,
            memory: vec![[0; RANGE]; 16],
        }
    }

    fn round(&mut self, ranges: usize) {
        let (readable, writable) = self.memory.split_at_mut(ranges - 1);
        let inputs: [&[u8]; 16] = std::array::from_fn(|i| match readable.get(i) {
            Some(range) => &range[..],
            None => &[],
        });
        let inputs = black_box(&inputs[..ranges - 1]);
        let output = &mut writable[0][..];
        let mut outputs = [output];
        // SAFETY: The memory stays until the buffer has been taken back.
        let token = unsafe { self.queue.add(inputs, &mut outputs) }.expect("room");
        black_box(self.queue.should_notify());
        self.peer.serve(RANGE as u32);
        // SAFETY: The same memory as above.
        let len = unsafe { self.queue.pop_used(token, inputs, &mut outputs) };
        assert_eq!(len.expect("an honest device"), RANGE as u32);
    }
}
