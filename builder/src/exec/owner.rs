//! `--chown` and USER: names are looked up in the image's own passwd and group.

use std::path::Path;

use lithify_rootfs::Tree;

use super::ExecError;
use crate::error::{Error, Hint};

/// A user database larger than this is refused.
const MAX_DATABASE_BYTES: usize = 16 << 20;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// Numeric owner and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Owner {
    /// Resolves `user[:group]`. A number without a group is also the group; a name brings its own.
    pub(super) fn resolve(text: &str, tree: &Tree) -> Result<Self, Error> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        if user.is_empty() || group == Some("") {
            return Err(ExecError::BadOwner { value: text.to_owned() }.into());
        }
        let mut owner = match user.parse() {
            Ok(uid) => Self { uid, gid: uid },
            Err(_) => {
                let [uid, gid] = lookup(tree, "user", user, PASSWD)?;
                Self { uid, gid }
            }
        };
        if let Some(group) = group {
            owner.gid = match group.parse() {
                Ok(gid) => gid,
                Err(_) => lookup::<1>(tree, "group", group, GROUP)?[0],
            };
        }
        Ok(owner)
    }
}

/// The first `N` numbers after name and password of the line with that name.
fn lookup<const N: usize>(
    tree: &Tree,
    what: &'static str,
    name: &str,
    file: &'static str,
) -> Result<[u32; N], Error> {
    let bytes = tree.read_file(Path::new(file), MAX_DATABASE_BYTES)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let found = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let numbers: Option<Vec<u32>> = fields.skip(1).take(N).map(|id| id.parse().ok()).collect();
        numbers?.try_into().ok()
    });
    found.ok_or_else(|| {
        let names = text.lines().filter_map(|line| line.split(':').next());
        let hint = Hint::nearest(name, names);
        ExecError::UnknownOwner { what, name: name.to_owned(), file, hint }.into()
    })
}

#[cfg(test)]
mod tests {
    use lithify_rootfs::{Content, Metadata, Node};

    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::new();
        let mut add = |path: &str, text: &str| {
            let node = Node::file(Metadata::file(), Content::inline(text.as_bytes().to_vec()));
            tree.insert(Path::new(path), node).unwrap();
        };
        add(PASSWD, "root:x:0:0::/root:/bin/sh\nbroken\nwww:x:33:34::/:/bin/false\n");
        add(GROUP, "root:x:0:\nstaff:x:50:www\n");
        tree
    }

    #[test]
    fn names_and_numbers() {
        let table = [
            ("www", 33, 34),
            ("www:staff", 33, 50),
            ("www:7", 33, 7),
            ("5", 5, 5),
            ("5:6", 5, 6),
            ("5:staff", 5, 50),
        ];
        for (text, uid, gid) in table {
            assert_eq!(Owner::resolve(text, &tree()).unwrap(), Owner { uid, gid }, "{text}");
        }
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest() {
        let message = |text| Owner::resolve(text, &tree()).unwrap_err().to_string();
        assert_eq!(
            message("wwww"),
            "user `wwww` is not in the image's /etc/passwd (did you mean `www`?)"
        );
        assert_eq!(message("0:nobody"), "group `nobody` is not in the image's /etc/group");
        assert_eq!(message("broken"), "user `broken` is not in the image's /etc/passwd");
        assert_eq!(message(":x"), "--chown=:x: expected USER[:GROUP]");
        let empty = Owner::resolve("www", &Tree::new()).unwrap_err().to_string();
        assert_eq!(empty, "user `www` is not in the image's /etc/passwd");
    }
}
