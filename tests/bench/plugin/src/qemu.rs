// SPDX-License-Identifier: GPL-2.0

//! The few functions of QEMU's plugin interface that are needed here.
//!
//! QEMU's documentation, "QEMU TCG Plugins", has the whole of it.

use std::ffi::{c_char, c_int, c_uint, c_void};

/// The version of the interface that this plugin was written for: that of QEMU 10.0.
pub const VERSION: c_int = 4;

/// `QEMU_PLUGIN_INLINE_ADD_U64`: adds a constant to a counter.
pub const INLINE_ADD_U64: c_int = 0;

/// `qemu_plugin_id_t`: which plugin this is.
pub type Id = u64;

/// `struct qemu_plugin_tb`: a block of guest code that is being translated.
#[repr(C)]
pub struct Block {
    _opaque: [u8; 0],
}

/// `struct qemu_plugin_scoreboard`: memory of which each CPU has its own part.
#[repr(C)]
pub struct Scoreboard {
    _opaque: [u8; 0],
}

/// `qemu_plugin_u64`: a counter in a scoreboard.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Counter {
    pub board: *mut Scoreboard,
    pub offset: usize,
}

/// `struct qemu_plugin_insn`: an instruction in a block.
#[repr(C)]
pub struct Instruction {
    _opaque: [u8; 0],
}

/// `struct qemu_plugin_hwaddr`: a place in memory or in a device.
#[repr(C)]
pub struct HardwareAddress {
    _opaque: [u8; 0],
}

/// `qemu_plugin_meminfo_t`: what an access was.
pub type Access = u32;

/// `QEMU_PLUGIN_CB_NO_REGS`: the callback reads no registers.
pub const NO_REGISTERS: c_int = 0;

/// `QEMU_PLUGIN_MEM_W`: writing.
pub const WRITING: c_int = 2;

/// What QEMU calls after an access, with the CPU, the access and its address.
pub type OnAccess = unsafe extern "C" fn(c_uint, Access, u64, *mut c_void);

/// What QEMU calls before a block runs, with the CPU.
pub type OnRun = unsafe extern "C" fn(c_uint, *mut c_void);

/// What QEMU calls for each block.
pub type OnTranslation = unsafe extern "C" fn(Id, *mut Block);

extern "C" {
    #[link_name = "qemu_plugin_register_vcpu_tb_trans_cb"]
    pub fn on_translation(id: Id, callback: OnTranslation);

    #[link_name = "qemu_plugin_tb_n_insns"]
    pub fn block_instructions(block: *const Block) -> usize;

    #[link_name = "qemu_plugin_tb_vaddr"]
    pub fn block_address(block: *const Block) -> u64;

    #[link_name = "qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu"]
    pub fn on_execution(block: *mut Block, operation: c_int, counter: Counter, value: u64);

    #[link_name = "qemu_plugin_register_vcpu_tb_exec_cb"]
    pub fn on_run(block: *mut Block, callback: OnRun, flags: c_int, data: *mut c_void);

    #[link_name = "qemu_plugin_scoreboard_new"]
    pub fn new_scoreboard(bytes: usize) -> *mut Scoreboard;

    #[link_name = "qemu_plugin_scoreboard_find"]
    pub fn part_of_cpu(board: *mut Scoreboard, cpu: c_uint) -> *mut c_void;

    #[link_name = "qemu_plugin_tb_get_insn"]
    pub fn instruction(block: *const Block, index: usize) -> *mut Instruction;

    #[link_name = "qemu_plugin_register_vcpu_mem_cb"]
    pub fn on_access(
        instruction: *mut Instruction,
        callback: OnAccess,
        flags: c_int,
        direction: c_int,
        data: *mut c_void,
    );

    #[link_name = "qemu_plugin_get_hwaddr"]
    pub fn hardware_address(access: Access, address: u64) -> *const HardwareAddress;

    #[link_name = "qemu_plugin_hwaddr_is_io"]
    pub fn is_device(address: *const HardwareAddress) -> bool;

    #[link_name = "qemu_plugin_hwaddr_device_name"]
    pub fn device_name(address: *const HardwareAddress) -> *const c_char;

    #[link_name = "qemu_plugin_num_vcpus"]
    pub fn cpus() -> c_int;
}

/// `argv` of `qemu_plugin_install`.
pub type Arguments = *mut *mut c_char;
