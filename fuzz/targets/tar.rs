//! Any bytes as a layer: merged or refused; what is merged survives being written as a layer again,
//! and its disk can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lithify_fuzz::{blob, listing};
use lithify_rootfs::{LayerBuilder, SquashfsOptions, SquashfsView, Tree};

/// Of the disk, so much is read: holes make it huge.
const MAX_READ: u64 = 4 << 20;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    mend_checksums(&mut bytes);
    let mut tree = Tree::new();
    if let Err(error) = tree.apply_layer(&blob(&bytes)) {
        assert!(!error.to_string().is_empty());
        return;
    }
    let listed = listing(&tree);
    let mut layer = LayerBuilder::new(None);
    for entry in tree.walk() {
        match &entry.link_of {
            Some(existing) => layer.hard_link(existing, &entry.path).expect("a link"),
            None => layer.put(&entry.path, entry.node.clone()).expect("a node within the caps"),
        }
    }
    let total: u64 = bytes.len() as u64 * 1000;
    if listed.iter().map(|line| line.len() as u64).sum::<u64>() < total && is_small(&tree) {
        let mut again = Vec::new();
        layer.write(&mut again).expect("a layer");
        let mut merged = Tree::new();
        merged.apply_layer(&blob(&again)).expect("a layer of our own");
        assert_eq!(listed, listing(&merged));
    }
    if let Ok((view, _)) = SquashfsView::new(&tree, &SquashfsOptions::default()) {
        let mut read = vec![0; view.len().min(MAX_READ) as usize];
        view.read_at(&mut read, 0).expect("the start of the disk");
    }
});

/// Whether no file is so long that writing it takes long.
fn is_small(tree: &Tree) -> bool {
    tree.walk().all(|entry| match &entry.node.kind {
        lithify_rootfs::Kind::File(content) => content.len() < 8 << 20,
        _ => true,
    })
}

/// Gives each block the checksum of a header: else nearly all input ends there.
fn mend_checksums(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}
