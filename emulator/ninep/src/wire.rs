//! Fields of messages: little-endian integers, strings with a 16-bit length.

use crate::errno::{Errno, Result};
use crate::message::Qid;

/// The fields of a message not yet read.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk().ok_or(Errno::INVAL)?;
        self.0 = rest;
        Ok(*field)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(len).ok_or(Errno::INVAL)?;
        self.0 = rest;
        Ok(field)
    }

    /// A string. Hosts behind WASI have no others than UTF-8.
    pub(crate) fn str(&mut self) -> Result<&'a str> {
        let len = self.u16()?;
        let bytes = self.bytes(len.into())?;
        let text = str::from_utf8(bytes).map_err(|_| Errno::ILSEQ)?;
        if text.contains('\0') { Err(Errno::INVAL) } else { Ok(text) }
    }

    /// The name of an entry that is to be made, removed or found.
    pub(crate) fn name(&mut self) -> Result<&'a str> {
        match self.str()? {
            "" | "." | ".." => Err(Errno::INVAL),
            name if name.contains('/') => Err(Errno::INVAL),
            name => Ok(name),
        }
    }
}

/// An answer being made.
#[derive(Debug)]
pub(crate) struct Writer<'a>(pub(crate) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// A string; what is over 65,535 bytes, which no name or link target is, is cut.
    pub(crate) fn str(&mut self, value: &str) -> &mut Self {
        let len = value.len().min(u16::MAX.into());
        self.u16(len as u16).0.extend_from_slice(&value.as_bytes()[..len]);
        self
    }

    pub(crate) fn qid(&mut self, qid: Qid) -> &mut Self {
        self.u8(qid.kind).u32(0).u64(qid.path)
    }
}
