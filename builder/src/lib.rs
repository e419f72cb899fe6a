//! Dockerfile and context to OCI layers and image config.
