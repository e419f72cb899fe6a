# `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Cargo and the kernel's make each use all processors: one of them at a time.
.NOTPARALLEL:

CARGO ?= cargo
CARGO_HOME ?= $(HOME)/.cargo
export CARGO_TARGET_DIR ?= $(CURDIR)/target

INIT_TARGET := riscv64gc-unknown-linux-gnu
VM_TARGET := wasm32-wasip1
# The same bytes from any folder: sources are named relative to the workspace and to Cargo's home.
remap = --config 'target.$(1).rustflags=["--remap-path-prefix=$(CURDIR)=.","--remap-path-prefix=$(CARGO_HOME)=cargo"]'
build_init = $(CARGO) build --profile guest -p lithify-init --target $(INIT_TARGET) $(call remap,$(INIT_TARGET))
build_vm = $(CARGO) build --profile guest -p lithify-vm --target $(VM_TARGET) $(call remap,$(VM_TARGET))
build_component = $(CARGO) build --profile guest -p lithify-component --target $(VM_TARGET) $(call remap,$(VM_TARGET))

BOOT := $(CURDIR)/target/boot
BASE := $(CURDIR)/target/base/debian-trixie-python3
MIRROR := $(CURDIR)/target/mirror
WASMTIME = $$(ci/wasmtime.sh)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 16

.PHONY: setup
setup: ## install the packages and the toolchain that the build needs
	@ci/setup.sh

.PHONY: kernel
kernel: setup ## the guest's Linux (cached; see kernel/README.md)
	@kernel/build.sh riscv64 $(BOOT)/kernel-riscv64

.PHONY: init
init: setup
	@mkdir -p $(BOOT)
	$(build_init)
	@ci/initramfs.py $(CARGO_TARGET_DIR)/$(INIT_TARGET)/guest/lithify-init $(BOOT)/initramfs-riscv64.cpio

.PHONY: emulator
emulator: setup
	@mkdir -p $(BOOT)
	$(build_vm)
	@install -m 644 $(CARGO_TARGET_DIR)/$(VM_TARGET)/guest/lithify_vm.wasm $(BOOT)/emulator-riscv64.wasm

.PHONY: component
component: setup
	@mkdir -p $(BOOT)
	$(build_component)
	@install -m 644 $(CARGO_TARGET_DIR)/$(VM_TARGET)/guest/lithify_component.wasm $(BOOT)/component.wasm

# The command that makes the profile and the base where none is cached: in the profile that is built anyway.
profile := release
test test-full: profile := dev
lithify = $(CARGO) run --quiet --profile $(profile) -p lithify --

.PHONY: system-profile
system-profile: kernel init emulator
	@ci/system-profile.sh $(BOOT) $(lithify)

.PHONY: boot-files
boot-files: kernel init emulator component system-profile ## what an artifact boots from and a component runs

.PHONY: base
base: boot-files ## the Debian trixie base image with python3 (cached OCI layout)
	@LITHIFY_BOOT_FILES=$(BOOT) ci/debian-base.sh --with python3 $(BASE) $(lithify)

.PHONY: mirror
mirror: setup ## the packages that the slow tests install (cached Debian mirror)
	@ci/debian-mirror.sh $(MIRROR) gcc less libc6-dev libsqlite3-dev make postgresql-17 procps sqlite3 vim-tiny

.PHONY: examples
examples: setup examples/hello/hello

examples/hello/hello: examples/hello/hello.c
	@riscv64-linux-gnu-gcc -O2 -static -s -o $@ $<

.PHONY: build
build: setup ## the lithify command, optimised
	$(CARGO) build --release -p lithify

# Static, so that it runs where nothing is installed.
RUN_TARGET := $(shell uname -m)-unknown-linux-musl

.PHONY: runner
runner: setup ## lithify-run, the runner without a compiler: small and static
	@rustup target add $(RUN_TARGET) 2>/dev/null
	CC_$(subst -,_,$(RUN_TARGET))=musl-gcc $(CARGO) build --profile tiny -p lithify-runner \
		--no-default-features --bin lithify-run --target $(RUN_TARGET)

