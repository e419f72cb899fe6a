//! One blob from the store to a registry (distribution-spec 1.1, "Pushing Blobs").
//!
//! What the registry has is not sent, what another of its repositories has is mounted, what is
//! large goes in chunks: a broken connection costs a part of one, and the registry is asked how
//! far it came.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use lithify_image::{Blob, BlobReader, Descriptor};
use ureq::http::{Method, StatusCode};

use crate::Error;
use crate::auth::Scope;
use crate::http::{Call, Payload, Reply};
use crate::limits::{CHUNK_BYTES, MAX_CHUNK_BYTES, MIN_PROGRESS};
use crate::progress::Outcome;
use crate::session::Session;
use crate::url::Url;

/// Sends one blob to `repository`.
pub(crate) struct Upload<'a> {
    pub(crate) session: &'a Session,
    pub(crate) repository: &'a str,
    pub(crate) descriptor: &'a Descriptor,
    pub(crate) content: &'a Blob,
    /// Another repository of the same registry that probably has the blob.
    pub(crate) mount_from: Option<&'a str>,
    /// Set when another blob failed and this one is of no use any more.
    pub(crate) halt: &'a AtomicBool,
}

/// An upload that the registry waits for.
struct Begun {
    location: Url,
    /// The smallest chunk that the registry takes, but for the last one.
    chunk: u64,
}

/// How a request of an upload ended.
enum Step {
    /// As it should; the next one goes there.
    Ok(Url),
    /// The connection broke, or the registry lost track.
    Broken(Error),
}

