// SPDX-License-Identifier: GPL-2.0

//! Puts the texts of the core-only files where the kernel's log can print them.

use kernel::fmt;

use crate::{
    limits::Refusal,
    size::Size, //
};

macro_rules! impl_display {
    ($($ty:ty),*) => {$(
        impl fmt::Display for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                core::fmt::Display::fmt(self, f)
            }
        }
    )*};
}

impl_display!(Refusal, Size);
