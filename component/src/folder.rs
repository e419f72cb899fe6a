//! Our own folder: what the container is asked for, what its network is, and its sockets.

use lithify_control::Overrides;
use lithify_hostnet::Uplink;

use crate::descriptors::Descriptor;
use crate::errno::{Errno, Result};

/// More files than the artifact has open at a time.
const MAX_OPEN: usize = 16;

/// The files that are only read.
#[derive(Debug)]
pub(crate) struct Folder {
    request: Vec<u8>,
    network: Option<Vec<u8>>,
    /// What is left to be read of each that is open.
    open: Vec<Option<Vec<u8>>>,
}

impl Folder {
    pub(crate) fn new(overrides: &Overrides, network: Option<&Uplink>) -> Self {
        let network = network.map(Uplink::encode);
        Self { request: overrides.encode(), network, open: Vec::new() }
    }

    pub(crate) fn open(&mut self, name: &str) -> Result<Descriptor> {
        let contents = match name {
            Overrides::FILE => Some(&self.request),
            Uplink::FILE => self.network.as_ref(),
            _ => None,
        };
        let contents = contents.ok_or(Errno::NOENT)?.clone();
        let free = self.open.iter().position(Option::is_none);
        match free {
            Some(number) => self.open[number] = Some(contents),
            None if self.open.len() == MAX_OPEN => return Err(Errno::MFILE),
            None => self.open.push(Some(contents)),
        }
        Ok(Descriptor::File(free.unwrap_or(self.open.len() - 1)))
    }

    /// The next bytes of an open file, at most so many.
    pub(crate) fn read(&mut self, file: usize, most: usize) -> Result<Vec<u8>> {
        let left = self.open.get_mut(file).and_then(Option::as_mut).ok_or(Errno::BADF)?;
        Ok(left.drain(..most.min(left.len())).collect())
    }

    pub(crate) fn close(&mut self, file: usize) -> Result<()> {
        self.open.get_mut(file).and_then(Option::take).map(drop).ok_or(Errno::BADF)
    }
}
