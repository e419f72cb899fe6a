//! `lithify login` and `lithify logout`.

use crate::args::{LoginArgs, LogoutArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::progress::Progress;
use crate::registry::{cancel_on_signals, failed};
use lithify_registry::{Credential, Credentials, Registry, Silent};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::sync::Arc;

/// Longest password that is read from standard input, in bytes: tokens are a few kilobytes.
const MAX_PASSWORD: u64 = 64 << 10;

/// Asks the registry whether it takes the credentials, and keeps them if it does.
pub(crate) fn login(args: &LoginArgs) -> Result<Exit, CliError> {
    let server = server(&args.server)?;
    let credential = credential(args)?;
    let (_listening, cancel) = cancel_on_signals()?;
    let mut options = args.registry.options(cancel);
    let files = std::mem::replace(&mut options.credentials, Credentials::Given(credential.clone()));
    let registry = Registry::connect(&server, &options, Arc::new(Silent)).map_err(failed)?;
    registry.check_access().map_err(|error| match error {
        lithify_registry::Error::Denied { detail, .. } => {
            CliError::own(format!("{server} does not accept the user name and password{detail}"))
        }
        error => failed(error),
    })?;
    let place = files.store(&server, &credential).map_err(failed)?;
    Progress::note(&format!("logged in to {server}, credentials are in {place}"));
    Ok(Exit::Success)
}

/// Forgets credentials.
pub(crate) fn logout(args: &LogoutArgs) -> Result<Exit, CliError> {
    let server = server(&args.server)?;
    let credentials = match &args.registry_config {
        Some(path) => Credentials::Files(vec![path.clone()]),
        None => Credentials::of_user(),
    };
    let was_known = credentials.erase(&server).map_err(failed)?;
    let outcome = if was_known { "logged out of" } else { "was not logged in to" };
    Progress::note(&format!("{outcome} {server}"));
    Ok(Exit::Success)
}

/// The registry's name as references have it; Docker Hub goes by its address, too.
fn server(written: &str) -> Result<String, CliError> {
    let bare = written.trim_start_matches("https://").trim_start_matches("http://");
    let host = bare.split('/').next().unwrap_or_default();
    if matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io") {
        return Ok("docker.io".to_owned());
    }
    let is_name =
        !host.is_empty() && format!("{host}/x").parse::<lithify_image::Reference>().is_ok();
    if is_name {
        Ok(host.to_owned())
    } else {
        Err(CliError::usage(format!("`{written}` is no registry")))
    }
}

fn credential(args: &LoginArgs) -> Result<Credential, CliError> {
    let unreadable = |error: io::Error| CliError::own(format!("standard input: {error}"));
    if args.password_stdin && args.username.is_none() {
        return Err(CliError::usage("--password-stdin needs --username"));
    }
    if !args.password_stdin && !io::stdin().is_terminal() {
        return Err(CliError::usage("not a terminal: use --username and --password-stdin"));
    }
    let user = match &args.username {
        Some(user) => user.clone(),
        None => ask("Username: ").map_err(unreadable)?,
    };
    let password = if args.password_stdin {
        let mut password = String::new();
        io::stdin().take(MAX_PASSWORD).read_to_string(&mut password).map_err(unreadable)?;
        password
    } else {
        unseen(|| ask("Password: ")).map_err(unreadable)?
    };
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    if user.is_empty() || user.contains(':') || password.is_empty() {
        return Err(CliError::usage("a user name without `:` and a password are needed"));
    }
    Ok(Credential::Password { user, password })
}

fn ask(question: &str) -> io::Result<String> {
    write!(io::stderr(), "{question}")?;
    let mut answer = String::new();
    io::stdin().lock().take(MAX_PASSWORD).read_line(&mut answer)?;
    Ok(answer.trim_end_matches(['\r', '\n']).to_owned())
}

/// Without the terminal showing what is typed.
fn unseen<T>(body: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let terminal = io::stdin();
    let before = tcgetattr(&terminal)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
    let outcome = body();
    tcsetattr(&terminal, OptionalActions::Flush, &before)?;
    // The line end was not shown either.
    writeln!(io::stderr())?;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_however_it_is_written() {
        for (written, host) in [
            ("docker.io", Some("docker.io")),
            ("https://index.docker.io/v1/", Some("docker.io")),
            ("r.example:5000", Some("r.example:5000")),
            ("http://localhost:5000/", Some("localhost:5000")),
            ("", None),
            ("a b", None),
        ] {
            assert_eq!(server(written).ok().as_deref(), host, "{written}");
        }
    }
}
