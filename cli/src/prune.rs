//! `lithify prune`.

use crate::args::PruneArgs;
use crate::error::CliError;
use crate::exit::Exit;
use indicatif::BinaryBytes;
use lithify_image::{ExclusiveStore, PruneOptions, Pruned};
use lithify_runner::user_cache;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::SystemTime;

/// Removes what can be made or fetched again, and prints what went.
pub(crate) fn prune(args: &PruneArgs) -> Result<Exit, CliError> {
    if !args.force && !confirmed(args)? {
        return Ok(Exit::Success);
    }
    let root = user_cache().map_err(CliError::own)?.join("store");
    let mut waiting = |others: Option<usize>| {
        let who =
            others.map_or("another lithify".to_owned(), |count| format!("{count} other lithify"));
        let _ = writeln!(io::stderr(), "waiting for {who} to end");
    };
    let store = ExclusiveStore::open(root, &mut waiting).map_err(CliError::own)?;
    let used_before = args.filter.map(|age| SystemTime::now().checked_sub(age));
    let used_before = used_before.map(|time| time.unwrap_or(SystemTime::UNIX_EPOCH));
    let options = PruneOptions { names: args.all, used_before };
    let pruned = store.prune(&options).map_err(CliError::own)?;
    crate::print(shown(&pruned).as_bytes())
}

/// Only who sits at a terminal can be asked.
fn confirmed(args: &PruneArgs) -> Result<bool, CliError> {
    if !io::stdin().is_terminal() {
        return Err(CliError::usage("nobody can be asked here, pass --force"));
    }
    let names = if args.all { ", all named images and artifacts" } else { "" };
    let mut stderr = io::stderr();
    let _ =
        write!(stderr, "This removes cached results{names} and what nothing needs. Go on? [y/N] ");
    let _ = stderr.flush();
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(CliError::own)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn shown(pruned: &Pruned) -> String {
    let mut text = String::new();
    for name in &pruned.names {
        let _ = writeln!(text, "untagged: {name}");
    }
    for digest in &pruned.blobs {
        let _ = writeln!(text, "deleted: {digest}");
    }
    let _ = writeln!(text, "Cached results removed: {}", pruned.records);
    let _ = writeln!(text, "Total reclaimed space: {}", BinaryBytes(pruned.bytes));
    text
}
