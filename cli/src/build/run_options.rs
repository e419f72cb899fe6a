//! What RUN is given and allowed.

use clap::{Args, ValueEnum};
use lithify_builder::{Entitlements, NetworkMode, Options, Secret};
use lithify_hostnet::ExtraHost;
use std::path::PathBuf;
use std::str::FromStr;

/// Options that only RUN notices.
#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// Give RUN --mount=type=secret a secret: id=NAME[,src=FILE|,env=VARIABLE]
    #[arg(long = "secret", value_name = "id=NAME,...")]
    secrets: Vec<SecretOption>,
    /// Give RUN --mount=type=ssh an ssh agent, by default that of SSH_AUTH_SOCK
    #[arg(long = "ssh", value_name = "default|NAME[=SOCKET]")]
    agents: Vec<AgentOption>,
    /// What RUN reaches where it does not say
    #[arg(long, value_enum, default_value_t = NetworkOption::Default)]
    network: NetworkOption,
    /// Add a name to RUN's /etc/hosts; host-gateway is this host's loopback interface
    #[arg(long = "add-host", value_name = "NAME:IP|host-gateway")]
    hosts: Vec<ExtraHost>,
    /// Allow RUN what it has to be allowed
    #[arg(long = "allow", value_enum, value_name = "ENTITLEMENT")]
    allowed: Vec<EntitlementOption>,
}

/// `--network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum NetworkOption {
    /// Other hosts
    Default,
    /// Nothing
    None,
    /// All that this host reaches, itself included
    Host,
}

/// `--allow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EntitlementOption {
    /// RUN --network=host
    #[value(name = "network.host")]
    NetworkHost,
    /// RUN --security=insecure
    #[value(name = "security.insecure")]
    SecurityInsecure,
}

impl RunOptions {
    /// Puts them into the builder's options.
    pub(crate) fn apply(&self, options: &mut Options) {
        let secrets =
            self.secrets.iter().map(|SecretOption(id, secret)| (id.clone(), secret.clone()));
        options.secrets = secrets.collect();
        let agents = self.agents.iter().map(|AgentOption(id, socket)| (id.clone(), socket.clone()));
        options.ssh = agents.collect();
        options.hosts.clone_from(&self.hosts);
        options.network = match self.network {
            NetworkOption::Default => NetworkMode::Default,
            NetworkOption::None => NetworkMode::None,
            NetworkOption::Host => NetworkMode::Host,
        };
        options.allow = Entitlements {
            network_host: self.allowed.contains(&EntitlementOption::NetworkHost),
            security_insecure: self.allowed.contains(&EntitlementOption::SecurityInsecure),
        };
    }
}

/// `--secret`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SecretOption(String, Secret);

impl FromStr for SecretOption {
    type Err = String;

    /// Without a source, the name is that of a variable or else of a file, as with buildx.
    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected id=NAME[,src=FILE|,env=VARIABLE]";
        let (mut id, mut source) = (None, None);
        for field in text.split(',') {
            match field.split_once('=').ok_or(EXPECTED)? {
                ("id", value) => id = Some(value.to_owned()),
                ("src" | "source", value) => source = Some(Secret::File(value.into())),
                ("env", value) => source = Some(Secret::Environment(value.into())),
                ("type", "file" | "env") => {}
                (name, _) => return Err(format!("unknown field `{name}`, {EXPECTED}")),
            }
        }
        let id = id.filter(|id| !id.is_empty()).ok_or(EXPECTED)?;
        let by_name = || match std::env::var_os(&id) {
            Some(_) => Secret::Environment(id.clone()),
            None => Secret::File(id.clone().into()),
        };
        let source = source.unwrap_or_else(by_name);
        Ok(Self(id, source))
    }
}

/// `--ssh`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AgentOption(String, PathBuf);

/// Where ssh's programs find the agent.
const AGENT_VARIABLE: &str = "SSH_AUTH_SOCK";

impl FromStr for AgentOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::read(text, std::env::var_os(AGENT_VARIABLE).map(PathBuf::from))
    }
}

impl AgentOption {
    /// Takes `own` where no socket is named. Several keys are buildx's, for an agent of its own.
    fn read(text: &str, own: Option<PathBuf>) -> Result<Self, String> {
        const ONE: &str = "expected one agent's socket; give keys to an agent with ssh-add";
        let (id, socket) = match text.split_once('=') {
            Some((id, socket)) => (id, Some(socket)),
            None => (text, None),
        };
        let socket = match socket {
            Some(several) if several.contains(',') => return Err(ONE.to_owned()),
            Some(socket) => Some(socket.into()),
            None => own,
        };
        let socket = socket.filter(|socket| !socket.as_os_str().is_empty());
        match (id, socket) {
            ("", _) => Err("expected default or NAME[=SOCKET]".to_owned()),
            (_, Some(socket)) => Ok(Self(id.to_owned(), socket)),
            (_, None) if text.contains('=') => Err(format!("expected {id}=SOCKET")),
            (_, None) => {
                Err(format!("{AGENT_VARIABLE} is not set: name the socket, as in {id}=SOCKET"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_from_files_and_variables() {
        let secret = |text: &str| text.parse::<SecretOption>().map(|secret| (secret.0, secret.1));
        let file = |path: &str| Secret::File(path.into());
        assert_eq!(secret("id=a,src=b/c"), Ok(("a".into(), file("b/c"))));
        assert_eq!(
            secret("type=env,id=a,env=B"),
            Ok(("a".into(), Secret::Environment("B".into())))
        );
        assert_eq!(secret("id=PATH"), Ok(("PATH".into(), Secret::Environment("PATH".into()))));
        assert_eq!(secret("id=no-such"), Ok(("no-such".into(), file("no-such"))));
        for (text, expected) in [
            ("a", "expected id=NAME[,src=FILE|,env=VARIABLE]"),
            ("src=a", "expected id=NAME[,src=FILE|,env=VARIABLE]"),
            ("id=a,mode=1", "unknown field `mode`, expected id=NAME[,src=FILE|,env=VARIABLE]"),
        ] {
            assert_eq!(secret(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn agents_are_named_or_the_environment_s() {
        let read = |text: &str, own: Option<&str>| {
            AgentOption::read(text, own.map(PathBuf::from)).map(|agent| (agent.0, agent.1))
        };
        assert_eq!(read("default", Some("/s")), Ok(("default".into(), "/s".into())));
        assert_eq!(read("a=b/c", Some("/s")), Ok(("a".into(), "b/c".into())));
        for (text, own, expected) in [
            ("", Some("/s"), "expected default or NAME[=SOCKET]"),
            ("=/s", None, "expected default or NAME[=SOCKET]"),
            ("a=", Some("/s"), "expected a=SOCKET"),
            ("a", None, "SSH_AUTH_SOCK is not set: name the socket, as in a=SOCKET"),
            ("a", Some(""), "SSH_AUTH_SOCK is not set: name the socket, as in a=SOCKET"),
            ("a=b,c", None, "expected one agent's socket; give keys to an agent with ssh-add"),
        ] {
            assert_eq!(read(text, own), Err(expected.to_owned()), "{text}");
        }
    }
}
