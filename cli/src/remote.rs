//! Files by `http:` and `https:`, for ADD.

use lithify_builder::{Cancel, RemoteFiles};
use lithify_image::limits::MAX_LAYER_BYTES;
use std::error::Error;
use std::io::{self, Read, Write};

/// Bytes between two looks at whether the build goes on.
const CHUNK: usize = 256 << 10;

/// Fetches with proxies as the environment has them.
#[derive(Debug)]
pub(crate) struct Web;

impl RemoteFiles for Web {
    fn fetch(
        &self,
        url: &str,
        out: &mut dyn Write,
        cancel: &Cancel,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let response = ureq::get(url).call()?;
        let mut body = response.into_body().into_with_config().limit(MAX_LAYER_BYTES).reader();
        let mut chunk = vec![0; CHUNK];
        loop {
            match body.read(&mut chunk)? {
                0 => return Ok(()),
                _ if cancel.is_canceled() => return Err(io::Error::other("canceled").into()),
                len => out.write_all(&chunk[..len])?,
            }
        }
    }
}
