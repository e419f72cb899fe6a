//! Absolute `http` and `https` URLs: where to send a request, and with whom it shares an origin.

use std::fmt;

use ureq::http::Uri;

/// An absolute URL. Shown without its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    secure: bool,
    /// Host and port as written.
    authority: String,
    /// Path and query.
    path: String,
}

impl Url {
    pub(crate) fn new(secure: bool, authority: &str) -> Self {
        Self { secure, authority: authority.to_owned(), path: "/".to_owned() }
    }

    /// `None` if `text` is no absolute URL of the two schemes or carries a user name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let secure = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?.as_str();
        if authority.contains('@') || uri.host()?.is_empty() {
            return None;
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Some(Self { secure, authority: authority.to_owned(), path: path.to_owned() })
    }

    /// The same origin with another path, which starts with `/` and may have a query.
    pub(crate) fn at(&self, path: impl Into<String>) -> Self {
        Self { path: path.into(), ..self.clone() }
    }

    /// What a `Location` header means here: an absolute URL or an absolute path.
    pub(crate) fn join(&self, location: &str) -> Option<Self> {
        match location.strip_prefix("//") {
            Some(_) => Self::parse(&format!("{}:{location}", self.scheme())),
            None if location.starts_with('/') => {
                Self::parse(&format!("{}://{}{location}", self.scheme(), self.authority))
            }
            None => Self::parse(location),
        }
    }

    pub(crate) fn with_query(mut self, name: &str, value: &str) -> Self {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(name);
        self.path.push('=');
        self.path.push_str(&encode(value));
        self
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host without its port; an IPv6 address without its brackets.
    pub(crate) fn host(&self) -> &str {
        host_of(&self.authority)
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Same scheme, host and port: only then may credentials follow.
    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        self.secure == other.secure
            && self.host().eq_ignore_ascii_case(other.host())
            && self.port() == other.port()
    }

    /// With the query, for the request itself.
    pub(crate) fn full(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.authority, self.path)
    }

    fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    fn port(&self) -> &str {
        let default = if self.secure { "443" } else { "80" };
        let rest =
            self.authority.rsplit_once(']').map_or(self.authority.as_str(), |(_, rest)| rest);
        rest.rsplit_once(':').map_or(default, |(_, port)| port)
    }
}

/// `host[:port]` without the port and without the brackets of an IPv6 address.
pub(crate) fn host_of(authority: &str) -> &str {
    if let Some((address, _)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address;
    }
    authority.split_once(':').map_or(authority, |(host, _)| host)
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split_once('?').map_or(self.path.as_str(), |(path, _)| path);
        write!(f, "{}://{}{path}", self.scheme(), self.authority)
    }
}

/// Percent-encoding (RFC 3986 2.1) of a query's value.
pub(crate) fn encode(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_resolved_and_others_refused() {
        let base = Url::parse("https://r.example:5000/v2/a/blobs/uploads/").unwrap();
        for (location, full) in [
            ("/v2/x?_state=1", Some("https://r.example:5000/v2/x?_state=1")),
            ("http://other.example/y", Some("http://other.example/y")),
            ("//other.example/y", Some("https://other.example/y")),
            ("relative", None),
            ("ftp://r.example/", None),
            ("https://user:pw@r.example/", None),
            ("", None),
        ] {
            assert_eq!(base.join(location).map(|url| url.full()).as_deref(), full, "{location}");
        }
    }

    #[test]
    fn origins_are_scheme_host_and_port() {
        let url = |text| Url::parse(text).unwrap();
        for (a, b, same) in [
            ("https://r.example/a", "https://R.example:443/b", true),
            ("http://[::1]/", "http://[::1]:80/", true),
            ("https://r.example/", "http://r.example:443/", false),
            ("https://r.example/", "https://r.example:444/", false),
            ("https://r.example/", "https://s.r.example/", false),
        ] {
            assert_eq!(url(a).same_origin(&url(b)), same, "{a} {b}");
        }
    }

    #[test]
    fn query_is_encoded_and_never_shown() {
        let url = Url::parse("https://r.example/p").unwrap().with_query("s", "a b:c/é");
        assert_eq!(url.full(), "https://r.example/p?s=a%20b%3Ac%2F%C3%A9");
        assert_eq!(url.to_string(), "https://r.example/p");
        assert_eq!(url.with_query("t", "1").full(), "https://r.example/p?s=a%20b%3Ac%2F%C3%A9&t=1");
    }
}
