//! What this start asks for: the image's wish, WASI's arguments and environment, our runner's
//! overrides.

use lithify_control::wire::WireError;
use lithify_control::{ImageProcess, Overrides, Renewal, StartRequest, THAW_ENTROPY_LEN};

use crate::network::NetworkError;
use crate::wasi;

/// Bytes of a generated host name, in hexadecimal half as many; as long as docker's.
const HOSTNAME_BYTES: usize = 6;

/// Why a start cannot be asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("the runner's request: {0}")]
    Overrides(#[from] WireError),
    #[error("{0}")]
    Network(#[from] NetworkError),
    #[error("no command specified: the image has neither ENTRYPOINT nor CMD")]
    NoCommand,
    #[error("the host has no randomness: {0}")]
    NoRandomness(wasip1::Errno),
    #[error(
        "the program runs already in this artifact, since before it was frozen: it takes no host \
         directories"
    )]
    LateMount,
    #[error(
        "the program runs already in this artifact, since before it was frozen: it takes no {0}"
    )]
    RunsAlready(&'static str),
}

/// Reads the overrides that our own runner offers; other runtimes offer none.
pub(crate) fn overrides() -> Result<Option<Overrides>, WireError> {
    wasi::preopened_file(Overrides::DIRECTORY, Overrides::FILE)
        .map(|bytes| Overrides::decode(&bytes))
        .transpose()
}

/// The request for this start.
pub(crate) fn start(
    image: &ImageProcess,
    overrides: &Overrides,
    has_network: bool,
) -> Result<StartRequest, RequestError> {
    let arguments = wasi::arguments().into_iter().skip(1).collect();
    let argv = command(image, overrides, arguments);
    if argv.is_empty() {
        return Err(RequestError::NoCommand);
    }
    let mut entropy = [0; THAW_ENTROPY_LEN];
    wasi::random(&mut entropy).map_err(RequestError::NoRandomness)?;
    Ok(StartRequest {
        env: merge_environment(&image.env, wasi::environment()),
        cwd: overrides.cwd.clone().unwrap_or_else(|| image.cwd.clone()),
        user: overrides.user.clone().unwrap_or_else(|| image.user.clone()),
        hostname: overrides.hostname.clone().map_or_else(random_hostname, Ok)?,
        network: has_network,
        hosts: overrides.hosts.clone(),
        terminal: overrides.terminal,
        freeze_at: overrides.freeze_at.clone(),
        ..StartRequest::new(argv, wasi::realtime_ns(), entropy)
    })
}

/// What a container gets that runs already.
pub(crate) fn renewal(
    overrides: &Overrides,
    has_network: bool,
    terminal: bool,
) -> Result<Renewal, RequestError> {
    let refused = [
        (wasi::arguments().len() > 1, "arguments"),
        (overrides.entrypoint.is_some(), "other entrypoint"),
        (overrides.cwd.is_some(), "other working directory"),
        (overrides.user.is_some(), "other user"),
        (overrides.terminal.is_some() && !terminal, "terminal"),
    ];
    if let Some((_, what)) = refused.iter().find(|(is_asked, _)| *is_asked) {
        return Err(RequestError::RunsAlready(what));
    }
    let mut entropy = [0; THAW_ENTROPY_LEN];
    wasi::random(&mut entropy).map_err(RequestError::NoRandomness)?;
    Ok(Renewal {
        hostname: overrides.hostname.clone().map_or_else(random_hostname, Ok)?,
        realtime_ns: wasi::realtime_ns(),
        entropy,
        env: wasi::environment(),
        mounts: Vec::new(),
        network: has_network,
        hosts: overrides.hosts.clone(),
        terminal: overrides.terminal,
        freeze_at: overrides.freeze_at.clone(),
    })
}

/// What the image runs if nobody asks for anything else.
pub(crate) fn default_command(image: &ImageProcess) -> Result<Vec<Vec<u8>>, RequestError> {
    let argv = command(image, &Overrides::default(), Vec::new());
    if argv.is_empty() { Err(RequestError::NoCommand) } else { Ok(argv) }
}

/// Docker's rules: arguments replace `Cmd`; another entrypoint drops it.
fn command(image: &ImageProcess, overrides: &Overrides, arguments: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let (entrypoint, cmd) = match &overrides.entrypoint {
        Some(entrypoint) => (entrypoint, &[][..]),
        None => (&image.entrypoint, &image.cmd[..]),
    };
    let arguments = if arguments.is_empty() { cmd.to_vec() } else { arguments };
    entrypoint.iter().cloned().chain(arguments).collect()
}

/// The image's environment with the host's variables over it, each name once, in order of first
/// appearance.
fn merge_environment(image: &[Vec<u8>], host: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut merged = image.to_vec();
    for variable in host {
        let name = name_of(&variable).to_vec();
        match merged.iter_mut().find(|old| name_of(old) == name) {
            Some(old) => *old = variable,
            None => merged.push(variable),
        }
    }
    merged
}

fn name_of(variable: &[u8]) -> &[u8] {
    variable.split(|byte| *byte == b'=').next().unwrap_or_default()
}

fn random_hostname() -> Result<Vec<u8>, RequestError> {
    let mut bytes = [0; HOSTNAME_BYTES];
    wasi::random(&mut bytes).map_err(RequestError::NoRandomness)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes())
}
