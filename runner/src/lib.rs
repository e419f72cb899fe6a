//! Runs an artifact on wasmtime.
