//! Decisions where the OCI, tar and squashfs specifications are silent.
//!
//! **Order within a layer.** Whiteouts and opaque markers take effect first, on the lower layers
//! only, wherever they stand in the tar; then entries in order, a later one replacing an earlier
//! one of the same path.
//!
//! **Directories.** A directory over a directory changes its metadata and keeps its entries. Over
//! anything else, also over a symbolic link to a directory, it replaces it. Anything else over a
//! directory removes all that is below. Parents that no entry describes are 0755, owned by root, at
//! the epoch. The root is the same unless a layer has an entry for it; the last one wins.
//!
//! **Paths.** `./` and `/` in front are the root. `..` is refused in names and in hard link
//! targets: no layer writer needs it. Symbolic links among the parents of an entry are followed
//! within the root; where they lead to nothing, the directories are made there. A whiteout does not
//! follow a link that its own layer replaces with a directory.
//!
//! **Hard links.** The target is an earlier entry of the layer or exists in a lower layer; a link to
//! a symbolic link links that itself. The link's own metadata is ignored: it shares the target's.
//! A target that does not exist is an error, as is a directory.
//!
//! **AUFS.** Names beginning with `.wh..wh.`, except the opaque marker, are left-overs of AUFS and
//! ignored.
//!
//! **Times.** Squashfs keeps whole seconds from 1970 to 2106; times are rounded down and clamped to
//! that. `SOURCE_DATE_EPOCH` applies to the layers that a build makes ([`crate::LayerBuilder`]),
//! not to base layers: those are fixed by their digests and reproduce anyway, and Python compares
//! the time of a source with the one noted in its `.pyc`, so a changed time would make each start
//! compile everything again. [`crate::SquashfsOptions::mtime_limit`] clamps all where that is
//! wanted. The time in the superblock is 0.
//!
//! **Owners.** Numbers only; the names in tar headers are not looked at.
//!
//! **Global PAX headers** are ignored, as by Go's reader.
//!
//! **Sparse files.** Holes that a layer or the host's file system knows of are never read. A layer
//! that a build writes stores a file sparsely if its blocks of zeros (64 KiB) add up to 1 MiB,
//! whether they were holes or not: the layer depends on the bytes alone. The format is GNU tar's
//! 1.0.
//!
//! **Equal files** are stored once, found by SHA-256: with a hash that can be forged, a data file
//! made to collide with a program would take its place. The hash covers the lengths of the file and
//! of its blocks, so that holes need not be hashed. A [`crate::SquashfsView`] does not look for
//! equal files: it reads none.
//!
//! **Nothing is compressed**: the guest's processor is emulated, so decompressing there would cost
//! several times what the whole start costs otherwise. What carries the image compresses it.
//!
//! **Blocks of 64 KiB, fragments for short files.** Files shorter than a block share fragments; the
//! end of a longer file is a short block of its own. Uncompressed, neither changes the size. In the
//! guest, a start of Python takes 0.3 % fewer instructions this way than with the ends in
//! fragments. Without fragments it would take 0.3 % less still, but reading 1,500 small files 6 %
//! more. Of 16, 32, 64 and 128 KiB, 64 is best or within 0.3 % of it, and 16 takes 6 % more. Blocks
//! of zeros are holes.
//!
//! **Order.** Data lies in the order of the walk, so files of one directory are neighbours. Inodes
//! lie directory by directory, a directory after all that is in it. Inode numbers follow that order.
//!
//! **Directory index.** A listing longer than a metadata block (8 KiB) has an entry for each block;
//! `mksquashfs` does the same.
//!
//! **Extended attributes** outside `user.`, `trusted.` and `security.` cannot be represented and
//! come back as [`crate::Warning`]s. Equal sets of attributes are stored once, equal values of
//! different sets are not.
//!
//! **Numbers of users and groups.** Inodes could refer to 65,536 of them, but their count is a
//! 16-bit number too: 65,535.
