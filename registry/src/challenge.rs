//! `WWW-Authenticate` (RFC 9110 11.6.1): which scheme, and for bearer tokens from where.

use ureq::http::HeaderMap;

/// What a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// The strongest challenge of a reply that we can meet.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all("www-authenticate").iter().filter_map(|v| v.to_str().ok());
        let mut found: Vec<Self> = values.flat_map(parse).collect();
        found.sort_by_key(|challenge| *challenge == Self::Basic);
        found.into_iter().next()
    }
}

fn parse(text: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',']);
    while let Some((scheme, parameters)) = token(rest) {
        let (parameters, after) = parameters_of(parameters);
        let get = |name: &str| {
            let found = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        if scheme.eq_ignore_ascii_case("basic") {
            challenges.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = get("realm")
        {
            let (service, scope) = (get("service"), get("scope"));
            challenges.push(Challenge::Bearer { realm, service, scope });
        }
        rest = after.trim_start_matches([' ', ',']);
    }
    challenges
}

/// The `name=value` pairs from the start of `text`, and what follows them.
fn parameters_of(text: &str) -> (Vec<(String, String)>, &str) {
    let mut parameters = Vec::new();
    let mut rest = text;
    loop {
        let at = rest.trim_start_matches([' ', ',']);
        let Some((name, after)) = token(at) else { return (parameters, "") };
        // A word without a value is the next scheme.
        let Some(after) = after.trim_start().strip_prefix('=') else { return (parameters, at) };
        let Some((value, after)) = value(after.trim_start()) else { return (parameters, "") };
        parameters.push((name.to_owned(), value));
        rest = after;
    }
}

fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A token or a quoted string.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return token(text).map(|(value, rest)| (value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("www-authenticate", value.parse().unwrap());
        }
        Challenge::of(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let (service, scope) = (owned(service), owned(scope));
        Some(Challenge::Bearer { realm: realm.to_owned(), service, scope })
    }

    #[test]
    fn challenges_are_read() {
        let all = r#"Bearer realm="https://a/t",service="r",scope="repository:x:pull,push""#;
        let pushes = Some("repository:x:pull,push");
        for (values, expected) in [
            (&[all][..], bearer("https://a/t", Some("r"), pushes)),
            (&["Basic realm=\"x\""], Some(Challenge::Basic)),
            (&["basic"], Some(Challenge::Basic)),
            (
                &["Basic realm=x, bearer realm=\"https://a\\\\t\""],
                bearer("https://a\\t", None, None),
            ),
            (&["Basic", all], bearer("https://a/t", Some("r"), pushes)),
            (&["Negotiate, Basic realm=\"a, Bearer b\""], Some(Challenge::Basic)),
            (&["Bearer service=\"x\""], None),
            (&["Bearer realm=\"unclosed"], None),
            (&["Digest realm=\"x\""], None),
            (&["=,=\"\\"], None),
            (&[], None),
        ] {
            assert_eq!(of(values), expected, "{values:?}");
        }
    }
}
