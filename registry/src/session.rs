//! Requests to one registry: the right address, credentials, redirects and retries.
//!
//! Invariants: credentials go only to the origin that was chosen at the start; a challenge of
//! another host is not answered; nothing goes from `https` down to `http`.

use std::sync::Arc;
use std::time::Duration;

use ureq::http::{Method, StatusCode};

use crate::auth::{Authorizer, Scope};
use crate::http::{Call, Http, Reply};
use crate::limits::MAX_REDIRECTS;
use crate::reply::refusal;
use crate::retry::retry_after;
use crate::url::Url;
use crate::{Cancel, Error, Options, Progress, RetryPolicy, endpoint};

/// A registry whose address is known.
pub(crate) struct Session {
    pub(crate) name: String,
    pub(crate) cancel: Cancel,
    pub(crate) retry: RetryPolicy,
    pub(crate) progress: Arc<dyn Progress>,
    base: Url,
    http: Http,
    auth: Authorizer,
}

impl Session {
    /// Finds the registry: the first address that answers, whatever it says.
    pub(crate) fn connect(
        name: &str,
        options: &Options,
        progress: Arc<dyn Progress>,
    ) -> Result<Self, Error> {
        let http = Http::new(endpoint::authority(name), options)?;
        let mut candidates = endpoint::candidates(name, options);
        let mut session = Self {
            name: name.to_owned(),
            cancel: options.cancel.clone(),
            retry: options.retry.clone(),
            progress,
            base: candidates.remove(0),
            http,
            auth: Authorizer::new(name, options.credentials.clone()),
        };
        let reply = match candidates.pop() {
            None => session.ping_with_retries()?,
            Some(plain) => match session.ping() {
                Err(error) if speaks_no_tls(&error) => {
                    session.base = plain;
                    session.ping_with_retries()?
                }
                outcome => outcome?,
            },
        };
        if reply.status == StatusCode::UNAUTHORIZED {
            session.auth.challenged(&reply, &Scope::default());
        }
        Ok(session)
    }

    fn ping_with_retries(&self) -> Result<Reply, Error> {
        self.repeat(|| self.ping())
    }

    fn ping(&self) -> Result<Reply, Error> {
        let call = Call::new(Method::GET, self.base.at("/v2/"));
        self.http.send(&call, None).map_err(|error| self.or_canceled(error))
    }

    /// An absolute path of the registry.
    pub(crate) fn url(&self, path: impl Into<String>) -> Url {
        self.base.at(path)
    }

    /// Whether credentials may go there.
    pub(crate) fn is_home(&self, url: &Url) -> bool {
        url.same_origin(&self.base)
    }

    /// Sends `call` until it is answered by something that is not a passing failure.
    pub(crate) fn send(&self, call: &Call<'_>, scope: &Scope) -> Result<Reply, Error> {
        self.repeat(|| self.send_once(call, scope))
    }

    /// Sends `call`; asked for credentials, once more with them.
    pub(crate) fn send_once(&self, call: &Call<'_>, scope: &Scope) -> Result<Reply, Error> {
        let outcome = self.authorized(call, scope);
        outcome.map_err(|error| self.or_canceled(error))
    }

    fn authorized(&self, call: &Call<'_>, scope: &Scope) -> Result<Reply, Error> {
        let header = self.auth.header(&self.http, &self.base, scope)?;
        let reply = self.follow(call, header.as_deref())?;
        if reply.status != StatusCode::UNAUTHORIZED || !self.is_home(&reply.url) {
            return Ok(reply);
        }
        self.auth.challenged(&reply, scope);
        let is_token = |header: &str| header.starts_with("Bearer ");
        match self.auth.header(&self.http, &self.base, scope)? {
            // A password does not get better; a token is new, even if it looks the same.
            again if again == header && !again.as_deref().is_some_and(is_token) => Ok(reply),
            again => self.follow(call, again.as_deref()),
        }
    }

    /// Follows redirects of what only reads.
    fn follow(&self, call: &Call<'_>, authorization: Option<&str>) -> Result<Reply, Error> {
        let mut call = call.clone();
        let reads = call.method == Method::GET || call.method == Method::HEAD;
        for _ in 0..=MAX_REDIRECTS {
            let reply = self.http.send(&call, authorization.filter(|_| self.is_home(&call.url)))?;
            let is_redirect = matches!(reply.status.as_u16(), 301 | 302 | 303 | 307 | 308);
            if !is_redirect {
                return Ok(reply);
            }
            let location = reply.header("location").unwrap_or_default();
            let refused = |target: &str, reason| {
                let target = crate::error::shown(target.split('?').next().unwrap_or_default());
                Err(Error::Redirect { url: call.url.to_string(), target, reason })
            };
            match call.url.join(location) {
                None => return refused(location, "not a URL to follow"),
                Some(_) if !reads => return refused(location, "uploads are not redirected"),
                Some(to) if call.url.is_secure() && !to.is_secure() => {
                    return refused(&to.to_string(), "not encrypted");
                }
                Some(to) => call.url = to,
            }
        }
        let reason = "too many redirects";
        Err(Error::Redirect { url: call.url.to_string(), target: "…".to_owned(), reason })
    }

    /// Tries again after replies and errors that pass, as the policy says.
    fn repeat(&self, mut send: impl FnMut() -> Result<Reply, Error>) -> Result<Reply, Error> {
        let mut attempt = 1;
        loop {
            self.cancel.check()?;
            let outcome = send();
            let (wait, why) = match &outcome {
                Ok(reply) if is_passing(reply.status) => {
                    let wait = retry_after(&reply.headers);
                    (wait.unwrap_or_else(|| self.retry.wait(attempt)), reply.status.to_string())
                }
                Err(error) if error.is_transient() => (self.retry.wait(attempt), error.to_string()),
                _ => return outcome,
            };
            if attempt >= self.retry.attempts {
                return outcome;
            }
            // The connection is free again while we wait.
            drop(outcome);
            self.pause(wait, &why)?;
            attempt += 1;
        }
    }

    /// Waits before another attempt.
    pub(crate) fn pause(&self, wait: Duration, why: &str) -> Result<(), Error> {
        self.progress.retrying(why, wait);
        self.cancel.sleep(wait)
    }

    /// Connections that were shut down fail in many ways.
    fn or_canceled(&self, error: Error) -> Error {
        if self.cancel.is_canceled() { Error::Canceled } else { error }
    }

    /// The error of a reply; `what` was asked for.
    pub(crate) fn refusal(&self, reply: Reply, scope: &Scope, what: &str) -> Error {
        refusal(reply, &self.name, scope.subject(), what)
    }
}

/// Statuses that a registry recovers from.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// Whether there was no TLS, as opposed to TLS with a certificate that is not trusted.
fn speaks_no_tls(error: &Error) -> bool {
    let Error::Transport { source, .. } = error else { return false };
    !format!("{source:?}").contains("Certificate")
}
