//! What a run has cost the machine.

use crate::wire::{Decoder, Encoder, WireError};

/// Counts since the thaw, and moments of it. Written to [`Statistics::FILE`] at the end, where our runner offers it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Instructions of the guest.
    pub instructions: u64,
    /// Those among them that ran as translated code.
    pub translated: u64,
    /// Calls of translated functions.
    pub calls: u64,
    /// Pages of the guest's RAM that had no place in the frozen machine.
    pub new_pages: u64,
    /// Bytes read of the root file system's image.
    pub rom_bytes: u64,
    /// When the thawed guest went on, by the monotonic clock in nanoseconds.
    pub thawed_ns: u64,
    /// When the container's program was executed, by the same clock; 0 if it ran already.
    pub executed_ns: u64,
}

impl Statistics {
    /// The file's name in [`Overrides::DIRECTORY`](crate::Overrides::DIRECTORY).
    pub const FILE: &str = "statistics";

    /// As the runner reads it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self { instructions, translated, calls, new_pages, rom_bytes, thawed_ns, executed_ns } =
            *self;
        let counts = [instructions, translated, calls, new_pages, rom_bytes];
        let mut to = Encoder::default();
        for number in counts.into_iter().chain([thawed_ns, executed_ns]) {
            to.u64(number);
        }
        to.finish()
    }

    /// The reverse of [`encode`](Self::encode).
    ///
    /// # Errors
    /// If `bytes` is not exactly one encoded value.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Decoder::new(bytes);
        let statistics = Self {
            instructions: from.u64()?,
            translated: from.u64()?,
            calls: from.u64()?,
            new_pages: from.u64()?,
            rom_bytes: from.u64()?,
            thawed_ns: from.u64()?,
            executed_ns: from.u64()?,
        };
        from.finish()?;
        Ok(statistics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_survive_their_encoding() {
        let counts = Statistics {
            instructions: 1,
            translated: 2,
            calls: 3,
            new_pages: 4,
            rom_bytes: 5,
            thawed_ns: 6,
            executed_ns: 7,
        };
        assert_eq!(Statistics::decode(&counts.encode()), Ok(counts));
        assert!(Statistics::decode(&counts.encode()[1..]).is_err());
    }
}
