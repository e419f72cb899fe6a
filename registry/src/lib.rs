//! OCI registries (distribution-spec 1.1): authentication, verified and resumable transfers.
