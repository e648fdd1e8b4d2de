// SPDX-License-Identifier: GPL-2.0

//! The barriers between the driver and the device, as this kernel has them.
//!
//! Nothing else in the stack orders memory accesses against the device. A device is another CPU's
//! work, so that the barriers between CPUs do, and they do even in a kernel that is built for one
//! CPU, since its host has more. With `VIRTIO_F_ORDER_PLATFORM` (VIRTIO 1.4, 6 "Reserved Feature
//! Bits") the device is real hardware and needs the stronger ones.

use bindings_ext as bindings;
use kernel::sync::barrier::{
    self,
    Full,
    Read,
    Write, //
};

use crate::barrier::Barriers;

/// The barriers for one device.
#[derive(Clone, Copy)]
pub enum CpuBarriers {
    /// The device runs on a CPU.
    Cpu,
    /// The device is hardware: `VIRTIO_F_ORDER_PLATFORM`.
    Platform,
}

impl Barriers for CpuBarriers {
    #[inline]
    fn write(&self) {
        match self {
            Self::Cpu if cfg!(CONFIG_SMP) => barrier::smp_mb(Write),
            // SAFETY: Only orders memory accesses.
            Self::Cpu => unsafe { bindings::rust_ext_virt_wmb() },
            Self::Platform => barrier::dma_mb(Write),
        }
    }

    #[inline]
    fn read(&self) {
        match self {
            Self::Cpu if cfg!(CONFIG_SMP) => barrier::smp_mb(Read),
            // SAFETY: Only orders memory accesses.
            Self::Cpu => unsafe { bindings::rust_ext_virt_rmb() },
            Self::Platform => barrier::dma_mb(Read),
        }
    }

    #[inline]
    fn full(&self) {
        match self {
            Self::Cpu if cfg!(CONFIG_SMP) => barrier::smp_mb(Full),
            // SAFETY: Only orders memory accesses.
            Self::Cpu => unsafe { bindings::rust_ext_virt_mb() },
            Self::Platform => barrier::mb(Full),
        }
    }
}
