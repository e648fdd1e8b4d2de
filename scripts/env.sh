# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What every script here shares: where things are, which tools build the kernel,
# and the few functions for messages, locks and cache entries. Source it.

set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${VIRTIO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/virtio-rust}

# The Linux release that this tree targets, and where Debian ships its source.
KERNEL_RELEASE=7.3
KERNEL_PACKAGE=linux-source-$KERNEL_RELEASE
KERNEL_SUITE=trixie-backports
QEMU_SUITE=bookworm-backports
QEMU_MIN=10.0
LLVM_MAJOR=22
BINDGEN_VERSION=0.73.2

# rustc and clang share one LLVM, which CONFIG_RUST_INLINE_HELPERS needs.
LLVM_BIN=/usr/lib/llvm-$LLVM_MAJOR/bin
export PATH=$LLVM_BIN:$CACHE/tools/bin:$PATH
RUST_TOOLS=(RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTFMT=/usr/bin/rustfmt
	CLIPPY_DRIVER=/usr/bin/clippy-driver BINDGEN="$CACHE/tools/bin/bindgen")
KMAKE=(make LLVM=1 "${RUST_TOOLS[@]}")
JOBS=${JOBS:-$(nproc)}

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Runs a command as root, through sudo where the user is not root.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "this step needs root: $*"
	fi
}

# Holds an exclusive lock on a cache entry until the calling (sub)shell ends, so
# that two calls at once build it once.
lock_entry() {
	mkdir -p "$CACHE/locks"
	exec {lock_fd}>"$CACHE/locks/$1"
	if ! flock -n "$lock_fd"; then
		say "waiting for another run that is preparing $1" >&2
		flock "$lock_fd"
	fi
}

# Runs a long command with its output in a log, showing one progress line every
# ten seconds, and the end of the log if it fails.
with_progress() { # TITLE LOG COMMAND...
	local title=$1 log=$2 start=$SECONDS status=0
	shift 2
	"$@" >"$log" 2>&1 </dev/null &
	local pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		for _ in 1 2 3 4 5 6 7 8 9 10; do
			sleep 1
			kill -0 "$pid" 2>/dev/null || break
		done
		printf '%s: %d:%02d, %d steps done\n' "$title" \
			$(((SECONDS - start) / 60)) $(((SECONDS - start) % 60)) "$(wc -l <"$log")" >&2
	done
	wait "$pid" || status=$?
	if [ "$status" -ne 0 ]; then
		tail -n 40 "$log" >&2
		die "$title failed (exit code $status); the whole log is $log"
	fi
}
