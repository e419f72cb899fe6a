//! `lithify tag` and `lithify rm`: names in the store.

use crate::args::{RmArgs, TagArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::reference::{in_store, unknown};
use crate::registry::open_store;

/// Gives what a name means another name.
pub(crate) fn tag(args: &TagArgs) -> Result<Exit, CliError> {
    if args.name.digest().is_some() {
        return Err(CliError::usage("the new name cannot have a digest"));
    }
    let store = open_store()?;
    let descriptor = in_store(&store, &args.source)?;
    store.set_name(&args.name, &descriptor).map_err(CliError::own)?;
    Ok(Exit::Success)
}

/// Removes names and prints them. The first that is not there ends it.
pub(crate) fn rm(args: &RmArgs) -> Result<Exit, CliError> {
    let store = open_store()?;
    for name in &args.names {
        if !store.remove_name(name).map_err(CliError::own)? {
            return Err(unknown(&store, name));
        }
        crate::print(format!("{}\n", name.familiar()).as_bytes())?;
    }
    Ok(Exit::Success)
}
