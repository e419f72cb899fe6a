//! Runs that are made to be compared.

use std::num::ParseIntError;
use std::str::FromStr;

use crate::wire::{Decoder, Encoder, WireError};

/// A run in virtual time, on seeded randomness and without a network: the same command does the same, to the
/// instruction, whatever is translated and whatever is asked for here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trial {
    /// Most instructions between two looks at time and devices; 0 for as many as ever.
    pub slice: u32,
    /// Pages that the TLB holds at a time, each for loads or for stores; 0 for as many as it can.
    pub tlb: u32,
}

/// Why a text is no trial.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrialError {
    /// A part has not the form.
    #[error("trial `{0}`: expected slice=N, tlb=N, or both with a comma between")]
    Form(String),
    /// A part that should be a number is none.
    #[error("trial `{text}`: {source}")]
    Number {
        /// The whole text.
        text: String,
        /// What is wrong with it.
        source: ParseIntError,
    },
}

impl Trial {
    pub(crate) fn encode(&self, to: &mut Encoder) {
        to.u32(self.slice).u32(self.tlb);
    }

    pub(crate) fn decode(from: &mut Decoder<'_>) -> Result<Self, WireError> {
        Ok(Self { slice: from.u32()?, tlb: from.u32()? })
    }
}

impl FromStr for Trial {
    type Err = TrialError;

    fn from_str(text: &str) -> Result<Self, TrialError> {
        let mut trial = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (field, value) = match part.split_once('=') {
                Some(("slice", value)) => (&mut trial.slice, value),
                Some(("tlb", value)) => (&mut trial.tlb, value),
                _ => return Err(TrialError::Form(text.to_owned())),
            };
            let number = |source| TrialError::Number { text: text.to_owned(), source };
            *field = value.parse().map_err(number)?;
        }
        Ok(trial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_are_read_as_they_are_written() {
        for (text, slice, tlb) in
            [("", 0, 0), ("slice=50", 50, 0), ("tlb=4", 0, 4), ("slice=1,tlb=4", 1, 4)]
        {
            assert_eq!(text.parse(), Ok(Trial { slice, tlb }), "{text}");
        }
        for (text, expected) in [
            ("slice", "trial `slice`: expected slice=N, tlb=N, or both with a comma between"),
            ("tlb=x", "trial `tlb=x`: invalid digit found in string"),
        ] {
            assert_eq!(text.parse::<Trial>().unwrap_err().to_string(), expected);
        }
    }
}
