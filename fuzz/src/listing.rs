//! A tree as lines, to be compared.

use std::io::Read;

use lithify_rootfs::{Kind, Tree};

/// A line for each entry: path, metadata, links, and a sample of the bytes of huge files.
pub fn listing(tree: &Tree) -> Vec<String> {
    tree.walk()
        .map(|entry| {
            let kind = match &entry.node.kind {
                Kind::File(content) => {
                    let mut bytes = Vec::new();
                    let read = content.reader().take(1 << 20).read_to_end(&mut bytes);
                    read.expect("the bytes of a file in memory");
                    format!("file of {}: {bytes:?}", content.len())
                }
                kind => format!("{kind:?}"),
            };
            format!("{:?} {:?} {:?} {kind}", entry.path, entry.link_of, entry.node.meta)
        })
        .collect()
}
