//! Owners and permissions, which the host does not have.
//!
//! Docker's file sharing on other systems does the same: everything belongs to whom the mount is
//! for. What a guest changes is remembered, so that programs which check what they set (`git`,
//! `postgres`, `ssh`) are content, and forgotten with the machine.

use crate::tree::Kind;
use std::collections::BTreeMap;

/// Most files whose changed owner or mode is remembered: a guest that makes files for ever must not
/// fill the host's memory. Of the rest a change is accepted and lost.
pub const MAX_REMEMBERED: usize = 1 << 16;

/// Every file's permissions unless they are remembered: programs can be executed from the mount.
const MODE: u32 = 0o755;
const SYMLINK_MODE: u32 = 0o777;

/// Owner and permission bits of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Permission bits, with set-user-id and its kind.
pub(crate) const PERMISSIONS: u32 = 0o7777;

/// Owners and permissions of all files, by the path of their qid.
#[derive(Debug, Default)]
pub(crate) struct Ownership {
    uid: u32,
    gid: u32,
    remembered: BTreeMap<u64, Attributes>,
}

impl Ownership {
    /// Whom files belong to: `UID:GID` in decimal. Anything else changes nothing.
    pub(crate) fn set_owner(&mut self, text: &str) {
        let owner = text
            .split_once(':')
            .and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
        (self.uid, self.gid) = owner.unwrap_or((self.uid, self.gid));
    }

    /// The user whom files belong to.
    pub(crate) fn user(&self) -> u32 {
        self.uid
    }

    fn unchanged(&self, kind: Kind) -> Attributes {
        let mode = if kind == Kind::Symlink { SYMLINK_MODE } else { MODE };
        Attributes { mode, uid: self.uid, gid: self.gid }
    }

    pub(crate) fn of(&self, kind: Kind, file: u64) -> Attributes {
        self.remembered.get(&file).copied().unwrap_or(self.unchanged(kind))
    }

    pub(crate) fn set(&mut self, kind: Kind, file: u64, attributes: Attributes) {
        if attributes == self.unchanged(kind) {
            self.remembered.remove(&file);
        } else if self.remembered.len() < MAX_REMEMBERED || self.remembered.contains_key(&file) {
            self.remembered.insert(file, attributes);
        }
    }

    /// The file is gone; its number may become another's.
    pub(crate) fn forget(&mut self, file: u64) {
        self.remembered.remove(&file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_remembered_up_to_a_bound() {
        let mut ownership = Ownership::default();
        ownership.set_owner("1000:100");
        let mine = Attributes { mode: 0o755, uid: 1000, gid: 100 };
        assert_eq!(ownership.of(Kind::File, 1), mine);
        let private = Attributes { mode: 0o600, ..mine };
        for file in 0..MAX_REMEMBERED as u64 + 10 {
            ownership.set(Kind::File, file, private);
        }
        assert_eq!(ownership.of(Kind::File, 0), private);
        assert_eq!(ownership.of(Kind::File, MAX_REMEMBERED as u64), mine);
        ownership.forget(0);
        ownership.set(Kind::File, 1, mine);
        ownership.set(Kind::File, MAX_REMEMBERED as u64, private);
        assert_eq!(ownership.remembered.len(), MAX_REMEMBERED - 1);
    }

    #[test]
    fn an_owner_is_two_numbers() {
        let mut ownership = Ownership::default();
        for text in ["", "root", "1", "1:", ":1", "a:b", "-1:1", "4294967296:0"] {
            ownership.set_owner(text);
            assert_eq!((ownership.uid, ownership.gid), (0, 0), "{text}");
        }
        ownership.set_owner("7:8");
        assert_eq!((ownership.uid, ownership.gid), (7, 8));
    }
}
