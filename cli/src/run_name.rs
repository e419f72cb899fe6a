//! Runs with a name: a socket in the user's cache folder, by which others speak to them.
//!
//! A request is the path of a file, absolute, up to the end of the stream; the answer is empty, or an
//! error. Who asks waits for it. A run that is gone has closed its sockets.

use crate::error::CliError;
use lithify_runner::{Freezer, user_cache};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

/// Longest request: longer than any path.
const MAX_REQUEST: u64 = 64 << 10;
/// Longest answer, against a process that is no run.
const MAX_ANSWER: u64 = 64 << 10;

/// A name as docker's containers have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name(String);

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        /// The path of a socket holds 107 bytes.
        const MAX_LEN: usize = 40;
        let is_word = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if starts && text.chars().all(is_word) && text.len() <= MAX_LEN {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("expected up to {MAX_LEN} letters, digits, `_`, `.` and `-`, not `-` first"))
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Name {
    fn socket(&self) -> Result<PathBuf, CliError> {
        let folder = user_cache().map_err(CliError::own)?.join("runs");
        Ok(folder.join(format!("{self}.sock")))
    }

    /// Asks the run of this name to end as the artifact `path`, and waits until it has.
    pub(crate) fn freeze(&self, path: &Path) -> Result<(), CliError> {
        let socket = self.socket()?;
        let stream = UnixStream::connect(&socket).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                CliError::own(format!("no run is named `{self}`"))
            }
            _ => CliError::own(format!("{}: {error}", socket.display())),
        })?;
        let path = std::path::absolute(path).map_err(CliError::own)?;
        let answer = ask(stream, &path)
            .map_err(|error| CliError::own(format!("the run `{self}` does not answer: {error}")))?;
        match answer.split_last() {
            Some((&DONE, [])) => Ok(()),
            Some(_) => Err(CliError::own(String::from_utf8_lossy(&answer))),
            None => Err(CliError::own(format!("the run `{self}` ended before it was frozen"))),
        }
    }
}

/// The answer to a request that was served.
const DONE: u8 = 0;

fn ask(mut stream: UnixStream, path: &Path) -> io::Result<Vec<u8>> {
    stream.write_all(path.as_os_str().as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}

/// Somebody wants the run to end as an artifact.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) path: PathBuf,
    from: UnixStream,
}

impl Request {
    /// Tells what came of it. Who does not wait any more need not be told.
    pub(crate) fn answer(mut self, error: Option<&CliError>) {
        let answer = error.map_or(vec![DONE], |error| error.text().into());
        let _ = self.from.write_all(&answer);
    }
}

/// This process as the run of a name.
#[derive(Debug)]
pub(crate) struct NamedRun {
    socket: PathBuf,
    request: Arc<Mutex<Option<Request>>>,
}

impl NamedRun {
    /// Takes requests from now on; each is refused if there is a `refusal`.
    pub(crate) fn listen(
        name: &Name,
        freezer: Freezer,
        refusal: Option<&'static str>,
    ) -> Result<Self, CliError> {
        let socket = name.socket()?;
        let failed = |error: io::Error| CliError::own(format!("{}: {error}", socket.display()));
        let folder = socket.parent().unwrap_or(Path::new("/"));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        if UnixStream::connect(&socket).is_ok() {
            return Err(CliError::own(format!("another run is named `{name}`")));
        }
        // What a killed run has left.
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).map_err(failed)?;
        let request = Arc::default();
        let shared = Arc::clone(&request);
        let serve = move || {
            for stream in listener.incoming().flatten() {
                take(stream, &shared, &freezer, refusal);
            }
        };
        std::thread::Builder::new().name("requests".into()).spawn(serve).map_err(failed)?;
        Ok(Self { socket, request })
    }

    /// The request that the machine stands still for, if it does because of one.
    pub(crate) fn take_request(&self) -> Option<Request> {
        self.request.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for NamedRun {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn take(
    stream: UnixStream,
    shared: &Mutex<Option<Request>>,
    freezer: &Freezer,
    refusal: Option<&str>,
) {
    let mut path = Vec::new();
    if (&stream).take(MAX_REQUEST).read_to_end(&mut path).is_err() || path.is_empty() {
        return;
    }
    let request = Request { path: PathBuf::from(OsString::from_vec(path)), from: stream };
    let mut pending = shared.lock().unwrap_or_else(PoisonError::into_inner);
    match (refusal, pending.is_some()) {
        (Some(refusal), _) => request.answer(Some(&CliError::own(refusal))),
        (None, true) => request.answer(Some(&CliError::own("a freeze is under way already"))),
        (None, false) => {
            *pending = Some(request);
            freezer.freeze();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_docker_s_containers() {
        for (text, ok) in [
            ("web", true),
            ("Web-1_a.b", true),
            ("", false),
            ("-a", false),
            ("../a", false),
            ("a b", false),
            (&"x".repeat(41), false),
        ] {
            assert_eq!(text.parse::<Name>().is_ok(), ok, "{text}");
        }
    }

    #[test]
    fn a_request_is_answered_once() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let asking = std::thread::spawn(move || ask(theirs, Path::new("/a.wasm")).unwrap());
        let mut path = Vec::new();
        (&ours).read_to_end(&mut path).unwrap();
        assert_eq!(path, b"/a.wasm");
        Request { path: "/a.wasm".into(), from: ours }.answer(Some(&CliError::own("no")));
        assert_eq!(asking.join().unwrap(), b"no");
    }
}
