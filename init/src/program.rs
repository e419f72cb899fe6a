//! The image's program: its environment, where it is, and executing it.
#![allow(unsafe_code, reason = "execve takes arrays of pointers")]

use crate::container::Failure;
use crate::error::reason;
use lithify_control::exit_code;
use rustix::io::Errno;
use std::ffi::{CStr, CString};

/// What docker gives a container whose image sets none.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Arguments, environment and the places to look for the first argument, ready for the kernel.
#[derive(Debug)]
pub(crate) struct Program {
    argv: Vec<CString>,
    env: Vec<CString>,
    candidates: Vec<CString>,
}

impl Program {
    /// Takes a request apart. `PATH`, `HOSTNAME` and `HOME` are added where the environment lacks
    /// them, as docker does; an empty `HOME` counts as missing.
    ///
    /// # Errors
    /// If there is no program, or a string holds a NUL byte.
    pub(crate) fn new(
        argv: Vec<Vec<u8>>,
        mut env: Vec<Vec<u8>>,
        hostname: &[u8],
        home: &[u8],
    ) -> Result<Self, Failure> {
        let name = argv.first().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| {
            Failure::start(
                "no program to run: the image has no Entrypoint or Cmd, and none was given",
            )
        })?;
        add_default(&mut env, b"PATH", DEFAULT_PATH);
        add_default(&mut env, b"HOSTNAME", hostname);
        env.retain(|entry| entry != b"HOME=");
        add_default(&mut env, b"HOME", home);
        let path = value(&env, b"PATH").unwrap_or_default();
        let candidates = c_strings(candidates(name, path))?;
        Ok(Self { argv: c_strings(argv)?, env: c_strings(env)?, candidates })
    }

    /// Replaces the caller's process, with its privileges and working directory. Returns only if
    /// that fails.
    pub(crate) fn execute(&self) -> Failure {
        let argv = pointers(&self.argv);
        let env = pointers(&self.env);
        let mut worst = Errno::NOENT;
        for path in &self.candidates {
            // SAFETY: `path` and all strings are alive and end in NUL, both arrays in null.
            unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
            match crate::error::errno(&std::io::Error::last_os_error()) {
                Errno::NOENT if self.is_searched() => {}
                Errno::NOTDIR if self.is_searched() => {}
                Errno::ACCESS if self.is_searched() => worst = Errno::ACCESS,
                errno => return self.failure(path, errno),
            }
        }
        self.failure(&self.argv[0], worst)
    }

    fn is_searched(&self) -> bool {
        !self.argv[0].to_bytes().contains(&b'/')
    }

    fn failure(&self, path: &CStr, errno: Errno) -> Failure {
        let code = match errno {
            Errno::NOENT | Errno::NOTDIR => exit_code::NOT_FOUND,
            _ => exit_code::CANNOT_EXECUTE,
        };
        let explanation = match errno {
            Errno::NOENT if path == self.argv[0].as_c_str() && self.is_searched() => {
                "not found in any directory of PATH: "
            }
            Errno::NOENT if rustix::fs::stat(path).is_ok() => {
                "its interpreter or dynamic loader is missing: "
            }
            Errno::NOEXEC => "not a program for this machine, nor a script with #!: ",
            _ => "",
        };
        let name = path.to_bytes().escape_ascii();
        Failure::Start {
            code,
            message: format!("exec \"{name}\": {explanation}{}", reason(errno)).into(),
        }
    }
}

fn value<'a>(env: &'a [Vec<u8>], name: &[u8]) -> Option<&'a [u8]> {
    env.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix(b"="))
}

/// Sets `name` where `env` lacks it.
pub(crate) fn add_default(env: &mut Vec<Vec<u8>>, name: &[u8], default: &[u8]) {
    if value(env, name).is_none() {
        env.push([name, b"=", default].concat());
    }
}

/// A name with a slash is a path; any other is looked for in the directories of `path`. The
/// current directory is not searched, not even where an empty element asks for it.
fn candidates(name: &[u8], path: &[u8]) -> Vec<Vec<u8>> {
    if name.contains(&b'/') {
        return vec![name.to_vec()];
    }
    path.split(|&byte| byte == b':')
        .filter(|directory| !directory.is_empty())
        .map(|directory| [directory, b"/", name].concat())
        .collect()
}

fn c_strings(strings: Vec<Vec<u8>>) -> Result<Vec<CString>, Failure> {
    let c_string = |string: Vec<u8>| {
        CString::new(string).map_err(|error| {
            let text = error.into_vec().escape_ascii().to_string();
            Failure::start(format!("argument or environment entry \"{text}\" holds a NUL byte"))
        })
    };
    strings.into_iter().map(c_string).collect()
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<Vec<u8>> {
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    fn environment(env: &[&str]) -> Vec<String> {
        let program = Program::new(strings(&["a"]), strings(env), b"stone", b"/root");
        let env = program.expect("valid").env;
        env.into_iter().map(|entry| entry.into_string().expect("utf-8")).collect()
    }

    #[test]
    fn the_environment_is_completed_and_not_overridden() {
        let set = ["PATH=/p", "HOSTNAME=h", "HOME=/h"];
        assert_eq!(environment(&set), set);
        let path = format!("PATH={}", String::from_utf8_lossy(DEFAULT_PATH));
        assert_eq!(environment(&["HOME=", "A"]), ["A", &path, "HOSTNAME=stone", "HOME=/root"]);
    }

    #[test]
    fn programs_are_searched_like_docker_does() {
        assert_eq!(candidates(b"ls", b"/bin::/usr/bin"), strings(&["/bin/ls", "/usr/bin/ls"]));
        assert_eq!(candidates(b"./ls", b"/bin"), strings(&["./ls"]));
        assert_eq!(candidates(b"ls", b""), strings(&[]));
    }

    #[test]
    fn requests_that_no_kernel_takes_are_refused() {
        for argv in [&[][..], &[""], &["a", "b\0c"]] {
            let refused = Program::new(strings(argv), Vec::new(), b"", b"/");
            assert!(matches!(refused, Err(Failure::Start { code: 125, .. })), "{argv:?}");
        }
    }
}
