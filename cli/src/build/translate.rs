//! Hot guest code of an artifact, translated ahead of time: options and training runs.

use super::artifact::process;
use crate::args::memory_size;
use crate::error::CliError;
use clap::Args;
use lithify_control::{ImageProcess, Profile};
use lithify_image::{Digest, ImageConfig};
use lithify_snapshot::Budget;
use std::path::PathBuf;
use std::str::FromStr;

/// Instructions of the image's program that are counted at most.
const PROGRAM_INSTRUCTIONS: u64 = 300_000_000;
/// Instructions of a training command.
const TRAIN_INSTRUCTIONS: u64 = 20_000_000_000;
/// Longer files are no profiles: one has 16384 pages at most for each run.
const MAX_PROFILE: u64 = 1 << 30;

/// Options that say what is translated.
#[derive(Debug, Args)]
pub(crate) struct TranslateOptions {
    /// Translate so many bytes of the most executed guest code to WebAssembly, or nothing; auto is 188k of what is
    /// executed often
    #[arg(long, value_name = "auto|off|SIZE", default_value = "auto", env = "LITHIFY_TRANSLATE")]
    translate: Choice,
    /// Execute a command in the build to see what is worth translating; the image's own program
    /// always is. A JSON array, or words for the image's shell. Starts of the first one are prepared
    #[arg(long, value_name = "COMMAND")]
    train: Vec<String>,
    /// Use these counts and execute nothing
    #[arg(long, value_name = "FILE", conflicts_with = "train")]
    profile_in: Option<PathBuf>,
    /// Write what was counted
    #[arg(long, value_name = "FILE")]
    profile_out: Option<PathBuf>,
}

/// What `--translate auto` translates at most.
const AUTO: Budget = Budget::small(188 << 10);

/// `--translate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Choice(Budget);

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self(AUTO)),
            "off" => Ok(Self(Budget::small(0))),
            _ => memory_size(text)
                .and_then(|bytes| usize::try_from(bytes).map_err(|error| error.to_string()))
                .map(|bytes| Self(Budget::large(bytes)))
                .map_err(|error| format!("expected auto, off or a size: {error}")),
        }
    }
}

/// One run in which is counted.
pub(crate) struct Training {
    pub(crate) name: String,
    pub(crate) process: ImageProcess,
    pub(crate) max_instructions: u64,
}

impl TranslateOptions {
    /// How much guest code; `None` if nothing is to be translated or counted.
    pub(crate) fn budget(&self) -> Option<Budget> {
        (self.translate.0.bytes > 0 || self.profile_out.is_some()).then_some(self.translate.0)
    }

    /// The runs of an image.
    pub(crate) fn trainings(&self, image: &ImageConfig) -> Vec<Training> {
        let own = Training {
            name: "the image's program".into(),
            process: process(image),
            max_instructions: PROGRAM_INSTRUCTIONS,
        };
        let more = self.train.iter().map(|command| Training {
            name: command.clone(),
            process: trained(command, image),
            max_instructions: TRAIN_INSTRUCTIONS,
        });
        std::iter::once(own).chain(more).collect()
    }

    /// The program whose start is prepared, if not the image's own: that of the first training command.
    pub(crate) fn prepared(&self, image: &ImageConfig) -> Option<ImageProcess> {
        self.train.first().map(|command| trained(command, image))
    }

    /// The counts that were given.
    pub(crate) fn given(&self) -> Result<Option<Profile>, CliError> {
        self.given_bytes()?.map(|bytes| self.decode(&bytes)).transpose()
    }

    fn given_bytes(&self) -> Result<Option<Vec<u8>>, CliError> {
        let Some(path) = &self.profile_in else { return Ok(None) };
        let failed = |error: &dyn std::fmt::Display| {
            CliError::build(format!("cannot read the profile {}: {error}", path.display()))
        };
        let len = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
        if len > MAX_PROFILE {
            return Err(failed(&format!("{len} bytes, at most {MAX_PROFILE} are expected")));
        }
        std::fs::read(path).map(Some).map_err(|error| failed(&error))
    }

    fn decode(&self, bytes: &[u8]) -> Result<Profile, CliError> {
        let path = self.profile_in.as_deref().unwrap_or("".as_ref()).display();
        Profile::decode(bytes).map_err(|error| CliError::build(format!("{path}: {error}")))
    }

    /// Writes the counts where they are wanted.
    pub(crate) fn keep(&self, profile: &Profile) -> Result<(), CliError> {
        let Some(path) = &self.profile_out else { return Ok(()) };
        std::fs::write(path, profile.encode()).map_err(|error| {
            CliError::build(format!("cannot write the profile {}: {error}", path.display()))
        })
    }

    /// Whether a build has to count even if the artifact is there.
    pub(crate) fn wants_profile(&self) -> bool {
        self.profile_out.is_some()
    }

    /// The part that decides the artifact's bytes.
    pub(crate) fn key(&self) -> Result<serde_json::Value, CliError> {
        let given = self.given_bytes()?.map(|bytes| Digest::of(&bytes));
        let Choice(Budget { bytes, least }) = self.translate;
        Ok(serde_json::json!([bytes, least, self.train, given]))
    }
}

fn trained(command: &str, image: &ImageConfig) -> ImageProcess {
    ImageProcess { entrypoint: Vec::new(), cmd: words(command), ..process(image) }
}

/// Dockerfile's two forms of a command.
fn words(command: &str) -> Vec<Vec<u8>> {
    let words = match serde_json::from_str::<Vec<String>>(command) {
        Ok(words) if !words.is_empty() => words,
        _ => ["/bin/sh", "-c", command].map(str::to_owned).into(),
    };
    words.into_iter().map(String::into_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_arrays_or_for_the_shell() {
        let words = |command| {
            let words =
                words(command).into_iter().map(|word| String::from_utf8(word).expect("UTF-8"));
            words.collect::<Vec<_>>()
        };
        assert_eq!(words(r#"["a", "b c"]"#), ["a", "b c"]);
        assert_eq!(words("a b | c"), ["/bin/sh", "-c", "a b | c"]);
        assert_eq!(words("[ -e /x ]"), ["/bin/sh", "-c", "[ -e /x ]"]);
        assert_eq!(words("[]"), ["/bin/sh", "-c", "[]"]);
    }

    #[test]
    fn budgets_are_sizes_or_words() {
        assert_eq!("auto".parse(), Ok(Choice(AUTO)));
        assert_eq!("off".parse(), Ok(Choice(Budget::small(0))));
        assert_eq!("64k".parse(), Ok(Choice(Budget::large(64 << 10))));
        for bad in ["", "on", "64x", "1"] {
            assert!(bad.parse::<Choice>().is_err(), "{bad}");
        }
    }
}
