//! When a machine freezes whose program runs, as users write it.

use lithify_control::Readiness;
use regex::bytes::Regex;
use std::str::FromStr;

/// `--warm`, and the part of `--save-on` that is about the program.
#[derive(Debug, Clone)]
pub(crate) enum FreezePoint {
    /// Something that shows inside the machine.
    Inside(Readiness),
    /// A line of standard output or standard error.
    Line(Regex),
}

impl FreezePoint {
    /// What init is to wait for, if that is what the machine waits for.
    pub(crate) fn inside(&self) -> Option<Readiness> {
        match self {
            Self::Inside(readiness) => Some(readiness.clone()),
            Self::Line(_) => None,
        }
    }

    /// The port at which the program listens then, if that is what the machine waits for.
    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Self::Inside(Readiness::Port(port)) => Some(*port),
            _ => None,
        }
    }

    /// What a line of output has to match, if that is what the machine waits for.
    pub(crate) fn line(&self) -> Option<Regex> {
        match self {
            Self::Inside(_) => None,
            Self::Line(pattern) => Some(pattern.clone()),
        }
    }
}

/// Two that mean the same have the same text.
impl std::fmt::Display for FreezePoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inside(Readiness::Exec) => f.write_str("exec"),
            Self::Inside(Readiness::Notify) => f.write_str("notify"),
            Self::Inside(Readiness::Port(port)) => write!(f, "port:{port}"),
            Self::Inside(Readiness::File(path)) => {
                write!(f, "file:{}", String::from_utf8_lossy(path))
            }
            Self::Line(pattern) => write!(f, "line:{pattern}"),
        }
    }
}

impl FromStr for FreezePoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected port:NUMBER, line:REGEX, file:PATH, exec or notify".to_owned();
        let inside = match text.split_once(':') {
            None if text == "exec" => Readiness::Exec,
            None if text == "notify" => Readiness::Notify,
            Some(("port", number)) => match number.parse() {
                Ok(port @ 1..) => Readiness::Port(port),
                _ => return Err(format!("expected a port from 1 to 65535, found `{number}`")),
            },
            Some(("file", path)) if path.starts_with('/') => Readiness::File(path.into()),
            Some(("file", path)) => {
                return Err(format!("expected an absolute path, found `{path}`"));
            }
            Some(("line", pattern)) => {
                return Regex::new(pattern).map(Self::Line).map_err(|error| error.to_string());
            }
            _ => return Err(expected()),
        };
        Ok(Self::Inside(inside))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_read_and_shown_alike() {
        for text in ["port:8080", "line:^ready: .*$", "file:/run/ready", "exec", "notify"] {
            assert_eq!(text.parse::<FreezePoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn wrong_points_say_what_was_expected() {
        for (text, expected) in [
            ("", "expected port:NUMBER, line:REGEX"),
            ("ready", "expected port:NUMBER, line:REGEX"),
            ("port:0", "from 1 to 65535, found `0`"),
            ("port:http", "from 1 to 65535, found `http`"),
            ("file:ready", "absolute path, found `ready`"),
            ("line:(", "unclosed group"),
            ("exec:", "expected port:NUMBER, line:REGEX"),
        ] {
            let message = text.parse::<FreezePoint>().unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
