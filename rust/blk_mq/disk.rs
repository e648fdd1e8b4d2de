// SPDX-License-Identifier: GPL-2.0

//! Disks: what others open, and what controls its queue.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use crate::{
    attribute::AttributeGroup,
    dma::device_as_raw,
    foreign::Foreign,
    vtable::queue_data,
    Borrowed,
    Operations,
    TagSet, //
};
use bindings_ext as bindings;
use core::{
    marker::PhantomData,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    device::Device,
    error::to_result,
    prelude::*,
    str::CStr,
    sync::Arc,
    types::{
        NotThreadSafe,
        Opaque, //
    },
};

/// What a disk keeps until its last opener is gone; `private_data` of the `struct gendisk`.
pub(crate) struct DiskData<O: Operations> {
    pub(crate) queue_data: Foreign<O::QueueData>,
    pub(crate) attributes: AttributeGroup<O>,
    // Dropped last: requests are gone, but what they used may still belong to the others.
    pub(crate) _tag_set: Arc<TagSet<O>>,
}

/// A disk, a `struct gendisk`, in use by anyone.
///
/// # Invariants
///
/// The disk was made by [`DiskBuilder::build`](crate::DiskBuilder::build) for `O`, and is not
/// released while this is borrowed.
#[repr(transparent)]
pub struct GenDisk<O: Operations>(Opaque<bindings::gendisk>, PhantomData<O>);

// SAFETY: The methods call C functions that serialise by themselves.
unsafe impl<O: Operations> Sync for GenDisk<O> {}

impl<O: Operations> GenDisk<O> {
    /// Wraps a raw pointer.
    ///
    /// # Safety
    ///
    /// The invariants of [`GenDisk`] must hold for `disk` during `'a`.
    pub(crate) unsafe fn from_raw<'a>(disk: *mut bindings::gendisk) -> &'a Self {
        // SAFETY: By the requirements of this function; the wrapper is transparent.
        unsafe { &*disk.cast() }
    }

    /// The pointer for C code.
    pub(crate) fn as_raw(&self) -> *mut bindings::gendisk {
        self.0.get()
    }

    /// The queue for C code; it is there as long as the disk.
    pub(crate) fn queue(&self) -> *mut bindings::request_queue {
        // SAFETY: The disk is valid by the type invariant.
        unsafe { (*self.as_raw()).queue }
    }

