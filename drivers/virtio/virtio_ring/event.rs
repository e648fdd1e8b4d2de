// SPDX-License-Identifier: GPL-2.0

//! Event index arithmetic.
//!
//! VIRTIO 1.4, 2.7.7 "Used Buffer Notification Suppression" and 2.7.10 "Available Buffer
//! Notification Suppression".
//!
//! Indices count entries ever placed in a ring, modulo 2^16. This file answers one question about
//! them and holds no state.

/// Returns whether the entry numbered `event` is among those placed while an index moved from
/// `old` to `new`, so that whoever asked for `event` must be notified.
///
/// Entries `old`, `old + 1`, ... `new - 1` were placed, counted modulo 2^16. Nothing was placed if
/// `old` equals `new`; the caller has to treat a move of 65536 or more by itself.
#[inline]
pub const fn need_event(event: u16, new: u16, old: u16) -> bool {
    // Distances back from `new`: that of the last entry placed is 0, that of the first one is
    // one less than the number of entries.
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}
