//! From a challenge to an `Authorization` header (distribution's token authentication and OAuth2
//! documents).
//!
//! A challenge is answered only if it comes from the registry itself; the caller sees to that.
//! Credentials go to the registry's own host, and to a token service of the same site.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use ureq::http::Method;

use crate::challenge::Challenge;
use crate::credentials::{Credential, Credentials};
use crate::http::{Call, Http, Payload, Reply};
use crate::limits::MAX_TOKEN_BYTES;
use crate::reply::refusal;
use crate::url::{Url, encode};
use crate::{Error, endpoint};

/// Lifetime of a token whose service does not say.
const DEFAULT_LIFETIME: u64 = 60;
/// A token that ends this soon is replaced: the request has to arrive, too.
const MARGIN: Duration = Duration::from_secs(10);

/// What a request needs to be allowed to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Scope(Vec<String>);

impl Scope {
    pub(crate) fn pull(repository: &str) -> Self {
        Self(vec![format!("repository:{repository}:pull")])
    }

    pub(crate) fn push(repository: &str) -> Self {
        Self(vec![format!("repository:{repository}:pull,push")])
    }

    /// And to read another repository.
    pub(crate) fn and_pull(mut self, repository: &str) -> Self {
        self.0.push(format!("repository:{repository}:pull"));
        self
    }

    /// The repository, for errors.
    pub(crate) fn subject(&self) -> &str {
        self.0.first().and_then(|scope| scope.split(':').nth(1)).unwrap_or("/v2/")
    }
}

struct Token {
    value: String,
    until: Instant,
}

