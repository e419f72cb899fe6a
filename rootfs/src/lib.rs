//! OCI layers to a merged tree to squashfs.
