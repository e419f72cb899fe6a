//! Users and groups as the container's own `/etc/passwd` and `/etc/group` name them.
//!
//! The rules are docker's: a number is always an id, with or without an entry; a name must have
//! one; supplementary groups come with a user that has an entry and no explicit group.

use rustix::fs::{FileType, Mode, OFlags};
use std::fs::File;
use std::io::Read;

/// Bytes read of each file. An image can make them endless; what lies beyond does not exist.
const MAX_FILE_LEN: u64 = 1 << 20;

/// Highest id that docker accepts; higher ones turn negative in many programs.
const MAX_ID: u32 = i32::MAX as u32;

/// The two files, read before the freeze.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    passwd: Vec<u8>,
    group: Vec<u8>,
}

/// Whom the container's process runs as.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// User id.
    pub(crate) uid: u32,
    /// Group id.
    pub(crate) gid: u32,
    /// Supplementary group ids; the first is `gid`.
    pub(crate) groups: Vec<u32>,
    /// Home directory, `/` without an entry.
    pub(crate) home: Vec<u8>,
}

/// Why `user[:group]` names nobody.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccountError {
    /// No entry has this name.
    #[error("user \"{0}\" has no entry in the image's /etc/passwd")]
    UnknownUser(String),
    /// No entry has this name.
    #[error("group \"{0}\" has no entry in the image's /etc/group")]
    UnknownGroup(String),
    /// The number is too large for an id.
    #[error("id {0} is over {MAX_ID}")]
    OutOfRange(String),
}

impl Accounts {
    /// Reads the files of the caller's root. A missing one has no entries.
    pub(crate) fn read() -> Self {
        Self { passwd: read_lines("/etc/passwd"), group: read_lines("/etc/group") }
    }

    /// Looks up `user[:group]`; empty means root.
    ///
    /// # Errors
    /// If a name has no entry, or a number is out of range.
    pub(crate) fn resolve(&self, spec: &[u8]) -> Result<Account, AccountError> {
        let mut parts = spec.splitn(3, |&byte| byte == b':');
        let user = parts.next().unwrap_or_default();
        let group = parts.next().unwrap_or_default();
        let wanted = if user.is_empty() { Some(0) } else { id(user)? };
        let entry = self.users().find(|entry| match wanted {
            Some(uid) => entry.uid == uid,
            None => entry.name == user,
        });
        let uid = entry.as_ref().map(|entry| entry.uid).or(wanted);
        let uid = uid.ok_or_else(|| AccountError::UnknownUser(text(user)))?;
        let gid = match entry.as_ref() {
            _ if !group.is_empty() => self.group_id(group)?,
            Some(entry) => entry.gid,
            None => 0,
        };
        let mut groups = vec![gid];
        if let (Some(entry), true) = (&entry, group.is_empty()) {
            groups.extend(self.groups_of(entry.name).filter(|&other| other != gid));
        }
        let home = entry.map_or(&b""[..], |entry| entry.home);
        let home = if home.is_empty() { b"/".to_vec() } else { home.to_vec() };
        Ok(Account { uid, gid, groups, home })
    }

    fn group_id(&self, group: &[u8]) -> Result<u32, AccountError> {
        if let Some(gid) = id(group)? {
            return Ok(gid);
        }
        self.groups()
            .find(|entry| entry.name == group)
            .map(|entry| entry.gid)
            .ok_or_else(|| AccountError::UnknownGroup(text(group)))
    }

    fn groups_of<'a>(&'a self, user: &'a [u8]) -> impl Iterator<Item = u32> + 'a {
        let has = move |entry: &GroupEntry<'_>| entry.members.split(is_comma).any(|m| m == user);
        self.groups().filter(has).map(|entry| entry.gid)
    }

    fn users(&self) -> impl Iterator<Item = UserEntry<'_>> {
        lines(&self.passwd).filter_map(UserEntry::parse)
    }

    fn groups(&self) -> impl Iterator<Item = GroupEntry<'_>> {
        lines(&self.group).filter_map(GroupEntry::parse)
    }
}

/// passwd(5).
struct UserEntry<'a> {
    name: &'a [u8],
    uid: u32,
    gid: u32,
    home: &'a [u8],
}

impl<'a> UserEntry<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.split(|&byte| byte == b':');
        let name = fields.next()?;
        let uid = id(fields.nth(1)?).ok()??;
        let gid = id(fields.next()?).ok()??;
        Some(Self { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
    }
}

/// group(5).
struct GroupEntry<'a> {
    name: &'a [u8],
    gid: u32,
    members: &'a [u8],
}

