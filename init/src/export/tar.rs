//! Writing a layer's tar: ustar headers, preceded by a PAX header where a field does not fit.
//!
//! Format: POSIX.1-2024, pax, "ustar Interchange Format" and "pax Header Block". The prefix field
//! stays empty: a path over 100 bytes is a PAX record.

use super::sparse::Sparse;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};

const BLOCK: usize = 512;

/// Bytes of the fields for the path and for a link's target.
const NAME_LEN: usize = 100;

/// Seven octal digits.
const MAX_ID: u32 = 0o777_7777;

/// Eleven octal digits.
const MAX_NUMBER: u64 = 0o777_7777_7777;

/// The port's driver copies each write into contiguous memory; this much it can find on a
/// fragmented machine too.
const BUFFER_LEN: usize = 16 << 10;

/// `typeflag`.
#[derive(Debug, Clone, Copy, Default)]
#[repr(u8)]
pub(super) enum Kind {
    #[default]
    File = b'0',
    HardLink = b'1',
    Symlink = b'2',
    CharacterDevice = b'3',
    BlockDevice = b'4',
    Directory = b'5',
    Fifo = b'6',
    Pax = b'x',
}

/// One archive member without its data.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Member<'a> {
    /// Ends in a slash for a directory.
    pub(super) path: &'a [u8],
    pub(super) kind: Kind,
    /// Permissions with the set-id and sticky bits.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds since the Unix epoch.
    pub(super) mtime: i64,
    /// Bytes of data that follow.
    pub(super) size: u64,
    /// Of a symbolic or hard link.
    pub(super) target: &'a [u8],
    /// Major and minor number.
    pub(super) device: (u32, u32),
    pub(super) attributes: &'a [(Vec<u8>, Vec<u8>)],
    /// Length of a sparse file, whose `size` counts its map and its data.
    pub(super) real_size: Option<u64>,
}

/// An archive as it is written.
pub(super) struct Writer<W: Write> {
    out: BufWriter<W>,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out: BufWriter::with_capacity(BUFFER_LEN, out) }
    }

    /// Appends a member; its data, if any, is the caller's to append next.
    pub(super) fn member(&mut self, member: &Member<'_>) -> io::Result<()> {
        let records = member.records();
        if !records.is_empty() {
            let size = records.len() as u64;
            let pax = Member { path: b"PaxHeaders", mode: 0o644, size, ..Member::default() };
            self.out.write_all(&Member { kind: Kind::Pax, ..pax }.header())?;
            self.out.write_all(&records)?;
            self.pad(size)?;
        }
        self.out.write_all(&member.header())
    }

    /// Appends a sparse file.
    pub(super) fn sparse_file(
        &mut self,
        member: &Member<'_>,
        mut file: File,
        sparse: &Sparse,
    ) -> io::Result<()> {
        let map = sparse.map();
        let data_len = sparse.data_len();
        let size = (map.len() as u64).next_multiple_of(BLOCK as u64) + data_len;
        self.member(&Member { size, real_size: Some(sparse.len), ..*member })?;
        self.out.write_all(&map)?;
        self.pad(map.len() as u64)?;
        for piece in &sparse.pieces {
            file.seek(SeekFrom::Start(piece.start))?;
            self.copy(&file, piece.end - piece.start)?;
        }
        self.pad(data_len)
    }

    /// Appends exactly `size` bytes. by `io::copy`: that splices, and the port's driver loses
    /// bytes when spliced to.
    pub(super) fn data(&mut self, from: impl Read, size: u64) -> io::Result<()> {
        self.copy(from, size)?;
        self.pad(size)
    }

    /// Not by `io::copy`: that splices, and the port's driver loses bytes when spliced to.
    fn copy(&mut self, mut from: impl Read, size: u64) -> io::Result<()> {
        let mut buffer = [0; BUFFER_LEN];
        let mut left = size;
        while left > 0 {
            let wanted = left.min(BUFFER_LEN as u64) as usize;
            from.read_exact(&mut buffer[..wanted])?;
            self.out.write_all(&buffer[..wanted])?;
            left -= wanted as u64;
        }
        Ok(())
    }

    /// Appends the end of the archive and writes out everything.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        self.out.write_all(&[0; BLOCK][..padding as usize])
    }
}

impl Member<'_> {
    /// PAX records for what the header cannot hold, sorted by key.
    fn records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        if let Some(len) = self.real_size {
            record(&mut records, b"GNU.sparse.major", b"1");
            record(&mut records, b"GNU.sparse.minor", b"0");
            record(&mut records, b"GNU.sparse.name", self.path);
            record(&mut records, b"GNU.sparse.realsize", len.to_string().as_bytes());
        }
        for (name, value) in self.attributes {
            record(&mut records, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
        }
        let times_fit = u64::try_from(self.mtime).is_ok_and(|mtime| mtime <= MAX_NUMBER);
        let needs: [(bool, &str, Vec<u8>); 6] = [
            (self.gid > MAX_ID, "gid", self.gid.to_string().into()),
            (self.target.len() > NAME_LEN, "linkpath", self.target.into()),
            (!times_fit, "mtime", self.mtime.to_string().into()),
            (self.path.len() > NAME_LEN && self.real_size.is_none(), "path", self.path.into()),
            (self.size > MAX_NUMBER, "size", self.size.to_string().into()),
            (self.uid > MAX_ID, "uid", self.uid.to_string().into()),
        ];
        for (_, key, value) in needs.iter().filter(|(needed, ..)| *needed) {
            record(&mut records, key.as_bytes(), value);
        }
        records
    }

    /// The ustar header; what does not fit is cut or zero there.
    fn header(&self) -> [u8; BLOCK] {
        let mut header = [0; BLOCK];
        let mtime = u64::try_from(self.mtime).unwrap_or(0);
        fill(&mut header[..100], self.path);
        octal(&mut header[100..108], self.mode.into());
        octal(&mut header[108..116], self.uid.into());
        octal(&mut header[116..124], self.gid.into());
        octal(&mut header[124..136], self.size);
        octal(&mut header[136..148], mtime);
        header[156] = self.kind as u8;
        fill(&mut header[157..257], self.target);
        fill(&mut header[257..265], b"ustar\x0000");
        octal(&mut header[329..337], self.device.0.into());
        octal(&mut header[337..345], self.device.1.into());
        add_checksum(&mut header);
        header
    }
}

