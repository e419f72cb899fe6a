//! Why an instruction cannot be applied.

use std::path::PathBuf;

use lithify_image::Digest;

use super::MountProblem;
use crate::error::Hint;

/// Why an instruction cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// RUN without [`crate::Options::machine`].
    #[error("RUN needs a machine to execute in, and this build was given none")]
    NoMachine,
    /// A device for RUN: the machine has none of the host's.
    #[error("RUN --device={device}: the machine that executes RUN has no devices of the host")]
    Device {
        /// What was asked for.
        device: String,
    },
    /// What RUN wants is not the Dockerfile's to decide.
    #[error("RUN {flag} has to be allowed: pass --allow {entitlement}")]
    NotAllowed {
        /// The flag.
        flag: &'static str,
        /// What allows it.
        entitlement: &'static str,
    },
    /// A mount that cannot be made.
    #[error("--mount={mount}: {problem}")]
    Mount {
        /// The mount, its variables expanded.
        mount: String,
        /// What is wrong.
        problem: MountProblem,
    },
    /// RUN's command failed.
    #[error("process {process:?} did not complete successfully: exit code: {code}")]
    Command {
        /// Program and arguments.
        process: String,
        /// Its exit code; 128 and the signal if one killed it.
        code: u32,
    },
    /// RUN's command could not be started.
    #[error("process {process:?} could not be started: {message}")]
    NotStarted {
        /// Program and arguments.
        process: String,
        /// Why.
        message: String,
    },
    /// What a RUN step changed makes no sense.
    #[error("the step's change of `{}` is damaged: {problem}", path.display())]
    BadChange {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// An image, and no source of images.
    #[error("{keyword}{image}: nothing is pulled; pass --build-context {image}=oci-layout://DIR")]
    NoImages {
        /// What names the image: `FROM ` or `--from=`.
        keyword: &'static str,
        /// The image.
        image: String,
    },
    /// The source of images does not have it.
    #[error("{keyword}{image}: {message}")]
    Pull {
        /// What names the image: `FROM ` or `--from=`.
        keyword: &'static str,
        /// The image.
        image: String,
        /// Why not.
        message: String,
    },
    /// A directory where an image is needed.
    #[error("FROM {name}: the build context of that name is a directory, not an image")]
    NotAnImage {
        /// The context's name.
        name: String,
    },
    /// An image for another machine.
    #[error("{name} is an image for {found}, and this build is for {wanted}")]
    WrongPlatform {
        /// The context's name.
        name: String,
        /// The image's platform.
        found: String,
        /// The build's platform.
        wanted: String,
    },
    /// A base image whose trigger is no instruction.
    #[error("the base's trigger `ONBUILD {trigger}`: {problem}")]
    Trigger {
        /// The trigger.
        trigger: String,
        /// What is wrong with it.
        problem: String,
    },
    /// ADD of something that cannot be fetched here.
    #[error("ADD {source_text}: this is not fetched here; download it and ADD the file")]
    Remote {
        /// The source.
        source_text: String,
    },
    /// ADD of something that could not be fetched.
    #[error("ADD {url}: {message}")]
    Fetch {
        /// The source.
        url: String,
        /// Why.
        message: String,
    },
    /// An address that names no file.
    #[error("ADD {url}: the address names no file")]
    RemoteName {
        /// The source.
        url: String,
    },
    /// `--checksum` that is none.
    #[error(
        "--checksum={value}: expected sha256: and 64 hex digits, and one source by http or https"
    )]
    BadChecksum {
        /// What was given.
        value: String,
    },
    /// A file with another digest than `--checksum` says.
    #[error("ADD {url}: the file has the digest {actual}, and --checksum says {expected}")]
    Checksum {
        /// The source.
        url: String,
        /// The digest that it should have.
        expected: Digest,
        /// The digest that it has.
        actual: Digest,
    },
    /// A source that does not exist.
    #[error("`{path}` does not exist in {place}{hint}")]
    SourceMissing {
        /// The source.
        path: String,
        /// The context, stage or image.
        place: String,
        /// The nearest name beside it.
        hint: Hint,
    },
    /// A source that a `.dockerignore` hides.
    #[error("`{path}` is left out of the build context by .dockerignore")]
    SourceIgnored {
        /// The source.
        path: String,
    },
    /// A source pattern that is none.
    #[error("bad pattern `{pattern}`: {problem}")]
    SourcePattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// No source is left after expanding variables.
    #[error("{keyword} has an empty source or destination after expanding its variables")]
    EmptyPath {
        /// The instruction.
        keyword: &'static str,
    },
    /// Several sources and a file as destination.
    #[error("the destination `{}` of several files is not a directory; end it with `/`", path.display())]
    DestinationNotDirectory {
        /// The destination.
        path: PathBuf,
    },
    /// A directory over something else, or the other way round.
    #[error("cannot put {new} at `{}`: {existing} is there", path.display())]
    Conflict {
        /// Where.
        path: PathBuf,
        /// What should be put there.
        new: &'static str,
        /// What is there.
        existing: &'static str,
    },
    /// A name that means something in layers.
    #[error("`{}`: names that begin with `.wh.` mean deleted files in image layers", path.display())]
    ReservedName {
        /// The path.
        path: PathBuf,
    },
    /// A user or group that the image does not have.
    #[error("{what} `{name}` is not in the image's {file}{hint}")]
    UnknownOwner {
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
        /// Where it was looked for.
        file: &'static str,
        /// The nearest name.
        hint: Hint,
    },
    /// `--chown` without a user.
    #[error("--chown={value}: expected USER[:GROUP]")]
    BadOwner {
        /// The value.
        value: String,
    },
    /// `--chmod` that is no mode.
    #[error(
        "--chmod={value}: expected an octal mode up to 7777 or a symbolic one such as u+x,go-w"
    )]
    BadMode {
        /// The value.
        value: String,
    },
    /// An archive that cannot be unpacked.
    #[error("unpack `{path}`: {problem}")]
    Archive {
        /// The archive.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A port that is none.
    #[error("EXPOSE {port}: expected PORT[-PORT][/tcp|udp|sctp]")]
    BadPort {
        /// What was given.
        port: String,
    },
    /// A signal that is none.
    #[error("STOPSIGNAL {signal}: expected a signal's name or number{hint}")]
    BadSignal {
        /// What was given.
        signal: String,
        /// The nearest signal.
        hint: Hint,
    },
    /// A value that is empty after its variables were expanded.
    #[error("{keyword} is empty after expanding its variables")]
    Empty {
        /// The instruction.
        keyword: &'static str,
    },
    /// An environment that outgrows what a process can be given.
    #[error("the environment has more than {limit} bytes")]
    EnvironmentTooLarge {
        /// The cap.
        limit: usize,
    },
    /// `SOURCE_DATE_EPOCH` that is no time.
    #[error("SOURCE_DATE_EPOCH={value}: expected seconds since 1970, below 2^32")]
    BadEpoch {
        /// What was given.
        value: String,
    },
}
