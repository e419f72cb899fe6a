//! User names, passwords and identity tokens: docker's `config.json`, podman's `auth.json` and
//! credential helpers.
//!
//! For one registry the order is: its helper in `credHelpers`, its entry in `auths` (an identity
//! token before a password), the general helper in `credsStore`. The first file that knows the
//! registry wins: `$REGISTRY_AUTH_FILE`, `$DOCKER_CONFIG/config.json` (else `~/.docker`),
//! `$XDG_RUNTIME_DIR/containers/auth.json`, `~/.config/containers/auth.json`.

mod file;
mod helper;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::Error;
use file::ConfigFile;

/// The key under which docker keeps Docker Hub's credentials since its first version.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
const DOCKER_HUB: &str = "docker.io";

/// What proves who we are.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user name and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// An OAuth2 refresh token.
    IdentityToken(String),
}

impl fmt::Debug for Credential {
    /// Secrets stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password({user})"),
            Self::IdentityToken(_) => f.write_str("IdentityToken"),
        }
    }
}

/// Where credentials come from.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// None are used.
    Anonymous,
    /// This one, for every registry.
    Given(Credential),
    /// The files in this order; `login` and `logout` write the first one.
    Files(Vec<PathBuf>),
}

impl Credentials {
    /// Those of the user who runs us.
    pub fn of_user() -> Self {
        let variable =
            |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = variable("HOME");
        let below_home = |path: &str| home.as_ref().map(|home| home.join(path));
        let docker = variable("DOCKER_CONFIG").or_else(|| below_home(".docker"));
        let runtime = variable("XDG_RUNTIME_DIR");
        let config = variable("XDG_CONFIG_HOME").or_else(|| below_home(".config"));
        let containers =
            [runtime, config].map(|dir| dir.map(|dir| dir.join("containers/auth.json")));
        let files = [variable("REGISTRY_AUTH_FILE"), docker.map(|dir| dir.join("config.json"))];
        Self::Files(files.into_iter().chain(containers).flatten().collect())
    }

    /// The credential for `repository` of `registry`.
    ///
    /// # Errors
    /// If a file is no JSON object, or a helper fails.
    pub fn find(&self, registry: &str, repository: &str) -> Result<Option<Credential>, Error> {
        match self {
            Self::Anonymous => Ok(None),
            Self::Given(credential) => Ok(Some(credential.clone())),
            Self::Files(paths) => {
                for path in paths {
                    let found = ConfigFile::read(path)?.find(registry, repository)?;
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                Ok(None)
            }
        }
    }

    /// Keeps a credential for `registry`, and returns where.
    ///
    /// # Errors
    /// If there is no file to write, it cannot be written, or a helper fails.
    pub fn store(&self, registry: &str, credential: &Credential) -> Result<String, Error> {
        let path = self.file()?;
        let mut config = ConfigFile::read(path)?;
        config.store(registry, credential)
    }

    /// Forgets the credential for `registry`. Returns whether there was one.
    ///
    /// # Errors
    /// As [`Credentials::store`].
    pub fn erase(&self, registry: &str) -> Result<bool, Error> {
        let path = self.file()?;
        let mut config = ConfigFile::read(path)?;
        config.erase(registry)
    }

    fn file(&self) -> Result<&Path, Error> {
        let none = || {
            Error::config(
                Path::new("config.json"),
                "no home folder to keep it in, set DOCKER_CONFIG",
            )
        };
        match self {
            Self::Files(paths) => paths.first().map(PathBuf::as_path).ok_or_else(none),
            _ => Err(none()),
        }
    }
}

/// The key of a registry in `auths` and for helpers.
fn key(registry: &str) -> &str {
    if registry == DOCKER_HUB { DOCKER_HUB_KEY } else { registry }
}
