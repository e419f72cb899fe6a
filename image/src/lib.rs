//! Plain OCI values and the local content-addressed store.