impl Upload<'_> {
    pub(crate) fn run(&self) -> Result<Outcome, Error> {
        let progress = &self.session.progress;
        let Descriptor { digest, media_type, size, .. } = self.descriptor;
        progress.begin(digest, media_type, *size);
        let outcome = self.send_if_missing();
        progress.end(digest, *outcome.as_ref().unwrap_or(&Outcome::Failed));
        outcome
    }

    fn send_if_missing(&self) -> Result<Outcome, Error> {
        if self.exists()? {
            return Ok(Outcome::Existed);
        }
        let mut fruitless = 0;
        let mut begun = match self.mount()? {
            None => return Ok(Outcome::Mounted),
            Some(begun) => begun,
        };
        loop {
            let Some((reason, sent)) = self.send(begun)? else { return Ok(Outcome::Moved) };
            fruitless = if sent >= MIN_PROGRESS { 1 } else { fruitless + 1 };
            if fruitless >= self.session.retry.attempts {
                return Err(reason);
            }
            self.session.pause(self.session.retry.wait(fruitless), &reason.to_string())?;
            begun = self.begin()?;
        }
    }

    fn scope(&self) -> Scope {
        Scope::push(self.repository)
    }

    fn exists(&self) -> Result<bool, Error> {
        let url =
            self.session.url(format!("/v2/{}/blobs/{}", self.repository, self.descriptor.digest));
        let reply = self.session.send(&Call::new(Method::HEAD, url), &self.scope())?;
        match reply.status {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.refusal(reply)),
        }
    }

    /// Asks for the blob of another repository. `None` if the registry took it; it may start an
    /// upload instead, and does so if it does not know mounting.
    fn mount(&self) -> Result<Option<Begun>, Error> {
        let Some(from) = self.mount_from else { return self.begin().map(Some) };
        let url = self.uploads().with_query("mount", &self.descriptor.digest.to_string());
        let call = Call::new(Method::POST, url.with_query("from", from));
        let reply = self.session.send(&call, &self.scope().and_pull(from))?;
        match reply.status {
            StatusCode::CREATED => Ok(None),
            StatusCode::ACCEPTED => self.begun(&reply).map(Some),
            _ => self.begin().map(Some),
        }
    }

    fn begin(&self) -> Result<Begun, Error> {
        let reply = self.session.send(&Call::new(Method::POST, self.uploads()), &self.scope())?;
        match reply.status {
            StatusCode::ACCEPTED => self.begun(&reply),
            _ => Err(self.refusal(reply)),
        }
    }

    fn uploads(&self) -> Url {
        self.session.url(format!("/v2/{}/blobs/uploads/", self.repository))
    }

    fn begun(&self, reply: &Reply) -> Result<Begun, Error> {
        let wanted = reply.header("oci-chunk-min-length").and_then(|text| text.parse().ok());
        let chunk = wanted.unwrap_or(CHUNK_BYTES).clamp(CHUNK_BYTES, MAX_CHUNK_BYTES);
        Ok(Begun { location: location(reply)?, chunk })
    }

    /// Sends everything. `None` if the registry has the blob then, else why not and how many
    /// bytes it took.
    fn send(&self, begun: Begun) -> Result<Option<(Error, u64)>, Error> {
        let size = self.descriptor.size;
        if size <= begun.chunk {
            return Ok(self.finish(begun.location, 0)?.map(|reason| (reason, 0)));
        }
        let mut location = begun.location;
        let mut offset = 0;
        let mut fruitless = 0;
        while offset < size {
            let len = begun.chunk.min(size - offset);
            let before = offset;
            match self.patch(&location, offset, len)? {
                Step::Ok(next) => (location, offset) = (next, offset + len),
                Step::Broken(reason) => {
                    fruitless += 1;
                    self.session.pause(self.session.retry.wait(fruitless), &reason.to_string())?;
                    match self.taken(&location)? {
                        Some((next, taken)) if (before..=size).contains(&taken) => {
                            (location, offset) = (next, taken);
                        }
                        _ => return Ok(Some((reason, offset))),
                    }
                    if fruitless >= self.session.retry.attempts && offset == before {
                        return Ok(Some((reason, offset)));
                    }
                }
            }
            if offset - before >= MIN_PROGRESS {
                fruitless = 0;
            }
        }
        Ok(self.finish(location, offset)?.map(|reason| (reason, offset)))
    }

    fn patch(&self, location: &Url, offset: u64, len: u64) -> Result<Step, Error> {
        let open = || self.reader(offset, len);
        let call = Call::new(Method::PATCH, location.clone())
            .header("content-type", "application/octet-stream")
            .header("content-range", format!("{offset}-{}", offset + len - 1))
            .payload(Payload::Stream(&open, len));
        self.step(&call, StatusCode::ACCEPTED)
    }

    /// The last request: the bytes from `offset` on, unless all were sent, and the digest.
    fn finish(&self, location: Url, offset: u64) -> Result<Option<Error>, Error> {
        let len = self.descriptor.size - offset;
        let open = || self.reader(offset, len);
        let url = location.with_query("digest", &self.descriptor.digest.to_string());
        let mut call =
            Call::new(Method::PUT, url).header("content-type", "application/octet-stream");
        if len > 0 {
            call = call.payload(Payload::Stream(&open, len));
        }
        match self.step(&call, StatusCode::CREATED)? {
            Step::Ok(_) => Ok(None),
            Step::Broken(reason) => Ok(Some(reason)),
        }
    }

    fn step(&self, call: &Call<'_>, wanted: StatusCode) -> Result<Step, Error> {
        if self.halt.load(Ordering::Relaxed) {
            return Err(Error::Canceled);
        }
        let reply = match self.session.send_once(call, &self.scope()) {
            Err(error) if error.is_transient() => return Ok(Step::Broken(error)),
            reply => reply?,
        };
        match reply.status.as_u16() {
            status if status == wanted.as_u16() && wanted == StatusCode::CREATED => {
                self.check_digest(&reply).map(|()| Step::Ok(reply.url))
            }
            status if status == wanted.as_u16() => location(&reply).map(Step::Ok),
            // The registry forgot the upload, is elsewhere in it, or is not well.
            404 | 408 | 416 | 429 | 500 | 502 | 503 | 504 => Ok(Step::Broken(self.refusal(reply))),
            _ => Err(self.refusal(reply)),
        }
    }

    /// How many bytes the registry has, and where to go on; `None` if it forgot the upload.
    fn taken(&self, location: &Url) -> Result<Option<(Url, u64)>, Error> {
        let reply = self.session.send(&Call::new(Method::GET, location.clone()), &self.scope())?;
        if reply.status != StatusCode::NO_CONTENT {
            return Ok(None);
        }
        let last = reply.header("range").and_then(|range| range.strip_prefix("0-"));
        let taken = match last.and_then(|last| last.parse::<u64>().ok()) {
            // Said of nothing and of one byte; sending that byte again is refused, and all is well.
            None | Some(0) => 0,
            Some(last) => last.saturating_add(1),
        };
        let next = location_or(&reply, location)?;
        Ok(Some((next, taken)))
    }

    fn check_digest(&self, reply: &Reply) -> Result<(), Error> {
        let expected = self.descriptor.digest;
        match reply.header("docker-content-digest").and_then(|text| text.parse().ok()) {
            Some(found) if found != expected => {
                Err(Error::DigestMismatch { what: reply.url.to_string(), expected, found })
            }
            _ => Ok(()),
        }
    }

    fn reader(&self, offset: u64, len: u64) -> Box<dyn Read + '_> {
        let part = self.content.slice(offset, len).expect("within the size that was checked");
        Box::new(Counted { part: part.reader(), upload: self, sent: offset })
    }

    fn refusal(&self, reply: Reply) -> Error {
        let what = format!("upload of {}", self.descriptor.digest);
        self.session.refusal(reply, &self.scope(), &what)
    }
}

/// Tells how far an upload is, and ends it when it is of no use any more.
struct Counted<'a> {
    part: BlobReader,
    upload: &'a Upload<'a>,
    sent: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.upload.halt.load(Ordering::Relaxed) {
            return Err(io::Error::other("canceled"));
        }
        let read = self.part.read(buffer)?;
        self.sent += read as u64;
        self.upload.session.progress.position(&self.upload.descriptor.digest, self.sent);
        Ok(read)
    }
}

/// Where to go on. Never from `https` to `http`.
fn location(reply: &Reply) -> Result<Url, Error> {
    let problem = |reason: String| Error::Protocol { url: reply.url.to_string(), reason };
    let Some(text) = reply.header("location") else {
        return Err(problem("the reply has no Location".into()));
    };
    match reply.url.join(text) {
        Some(url) if reply.url.is_secure() && !url.is_secure() => Err(Error::Redirect {
            url: reply.url.to_string(),
            target: url.to_string(),
            reason: "not encrypted",
        }),
        Some(url) => Ok(url),
        None => Err(problem(format!("cannot go on at `{}`", crate::error::shown(text)))),
    }
}

fn location_or(reply: &Reply, otherwise: &Url) -> Result<Url, Error> {
    if reply.header("location").is_none() { Ok(otherwise.clone()) } else { location(reply) }
}
