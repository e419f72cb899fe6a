//! A client that writes messages by hand.

use lithify_hostdir::HostDir;
use lithify_ninep::native::NativeTree;
use lithify_ninep::{Export, Server};
use std::path::Path;
use tempfile::TempDir;

pub(crate) const NO_FID: u32 = u32::MAX;

/// Fid of the first export's root after [`Client::mounted`].
pub(crate) const ROOT: u32 = 1;

pub(crate) const NOENT: u32 = 2;
pub(crate) const NOTDIR: u32 = 20;
pub(crate) const ROFS: u32 = 30;

/// A message's fields.
#[derive(Debug, Default, Clone)]
pub(crate) struct Fields(pub(crate) Vec<u8>);

impl Fields {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn str(self, value: &str) -> Self {
        let mut fields = self.u16(value.len() as u16);
        fields.0.extend(value.as_bytes());
        fields
    }

    pub(crate) fn bytes(mut self, value: &[u8]) -> Self {
        self.0.extend(value);
        self
    }
}

/// An answer's fields.
pub(crate) struct Answer(Vec<u8>);

impl Answer {
    pub(crate) fn take<const N: usize>(&mut self) -> [u8; N] {
        let rest = self.0.split_off(N);
        std::mem::replace(&mut self.0, rest).try_into().unwrap()
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    pub(crate) fn str(&mut self) -> String {
        let len = self.u16().into();
        let rest = self.0.split_off(len);
        String::from_utf8(std::mem::replace(&mut self.0, rest)).unwrap()
    }

    pub(crate) fn rest(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The attributes that tests look at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) links: u64,
    pub(crate) size: u64,
    pub(crate) modified: (u64, u64),
}

pub(crate) struct Client {
    pub(crate) server: Server,
    pub(crate) folder: TempDir,
}

impl Client {
    /// A session on `0` (writable) and `1` (read-only), both the same new folder.
    pub(crate) fn mounted() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let export = |read_only| Export {
            tree: Box::new(NativeTree::new(HostDir::open(folder.path()).unwrap())),
            read_only,
        };
        let exports = vec![export(false), export(true)];
        Self::of(exports, folder)
    }

