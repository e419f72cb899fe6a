//! Credential helpers: programs `docker-credential-NAME` with the verbs `get`, `store` and `erase`
//! (docker/docker-credential-helpers).

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::Credential;
use crate::Error;
use crate::error::shown;
use crate::limits::MAX_CONFIG_BYTES;

/// The user name that says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";
/// What helpers print if they know nothing of a server; no helper has a code for it.
const NOT_FOUND: &str = "credentials not found";

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stored {
    #[serde(rename = "ServerURL", default)]
    server: String,
    username: String,
    secret: String,
}

pub(super) fn get(name: &str, server: &str) -> Result<Option<Credential>, Error> {
    let output = match call(name, "get", server.as_bytes()) {
        Ok(output) => output,
        Err(Failure::Said(text)) if text.contains(NOT_FOUND) => return Ok(None),
        Err(failure) => return Err(failure.error(name)),
    };
    let stored: Stored = serde_json::from_slice(&output)
        .map_err(|error| Failure::Other(format!("its output: {error}")).error(name))?;
    Ok(match stored {
        Stored { secret, .. } if secret.is_empty() => None,
        Stored { username, secret, .. } if username == TOKEN_USER => {
            Some(Credential::IdentityToken(secret))
        }
        Stored { username: user, secret: password, .. } => {
            Some(Credential::Password { user, password })
        }
    })
}

pub(super) fn store(name: &str, server: &str, credential: &Credential) -> Result<(), Error> {
    let (username, secret) = match credential {
        Credential::Password { user, password } => (user.clone(), password.clone()),
        Credential::IdentityToken(token) => (TOKEN_USER.to_owned(), token.clone()),
    };
    let stored = Stored { server: server.to_owned(), username, secret };
    let json = serde_json::to_vec(&stored).expect("strings serialise");
    call(name, "store", &json).map(drop).map_err(|failure| failure.error(name))
}

/// Whether there was something to erase.
pub(super) fn erase(name: &str, server: &str) -> Result<bool, Error> {
    match call(name, "erase", server.as_bytes()) {
        Ok(_) => Ok(true),
        Err(Failure::Said(text)) if text.contains(NOT_FOUND) => Ok(false),
        Err(failure) => Err(failure.error(name)),
    }
}

enum Failure {
    /// It ended with an error and this text.
    Said(String),
    Other(String),
}

impl Failure {
    fn error(self, name: &str) -> Error {
        let (Self::Said(reason) | Self::Other(reason)) = self;
        Error::Helper { name: program(name), reason: shown(reason.trim()) }
    }
}

fn program(name: &str) -> String {
    format!("docker-credential-{name}")
}

fn call(name: &str, verb: &str, input: &[u8]) -> Result<Vec<u8>, Failure> {
    let other = |error: std::io::Error| Failure::Other(error.to_string());
    if name.is_empty() || name.contains('/') {
        return Err(Failure::Other("not the name of a helper".into()));
    }
    let mut child = Command::new(program(name))
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(other)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not want to know tells why by its output.
        let _ = stdin.write_all(input);
    }
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_CONFIG_BYTES).read_to_end(&mut output).map_err(other)?;
    }
    let status = child.wait().map_err(other)?;
    if status.success() {
        return Ok(output);
    }
    let text = String::from_utf8_lossy(&output).into_owned();
    if text.trim().is_empty() {
        Err(Failure::Other(status.to_string()))
    } else {
        Err(Failure::Said(text))
    }
}
