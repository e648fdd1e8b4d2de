# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Reads a kernel build tree: its configuration and the tools that it wants. Source
# it after env.sh.

# The value of an option, empty where it is off.
config_value() { # KDIR OPTION
	sed -n "s/^CONFIG_$2=\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" "$1/include/config/auto.conf"
}

# Sets the variables that choose kbuild's tools, each only where the caller did
# not: the compiler family that built this kernel, and the rustc that did if it
# is here. The other Rust tools lie beside rustc.
choose_tools() { # KDIR
	local built_by candidate tool name
	built_by=$(config_value "$1" RUSTC_VERSION_TEXT)
	if [ -z "${LLVM:-}${CC:-}" ] && [ "$(config_value "$1" CC_IS_CLANG)" = y ]; then
		LLVM=1
	fi
	if [ -z "${RUSTC:-}" ]; then
		RUSTC=rustc
		for candidate in /usr/bin/rustc "$(command -v rustc || true)"; do
			if [ "$("$candidate" --version 2>/dev/null)" = "$built_by" ]; then
				RUSTC=$candidate
				break
			fi
		done
	fi
	for name in RUSTDOC RUSTFMT CLIPPY_DRIVER; do
		# The program's name is the variable's in small letters, with a dash.
		tool=${name,,}
		tool=$(dirname "$(command -v "$RUSTC" || true)")/${tool/_/-}
		if [ -z "${!name:-}" ] && [ -x "$tool" ]; then
			printf -v "$name" %s "$tool"
		fi
	done
	BINDGEN=${BINDGEN:-$(command -v bindgen || echo bindgen)}
}

# The chosen tools as arguments for make.
tool_arguments() {
	local name
	for name in LLVM RUSTC RUSTDOC RUSTFMT CLIPPY_DRIVER BINDGEN; do
		[ -z "${!name:-}" ] || printf '%s=%s\n' "$name" "${!name}"
	done
}
