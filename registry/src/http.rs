//! One request, one reply: connections, timeouts and bodies. No retries, no credentials, no
//! redirects; those are the business of [`crate::session`].

use std::io::{self, Read};
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Method, Request, StatusCode};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body, BodyReader, SendBody};

use crate::limits::{COPY_BYTES, MIN_WINDOW_BYTES};
use crate::url::Url;
use crate::{Error, Options, tls};

/// What to send.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'a> {
    Nothing,
    Bytes(&'a [u8]),
    /// As many bytes, from a reader that is made anew for each attempt.
    Stream(&'a dyn Fn() -> Box<dyn Read + 'a>, u64),
}

/// A request without credentials.
#[derive(Clone)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) payload: Payload<'a>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: Vec::new(), payload: Payload::Nothing }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn payload(mut self, payload: Payload<'a>) -> Self {
        self.payload = payload;
        self
    }
}

/// A reply whose body is not yet read.
pub(crate) struct Reply {
    /// Where it came from, after redirects.
    pub(crate) url: Url,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Body,
    stall: Duration,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What `Content-Length` says.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    pub(crate) fn reader(self) -> PacedReader {
        PacedReader {
            body: self.body.into_with_config().limit(u64::MAX).reader(),
            url: self.url,
            stall: self.stall,
            since: Instant::now(),
            received: 0,
        }
    }

    /// The whole body, if it is not over `limit` bytes.
    pub(crate) fn bytes(self, limit: u64) -> Result<Vec<u8>, Error> {
        let what = self.url.to_string();
        if self.announced().is_some_and(|announced| announced > limit) {
            return Err(Error::TooLarge { what, limit, unit: "bytes" });
        }
        let mut reader = self.reader();
        let mut bytes = Vec::new();
        let mut chunk = vec![0; COPY_BYTES.min(64 << 10)];
        loop {
            let read = reader.read(&mut chunk)?;
            if read == 0 {
                return Ok(bytes);
            }
            bytes.extend_from_slice(&chunk[..read]);
            if bytes.len() as u64 > limit {
                return Err(Error::TooLarge { what, limit, unit: "bytes" });
            }
        }
    }
}

/// A body that must not come slower than [`MIN_WINDOW_BYTES`] per stall time.
pub(crate) struct PacedReader {
    body: BodyReader<'static>,
    url: Url,
    stall: Duration,
    since: Instant,
    received: u64,
}

impl PacedReader {
    /// As [`Read::read`]. An early end of a body of known length is an error.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let read = loop {
            match self.body.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => {
                    break outcome.map_err(|error| failure(&self.url, self.stall, error.into()))?;
                }
            }
        };
        self.received += read as u64;
        if read > 0 && self.since.elapsed() >= self.stall {
            if self.received < MIN_WINDOW_BYTES {
                return Err(stalled(&self.url, self.stall));
            }
            (self.since, self.received) = (Instant::now(), 0);
        }
        Ok(read)
    }
}

fn stalled(url: &Url, stall: Duration) -> Error {
    Error::Stalled { url: url.to_string(), seconds: stall.as_secs() }
}

fn failure(url: &Url, stall: Duration, error: ureq::Error) -> Error {
    match error {
        ureq::Error::Timeout(timeout) if timeout != ureq::Timeout::Connect => stalled(url, stall),
        source => Error::Transport { url: url.to_string(), source: Box::new(source) },
    }
}

/// The connections to one registry and to where it sends us.
pub(crate) struct Http {
    authority: String,
    home: Agent,
    /// Without the client's certificate.
    elsewhere: Agent,
    stall: Duration,
}

impl Http {
    pub(crate) fn new(authority: &str, options: &Options) -> Result<Self, Error> {
        let (home, elsewhere) = tls::configurations(authority, options)?;
        let agent = |tls| {
            let agent = agent(authority, options, tls);
            options.cancel.covers(&agent);
            agent
        };
        Ok(Self {
            authority: authority.to_owned(),
            home: agent(home),
            elsewhere: agent(elsewhere),
            stall: options.timeouts.stall,
        })
    }

    /// Sends `call` with `authorization`; any status is a reply.
    pub(crate) fn send(
        &self,
        call: &Call<'_>,
        authorization: Option<&str>,
    ) -> Result<Reply, Error> {
        let url = &call.url;
        let agent = if url.authority() == self.authority { &self.home } else { &self.elsewhere };
        let mut request = Request::builder().method(call.method.clone()).uri(url.full());
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let failed = |error: ureq::Error| failure(url, self.stall, error);
        let finish = |body: SendBody<'_>, request: ureq::http::request::Builder| {
            let request = request.body(body).map_err(|error| failed(error.into()))?;
            agent.run(request).map_err(failed)
        };
        let response = match call.payload {
            Payload::Nothing if !has_body(&call.method) => finish(SendBody::none(), request),
            Payload::Nothing => {
                finish(SendBody::from_reader(&mut io::empty()), request.header("content-length", 0))
            }
            Payload::Bytes(mut bytes) => {
                let request = request.header("content-length", bytes.len());
                finish(SendBody::from_reader(&mut bytes), request)
            }
            Payload::Stream(open, len) => {
                let request = request.header("content-length", len);
                finish(SendBody::from_reader(&mut open()), request)
            }
        }?;
        let (parts, body) = response.into_parts();
        let (status, headers) = (parts.status, parts.headers);
        Ok(Reply { url: url.clone(), status, headers, body, stall: self.stall })
    }
}

/// Where a length of zero must be said.
fn has_body(method: &Method) -> bool {
    *method == Method::POST || *method == Method::PUT || *method == Method::PATCH
}

fn agent(authority: &str, options: &Options, tls: TlsConfig) -> Agent {
    let stall = Some(options.timeouts.stall);
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("lithify/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(options.timeouts.connect))
        .timeout_per_read(stall)
        .timeout_per_write(stall)
        // A header that comes byte by byte keeps the read timeout happy.
        .timeout_recv_response(Some(options.timeouts.stall * 4))
        .tls_config(tls);
    // Like Go's clients: what is on this machine is not asked for through a proxy.
    let config = match crate::endpoint::is_loopback(authority) {
        true => config.proxy(None),
        false => config,
    };
    config.build().new_agent()
}
