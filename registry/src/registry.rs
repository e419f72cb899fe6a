//! The operations of distribution-spec 1.1 on manifests, tags and referrers.

use std::sync::Arc;

use lithify_image::{
    DOCKER_INDEX, DOCKER_MANIFEST, Descriptor, Digest, Index, OCI_INDEX, OCI_MANIFEST, Reference,
};
use serde::Deserialize;
use ureq::http::{Method, StatusCode};

use crate::auth::Scope;
use crate::http::{Call, Payload, Reply};
use crate::limits::{MAX_MANIFEST_BYTES, MAX_TAG_PAGES, MAX_TAGS, MAX_TAGS_BYTES};
use crate::session::Session;
use crate::{Error, Options, Progress};

/// Everything that we can read.
const ACCEPT: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST];

/// A manifest or index as the registry has it.
#[derive(Clone, Debug)]
pub struct Document {
    /// What names it.
    pub descriptor: Descriptor,
    /// Its JSON, of which the digest was computed.
    pub json: Vec<u8>,
}

/// A connection to one registry.
pub struct Registry {
    pub(crate) session: Session,
    pub(crate) concurrency: usize,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registry({})", self.session.name)
    }
}

impl Registry {
    /// Connects to the registry `name`, a host with an optional port or `docker.io`.
    ///
    /// # Errors
    /// If it cannot be reached, or a certificate or credential file cannot be read.
    pub fn connect(
        name: &str,
        options: &Options,
        progress: Arc<dyn Progress>,
    ) -> Result<Self, Error> {
        let session = Session::connect(name, options, progress)?;
        Ok(Self { session, concurrency: options.concurrency.max(1) })
    }

    /// Asks whether the registry accepts our credentials.
    ///
    /// # Errors
    /// [`Error::Denied`] if it does not.
    pub fn check_access(&self) -> Result<(), Error> {
        let scope = Scope::default();
        let call = Call::new(Method::GET, self.session.url("/v2/"));
        let reply = self.session.send(&call, &scope)?;
        match reply.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(self.session.refusal(reply, &scope, "/v2/"))
            }
            _ => Ok(()),
        }
    }

    /// The manifest or index that `reference` names.
    ///
    /// # Errors
    /// If there is none, it is over the caps, or its bytes have another digest than the reference
    /// or the registry says.
    pub fn document(&self, reference: &Reference) -> Result<Document, Error> {
        self.get_document(reference.repository(), &target(reference)).map_err(|error| match error {
            Error::NotFound { .. } => {
                let detail = self.hint(reference);
                Error::NotFound { what: reference.to_string(), detail }
            }
            error => error,
        })
    }

    /// The manifest or index that a descriptor in `repository` names.
    pub(crate) fn described(
        &self,
        repository: &str,
        wanted: &Descriptor,
    ) -> Result<Document, Error> {
        if wanted.size > MAX_MANIFEST_BYTES {
            let what = wanted.digest.to_string();
            return Err(Error::TooLarge { what, limit: MAX_MANIFEST_BYTES, unit: "bytes" });
        }
        let found = self.get_document(repository, &wanted.digest.to_string())?;
        if found.descriptor.size != wanted.size {
            let what = wanted.digest.to_string();
            let (expected, found) = (wanted.size, found.descriptor.size);
            return Err(Error::SizeMismatch { what, expected, found });
        }
        Ok(found)
    }

    fn get_document(&self, repository: &str, target: &str) -> Result<Document, Error> {
        let scope = Scope::pull(repository);
        let url = self.session.url(format!("/v2/{repository}/manifests/{target}"));
        let call = Call::new(Method::GET, url).header("accept", ACCEPT.join(", "));
        let reply = self.session.send(&call, &scope)?;
        if reply.status != StatusCode::OK {
            return Err(self.session.refusal(reply, &scope, target));
        }
        let what = reply.url.to_string();
        let content_type = reply.header("content-type").map(str::to_owned);
        let said: Option<Digest> = stated_digest(&reply);
        let json = reply.bytes(MAX_MANIFEST_BYTES)?;
        let found = Digest::of(&json);
        for expected in target.parse().ok().into_iter().chain(said) {
            if expected != found {
                return Err(Error::DigestMismatch { what, expected, found });
            }
        }
        let media_type = media_type(&json, content_type.as_deref(), &what)?;
        Ok(Document { descriptor: Descriptor::new(&media_type, &json), json })
    }

    /// A config or another small blob, not kept.
    pub(crate) fn small_blob(&self, repository: &str, blob: &Descriptor) -> Result<Vec<u8>, Error> {
        let scope = Scope::pull(repository);
        let url = self.session.url(format!("/v2/{repository}/blobs/{}", blob.digest));
        let what = url.to_string();
        let reply = self.session.send(&Call::new(Method::GET, url), &scope)?;
        if reply.status != StatusCode::OK {
            return Err(self.session.refusal(reply, &scope, &format!("blob {}", blob.digest)));
        }
        let bytes = reply.bytes(MAX_MANIFEST_BYTES)?;
        match Digest::of(&bytes) {
            found if found == blob.digest => Ok(bytes),
            found => Err(Error::DigestMismatch { what, expected: blob.digest, found }),
        }
    }

    /// Stores a manifest or index under `target`, a tag or its digest. Returns whether the
    /// registry keeps track of `subject`s.
    pub(crate) fn put_document(
        &self,
        repository: &str,
        target: &str,
        document: &Document,
    ) -> Result<bool, Error> {
        let scope = Scope::push(repository);
        let url = self.session.url(format!("/v2/{repository}/manifests/{target}"));
        let call = Call::new(Method::PUT, url)
            .header("content-type", document.descriptor.media_type.clone())
            .payload(Payload::Bytes(&document.json));
        let reply = self.session.send(&call, &scope)?;
        if !reply.status.is_success() {
            return Err(self.session.refusal(reply, &scope, "PUT"));
        }
        let expected = document.descriptor.digest;
        match stated_digest(&reply) {
            Some(found) if found != expected => {
                Err(Error::DigestMismatch { what: reply.url.to_string(), expected, found })
            }
            _ => Ok(reply.header("oci-subject").is_some()),
        }
    }

    /// The tags of a repository: at most [`MAX_TAGS`].
    ///
    /// # Errors
    /// If the registry does not list them.
    pub fn tags(&self, repository: &str) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Tags {
            tags: Option<Vec<String>>,
        }
        let scope = Scope::pull(repository);
        let mut url = self.session.url(format!("/v2/{repository}/tags/list?n=1000"));
        let mut tags = Vec::new();
        for _ in 0..MAX_TAG_PAGES {
            let reply = self.session.send(&Call::new(Method::GET, url.clone()), &scope)?;
            if reply.status != StatusCode::OK {
                return Err(self.session.refusal(reply, &scope, repository));
            }
            let next = next_page(&reply);
            let page: Tags = serde_json::from_slice(&reply.bytes(MAX_TAGS_BYTES)?)
                .map_err(|error| Error::document(&url.to_string(), error))?;
            tags.extend(page.tags.unwrap_or_default());
            match next.and_then(|next| url.join(&next)) {
                Some(next) if tags.len() < MAX_TAGS && self.session.is_home(&next) => url = next,
                _ => break,
            }
        }
        tags.truncate(MAX_TAGS);
        Ok(tags)
    }

    /// Tags like the one that is not there. That there are none to be had is no further error.
    fn hint(&self, reference: &Reference) -> String {
        let Some(wanted) = reference.tag().filter(|_| reference.digest().is_none()) else {
            return String::new();
        };
        let tags = self.tags(reference.repository()).unwrap_or_default();
        let near = crate::nearest(wanted, tags.iter().map(String::as_str));
        near.map(|tag| format!(" (did you mean `{}`?)", crate::error::shown(tag)))
            .unwrap_or_default()
    }

    /// What refers to the manifest `subject` in `repository`: by the registry's own list, or else
    /// by the tag that stands in for it (distribution-spec 1.1, "Listing Referrers").
    ///
    /// # Errors
    /// If the registry's answer is no index.
    pub fn referrers(&self, repository: &str, subject: &Digest) -> Result<Index, Error> {
        let scope = Scope::pull(repository);
        let url = self.session.url(format!("/v2/{repository}/referrers/{subject}"));
        let reply = self.session.send(&Call::new(Method::GET, url), &scope)?;
        if reply.status == StatusCode::OK {
            let what = reply.url.to_string();
            return Ok(Index::from_json(&reply.bytes(MAX_MANIFEST_BYTES)?, &what)?);
        }
        drop(reply);
        self.tagged_referrers(repository, subject)
    }

    pub(crate) fn tagged_referrers(
        &self,
        repository: &str,
        subject: &Digest,
    ) -> Result<Index, Error> {
        match self.get_document(repository, &referrers_tag(subject)) {
            Ok(document) => Ok(Index::from_json(&document.json, &referrers_tag(subject))?),
            Err(Error::NotFound { .. }) => Ok(Index::default()),
            Err(error) => Err(error),
        }
    }
}