    /// The driver's data.
    pub fn queue_data(&self) -> Borrowed<'_, O::QueueData> {
        // SAFETY: The disk is valid by the type invariant.
        unsafe { queue_data::<O>(self.queue()) }
    }

    /// The name of the disk.
    pub fn name(&self) -> &CStr {
        // SAFETY: The name is terminated, and not changed after the disk was built.
        unsafe { CStr::from_char_ptr((*self.as_raw()).disk_name.as_ptr()) }
    }

    /// The size in sectors of 512 bytes.
    pub fn capacity(&self) -> u64 {
        // SAFETY: The disk and its first block device are valid by the type invariant. The size
        // may change meanwhile, as for C code.
        unsafe { (&raw const (*(*self.as_raw()).part0).bd_nr_sectors).read_volatile() }
    }

    /// Changes the size, in sectors of 512 bytes, and tells user space. Returns whether it did
    /// tell: not for the first size, nor for the same one.
    pub fn set_capacity_and_notify(&self, sectors: u64) -> bool {
        // SAFETY: The disk is valid by the type invariant.
        unsafe { bindings::set_capacity_and_notify(self.as_raw(), sectors) }
    }

    /// Changes whether the disk can be written.
    pub fn set_read_only(&self, read_only: bool) {
        // SAFETY: The disk is valid by the type invariant.
        unsafe { bindings::set_disk_ro(self.as_raw(), read_only) };
    }

    /// The unit of addressing, in bytes.
    pub fn logical_block_size(&self) -> u32 {
        // SAFETY: The queue is valid; the limit does not change while there are disks.
        unsafe { (*self.queue()).limits.logical_block_size }
    }

    /// Whether the disk is there for new openers. Those that have it open keep it after that.
    pub fn is_live(&self) -> bool {
        // SAFETY: The disk is valid by the type invariant.
        unsafe { bindings::disk_live(self.as_raw()) }
    }

    /// Whether the disk has zones.
    pub fn is_zoned(&self) -> bool {
        // SAFETY: The queue is valid; a disk does not get or lose zones.
        unsafe { (*self.queue()).limits.features & bindings::RUST_EXT_BLK_FEAT_ZONED != 0 }
    }

    /// Has all further I/O fail at once: the device is gone. Openers learn of it.
    ///
    /// Requests in flight remain with the driver.
    pub fn mark_dead(&self) {
        // SAFETY: The disk is valid by the type invariant.
        unsafe { bindings::blk_mark_disk_dead(self.as_raw()) };
    }

    /// Keeps requests from the driver until [`Self::unquiesce`], and waits for calls of
    /// [`Operations::queue_rq`] to return. Requests in flight stay so.
    pub fn quiesce(&self) {
        // SAFETY: The queue is valid, and its tag set is as well, as the disk holds it.
        unsafe { bindings::blk_mq_quiesce_queue(self.queue()) };
    }

    /// As [`Self::quiesce`], without waiting.
    pub fn quiesce_nowait(&self) {
        // SAFETY: The queue is valid.
        unsafe { bindings::blk_mq_quiesce_queue_nowait(self.queue()) };
    }

    /// Undoes one [`Self::quiesce`].
    pub fn unquiesce(&self) {
        // SAFETY: The queue is valid.
        unsafe { bindings::blk_mq_unquiesce_queue(self.queue()) };
    }

    /// Waits until all requests are done, and keeps others from starting while the guard lives.
    pub fn freeze(&self) -> FreezeGuard<'_, O> {
        FreezeGuard {
            disk: self,
            // SAFETY: The queue is valid.
            memflags: unsafe { bindings::rust_ext_blk_freeze_queue(self.queue()) },
            _of_this_task: NotThreadSafe,
        }
    }

    /// Lets requests come again to all hardware queues that were stopped; from a worker if
    /// `in_worker`, see [`HwCtx::start_stopped`](crate::HwCtx::start_stopped).
    pub fn start_stopped_hw_queues(&self, in_worker: bool) {
        // SAFETY: The queue is valid.
        unsafe { bindings::blk_mq_start_stopped_hw_queues(self.queue(), in_worker) };
    }

    /// Asks for requests that wait.
    pub fn run_hw_queues(&self, in_worker: bool) {
        // SAFETY: The queue is valid.
        unsafe { bindings::blk_mq_run_hw_queues(self.queue(), in_worker) };
    }
}

/// Keeps a queue frozen; see [`GenDisk::freeze`].
pub struct FreezeGuard<'a, O: Operations> {
    disk: &'a GenDisk<O>,
    memflags: c_uint,
    // The flags are those of the task.
    _of_this_task: NotThreadSafe,
}

impl<O: Operations> Drop for FreezeGuard<'_, O> {
    fn drop(&mut self) {
        // SAFETY: The queue is frozen, by this task.
        unsafe { bindings::rust_ext_blk_unfreeze_queue(self.disk.queue(), self.memflags) };
    }
}

/// A disk that nobody else can open yet.
///
/// # Invariants
///
/// `disk` is one of `O`, not added, and this holds a reference to it.
pub struct NewDisk<O: Operations> {
    disk: NonNull<bindings::gendisk>,
    _of: PhantomData<O>,
}

/// A disk that others can open. Dropping it removes it, after its requests are done.
///
/// # Invariants
///
/// `disk` is one of `O`, added, and this holds a reference to it.
pub struct Disk<O: Operations> {
    disk: NonNull<bindings::gendisk>,
    _of: PhantomData<O>,
}

// SAFETY: A disk may be removed by any task; the driver's data is `Send`.
unsafe impl<O: Operations> Send for NewDisk<O> {}

// SAFETY: A shared reference gives a `GenDisk`, which is `Sync`.
unsafe impl<O: Operations> Sync for NewDisk<O> {}

// SAFETY: As for `NewDisk`.
unsafe impl<O: Operations> Send for Disk<O> {}

