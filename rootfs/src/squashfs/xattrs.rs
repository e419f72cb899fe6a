//! Extended attributes: sets of them, to which inodes refer. Inodes with equal sets share one.

use std::collections::{BTreeMap, HashMap};

use super::fits_u32;
use super::format::{XATTR_PREFIXES, XattrId, encode_xattr};
use super::metadata::MetadataTable;
use crate::Error;

/// All attributes, and the list of sets.
#[derive(Debug, Default)]
pub(super) struct XattrTable {
    /// Sets by their bytes.
    known: HashMap<Vec<u8>, u32>,
    attributes: MetadataTable,
    sets: MetadataTable,
}

/// Whether the format has the name space of `name`.
pub(super) fn is_representable(name: &[u8]) -> bool {
    split(name).is_some()
}

impl XattrTable {
    /// The index of the set `xattrs`, less what is not representable; `None` if nothing is left.
    pub(super) fn index(
        &mut self,
        xattrs: &BTreeMap<Vec<u8>, Vec<u8>>,
    ) -> Result<Option<u32>, Error> {
        let mut bytes = Vec::new();
        let (mut count, mut size) = (0, 0);
        for (name, value) in xattrs {
            let Some((prefix, rest)) = split(name) else { continue };
            bytes.extend(encode_xattr(prefix, rest, value));
            count += 1;
            size += name.len() as u64 + 1 + value.len() as u64;
        }
        if count == 0 {
            return Ok(None);
        }
        if let Some(index) = self.known.get(&bytes) {
            return Ok(Some(*index));
        }
        let size = fits_u32("a file's extended attributes", size, "bytes")?;
        let xattr = self.attributes.end("the table of extended attributes")?;
        let index = fits_u32("the sets of extended attributes", self.known.len() as u64, "sets")?;
        self.attributes.push(&bytes);
        self.sets.push(&XattrId { xattr, count, size }.encode());
        self.known.insert(bytes, index);
        Ok(Some(index))
    }

    /// Number of sets.
    pub(super) fn count(&self) -> usize {
        self.known.len()
    }

    pub(super) fn attributes(&self) -> &MetadataTable {
        &self.attributes
    }

    pub(super) fn sets(&self) -> &MetadataTable {
        &self.sets
    }
}

/// The name space's number and the rest of the name.
fn split(name: &[u8]) -> Option<(u16, &[u8])> {
    XATTR_PREFIXES.iter().find_map(|(number, prefix)| Some((*number, name.strip_prefix(*prefix)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeMap<Vec<u8>, Vec<u8>> {
        names.iter().map(|name| (name.as_bytes().to_vec(), b"value".to_vec())).collect()
    }

    #[test]
    fn equal_sets_are_stored_once() {
        let mut table = XattrTable::default();
        assert_eq!(table.index(&set(&[])).unwrap(), None);
        assert_eq!(table.index(&set(&["system.posix_acl_access"])).unwrap(), None);
        assert_eq!(table.index(&set(&["user.a", "security.b"])).unwrap(), Some(0));
        assert_eq!(table.index(&set(&["user.a"])).unwrap(), Some(1));
        assert_eq!(table.index(&set(&["system.x", "security.b", "user.a"])).unwrap(), Some(0));
        assert_eq!(table.count(), 2);
    }

    #[test]
    fn a_set_is_encoded_as_mksquashfs_does() {
        let mut table = XattrTable::default();
        let values: [(&[u8], &[u8]); 2] = [(b"user.foo", b"bar"), (b"user.x", b"yyyyy")];
        let xattrs = values.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        table.index(&xattrs).unwrap();
        let attributes = b"\0\0\x03\0foo\x03\0\0\0bar\0\0\x01\0x\x05\0\0\0yyyyy";
        assert_eq!(table.attributes().len(), attributes.len() as u64);
        assert!(table.known.contains_key(&attributes[..]));
        assert_eq!(
            XattrId { xattr: Default::default(), count: 2, size: 24 }.encode()[8..],
            [2, 0, 0, 0, 24, 0, 0, 0]
        );
    }
}
