//! Boot once, freeze, seal the rootfs in, read artifacts back.