#[derive(Deserialize)]
struct TokenReply {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

#[derive(Default)]
struct State {
    challenge: Option<Challenge>,
    tokens: HashMap<Scope, Token>,
    /// By repository; a helper is asked once.
    credentials: HashMap<String, Option<Credential>>,
}

/// Knows what one registry asks for, and keeps its tokens.
pub(crate) struct Authorizer {
    registry: String,
    credentials: Credentials,
    state: Mutex<State>,
}

impl Authorizer {
    pub(crate) fn new(registry: &str, credentials: Credentials) -> Self {
        Self { registry: registry.to_owned(), credentials, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns from a reply of the registry what it asks for, and forgets the token it refused.
    pub(crate) fn challenged(&self, reply: &Reply, scope: &Scope) {
        let mut state = self.state();
        state.tokens.remove(scope);
        if let Some(challenge) = Challenge::of(&reply.headers) {
            state.challenge = Some(challenge);
        }
    }

    /// The header for a request to `base`, if any is asked for. Others wait while a token is on
    /// its way: they need the same one.
    pub(crate) fn header(
        &self,
        http: &Http,
        base: &Url,
        scope: &Scope,
    ) -> Result<Option<String>, Error> {
        let mut state = self.state();
        let Some(challenge) = state.challenge.clone() else { return Ok(None) };
        if let Some(token) = state.tokens.get(scope)
            && token.until > Instant::now()
        {
            return Ok(Some(format!("Bearer {}", token.value)));
        }
        let credential = self.credential(&mut state, scope.subject())?;
        match challenge {
            Challenge::Basic => match credential {
                Some(Credential::Password { user, password }) => Ok(Some(basic(&user, &password))),
                Some(Credential::IdentityToken(_)) | None => Ok(None),
            },
            Challenge::Bearer { realm, service, scope: named } => {
                let service =
                    TokenService { registry: &self.registry, base, realm, service, named };
                let token = service.token(http, scope, credential.as_ref())?;
                let header = format!("Bearer {}", token.value);
                state.tokens.insert(scope.clone(), token);
                Ok(Some(header))
            }
        }
    }

    fn credential(&self, state: &mut State, repository: &str) -> Result<Option<Credential>, Error> {
        if let Some(known) = state.credentials.get(repository) {
            return Ok(known.clone());
        }
        let found = self.credentials.find(&self.registry, repository)?;
        state.credentials.insert(repository.to_owned(), found.clone());
        Ok(found)
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

struct TokenService<'a> {
    registry: &'a str,
    base: &'a Url,
    realm: String,
    service: Option<String>,
    /// The scope that the challenge names.
    named: Option<String>,
}

impl TokenService<'_> {
    fn token(
        &self,
        http: &Http,
        scope: &Scope,
        credential: Option<&Credential>,
    ) -> Result<Token, Error> {
        let url = self.url(credential.is_some())?;
        let scopes: Vec<&str> = match scope.0.is_empty() {
            true => self.named.iter().map(String::as_str).collect(),
            false => scope.0.iter().map(String::as_str).collect(),
        };
        let reply = match credential {
            Some(Credential::IdentityToken(token)) => self.refresh(http, url, &scopes, token)?,
            Some(Credential::Password { user, password }) => {
                self.get(http, url, &scopes, Some(&basic(user, password)))?
            }
            None => self.get(http, url, &scopes, None)?,
        };
        if !reply.status.is_success() {
            return Err(refusal(reply, self.registry, scope.subject(), "token"));
        }
        let url = reply.url.to_string();
        read_token(&reply.bytes(MAX_TOKEN_BYTES)?)
            .ok_or_else(|| Error::Protocol { url, reason: "no usable token in the reply".into() })
    }

    /// The realm, unless it would carry credentials to strangers or into the open.
    fn url(&self, with_credentials: bool) -> Result<Url, Error> {
        let invalid = || Error::Protocol {
            url: self.base.to_string(),
            reason: format!("its token service is no URL: `{}`", crate::error::shown(&self.realm)),
        };
        let url =
            Url::parse(&self.realm).or_else(|| self.base.join(&self.realm)).ok_or_else(invalid)?;
        let is_open = self.base.is_secure() && !url.is_secure();
        if with_credentials && (is_open || !same_site(self.base, &url)) {
            let registry = self.registry.to_owned();
            return Err(Error::ForeignRealm { registry, realm: url.to_string() });
        }
        Ok(url)
    }

    /// The token protocol: GET, with the password in the header.
    fn get(
        &self,
        http: &Http,
        mut url: Url,
        scopes: &[&str],
        authorization: Option<&str>,
    ) -> Result<Reply, Error> {
        if let Some(service) = &self.service {
            url = url.with_query("service", service);
        }
        url = scopes.iter().fold(url, |url, scope| url.with_query("scope", scope));
        http.send(&Call::new(Method::GET, url), authorization)
    }

    /// The OAuth2 protocol: POST, with the identity token in the form.
    fn refresh(&self, http: &Http, url: Url, scopes: &[&str], token: &str) -> Result<Reply, Error> {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", "lithify"),
            ("service", self.service.as_deref().unwrap_or_default()),
            ("scope", &scopes.join(" ")),
            ("refresh_token", token),
        ];
        let form: Vec<String> =
            form.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let form = form.join("&");
        let mut call = Call::new(Method::POST, url)
            .header("content-type", "application/x-www-form-urlencoded");
        call.payload = Payload::Bytes(form.as_bytes());
        http.send(&call, None)
    }
}

fn read_token(json: &[u8]) -> Option<Token> {
    let reply: TokenReply = serde_json::from_slice(json).ok()?;
    let value = [reply.token, reply.access_token].into_iter().flatten().find(|t| !t.is_empty())?;
    // It becomes part of a header.
    if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let lifetime = Duration::from_secs(reply.expires_in.unwrap_or(DEFAULT_LIFETIME).min(1 << 32));
    let margin = MARGIN.min(lifetime / 2);
    Some(Token { value, until: Instant::now() + lifetime - margin })
}

/// Whether the token service may have the registry's credentials: same host, or both below one
/// domain, as `auth.docker.io` for `registry-1.docker.io`.
fn same_site(registry: &Url, realm: &Url) -> bool {
    let (a, b) = (registry.host().to_ascii_lowercase(), realm.host().to_ascii_lowercase());
    if a == b
        || (endpoint::is_loopback(registry.authority()) && endpoint::is_loopback(realm.authority()))
    {
        return true;
    }
    if a.parse::<std::net::IpAddr>().is_ok() {
        return false;
    }
    let below = |host: &str, domain: &str| {
        host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let parent = a.split_once('.').map(|(_, parent)| parent).filter(|parent| parent.contains('.'));
    below(&b, &a) || parent.is_some_and(|parent| below(&b, parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_stay_on_the_site() {
        for (registry, realm, same) in [
            ("https://registry-1.docker.io", "https://auth.docker.io/token", true),
            ("https://ghcr.io", "https://ghcr.io/token", true),
            ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth", true),
            ("https://r.example:5000", "https://r.example/token", true),
            ("https://quay.io", "https://auth.quay.io/token", true),
            ("https://quay.io", "https://evil.io/token", false),
            ("https://r.example.com", "https://evilexample.com/token", false),
            ("https://10.0.0.1", "https://10.0.0.2/token", false),
            ("https://10.1.0.1", "https://9.1.0.1/token", false),
            ("https://ghcr.io", "https://ghcr.io.evil.example/token", false),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", true),
            ("http://127.0.0.1:5000", "http://localhost:5001/token", true),
        ] {
            let url = |text| Url::parse(text).unwrap();
            assert_eq!(same_site(&url(registry), &url(realm)), same, "{registry} {realm}");
        }
    }

    #[test]
    fn only_a_token_that_fits_a_header_is_used() {
        for (json, value) in [
            (r#"{"token":"a.b-c","expires_in":300}"#, Some("a.b-c")),
            (r#"{"access_token":"x","token":""}"#, Some("x")),
            (r#"{"token":"a\r\nX: y"}"#, None),
            (r#"{"token":7}"#, None),
            ("{}", None),
            ("", None),
        ] {
            let token = read_token(json.as_bytes());
            assert_eq!(token.map(|token| token.value).as_deref(), value, "{json}");
        }
        let forever = read_token(br#"{"token":"x","expires_in":18446744073709551615}"#);
        assert!(forever.is_some());
    }
}
