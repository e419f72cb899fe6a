//! The WASI program: the machine bound to a WASI host.
