//! Files that ADD takes from elsewhere: who builds says how they are fetched.

use std::error::Error;
use std::fmt::Debug;
use std::io::Write;

use crate::cancel::Cancel;

/// Fetches files by `http:` and `https:`.
pub trait RemoteFiles: Debug + Send + Sync {
    /// Writes what is at `url` to `out`, all of it. Ends soon after `cancel` is set.
    ///
    /// # Errors
    /// With a message that says what of it was not to be had.
    fn fetch(
        &self,
        url: &str,
        out: &mut dyn Write,
        cancel: &Cancel,
    ) -> Result<(), Box<dyn Error + Send + Sync>>;
}
