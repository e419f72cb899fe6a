//! The table of user and group numbers, to which inodes refer with 16 bits.

use std::collections::HashMap;

use super::format::MAX_IDS;
use super::metadata::MetadataTable;
use crate::Error;

/// Distinct numbers in order of their first use.
#[derive(Debug, Default)]
pub(super) struct IdTable {
    known: HashMap<u32, u16>,
    table: MetadataTable,
}

impl IdTable {
    /// The index of `id`, which is added if it is new.
    pub(super) fn index(&mut self, id: u32) -> Result<u16, Error> {
        if let Some(index) = self.known.get(&id) {
            return Ok(*index);
        }
        let index = self.count();
        if usize::from(index) == MAX_IDS {
            let what = "the number of different users and groups".to_owned();
            return Err(Error::TooLarge { what, limit: MAX_IDS, unit: "numbers" });
        }
        self.known.insert(id, index);
        self.table.push(&id.to_le_bytes());
        Ok(index)
    }

    pub(super) fn count(&self) -> u16 {
        self.known.len() as u16
    }

    pub(super) fn table(&self) -> &MetadataTable {
        &self.table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_too_many_is_refused() {
        let mut ids = IdTable::default();
        for id in 0..65_535 {
            assert_eq!(usize::from(ids.index(id + 7).unwrap()), id as usize);
        }
        assert_eq!(ids.index(8).unwrap(), 1);
        assert!(matches!(ids.index(1), Err(Error::TooLarge { limit: 65_535, .. })));
    }
}
