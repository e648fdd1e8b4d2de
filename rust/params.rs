// SPDX-License-Identifier: GPL-2.0

//! Module parameters that sysfs shows, and may change.
//!
//! Parameters of [`kernel::module!`](kernel::module) are read when the module is loaded and are
//! seen nowhere after that. These appear in `/sys/module/<module>/parameters`, with the same
//! entries in the module's information.
//!
//! TODO: send upstream as permissions of `module!` parameters.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)

use core::{
    ffi::c_char,
    sync::atomic::{
        AtomicU32,
        Ordering, //
    },
};

use kernel::bindings;

/// The value of an unsigned parameter; a static, declared by [`uint!`].
#[repr(transparent)]
pub struct Uint(AtomicU32);

impl Uint {
    /// A parameter with this value until it is set.
    pub const fn new(default: u32) -> Self {
        Self(AtomicU32::new(default))
    }

    /// Returns the value, which may change at any time.
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Describes the parameter to C code, which writes the value as one word.
    #[doc(hidden)]
    pub const fn describe(
        &'static self,
        name: *const c_char,
        module: *mut bindings::module,
        mode: u16,
    ) -> bindings::kernel_param {
        bindings::kernel_param {
            name: name.cast(),
            mod_: module,
            ops: &raw const bindings::param_ops_uint,
            perm: mode,
            level: -1,
            flags: 0,
            __bindgen_anon_1: bindings::kernel_param__bindgen_ty_1 {
                arg: self.0.as_ptr().cast(),
            },
        }
    }
}

/// Copies text to an array, for the section of the module's information.
#[doc(hidden)]
pub const fn array<const N: usize>(text: &str) -> [u8; N] {
    let mut array = [0; N];
    let mut rest = text.as_bytes();
    let mut i = 0;
    while let [byte, following @ ..] = rest {
        array[i] = *byte;
        i += 1;
        rest = following;
    }
    array
}

/// Declares an unsigned parameter of a module.
///
/// ```ignore
/// params::uint! {
///     "virtio_blk": poll_queues = 0, 0o644, "How many queues are polled";
///     /// How many queues are polled.
///     pub(crate) static POLL_QUEUES;
/// }
/// ```
#[macro_export]
macro_rules! uint {
    (
        $module:literal: $name:ident = $default:literal, $mode:literal, $description:literal;
        $(#[$meta:meta])*
        $vis:vis static $static:ident;
    ) => {
        $(#[$meta])*
        $vis static $static: $crate::Uint = $crate::Uint::new($default);

        const _: () = {
            // Built-in modules' parameters are named after the module.
            const NAME: &str = if cfg!(MODULE) {
                concat!(stringify!($name), "\0")
            } else {
                concat!($module, ".", stringify!($name), "\0")
            };

            #[cfg(MODULE)]
            const MODULE: *mut ::kernel::bindings::module =
                // SAFETY: Only takes the address of what the kernel makes when it loads the module.
                unsafe { &raw mut ::kernel::bindings::__this_module };
            #[cfg(not(MODULE))]
            const MODULE: *mut ::kernel::bindings::module = ::core::ptr::null_mut();

            #[link_section = "__param"]
            #[used]
            static PARAM: ::kernel::module_param::KernelParam =
                ::kernel::module_param::KernelParam::new(
                    $static.describe(NAME.as_ptr().cast(), MODULE, $mode),
                );

            $crate::modinfo!(TYPE, $module, concat!("parmtype=", stringify!($name), ":uint"));
            $crate::modinfo!(TEXT, $module, concat!("parm=", stringify!($name), ":", $description));
        };
    };
}

/// Puts one entry into the section of the module's information.
#[doc(hidden)]
#[macro_export]
macro_rules! modinfo {
    ($entry:ident, $module:literal, $text:expr) => {
        #[link_section = ".modinfo"]
        #[used]
        static $entry: [u8; {
    let text: &str = $crate::modinfo!(@ $module, $text);
            text.len()
}] = $crate::array($crate::modinfo!(@ $module, $text));
    };
    (@ $module:literal, $text:expr) => {
        if cfg!(MODULE) {
            concat!($text, "\0")
        } else {
            concat!($module, ".", $text, "\0")
        }
    };
}