    /// A session on `0`, the file `single` of a new folder.
    pub(crate) fn mounted_single() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("single"), "abc").unwrap();
        let tree = NativeTree::new(HostDir::open_single(&folder.path().join("single")).unwrap());
        Self::of(vec![Export { tree: Box::new(tree), read_only: false }], folder)
    }

    fn of(exports: Vec<Export>, folder: TempDir) -> Self {
        let mut client = Self { server: Server::new(exports), folder };
        client.begin();
        client.attach(0, u32::MAX, "1000:100").unwrap();
        client.walk(0, ROOT, &["0"]).unwrap();
        client
    }

    pub(crate) fn begin(&mut self) {
        let fields = Fields::new().u32(1 << 20).str("9P2000.L");
        let mut answer = self.call(100, fields).unwrap();
        assert_eq!((answer.u32(), answer.str().as_str()), (512 << 10, "9P2000.L"));
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Sends a message; the answer, or the error number.
    pub(crate) fn call(&mut self, kind: u8, fields: Fields) -> Result<Answer, u32> {
        const TAG: u16 = 0x1234;
        let len = 7 + fields.0.len() as u32;
        let mut message = Fields::new().u32(len).u8(kind).u16(TAG);
        message.0.extend(fields.0);
        let mut bytes = Vec::new();
        self.server.serve(&message.0, &mut bytes);
        let mut answer = Answer(bytes);
        assert_eq!(answer.u32() as usize, answer.0.len() + 4);
        let answer_kind = answer.u8();
        assert_eq!(answer.u16(), TAG);
        if answer_kind == 7 {
            return Err(answer.u32());
        }
        assert_eq!(answer_kind, kind + 1);
        Ok(answer)
    }

    /// Sends a message whose answer has no fields.
    pub(crate) fn done(&mut self, kind: u8, fields: Fields) -> Result<(), u32> {
        self.call(kind, fields).map(|answer| assert!(answer.is_empty()))
    }

    pub(crate) fn attach(&mut self, fid: u32, user: u32, name: &str) -> Result<(), u32> {
        let fields = Fields::new().u32(fid).u32(NO_FID).str(name).str("").u32(user);
        self.call(104, fields).map(drop)
    }

    /// Returns how far the walk came.
    pub(crate) fn walk(&mut self, fid: u32, new: u32, names: &[&str]) -> Result<usize, u32> {
        let fields = Fields::new().u32(fid).u32(new).u16(names.len() as u16);
        let fields = names.iter().fold(fields, |fields, name| fields.str(name));
        self.call(110, fields).map(|mut answer| answer.u16().into())
    }

    pub(crate) fn open(&mut self, fid: u32, flags: u32) -> Result<(), u32> {
        self.call(12, Fields::new().u32(fid).u32(flags)).map(drop)
    }

    /// Walks to `path` in the first export and opens it.
    pub(crate) fn open_path(&mut self, path: &str, fid: u32, flags: u32) -> Result<(), u32> {
        let names: Vec<_> = path.split('/').filter(|name| !name.is_empty()).collect();
        assert_eq!(self.walk(ROOT, fid, &names)?, names.len());
        self.open(fid, flags)
    }

    /// Makes a file in the first export's root.
    pub(crate) fn create(&mut self, name: &str, fid: u32, flags: u32) -> Result<(), u32> {
        self.walk(ROOT, fid, &[])?;
        let fields = Fields::new().u32(fid).str(name).u32(flags).u32(0o640).u32(5);
        self.call(14, fields).map(drop)
    }

    pub(crate) fn read(&mut self, fid: u32, offset: u64, len: u32) -> Result<Vec<u8>, u32> {
        let mut answer = self.call(116, Fields::new().u32(fid).u64(offset).u32(len))?;
        let len = answer.u32() as usize;
        let bytes = answer.rest();
        assert_eq!(bytes.len(), len);
        Ok(bytes)
    }

    pub(crate) fn write(&mut self, fid: u32, offset: u64, bytes: &[u8]) -> Result<u32, u32> {
        let fields = Fields::new().u32(fid).u64(offset).u32(bytes.len() as u32).bytes(bytes);
        self.call(118, fields).map(|mut answer| answer.u32())
    }

    pub(crate) fn clunk(&mut self, fid: u32) -> Result<(), u32> {
        self.done(120, Fields::new().u32(fid))
    }

    pub(crate) fn attributes(&mut self, fid: u32) -> Result<Attributes, u32> {
        let mut answer = self.call(24, Fields::new().u32(fid).u64(0x7ff))?;
        assert_eq!(answer.u64(), 0x7ff);
        answer.take::<13>();
        let (mode, uid, gid, links) = (answer.u32(), answer.u32(), answer.u32(), answer.u64());
        let (_device, size, _unit, _units) =
            (answer.u64(), answer.u64(), answer.u64(), answer.u64());
        answer.take::<16>();
        let modified = (answer.u64(), answer.u64());
        answer.take::<48>();
        assert!(answer.is_empty());
        Ok(Attributes { mode, uid, gid, links, size, modified })
    }

    /// `Tsetattr` with these bits valid.
    pub(crate) fn set(&mut self, fid: u32, valid: u32, values: Values) -> Result<(), u32> {
        let Values { mode, uid, gid, size, modified } = values;
        let fields = Fields::new().u32(fid).u32(valid).u32(mode).u32(uid).u32(gid).u64(size);
        self.done(26, fields.u64(0).u64(0).u64(modified.0).u64(modified.1))
    }

    pub(crate) fn rename(&mut self, name: &str, to: &str) -> Result<(), u32> {
        self.done(74, Fields::new().u32(ROOT).str(name).u32(ROOT).str(to))
    }

    pub(crate) fn unlink(&mut self, name: &str, flags: u32) -> Result<(), u32> {
        self.done(76, Fields::new().u32(ROOT).str(name).u32(flags))
    }

    /// All names of an open directory, read `len` bytes at a time.
    pub(crate) fn list(&mut self, fid: u32, len: u32) -> Vec<String> {
        let mut names = Vec::new();
        let mut offset = 0;
        loop {
            let fields = Fields::new().u32(fid).u64(offset).u32(len);
            let mut answer = self.call(40, fields).unwrap();
            if answer.u32() == 0 {
                return names;
            }
            while !answer.is_empty() {
                answer.take::<13>();
                offset = answer.u64();
                answer.u8();
                names.push(answer.str());
            }
        }
    }
}

/// What `Tsetattr` sets.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Values {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) modified: (u64, u64),
}
