//! One blob from a registry into the store.
//!
//! The bytes are hashed while they are written; a blob appears in the store only with the digest
//! and the size that its descriptor says. A transfer that breaks goes on where it broke.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use lithify_image::{BlobWriter, Descriptor, Store};
use ureq::http::{Method, StatusCode};

use crate::Error;
use crate::auth::Scope;
use crate::http::{Call, Reply};
use crate::limits::{COPY_BYTES, MIN_PROGRESS};
use crate::progress::Outcome;
use crate::session::Session;

/// How often a blob with wrong content is fetched anew: a proxy may have kept a damaged copy of a
/// part, a registry that lies does so again.
const WRONG_CONTENT_ATTEMPTS: u32 = 2;

/// Fetches one blob of `repository`.
pub(crate) struct Download<'a> {
    pub(crate) session: &'a Session,
    pub(crate) repository: &'a str,
    pub(crate) blob: &'a Descriptor,
    pub(crate) store: &'a Store,
    /// Set when another blob failed and this one is of no use any more.
    pub(crate) halt: &'a AtomicBool,
}

/// What a connection brought.
enum Part {
    Last,
    /// There is more to come; the connection broke for this reason.
    Broken(Error),
}

impl Download<'_> {
    pub(crate) fn run(&self) -> Result<Outcome, Error> {
        let progress = &self.session.progress;
        progress.begin(&self.blob.digest, &self.blob.media_type, self.blob.size);
        let outcome = self.fetch_if_missing();
        progress.end(&self.blob.digest, *outcome.as_ref().unwrap_or(&Outcome::Failed));
        outcome
    }

    fn fetch_if_missing(&self) -> Result<Outcome, Error> {
        // A damaged copy is as good as none.
        if let Ok(Some(found)) = self.store.find(&self.blob.digest) {
            self.check_size(found.len())?;
            return Ok(Outcome::Existed);
        }
        let mut attempt = 1;
        loop {
            match self.fetch() {
                Err(error @ Error::DigestMismatch { .. }) if attempt < WRONG_CONTENT_ATTEMPTS => {
                    self.session.pause(self.session.retry.wait(attempt), &error.to_string())?;
                    attempt += 1;
                }
                outcome => return outcome.map(|()| Outcome::Moved),
            }
        }
    }

    /// All of the blob, over as many connections as it takes.
    fn fetch(&self) -> Result<(), Error> {
        let mut writer = self.store.writer()?;
        let mut received = 0;
        let mut fruitless = 0;
        loop {
            let before = received;
            let reason = match self.fetch_part(&mut writer, &mut received)? {
                Part::Last => return self.commit(writer),
                Part::Broken(reason) => reason,
            };
            if received - before >= MIN_PROGRESS {
                fruitless = 0;
                continue;
            }
            fruitless += 1;
            if fruitless >= self.session.retry.attempts {
                return Err(reason);
            }
            self.session.pause(self.session.retry.wait(fruitless), &reason.to_string())?;
        }
    }

    fn fetch_part(&self, writer: &mut BlobWriter, received: &mut u64) -> Result<Part, Error> {
        let digest = &self.blob.digest;
        let scope = Scope::pull(self.repository);
        let url = self.session.url(format!("/v2/{}/blobs/{digest}", self.repository));
        let mut call = Call::new(Method::GET, url);
        if *received > 0 {
            call = call.header("range", format!("bytes={received}-"));
        }
        let reply = self.session.send(&call, &scope)?;
        let skip = match reply.status {
            StatusCode::OK => {
                if let Some(announced) = reply.announced() {
                    self.check_size(announced)?;
                }
                *received
            }
            StatusCode::PARTIAL_CONTENT if *received > 0 => {
                self.check_range(&reply, *received)?;
                0
            }
            _ => return Err(self.session.refusal(reply, &scope, &format!("blob {digest}"))),
        };
        self.copy(reply, skip, writer, received)
    }

    /// Writes the body but its first `skip` bytes, which are there already.
    fn copy(
        &self,
        reply: Reply,
        mut skip: u64,
        writer: &mut BlobWriter,
        received: &mut u64,
    ) -> Result<Part, Error> {
        let url = reply.url.to_string();
        let mut reader = reply.reader();
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            if self.halt.load(Ordering::Relaxed) {
                return Err(Error::Canceled);
            }
            let read = match reader.read(&mut buffer) {
                Ok(read) => read,
                Err(_) if self.session.cancel.is_canceled() => return Err(Error::Canceled),
                Err(error) if error.is_transient() => return Ok(Part::Broken(error)),
                Err(error) => return Err(error),
            };
            if read == 0 && *received == self.blob.size {
                return Ok(Part::Last);
            }
            if read == 0 {
                let (received, size) = (*received, self.blob.size);
                return Ok(Part::Broken(Error::CutOff { url, received, size }));
            }
            let skipped = skip.min(read as u64);
            skip -= skipped;
            let bytes = &buffer[usize::try_from(skipped).unwrap_or(read)..read];
            *received += bytes.len() as u64;
            if *received > self.blob.size {
                self.check_size(*received)?;
            }
            writer.write_all(bytes).map_err(|error| self.write_error(error))?;
            self.session.progress.position(&self.blob.digest, *received);
        }
    }

    fn commit(&self, writer: BlobWriter) -> Result<(), Error> {
        match writer.commit(Some(&self.blob.digest)) {
            Ok(_) => Ok(()),
            Err(lithify_image::Error::DigestMismatch { expected, actual: found, .. }) => {
                Err(Error::DigestMismatch { what: self.what(), expected, found })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn check_size(&self, found: u64) -> Result<(), Error> {
        if found == self.blob.size {
            return Ok(());
        }
        Err(Error::SizeMismatch { what: self.what(), expected: self.blob.size, found })
    }

    /// RFC 9110 14.4: `bytes FIRST-LAST/SIZE`.
    fn check_range(&self, reply: &Reply, from: u64) -> Result<(), Error> {
        let said = reply.header("content-range").unwrap_or_default();
        let expected = format!("bytes {from}-{}/", self.blob.size.saturating_sub(1));
        let is_whole = said
            .strip_prefix(&expected)
            .is_some_and(|total| total == "*" || total.parse() == Ok(self.blob.size));
        if is_whole {
            return Ok(());
        }
        let said = crate::error::shown(said);
        let reason = format!("asked for bytes from {from}, received `{said}`");
        Err(Error::Protocol { url: reply.url.to_string(), reason })
    }

    fn write_error(&self, error: std::io::Error) -> Error {
        Error::config(self.store.root(), error)
    }

    fn what(&self) -> String {
        format!("{}/{}@{}", self.session.name, self.repository, self.blob.digest)
    }
}