// SAFETY: As for `NewDisk`.
unsafe impl<O: Operations> Sync for Disk<O> {}

impl<O: Operations> NewDisk<O> {
    /// Takes over a disk.
    ///
    /// # Safety
    ///
    /// The invariants of [`NewDisk`] must hold for `disk`.
    pub(crate) unsafe fn from_raw(disk: NonNull<bindings::gendisk>) -> Self {
        // INVARIANT: By the requirements of this function.
        Self {
            disk,
            _of: PhantomData,
        }
    }

    /// Makes the disk known to all, as a child of `parent`. Before this returns, partitions are
    /// read, so requests must work.
    ///
    /// # Errors
    ///
    /// `EINVAL` for zones that were not read by [`Self::revalidate_zones`], `EBUSY` or `EEXIST` if number or name is taken,
    /// `ENOMEM`.
    #[expect(
        clippy::should_implement_trait,
        reason = "nobody adds disks by an operator"
    )]
    pub fn add(self, parent: Option<&Device>) -> Result<Disk<O>> {
        if self.is_zoned() && !self.has_zones() {
            return Err(EINVAL);
        }

        let parent = parent.map_or(core::ptr::null_mut(), device_as_raw);
        // SAFETY: `DiskBuilder::build` has set the pointer, and only `drop` frees it.
        let data = unsafe { (*self.disk.as_ptr()).private_data.cast::<DiskData<O>>() };

        // SAFETY: The disk is valid and not added; the groups live as long as the disk.
        to_result(unsafe {
            let groups = (*data).attributes.groups();

            bindings::device_add_disk(parent, self.disk.as_ptr(), groups)
        })?;
        // `free_disk` is called from now on, after the reference is dropped that goes over.
        O::LIVE_DISKS.enter();

        // INVARIANT: The disk is added, and the reference goes over.
        let disk = Disk {
            disk: self.disk,
            _of: PhantomData,
        };

        core::mem::forget(self);
        Ok(disk)
    }
}

impl<O: Operations> Deref for NewDisk<O> {
    type Target = GenDisk<O>;

    fn deref(&self) -> &GenDisk<O> {
        // SAFETY: We hold a reference to the disk.
        unsafe { GenDisk::from_raw(self.disk.as_ptr()) }
    }
}

impl<O: Operations> Disk<O> {
    /// Has requests queued that were given back by [`Request::requeue`](crate::Request::requeue).
    // Not for every `GenDisk`: once a disk is removed, nobody waits for what this starts.
    pub fn kick_requeue_list(&self) {
        // SAFETY: The queue is valid, and the disk is not removed while we are borrowed.
        unsafe { bindings::blk_mq_kick_requeue_list(self.queue()) };
    }
}

impl<O: Operations> Deref for Disk<O> {
    type Target = GenDisk<O>;

    fn deref(&self) -> &GenDisk<O> {
        // SAFETY: We hold a reference to the disk.
        unsafe { GenDisk::from_raw(self.disk.as_ptr()) }
    }
}

impl<O: Operations> Drop for NewDisk<O> {
    fn drop(&mut self) {
        // SAFETY: The disk is valid.
        let data = unsafe { (*self.disk.as_ptr()).private_data.cast::<DiskData<O>>() };
        // SAFETY: As above. Nobody finds the disk to take a further reference: it was not added,
        // or has been removed again after an error.
        let is_last = unsafe { bindings::rust_ext_blk_disk_refs(self.disk.as_ptr()) } == 1;

        // SAFETY: We hold this reference.
        unsafe { bindings::put_disk(self.disk.as_ptr()) };

        // A disk that was not added does not call back when it is released. If someone still has
        // a reference, only a leak is safe.
        if is_last {
            // SAFETY: The disk is released, so nothing uses its data.
            drop(unsafe { KBox::from_raw(data) });
        }
    }
}

impl<O: Operations> Drop for Disk<O> {
    fn drop(&mut self) {
        // SAFETY: The disk is added, and we hold this reference. The rest of the disk goes with
        // the last reference, by `VTable::free_disk`.
        unsafe {
            bindings::del_gendisk(self.disk.as_ptr());
            bindings::put_disk(self.disk.as_ptr());
        }
    }
}
