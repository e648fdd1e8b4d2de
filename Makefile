# SPDX-License-Identifier: GPL-2.0
# For people: each target is one line that calls kbuild (through scripts/kbuild) or
# a script. What objects make what modules is said in Kbuild.

# The build tree of the kernel to build for; without it, the cached guest kernel's.
KDIR ?=
export KDIR

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

.PHONY: help
help: ## This text.
	@scripts/help $(MAKEFILE_LIST)

.PHONY: run shell
run: ## Boot a guest on the Rust stack; fill and verify a file system on its disk.
	@scripts/setup run && scripts/run-guest run
shell: ## An interactive guest with the stack loaded.
	@scripts/setup run && scripts/run-guest shell

.PHONY: test test-debug test-outline test-debian host-test kunit
test: ## All tests: on the host, and in guests under QEMU.
	@scripts/setup test && scripts/test
test-debug: ## The guest tests with a kernel full of checkers (KASAN, lockdep, ...).
	@scripts/setup test && scripts/test debug
test-outline: ## The guest tests with CONFIG_RUST_INLINE_HELPERS=n.
	@scripts/setup test && scripts/test outline
test-debian: ## A Debian system with systemd whose root is a disk of the stack.
	@scripts/setup debian && scripts/test debian
host-test: ## The tests that need no guest: ring, config and request logic.
	@scripts/setup test && cargo nextest run -p host-tests
kunit: ## The KUnit suites, in a guest.
	@scripts/setup test && scripts/test -E 'binary(kunit)'

.PHONY: bench bench-ring profile
bench: ## Measure the Rust stack beside C [MODE=deterministic|wall] [CASES=<text in names>].
	@scripts/setup bench && scripts/bench run $(if $(MODE),--mode "$(MODE)") $(if $(CASES),--cases "$(CASES)")
bench-ring: ## The ring alone, on the host, beside those of C and of the crate virtio-drivers.
	@scripts/setup test && VIRTIO_KSRC=$$(scripts/kernel source) && export VIRTIO_KSRC && \
		cd tests/ring-bench && cargo bench --target-dir ../../target/ring-bench
profile: ## Where the instructions of one I/O go, by function [CASE=<name>] [STACK=rust|c].
	@scripts/setup bench && scripts/bench profile $(if $(CASE),--case "$(CASE)") $(if $(STACK),--stack "$(STACK)")

.PHONY: modules modules_install kernel graft ungraft
modules: ## Build the modules [KDIR=<configured and built 7.3 tree>] [LLVM=1 RUSTC=...].
	+@scripts/kbuild modules
modules_install: ## Install them under updates/ KDIR=... [INSTALL_MOD_PATH=<root>].
	+@scripts/kbuild modules_install
kernel: ## Build the guest kernel that the other targets use; prints its build tree.
	@scripts/setup build && scripts/kernel build guest
graft: ## Put the stack into a kernel source tree: KSRC=<tree>.
	@scripts/graft graft "$(KSRC)"
ungraft: ## Take it out again: KSRC=<tree>.
	@scripts/graft ungraft "$(KSRC)"

.PHONY: fmt fmt-check clippy rust-analyzer doc
fmt: ## Format all Rust files as the kernel does.
	@scripts/fmt
fmt-check: ## Fail if a Rust file is not formatted so.
	@scripts/fmt --check
clippy: ## Lint modules and tests; a warning is an error.
	+@VIRTIO_TESTS=y scripts/kbuild clippy && cargo clippy --workspace --all-targets -- -D warnings
rust-analyzer: ## Write rust-project.json for editors.
	+@scripts/kbuild rust-analyzer
doc: ## HTML documentation of the modules' crates.
	+@scripts/kbuild doc

.PHONY: clean clean-cache
clean: ## Remove what was built in this checkout.
	@rm -rf target rust-project.json
clean-cache: ## Remove cached kernels, sources, images and tools as well.
	@scripts/clean-cache
