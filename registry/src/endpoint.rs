//! From a registry's name to its address, and whether it may be spoken to without TLS.

use std::net::IpAddr;

use crate::Options;
use crate::url::{Url, host_of};

/// Docker Hub's name in references and its real host.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// Whether `authority` (`host[:port]`) is this machine: docker's rule for registries that need no TLS.
pub(crate) fn is_loopback(authority: &str) -> bool {
    let host = host_of(authority);
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The host that serves the registry `name`.
pub(crate) fn authority(name: &str) -> &str {
    if name == DOCKER_HUB.0 { DOCKER_HUB.1 } else { name }
}

/// Where to try, in this order.
pub(crate) fn candidates(name: &str, options: &Options) -> Vec<Url> {
    let authority = authority(name);
    let (secure, plain) = (Url::new(true, authority), Url::new(false, authority));
    if options.plain_http {
        vec![plain]
    } else if options.insecure || is_loopback(authority) {
        vec![secure, plain]
    } else {
        vec![secure]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_and_for_those_who_ask() {
        let of = |name: &str, plain_http, insecure| {
            let options = Options { plain_http, insecure, ..Options::default() };
            let candidates = candidates(name, &options);
            candidates.iter().map(Url::full).collect::<Vec<_>>().join(" ")
        };
        for (name, urls) in [
            ("r.example:5000", "https://r.example:5000/"),
            ("docker.io", "https://registry-1.docker.io/"),
            ("127.0.0.1:5000", "https://127.0.0.1:5000/ http://127.0.0.1:5000/"),
            ("127.9.9.9", "https://127.9.9.9/ http://127.9.9.9/"),
            ("[::1]:5000", "https://[::1]:5000/ http://[::1]:5000/"),
            ("localhost", "https://localhost/ http://localhost/"),
            ("localhost.example", "https://localhost.example/"),
            ("127.0.0.1.example", "https://127.0.0.1.example/"),
        ] {
            assert_eq!(of(name, false, false), urls);
        }
        assert_eq!(of("r.example", true, false), "http://r.example/");
        assert_eq!(of("r.example", false, true), "https://r.example/ http://r.example/");
    }
}
