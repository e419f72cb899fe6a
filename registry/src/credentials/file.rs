//! One `config.json` or `auth.json`. What we do not know in it is kept as it is.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;

use super::{Credential, helper, key};
use crate::Error;
use crate::tls::read_file;

pub(super) struct ConfigFile {
    path: PathBuf,
    document: Map<String, Value>,
}

impl ConfigFile {
    /// A file that does not exist is an empty one.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        // Written back through a link, so that the link stays.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let document = match fs::symlink_metadata(&path) {
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Map::new()
            }
            _ => {
                let bytes = read_file(&path)?;
                if bytes.trim_ascii().is_empty() {
                    Map::new()
                } else {
                    // The text is not shown: it holds passwords.
                    serde_json::from_slice(&bytes).map_err(|error| {
                        let (line, column) = (error.line(), error.column());
                        Error::config(
                            &path,
                            format!("no JSON object: line {line}, column {column}"),
                        )
                    })?
                }
            }
        };
        Ok(Self { path, document })
    }

    pub(super) fn find(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credential>, Error> {
        if let Some(helper) = self.own_helper(registry) {
            return helper::get(helper, key(registry));
        }
        if let Some(found) = self.entry(registry, repository).and_then(credential) {
            return Ok(Some(found));
        }
        match self.general_helper() {
            Some(helper) => helper::get(helper, key(registry)),
            None => Ok(None),
        }
    }

    pub(super) fn store(
        &mut self,
        registry: &str,
        credential: &Credential,
    ) -> Result<String, Error> {
        let helper = self.own_helper(registry).or_else(|| self.general_helper()).map(str::to_owned);
        if let Some(helper) = helper {
            helper::store(&helper, key(registry), credential)?;
            // An older password in the file would win over the general helper.
            self.remove_entries(registry);
            self.write()?;
            return Ok(format!("credential helper {helper}"));
        }
        let entry = match credential {
            Credential::Password { user, password } => {
                json!({ "auth": STANDARD.encode(format!("{user}:{password}")) })
            }
            Credential::IdentityToken(token) => json!({ "identitytoken": token }),
        };
        self.remove_entries(registry);
        let auths = self.document.entry("auths").or_insert_with(|| json!({}));
        let Some(auths) = auths.as_object_mut() else {
            return Err(Error::config(&self.path, "`auths` is no object"));
        };
        auths.insert(key(registry).to_owned(), entry);
        self.write()?;
        Ok(self.path.display().to_string())
    }

    pub(super) fn erase(&mut self, registry: &str) -> Result<bool, Error> {
        let helper = self.own_helper(registry).or_else(|| self.general_helper()).map(str::to_owned);
        let by_helper = match helper {
            Some(helper) => helper::erase(&helper, key(registry))?,
            None => false,
        };
        let in_file = self.remove_entries(registry);
        if in_file {
            self.write()?;
        }
        Ok(by_helper || in_file)
    }

    fn own_helper(&self, registry: &str) -> Option<&str> {
        let helpers = self.document.get("credHelpers")?.as_object()?;
        let found = helpers.get(registry).or_else(|| helpers.get(key(registry)));
        found?.as_str().filter(|name| !name.is_empty())
    }

    fn general_helper(&self) -> Option<&str> {
        self.document.get("credsStore")?.as_str().filter(|name| !name.is_empty())
    }

    /// The entry of the longest path that leads to the repository (podman keeps some by
    /// repository or namespace), else that of the registry, however it is spelled.
    fn entry(&self, registry: &str, repository: &str) -> Option<&Value> {
        let auths = self.document.get("auths")?.as_object()?;
        let mut path = format!("{registry}/{repository}");
        while path.len() > registry.len() {
            if let Some(entry) = auths.get(&path) {
                return Some(entry);
            }
            path.truncate(path.rfind('/')?);
        }
        let same = |(name, _): &(&String, &Value)| is_key_of(name, registry);
        auths
            .get(key(registry))
            .or_else(|| auths.get(registry))
            .or_else(|| auths.iter().find(same).map(|(_, entry)| entry))
    }

    fn remove_entries(&mut self, registry: &str) -> bool {
        let Some(auths) = self.document.get_mut("auths").and_then(Value::as_object_mut) else {
            return false;
        };
        let before = auths.len();
        auths.retain(|name, _| name != key(registry) && !is_key_of(name, registry));
        auths.len() < before
    }

    /// Whole or not at all, and for the user's eyes only.
    fn write(&self) -> Result<(), Error> {
        let failed = |error: std::io::Error| Error::config(&self.path, error);
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        make_private(folder).map_err(failed)?;
        let mut json = serde_json::to_vec_pretty(&self.document).expect("it was read from JSON");
        json.push(b'\n');
        let mut file = NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(&json).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(&self.path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Old clients wrote URLs: `https://HOST/v1/`.
fn is_key_of(name: &str, registry: &str) -> bool {
    let rest = name.strip_prefix("https://").or_else(|| name.strip_prefix("http://"));
    match rest {
        Some(rest) => rest.split('/').next() == Some(registry),
        None => name == registry,
    }
}

fn credential(entry: &Value) -> Option<Credential> {
    let text = |name| entry.get(name)?.as_str().filter(|text| !text.is_empty());
    if let Some(token) = text("identitytoken") {
        return Some(Credential::IdentityToken(token.to_owned()));
    }
    if let Some(auth) = text("auth") {
        let decoded = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        let password = password.trim_end_matches('\0').to_owned();
        return Some(Credential::Password { user: user.to_owned(), password });
    }
    let (user, password) = (text("username")?.to_owned(), text("password")?.to_owned());
    Some(Credential::Password { user, password })
}

#[cfg(test)]
mod tests {
    use super::super::Credentials;
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn password(user: &str, password: &str) -> Option<Credential> {
        Some(Credential::Password { user: user.to_owned(), password: password.to_owned() })
    }

    #[test]
    fn entries_are_found_by_docker_s_and_podman_s_keys() {
        let auth = |text: &str| json!({ "auth": STANDARD.encode(text) });
        let document = json!({ "auths": {
            "r.example:5000": auth("u:p:with:colons"),
            "https://old.example/v1/": auth("old:p"),
            "https://index.docker.io/v1/": auth("hub:p"),
            "r.example:5000/team": auth("team:p"),
            "r.example:5000/team/app": auth("app:p"),
            "token.example": { "auth": STANDARD.encode("u:p"), "identitytoken": "T" },
            "plain.example": { "username": "a", "password": "b" },
            "empty.example": {},
            "broken.example": { "auth": "%%%" },
        }});
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        fs::write(&path, document.to_string()).unwrap();
        let credentials = Credentials::Files(vec![dir.path().join("missing.json"), path]);
        for (registry, repository, expected) in [
            ("r.example:5000", "x", password("u", "p:with:colons")),
            ("r.example:5000", "team/app", password("app", "p")),
            ("r.example:5000", "team/app/sub", password("app", "p")),
            ("r.example:5000", "team/other", password("team", "p")),
            ("r.example:5000", "teams", password("u", "p:with:colons")),
            ("r.example", "x", None),
            ("old.example", "x", password("old", "p")),
            ("docker.io", "library/debian", password("hub", "p")),
            ("token.example", "x", Some(Credential::IdentityToken("T".into()))),
            ("plain.example", "x", password("a", "b")),
            ("empty.example", "x", None),
            ("broken.example", "x", None),
        ] {
            assert_eq!(credentials.find(registry, repository).unwrap(), expected, "{registry}");
        }
    }

    #[test]
    fn login_keeps_what_it_does_not_know_and_nobody_else_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/config.json");
        let credentials = Credentials::Files(vec![path.clone()]);
        credentials.store("docker.io", &password("me", "secret").unwrap()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        let mut document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert!(document["auths"]["https://index.docker.io/v1/"]["auth"].is_string());
        document["HttpHeaders"] = json!({ "X": ["y"] });
        document["auths"]["http://other.example"] = json!({ "auth": "", "email": "e" });
        fs::write(&path, document.to_string()).unwrap();
        credentials.store("r.example", &Credential::IdentityToken("T".into())).unwrap();
        assert!(credentials.erase("docker.io").unwrap());
        assert!(!credentials.erase("docker.io").unwrap());
        let document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(
            document,
            json!({
                "HttpHeaders": { "X": ["y"] },
                "auths": {
                    "http://other.example": { "auth": "", "email": "e" },
                    "r.example": { "identitytoken": "T" },
                },
            })
        );
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_broken_file_is_named_without_its_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        fs::write(&path, "{ \"auths\": { \"secret\" } }").unwrap();
        let message = Credentials::Files(vec![path]).find("r", "x").unwrap_err().to_string();
        assert!(message.contains("config.json: no JSON object: line 1"), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}