impl<'a> GroupEntry<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.split(|&byte| byte == b':');
        let name = fields.next()?;
        let gid = id(fields.nth(1)?).ok()??;
        Some(Self { name, gid, members: fields.next().unwrap_or_default() })
    }
}

/// `None` if `word` is a name, not a number.
fn id(word: &[u8]) -> Result<Option<u32>, AccountError> {
    if word.is_empty() || !word.iter().all(u8::is_ascii_digit) {
        return Ok(None);
    }
    let number = text(word).parse().ok().filter(|&number| number <= MAX_ID);
    number.map(Some).ok_or_else(|| AccountError::OutOfRange(text(word)))
}

fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    file.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii)
}

fn is_comma(byte: &u8) -> bool {
    *byte == b','
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn read_lines(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(file) = open_regular(path) {
        // An error leaves what was read, which is then as good as a shorter file.
        let _ = file.take(MAX_FILE_LEN).read_to_end(&mut bytes);
    }
    if bytes.len() as u64 == MAX_FILE_LEN {
        // The last line may be cut within a number.
        bytes.truncate(bytes.iter().rposition(|&byte| byte == b'\n').unwrap_or(0));
    }
    bytes
}

/// A pipe or device in the file's place must not hold the boot up.
fn open_regular(path: &str) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let mode = rustix::fs::fstat(&file).ok()?.st_mode;
    (FileType::from_raw_mode(mode) == FileType::RegularFile).then(|| file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        let passwd = "root:x:0:0:root:/root:/bin/bash\n\
            # comment:x:1:1::/:/\n\
            broken:x:ten:10::/broken:\n\
            short:x:11\n\
            web:x:33:34:web:/var/www:/bin/sh\n\
            nohome:x:50:50\n\
            7:x:1007:1007:a name of digits:/seven:/bin/sh\n";
        let group =
            "root:x:0:\nstaff:x:50:web,root\naudio:x:29:other,web\nwww:x:34:web\nbad:x:y:web\n";
        Accounts { passwd: passwd.into(), group: group.into() }
    }

    fn account(uid: u32, groups: &[u32], home: &str) -> Account {
        Account { uid, gid: groups[0], groups: groups.to_vec(), home: home.into() }
    }

    #[test]
    fn users_resolve_by_dockers_rules() {
        for (spec, want) in [
            ("", account(0, &[0, 50], "/root")),
            ("root", account(0, &[0, 50], "/root")),
            ("web", account(33, &[34, 50, 29], "/var/www")),
            ("33", account(33, &[34, 50, 29], "/var/www")),
            ("web:audio", account(33, &[29], "/var/www")),
            ("web:1234", account(33, &[1234], "/var/www")),
            (":audio", account(0, &[29], "/root")),
            ("web:", account(33, &[34, 50, 29], "/var/www")),
            ("nohome", account(50, &[50], "/")),
            // A number is an id even where it is also a name.
            ("7", account(7, &[0], "/")),
            ("4242", account(4242, &[0], "/")),
            ("4242:staff", account(4242, &[50], "/")),
        ] {
            assert_eq!(accounts().resolve(spec.as_bytes()), Ok(want), "{spec}");
        }
    }

    #[test]
    fn what_names_nobody_is_an_error() {
        use AccountError::{OutOfRange, UnknownGroup, UnknownUser};
        for (spec, want) in [
            ("ghost", UnknownUser("ghost".into())),
            ("broken", UnknownUser("broken".into())),
            ("-1", UnknownUser("-1".into())),
            ("web:ghosts", UnknownGroup("ghosts".into())),
            ("2147483648", OutOfRange("2147483648".into())),
            ("0:99999999999999", OutOfRange("99999999999999".into())),
        ] {
            assert_eq!(accounts().resolve(spec.as_bytes()), Err(want), "{spec}");
        }
    }

    #[test]
    fn numbers_need_no_files() {
        let none = Accounts::default();
        assert_eq!(none.resolve(b""), Ok(account(0, &[0], "/")));
        assert_eq!(none.resolve(b"1000:1001"), Ok(account(1000, &[1001], "/")));
    }

    #[test]
    fn an_endless_file_is_cut_at_a_line() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("passwd");
        let lines = "u:x:123456:1::/:\n".repeat((MAX_FILE_LEN as usize / 17) + 100);
        std::fs::write(&path, lines).expect("written");
        let read = read_lines(path.to_str().expect("utf-8"));
        assert!(read.len() as u64 <= MAX_FILE_LEN);
        assert!(read.ends_with(b"u:x:123456:1::/:"));
        assert!(read_lines("/dev/zero").is_empty());
    }
}