/// The sum of all bytes, with spaces in its own place.
fn add_checksum(header: &mut [u8; BLOCK]) {
    header[148..156].fill(b' ');
    let sum = header.iter().copied().map(u64::from).sum();
    octal(&mut header[148..155], sum);
}

fn fill(field: &mut [u8], value: &[u8]) {
    let len = value.len().min(field.len());
    field[..len].copy_from_slice(&value[..len]);
}

/// Octal digits up to the field's last byte, which is a NUL; zero for a number that does not fit.
fn octal(field: &mut [u8], value: u64) {
    let width = field.len() - 1;
    let digits = format!("{value:0width$o}");
    fill(
        &mut field[..width],
        if digits.len() > width { &[b'0'; BLOCK] } else { digits.as_bytes() },
    );
}

/// Appends `LEN KEY=VALUE\n`, where the length counts its own digits.
fn record(to: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + " =\n".len();
    let len = (1..).map(|digits| rest + digits).find(|len| rest + digits_of(*len) == *len);
    to.extend_from_slice(len.unwrap_or(rest).to_string().as_bytes());
    for part in [b" ", key, b"=", value, b"\n"] {
        to.extend_from_slice(part);
    }
}

fn digits_of(number: usize) -> usize {
    number.to_string().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(members: &[(Member<'_>, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        for (member, data) in members {
            writer.member(member).expect("written");
            writer.data(*data, data.len() as u64).expect("written");
        }
        writer.finish().expect("written");
        bytes
    }

    #[test]
    fn a_foreign_reader_gets_every_field() {
        let path = [b"d/".as_slice(), &[b'p'; 200]].concat();
        let attributes = [(b"user.a".to_vec(), b"\x01=\xff".to_vec())];
        let file = Member {
            path: &path,
            mode: 0o4755,
            uid: 3_000_000,
            gid: 7,
            mtime: 1 << 34,
            size: 5,
            attributes: &attributes,
            ..Member::default()
        };
        let device = Member { path: b"n", kind: Kind::CharacterDevice, device: (12, 345), ..file };
        let archive = archive(&[(file, b"hello"), (Member { size: 0, ..device }, b"")]);
        let mut archive = tar::Archive::new(archive.as_slice());
        let mut entries = archive.entries().expect("an archive");

        let mut entry = entries.next().expect("a member").expect("valid");
        let mut data = String::new();
        entry.read_to_string(&mut data).expect("data");
        assert_eq!(data, "hello");
        assert_eq!(*entry.path_bytes(), path);
        let header = entry.header();
        assert_eq!(header.mode().expect("mode"), 0o4755);
        assert_eq!(header.gid().expect("gid"), 7);
        let records = entry.pax_extensions().expect("valid").expect("there");
        let records: Vec<_> = records.map(|record| record.expect("valid")).collect();
        let find = |key: &str| {
            let found = records.iter().find(|record| record.key() == Ok(key));
            found.map(|record| record.value_bytes().to_vec())
        };
        assert_eq!(find("uid"), Some(b"3000000".to_vec()));
        assert_eq!(find("mtime"), Some((1_u64 << 34).to_string().into_bytes()));
        assert_eq!(find("SCHILY.xattr.user.a"), Some(b"\x01=\xff".to_vec()));

        let entry = entries.next().expect("a member").expect("valid");
        assert!(entry.header().entry_type().is_character_special());
        assert_eq!(entry.header().device_major().expect("number"), Some(12));
        assert_eq!(entry.header().device_minor().expect("number"), Some(345));
        assert!(entries.next().is_none());
    }

    #[test]
    fn a_record_counts_its_own_length() {
        for (len, want) in [(1, "5 a=\n"), (3, "7 a=..\n"), (5, "9 a=....\n"), (6, "11 a=.....\n")]
        {
            let mut bytes = Vec::new();
            record(&mut bytes, b"a", &vec![b'.'; len - 1]);
            assert_eq!(String::from_utf8(bytes).expect("ascii"), want);
        }
    }

    #[test]
    fn numbers_beyond_the_header_are_records() {
        let member = Member { size: 1 << 33, mtime: -1, gid: MAX_ID, ..Member::default() };
        assert_eq!(member.records(), b"12 mtime=-1\n19 size=8589934592\n");
        assert_eq!(member.header()[124..148], *b"00000000000\x0000000000000\0");
        assert_eq!(Member { size: MAX_NUMBER, ..Member::default() }.records(), b"");
    }

    #[test]
    fn an_empty_archive_is_two_blocks_of_zeros() {
        assert_eq!(archive(&[]), [0; 1024]);
    }

    #[test]
    fn a_file_shorter_than_announced_is_an_error() {
        let mut writer = Writer::new(Vec::new());
        assert!(writer.data(&b"four"[..], 5).is_err());
    }
}
