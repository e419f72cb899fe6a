//! The byte encoding: little-endian integers, `u32` length before bytes and lists.

/// Why bytes are not a valid message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The message ends before its last field.
    #[error("message ends at byte {at}, {wanted} more were expected")]
    Truncated {
        /// Offset of the field that is cut off.
        at: usize,
        /// Bytes missing.
        wanted: usize,
    },
    /// A tag has no meaning in this version.
    #[error("unknown tag {0}")]
    UnknownTag(u8),
    /// Bytes remain after the last field.
    #[error("{0} bytes after the end of the message")]
    Trailing(usize),
    /// A frame's length field is over [`crate::MAX_FRAME_LEN`].
    #[error("frame of {0} bytes is over the limit")]
    FrameTooLong(u32),
}

/// Appends fields to a message.
#[derive(Debug, Default)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// One byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// One byte, 0 or 1.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }

    /// Bytes of a length that both sides know.
    pub fn array(&mut self, value: &[u8]) -> &mut Self {
        self.0.extend_from_slice(value);
        self
    }

    /// Length, then the bytes.
    ///
    /// # Panics
    /// If `value` is 4 GiB or longer; no caller holds such a string.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.u32(u32::try_from(value.len()).expect("field below 4 GiB"));
        self.array(value)
    }

    /// Count, then each string.
    ///
    /// # Panics
    /// If there are 2^32 strings or more.
    pub fn list(&mut self, values: &[Vec<u8>]) -> &mut Self {
        self.u32(u32::try_from(values.len()).expect("list below 2^32 entries"));
        for value in values {
            self.bytes(value);
        }
        self
    }

    /// Count, then each value as `encode` writes it.
    ///
    /// # Panics
    /// If there are 2^32 values or more.
    pub(crate) fn each<T>(&mut self, values: &[T], encode: impl Fn(&T, &mut Self)) -> &mut Self {
        self.u32(u32::try_from(values.len()).expect("list below 2^32 entries"));
        values.iter().for_each(|value| encode(value, self));
        self
    }

    /// Presence byte, then the string if present.
    pub fn option(&mut self, value: Option<&[u8]>) -> &mut Self {
        self.bool(value.is_some());
        if let Some(value) = value {
            self.bytes(value);
        }
        self
    }

    /// Presence byte, then the list if present.
    pub fn option_list(&mut self, value: Option<&[Vec<u8>]>) -> &mut Self {
        self.bool(value.is_some());
        if let Some(value) = value {
            self.list(value);
        }
        self
    }

    /// The finished message.
    #[must_use]
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

/// Takes fields off a message in the order they were written.
#[derive(Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let rest = &self.bytes[self.at..];
        if rest.len() < len {
            return Err(WireError::Truncated { at: self.at, wanted: len - rest.len() });
        }
        self.at += len;
        Ok(&rest[..len])
    }

    /// Bytes of a length that both sides know.
    ///
    /// # Errors
    /// If the message is shorter.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// One byte.
    ///
    /// # Errors
    /// If the message is shorter.
    pub fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.array::<1>()?[0])
    }

    /// Four bytes, little-endian.
    ///
    /// # Errors
    /// If the message is shorter.
    pub fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes, little-endian.
    ///
    /// # Errors
    /// If the message is shorter.
    pub fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_le_bytes)
    }

    /// One byte that must be 0 or 1.
    ///
    /// # Errors
    /// If the message is shorter or the byte is neither.
    pub fn bool(&mut self) -> Result<bool, WireError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(WireError::UnknownTag(tag)),
        }
    }

    /// Length, then the bytes.
    ///
    /// # Errors
    /// If the message is shorter.
    pub fn bytes(&mut self) -> Result<Vec<u8>, WireError> {
        let len = self.u32()?;
        self.take(len as usize).map(<[u8]>::to_vec)
    }

    /// Count, then each string.
    ///
    /// # Errors
    /// If the message is shorter.
    pub fn list(&mut self) -> Result<Vec<Vec<u8>>, WireError> {
        let count = self.u32()?;
        // Nothing is reserved for `count`: it is the sender's word, the bytes are the proof.
        (0..count).map(|_| self.bytes()).collect()
    }

    /// Count, then each value as `decode` reads it. Values take at least a byte each, which bounds
    /// them by the message.
    pub(crate) fn each<T>(
        &mut self,
        decode: impl Fn(&mut Self) -> Result<T, WireError>,
    ) -> Result<Vec<T>, WireError> {
        let count = self.u32()?;
        (0..count).map(|_| decode(self)).collect()
    }

    /// Presence byte, then the string if present.
    ///
    /// # Errors
    /// If the message is shorter.
    pub fn option(&mut self) -> Result<Option<Vec<u8>>, WireError> {
        if self.bool()? { self.bytes().map(Some) } else { Ok(None) }
    }

    /// Presence byte, then the list if present.
    ///
    /// # Errors
    /// If the message is shorter.
    pub fn option_list(&mut self) -> Result<Option<Vec<Vec<u8>>>, WireError> {
        if self.bool()? { self.list().map(Some) } else { Ok(None) }
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// If bytes remain.
    pub fn finish(self) -> Result<(), WireError> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            rest => Err(WireError::Trailing(rest)),
        }
    }
}
