//! `--iidfile` and `--metadata-file`: what came out, for programs.

use super::output::new_file_beside;
use crate::build::artifact::Artifact;
use crate::error::CliError;
use lithify_image::{Descriptor, Digest, Reference};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

/// What came out of a build.
pub(crate) struct Report<'a> {
    /// Names the manifest of the artifact, or of the image if no artifact was made.
    pub(crate) descriptor: &'a Descriptor,
    /// Of the image's configuration.
    pub(crate) config: Digest,
    pub(crate) artifact: Option<Artifact>,
    pub(crate) names: &'a [Reference],
}

impl Report<'_> {
    /// Docker's keys, and ours for the artifact.
    fn metadata(&self) -> Value {
        let mut value = json!({
            "containerimage.config.digest": self.config,
            "containerimage.descriptor": self.descriptor,
            "containerimage.digest": self.descriptor.digest,
        });
        if !self.names.is_empty() {
            let names: Vec<String> = self.names.iter().map(Reference::to_string).collect();
            value["image.name"] = names.join(",").into();
        }
        if let Some(artifact) = &self.artifact {
            value["lithify.artifact"] = json!({ "digest": artifact.digest, "size": artifact.len });
        }
        value
    }

    /// Writes the files that are asked for.
    pub(crate) fn write(&self, iid: Option<&Path>, meta: Option<&Path>) -> Result<(), CliError> {
        if let Some(path) = iid {
            write_file(path, &self.descriptor.digest.to_string())?;
        }
        if let Some(path) = meta {
            write_file(path, &format!("{:#}\n", self.metadata()))?;
        }
        Ok(())
    }
}

fn write_file(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |error: &dyn std::fmt::Display| CliError::build(error).about(path.display());
    let mut file = new_file_beside(path).map_err(|error| failed(&error))?;
    file.write_all(text.as_bytes()).map_err(|error| failed(&error))?;
    file.persist(path).map_err(|error| failed(&error.error))?;
    Ok(())
}
