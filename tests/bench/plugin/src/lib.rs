// SPDX-License-Identifier: GPL-2.0

//! A TCG plugin for QEMU that counts how often the guest runs each block of its code, and takes the
//! host's speed out of the count (see [`settle`]).
//!
//! usage: `-icount shift=0,sleep=off -plugin libinstruction_counter.so,socket=PATH`
//!
//! The guest says itself when its counters are to be read, or what it does while it waits for the
//! host would be counted too: it calls a function of its kernel that nobody else calls. At each call
//! all counters are copied, which makes a *mark*.
//!
//! Whoever connects to the socket writes a line with this function's address (hex), before the guest
//! calls it for the first time, and gets the marks that were made since the last connection. Each one
//! is these lines of text, all of it counted since the guest started:
//!
//! - `block ADDRESS INSTRUCTIONS RUNS` for each block of code that has run: its address (hex), its
//!   number of instructions, and how often it ran. QEMU translates a block again when it must, so an
//!   address can be there more than once.
//! - `notifications N`: how many notifications the guest sent to virtio devices.
//! - `unsettled N`: after how many of them the device did not come to rest.
//! - `mark`, the end of this one.
//!
//! The last line is `end`, without which the answer is not complete.
//!
//! Counting is a single addition in the translated code.

mod qemu;
mod settle;

use std::{
    ffi::{c_int, c_uint, c_void, CStr},
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    mem,
    os::unix::net::{UnixListener, UnixStream},
    ptr,
    sync::{
        atomic::{AtomicU64, Ordering},
        Mutex,
        OnceLock, //
    },
    thread, //
};

/// How many blocks can be counted. A guest that boots and runs fio has a fifth of it.
const CAPACITY: usize = 1 << 20;

/// What is counted, and the copies.
struct Counters {
    board: *mut qemu::Scoreboard,
    blocks: Mutex<Vec<Block>>,
    /// The address of the function that makes a mark; 0 if it is not known yet.
    marking: AtomicU64,
    marks: Mutex<Vec<Mark>>,
}

/// The counters at one time.
struct Mark {
    /// How often each block has run, in the order of the list of blocks.
    runs: Vec<u64>,
    notifications: u64,
    unsettled: u64,
}

// SAFETY: QEMU's functions for scoreboards may be called from any thread.
unsafe impl Send for Counters {}
// SAFETY: See above; the list of blocks has a lock.
unsafe impl Sync for Counters {}

/// A block of guest code; its place in the list is its counter's place in the scoreboard.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Block {
    address: u64,
    instructions: usize,
}

static COUNTERS: OnceLock<Counters> = OnceLock::new();

/// Read by QEMU before it calls anything here.
#[no_mangle]
pub static qemu_plugin_version: c_int = qemu::VERSION;

/// Called by QEMU when it loads the plugin; 0 means success.
///
/// # Safety
///
/// `arguments` must point to `count` C strings.
#[no_mangle]
pub unsafe extern "C" fn qemu_plugin_install(
    id: qemu::Id,
    _info: *const c_void,
    count: c_int,
    arguments: qemu::Arguments,
) -> c_int {
    let count = usize::try_from(count).unwrap_or(0);
    let socket = (0..count).find_map(|index| {
        // SAFETY: There are `count` strings.
        let argument = unsafe { CStr::from_ptr(*arguments.add(index)) };
        argument.to_str().ok()?.strip_prefix("socket=")
    });
    let Some(socket) = socket else {
        eprintln!("instruction-counter: which socket? Add socket=PATH");
        return 1;
    };
    let listener = match UnixListener::bind(socket) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("instruction-counter: {socket}: {error}");
            return 1;
        }
    };
    let counters = COUNTERS.get_or_init(|| Counters {
        // SAFETY: No condition; QEMU zeroes the memory.
        board: unsafe { qemu::new_scoreboard(CAPACITY * size_of::<u64>()) },
        blocks: Mutex::default(),
        marking: AtomicU64::new(0),
        marks: Mutex::default(),
    });
    // SAFETY: `count_block` is what QEMU wants to call, and the plugin is never unloaded.
    unsafe { qemu::on_translation(id, count_block) };
    thread::spawn(move || answer(&listener, counters));
    0
}

