// SPDX-License-Identifier: GPL-2.0
/*
 * Exports those Rust symbols of one crate that the crates above it use. The list
 * is made from the objects themselves (see Kbuild); kbuild has no way of its own
 * for Rust symbols that cross modules.
 */

#include <linux/export.h>

#define EXPORT_SYMBOL_RUST_GPL(sym) extern int sym; EXPORT_SYMBOL_GPL(sym)

#include RUST_EXPORTS