/// The tag that lists what refers to `subject` where the registry does not.
pub(crate) fn referrers_tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

/// Digest or tag, as it stands in a URL.
pub(crate) fn target(reference: &Reference) -> String {
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.unwrap_or("latest").to_owned(),
    }
}

/// What the registry takes the digest for. Other algorithms than ours are no statement.
fn stated_digest(reply: &Reply) -> Option<Digest> {
    reply.header("docker-content-digest")?.parse().ok()
}

/// RFC 8288: the target of the link with `rel="next"`.
fn next_page(reply: &Reply) -> Option<String> {
    let link = reply.header("link")?;
    let (target, parameters) = link.trim_start().strip_prefix('<')?.split_once('>')?;
    parameters.contains("rel=\"next\"").then(|| target.to_owned())
}

/// What a document says it is, else what the registry says.
fn media_type(json: &[u8], content_type: Option<&str>, what: &str) -> Result<String, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Head {
        schema_version: Option<u32>,
        media_type: Option<String>,
    }
    let head: Head = serde_json::from_slice(json).map_err(|error| Error::document(what, error))?;
    let content_type = content_type.and_then(|value| value.split(';').next()).map(str::trim);
    let found = head.media_type.as_deref().or(content_type).unwrap_or(OCI_MANIFEST);
    if head.schema_version != Some(2) || !ACCEPT.contains(&found) {
        let found = crate::error::shown(found);
        return Err(Error::document(what, format!("`{found}` is neither a manifest nor an index")));
    }
    Ok(found.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_says_what_it_is() {
        for (json, content_type, expected) in [
            (r#"{"schemaVersion":2}"#, Some(OCI_INDEX), Some(OCI_INDEX)),
            (r#"{"schemaVersion":2}"#, None, Some(OCI_MANIFEST)),
            (
                r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json"}"#,
                Some("text/plain; charset=utf-8"),
                Some(OCI_INDEX),
            ),
            (r#"{"schemaVersion":2}"#, Some("text/plain; charset=utf-8"), None),
            (r#"{"schemaVersion":1,"signatures":[]}"#, Some(DOCKER_MANIFEST), None),
            ("<html>", Some(OCI_MANIFEST), None),
        ] {
            let found = media_type(json.as_bytes(), content_type, "x").ok();
            assert_eq!(found.as_deref(), expected, "{json}");
        }
    }
}
