//! Which image of an index to take.

use lithify_image::{Descriptor, ImageConfig, Index, Manifest, Platform};

use crate::Error;
use crate::limits::{MAX_INDEX_DEPTH, MAX_INDEX_ENTRIES};
use crate::registry::{Document, Registry};

/// Entries without a platform that are looked into, at two requests each.
const MAX_UNNAMED: usize = 16;

/// An image manifest and what it is for.
struct Candidate {
    manifest: Descriptor,
    platform: Platform,
}

/// Finds the manifest for one of some platforms, in the order of preference.
pub(crate) struct Choice<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) repository: &'a str,
    pub(crate) wanted: &'a [Platform],
}

impl Choice<'_> {
    /// The manifest in `document`, which is one or an index of some.
    pub(crate) fn manifest(&self, document: Document, what: &str) -> Result<Document, Error> {
        if document.descriptor.is_manifest() {
            return Ok(document);
        }
        let mut candidates = Vec::new();
        self.collect(&document, None, 0, &mut candidates)?;
        let chosen = self.wanted.iter().find_map(|wanted| choose(wanted, &candidates));
        match chosen {
            Some(chosen) => self.registry.described(self.repository, &chosen.manifest),
            None => Err(Error::NoSuchPlatform {
                what: what.to_owned(),
                wanted: self.preferred(),
                available: candidates.iter().map(|c| c.platform.to_string()).collect(),
            }),
        }
    }

    fn preferred(&self) -> String {
        self.wanted.last().map(ToString::to_string).unwrap_or_default()
    }

    /// Whether a single image fits; what is no image for a platform always does.
    pub(crate) fn check(&self, config: &ImageConfig, what: &str) -> Result<(), Error> {
        let platform = config.platform();
        if self.wanted.iter().any(|wanted| wanted.accepts(&platform)) {
            return Ok(());
        }
        let available = vec![platform.to_string()];
        Err(Error::NoSuchPlatform { what: what.to_owned(), wanted: self.preferred(), available })
    }

    /// All manifests in and below an index. Its word for a platform also holds for what is nested.
    fn collect(
        &self,
        index: &Document,
        inherited: Option<&Platform>,
        depth: usize,
        found: &mut Vec<Candidate>,
    ) -> Result<(), Error> {
        let what = index.descriptor.digest.to_string();
        let entries = Index::from_json(&index.json, &what)?.manifests;
        let too_large = |limit: usize, unit| {
            Err(Error::TooLarge { what: what.clone(), limit: limit as u64, unit })
        };
        if depth >= MAX_INDEX_DEPTH {
            return too_large(MAX_INDEX_DEPTH, "nested indexes");
        }
        if entries.len() + found.len() > MAX_INDEX_ENTRIES {
            return too_large(MAX_INDEX_ENTRIES, "index entries");
        }
        let mut unnamed = 0;
        for entry in entries.into_iter().filter(|entry| !entry.is_attestation()) {
            let platform = entry.platform.as_ref().or(inherited);
            if entry.is_index() {
                let nested = self.registry.described(self.repository, &entry)?;
                self.collect(&nested, platform, depth + 1, found)?;
            } else if entry.is_manifest() {
                let platform = match platform {
                    Some(platform) => platform.clone(),
                    None if unnamed >= MAX_UNNAMED => continue,
                    None => {
                        unnamed += 1;
                        match self.platform_of(&entry)? {
                            Some(platform) => platform,
                            None => continue,
                        }
                    }
                };
                found.push(Candidate { manifest: entry, platform });
            }
        }
        Ok(())
    }

    /// What the image's own config says.
    fn platform_of(&self, entry: &Descriptor) -> Result<Option<Platform>, Error> {
        let document = self.registry.described(self.repository, entry)?;
        let manifest = Manifest::from_json(&document.json, &entry.digest.to_string())?;
        if !manifest.config.is_image_config() {
            return Ok(None);
        }
        let config = self.registry.small_blob(self.repository, &manifest.config)?;
        let what = manifest.config.digest.to_string();
        Ok(Some(ImageConfig::from_json(&config, &what)?.platform()))
    }
}

/// The one with the very variant that is wanted, or else the first that fits.
fn choose<'a>(wanted: &Platform, candidates: &'a [Candidate]) -> Option<&'a Candidate> {
    let fitting = || candidates.iter().filter(|candidate| wanted.accepts(&candidate.platform));
    fitting().find(|candidate| candidate.platform == *wanted).or_else(|| fitting().next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lithify_image::OCI_MANIFEST;

    #[test]
    fn variants_are_told_apart() {
        let candidates: Vec<Candidate> =
            ["linux/arm/v6", "linux/arm/v7", "linux/arm64/v8", "linux/arm64/v9"]
                .iter()
                .map(|platform| Candidate {
                    manifest: Descriptor::new(OCI_MANIFEST, platform.as_bytes()),
                    platform: platform.parse().unwrap(),
                })
                .collect();
        for (wanted, found) in [
            ("linux/arm/v7", Some("linux/arm/v7")),
            ("linux/arm", Some("linux/arm/v6")),
            ("linux/arm/v5", None),
            ("linux/arm64/v9", Some("linux/arm64/v9")),
            ("linux/arm64", Some("linux/arm64/v8")),
            ("linux/riscv64", None),
        ] {
            let chosen = choose(&wanted.parse().unwrap(), &candidates);
            assert_eq!(chosen.map(|c| c.platform.to_string()).as_deref(), found, "{wanted}");
        }
    }
}
