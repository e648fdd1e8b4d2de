// SPDX-License-Identifier: GPL-2.0

//! Makes the device as fast as a device can be, whatever the host is busy with.
//!
//! QEMU's device works in threads of its own, beside the guest's CPU. How far the guest comes until
//! the device has answered depends on the host's load, and with it how many requests share an
//! interrupt. So the CPU waits here after each notification until all other threads of QEMU sleep:
//! in the guest's time the device answers at once, and every run is the same.
//!
//! Nothing says that to a plugin, but the system does: a thread that was woken is no longer asleep,
//! even if it has not run yet.

use crate::qemu;
use std::{
    ffi::{c_uint, c_void, CStr},
    fs,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
    ptr,
    sync::{
        atomic::{AtomicU64, Ordering},
        Mutex, //
    },
    thread,
    time::{Duration, Instant}, //
};

/// What QEMU calls the memory that takes notifications begins so; the device's name follows.
const NOTIFICATION_REGION: &[u8] = b"virtio-pci-notify";

/// Where the system lists the threads of this process.
const THREADS: &str = "/proc/self/task";

/// How long the device may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many notifications the guest sent.
pub static NOTIFICATIONS: AtomicU64 = AtomicU64::new(0);

/// After how many of them the device took too long.
pub static UNSETTLED: AtomicU64 = AtomicU64::new(0);

/// Looks at the block's accesses to devices, of which there are some only in blocks of a single
/// instruction: with `-icount`, QEMU translates each such access on its own.
///
/// # Safety
///
/// `block` must be the one that QEMU translates now.
pub unsafe fn watch(block: *mut qemu::Block) {
    // SAFETY: Guaranteed by the caller; a block has a first instruction.
    unsafe {
        if qemu::block_instructions(block) == 1 {
            qemu::on_access(
                qemu::instruction(block, 0),
                wait_if_notified,
                qemu::NO_REGISTERS,
                qemu::WRITING,
                ptr::null_mut(),
            );
        }
    }
}

unsafe extern "C" fn wait_if_notified(
    _cpu: c_uint,
    access: qemu::Access,
    address: u64,
    _data: *mut c_void,
) {
    // SAFETY: QEMU passed this access, and it is valid during this call.
    if !unsafe { is_notification(access, address) } {
        return;
    }
    NOTIFICATIONS.fetch_add(1, Ordering::Relaxed);
    static OTHERS: Mutex<OtherThreads> = Mutex::new(OtherThreads::new());
    let is_settled = OTHERS
        .lock()
        .is_ok_and(|mut others| others.wait_for_sleep());
    if !is_settled {
        UNSETTLED.fetch_add(1, Ordering::Relaxed);
    }
}

/// # Safety
///
/// Only for the access that QEMU reports now.
unsafe fn is_notification(access: qemu::Access, address: u64) -> bool {
    // SAFETY: Guaranteed by the caller; the name that QEMU gives is a C string or null.
    unsafe {
        let place = qemu::hardware_address(access, address);
        if place.is_null() || !qemu::is_device(place) {
            return false;
        }
        let name = qemu::device_name(place);
        !name.is_null()
            && CStr::from_ptr(name)
                .to_bytes()
                .starts_with(NOTIFICATION_REGION)
    }
}

/// The other threads of QEMU: the files in which the system says what they do.
struct OtherThreads {
    states: Vec<fs::File>,
    /// The directory's number of links, which tells the number of threads.
    links: u64,
}

impl OtherThreads {
    const fn new() -> Self {
        Self {
            states: Vec::new(),
            links: 0,
        }
    }

    /// Waits until all of them sleep; false if they do not in time.
    fn wait_for_sleep(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        // One thread may wake another, that was seen asleep already, and then sleep itself.
        let mut rounds_asleep = 0;
        while rounds_asleep < 2 {
            match self.all_sleep() {
                Ok(true) => rounds_asleep += 1,
                // A thread that ended takes its file along.
                Err(_) => self.links = 0,
                Ok(false) => {
                    rounds_asleep = 0;
                    thread::yield_now();
                }
            }
            if Instant::now() > deadline {
                return false;
            }
        }
        true
    }

    fn all_sleep(&mut self) -> std::io::Result<bool> {
        let links = fs::metadata(THREADS)?.nlink();
        if links != self.links {
            self.list()?;
            self.links = links;
        }
        let mut line = [0; 128];
        for state in &self.states {
            let length = state.read_at(&mut line, 0)?;
            // The state is the word after the name, which stands in parentheses.
            let end_of_name = line[..length].iter().rposition(|&byte| byte == b')');
            let state = end_of_name.and_then(|at| line.get(at + 2));
            if state != Some(&b'S') {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn list(&mut self) -> std::io::Result<()> {
        let own = fs::read_link("/proc/thread-self")?;
        self.states.clear();
        for entry in Path::new(THREADS).read_dir()? {
            let entry = entry?;
            if Some(entry.file_name().as_os_str()) != own.file_name() {
                self.states.push(fs::File::open(entry.path().join("stat"))?);
            }
        }
        Ok(())
    }
}
