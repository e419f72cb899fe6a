//! End-to-end tests: a Dockerfile becomes one `.wasm`, and it runs on stock wasmtime and by
//! `lithify run`.
//!
//! They stand on what the Makefile builds and names: `LITHIFY_BOOT_FILES` (kernel, initramfs and
//! emulator), `LITHIFY_TEST_BASE` (the Debian base image, an OCI layout) and `LITHIFY_WASMTIME`
//! (the stock runtime). Without one of them each test prints why it is skipped. Slow ones are
//! ignored unless asked for: `make test-full`.

mod bad_artifacts;
mod bad_builds;
mod bundle;
mod command;
mod debian;
mod debian_app;
mod debian_base;
mod disk_full;
mod equality;
mod exit_codes;
mod hostile;
mod idle;
mod memory;
mod mounts;
mod network;
mod postgres;
mod registry;
mod renewal;
mod reproducible;
mod rom;
mod round_trip;
mod run_mounts;
mod run_network;
mod run_ssh;
mod run_steps;
mod run_steps_cached;
mod save;
mod screen;
mod signals;
mod statistics;
mod streams;
mod support;
mod terminal;
mod translation;
mod warm;
mod web;
