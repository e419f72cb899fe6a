//! Keys: unambiguous hashes of what decides a result.

use lithify_image::{Digest, Hasher};

/// Changes whenever the same key would mean another result.
const FORMAT: &str = "lithify build cache 1";

/// A key in the making. Parts are hashed with their lengths, so that no two lists of parts run
/// together into the same bytes.
#[derive(Debug, Clone)]
pub(crate) struct Key(Hasher);

impl Key {
    /// The key of an instruction of this kind.
    pub(crate) fn new(kind: &str) -> Self {
        Self(Hasher::new()).text(FORMAT).text(kind)
    }

    /// Adds bytes.
    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds text.
    pub(crate) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// Adds a list, with its length.
    pub(crate) fn list<T: AsRef<[u8]>>(self, items: impl IntoIterator<Item = T>) -> Self {
        let items: Vec<T> = items.into_iter().collect();
        let key = self.number(items.len() as u64);
        items.iter().fold(key, |key, item| key.bytes(item.as_ref()))
    }

    /// Adds a value that may be missing.
    pub(crate) fn optional<T: AsRef<[u8]>>(self, value: Option<T>) -> Self {
        self.list(value)
    }

    /// Adds a number.
    pub(crate) fn number(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    /// Adds a switch.
    pub(crate) fn switch(self, on: bool) -> Self {
        self.number(u64::from(on))
    }

    /// Adds a digest.
    pub(crate) fn digest(self, digest: &Digest) -> Self {
        self.bytes(digest.as_bytes())
    }

    /// The key of all parts.
    pub(crate) fn finish(self) -> Digest {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        let base = || Key::new("COPY");
        let keys = [
            base(),
            Key::new("ADD"),
            base().text("ab"),
            base().text("a").text("b"),
            base().text("").text("ab"),
            base().list(["a", "b"]),
            base().list(["ab"]),
            base().list(["a"]).list(["b"]),
            base().list::<&str>([]).list(["a", "b"]),
            base().optional(Some("a")),
            base().optional(Some("")),
            base().optional::<&str>(None),
            base().switch(true),
            base().switch(false).switch(true),
            base().digest(&Digest::of(b"a")),
        ];
        let digests: std::collections::BTreeSet<Digest> =
            keys.iter().map(|key| key.clone().finish()).collect();
        assert_eq!(digests.len(), keys.len());
    }
}