.PHONY: demo
demo: build boot-files base examples ## build three images and run each on stock wasmtime and by lithify
	@ci/demo.sh $(CARGO_TARGET_DIR)/release/lithify $(BOOT) $(BASE) $(WASMTIME)

# What the end-to-end tests stand on.
RUNNER := $(CARGO_TARGET_DIR)/$(RUN_TARGET)/tiny/lithify-run
test_environment = LITHIFY_RUNNER=$(RUNNER) LITHIFY_BOOT_FILES=$(BOOT) LITHIFY_TEST_BASE=$(BASE) LITHIFY_TEST_MIRROR=$(MIRROR) LITHIFY_WASMTIME=$(WASMTIME)

.PHONY: test
test: boot-files base runner examples ## every test but the slow ones
	$(test_environment) $(CARGO) test --no-fail-fast
	$(test_environment) $(CARGO) test --no-fail-fast -p lithify-init

.PHONY: test-full
test-full: boot-files base mirror runner examples ## every test
	$(test_environment) $(CARGO) test --no-fail-fast -- --include-ignored
	$(test_environment) $(CARGO) test --no-fail-fast -p lithify-init -- --include-ignored
	CARGO="$(CARGO)" fuzz/run.sh

.PHONY: fuzz
fuzz: setup ## the fuzz targets, SECONDS_EACH=60 each
	@CARGO="$(CARGO)" fuzz/run.sh

.PHONY: bench
bench: build runner boot-files base ## guest programs, cold starts, builds and pulls beside QEMU, runc, skopeo and the host
	$(CARGO) build --profile guest -p lithify-machine --example native --example qemu
	@benches/programs.py $(CARGO_TARGET_DIR)/release/lithify $(BOOT) $(BASE) $(WASMTIME) \
		$(CARGO_TARGET_DIR)/guest/examples
	@benches/coldstart.py $(CARGO_TARGET_DIR)/release/lithify \
		$(CARGO_TARGET_DIR)/$(RUN_TARGET)/tiny/lithify-run $(BOOT) $(BASE) $(WASMTIME)
	@benches/mounts.py $(CARGO_TARGET_DIR)/release/lithify $(BOOT) $(BASE) $(WASMTIME) \
		$(CARGO_TARGET_DIR)/guest/examples/native
	@benches/network.py $(CARGO_TARGET_DIR)/release/lithify $(BOOT) $(BASE) $(CARGO_TARGET_DIR)/guest/examples/native
	@benches/responsiveness.py $(CARGO_TARGET_DIR)/release/lithify $(BOOT) $(BASE)
	@benches/warm.py $(CARGO_TARGET_DIR)/release/lithify $(BOOT) $(BASE)
	@benches/web.py $(CARGO_TARGET_DIR)/release/lithify $(BOOT) $(BASE) $(WASMTIME)
	@benches/builds.py $(CARGO_TARGET_DIR)/release/lithify $(BOOT) $(BASE)
	@benches/rom.py $(CARGO_TARGET_DIR)/release/lithify $(BOOT) $(BASE) $(WASMTIME)
	@benches/registry.py $(CARGO_TARGET_DIR)/release/lithify

.PHONY: fmt
fmt: ## format the Rust sources
	$(CARGO) fmt --all

.PHONY: lint
lint: setup ## formatting, clippy for all three targets, shell syntax
	$(CARGO) fmt --all --check
	$(CARGO) clippy --all-targets -- -D warnings
	$(CARGO) clippy -p lithify-init --all-targets -- -D warnings
	$(CARGO) clippy -p lithify-vm -p lithify-component --target $(VM_TARGET) -- -D warnings
	@for script in ci/*.sh kernel/*.sh .ci/run; do bash -n "$$script"; done

.PHONY: doc
doc: setup ## API documentation, warnings are errors
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps --document-private-items -p lithify-init
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps -p lithify-vm -p lithify-component --target $(VM_TARGET)
