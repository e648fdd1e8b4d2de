// SPDX-License-Identifier: GPL-2.0

//! The parameters of the module, as `/sys/module/virtio_blk/parameters` shows them. They hold for
//! disks that are found from then on.

use kernel::time::{
    msecs_to_jiffies,
    Jiffies, //
};

params::uint! {
    "virtio_blk": num_request_queues = 0, 0o644,
    "Limit the number of request queues to use for blk device. 0 for no limit. \
     Values > nr_cpu_ids truncated to nr_cpu_ids.";
    /// How many queues a disk uses at most; 0 for no limit.
    pub(crate) static NUM_REQUEST_QUEUES;
}

params::uint! {
    "virtio_blk": poll_queues = 0, 0o644,
    "The number of dedicated virtqueues for polling I/O";
    /// How many of the queues are only polled; one at least is not.
    pub(crate) static POLL_QUEUES;
}

params::uint! {
    "virtio_blk": io_timeout = 0, 0o644,
    "Milliseconds that a request may take before its device is reset. 0 for no limit. \
     /sys/block/<disk>/queue/io_timeout has it for one disk.";
    /// How long a request may take, in milliseconds; 0 for as long as it wants to.
    static IO_TIMEOUT;
}

/// Returns how long a request may take: for ever, unless somebody wants it otherwise, as a device
/// may be a file on a slow network.
pub(crate) fn io_timeout() -> Jiffies {
    match IO_TIMEOUT.get() {
        // The block layer knows no more.
        0 => msecs_to_jiffies(i32::MAX as u32),
        // Not 0, which the block layer takes for half a minute.
        wanted => msecs_to_jiffies(wanted.min(i32::MAX as u32)).max(1),
    }
}

params::uint! {
    "virtio_blk": queue_reset = 0, 0o644,
    "Whether a request that is late resets its queue instead of the device, if the device can do \
     that. QEMU's disks say so and go on with the requests, which destroys data.";
    /// Whether a request that is late resets its queue alone: not 0 for yes.
    pub(crate) static QUEUE_RESET;
}

params::uint! {
    "virtio_blk": queue_depth = 0, 0o444,
    "Requests of a queue. 0 for as many as it has room for, which is also the most.";
    /// How many requests a queue has at most; 0 for as many as it has room for.
    pub(crate) static QUEUE_DEPTH;
}