/// Has QEMU count each run of a block that it translates.
unsafe extern "C" fn count_block(_id: qemu::Id, block: *mut qemu::Block) {
    let Some(counters) = COUNTERS.get() else {
        return;
    };
    let Ok(mut blocks) = counters.blocks.lock() else {
        return;
    };
    // SAFETY: QEMU is translating this block.
    unsafe { settle::watch(block) };
    if blocks.len() == CAPACITY {
        return;
    }
    // SAFETY: QEMU passed this block, and it is valid during this call.
    let (address, instructions) =
        unsafe { (qemu::block_address(block), qemu::block_instructions(block)) };
    let counter = qemu::Counter {
        board: counters.board,
        offset: blocks.len() * size_of::<u64>(),
    };
    if address == counters.marking.load(Ordering::Relaxed) {
        // SAFETY: QEMU is translating this block.
        unsafe { qemu::on_run(block, make_mark, qemu::NO_REGISTERS, ptr::null_mut()) };
    }
    // SAFETY: The counter lies within the scoreboard, as the list is shorter than `CAPACITY`.
    unsafe { qemu::on_execution(block, qemu::INLINE_ADD_U64, counter, 1) };
    blocks.push(Block {
        address,
        instructions,
    });
}

/// Copies the counters.
unsafe extern "C" fn make_mark(_cpu: c_uint, _data: *mut c_void) {
    let Some(counters) = COUNTERS.get() else {
        return;
    };
    if let (Ok(blocks), Ok(mut marks)) = (counters.blocks.lock(), counters.marks.lock()) {
        marks.push(Mark {
            runs: (0..blocks.len())
                .map(|place| counters.runs(place))
                .collect(),
            notifications: settle::NOTIFICATIONS.load(Ordering::Relaxed),
            unsettled: settle::UNSETTLED.load(Ordering::Relaxed),
        });
    }
}

impl Counters {
    /// How often all CPUs together have run the block at a place of the list.
    fn runs(&self, place: usize) -> u64 {
        // SAFETY: No condition.
        let cpus = unsafe { qemu::cpus() }.unsigned_abs();
        let of_cpu = |cpu| {
            // SAFETY: There is such a CPU, and its part of the scoreboard holds `CAPACITY` counters,
            // more than the list has. CPUs change them meanwhile, and atomic loads allow for that.
            unsafe {
                let part = qemu::part_of_cpu(self.board, cpu).cast::<AtomicU64>();
                (*part.add(place)).load(Ordering::Relaxed)
            }
        };
        (0..cpus).map(of_cpu).sum()
    }
}

/// Serves one connection after the other.
fn answer(listener: &UnixListener, counters: &Counters) {
    for connection in listener.incoming() {
        // The other end sees an error of a connection as the end of the text.
        let _ = connection.and_then(|stream| exchange(&stream, counters));
    }
}

fn exchange(stream: &UnixStream, counters: &Counters) -> std::io::Result<()> {
    let mut request = String::new();
    BufReader::new(stream).read_line(&mut request)?;
    if let Ok(address) = u64::from_str_radix(request.trim(), 16) {
        counters.marking.store(address, Ordering::Relaxed);
    }
    // Neither lock is held while the other end reads.
    let (Ok(blocks), Ok(marks)) = (
        counters.blocks.lock().map(|blocks| blocks.clone()),
        counters
            .marks
            .lock()
            .map(|mut marks| mem::take(&mut *marks)),
    ) else {
        return Ok(());
    };
    let mut out = BufWriter::new(stream);
    for mark in &marks {
        for (block, runs) in blocks.iter().zip(&mark.runs) {
            if *runs > 0 {
                let (address, instructions) = (block.address, block.instructions);
                writeln!(out, "block {address:x} {instructions} {runs}")?;
            }
        }
        writeln!(out, "notifications {}", mark.notifications)?;
        writeln!(out, "unsettled {}", mark.unsettled)?;
        writeln!(out, "mark")?;
    }
    // What was not counted makes the whole of it worthless.
    if blocks.len() < CAPACITY {
        writeln!(out, "end")?;
    }
    out.flush()
}
