//! The container's terminal.

use crate::wire::{Decoder, Encoder, WireError};

/// How many characters a terminal shows. Zero is an unknown number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

impl WindowSize {
    pub(crate) fn encode(&self, to: &mut Encoder) {
        to.array(&self.rows.to_le_bytes()).array(&self.columns.to_le_bytes());
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Result<Self, WireError> {
        let (rows, columns) = (from.array()?, from.array()?);
        Ok(Self { rows: u16::from_le_bytes(rows), columns: u16::from_le_bytes(columns) })
    }
}
