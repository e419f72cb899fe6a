//! Arguments and variables.

use crate::bridge;
use crate::memory::put_u32;
use crate::options::{Options, VARIABLE};

/// A list of strings, as preview 1 hands it over.
#[derive(Debug)]
pub(crate) struct Strings(Vec<Vec<u8>>);

impl Strings {
    pub(crate) fn arguments() -> Self {
        let arguments = wasip2::cli::environment::get_arguments();
        Self(arguments.into_iter().map(String::into_bytes).collect())
    }

    /// The host's variables, but for the one with our options, and then the options' own.
    pub(crate) fn variables(options: &Options) -> Self {
        let host = wasip2::cli::environment::get_environment().into_iter();
        let host = host.filter(|(name, _)| name != VARIABLE);
        let host = host.map(|(name, value)| format!("{name}={value}").into_bytes());
        Self(host.chain(options.env.iter().cloned()).collect())
    }

    /// Writes how many there are, and how many bytes with a NUL behind each.
    pub(crate) fn put_sizes(&self, count: u32, len: u32) {
        put_u32(count, self.0.len() as u32);
        put_u32(len, self.0.iter().map(|string| string.len() as u32 + 1).sum());
    }

    /// Writes where each is, and their bytes.
    pub(crate) fn put(&self, mut list: u32, mut bytes: u32) {
        for string in &self.0 {
            put_u32(list, bytes);
            bridge::write(bytes, &[string, &[0][..]].concat());
            list += size_of::<u32>() as u32;
            bytes += string.len() as u32 + 1;
        }
    }
}
