//! `lithify images`.

use crate::args::{ImagesArgs, ListFormat};
use crate::error::CliError;
use crate::exit::Exit;
use indicatif::BinaryBytes;
use lithify_image::{Descriptor, Error, ImageConfig, Index, Manifest, Named, Store};
use lithify_runner::user_cache;
use serde_json::json;
use std::fmt::Write;

/// Hex digits of a shortened digest, as many as docker shows.
const SHORT_DIGITS: usize = 12;

/// What a name means.
struct Row {
    name: String,
    digest: String,
    platform: String,
    created: String,
    /// Bytes of config and layers; for several platforms, of all that are here.
    size: u64,
}

/// Prints all names of the store.
pub(crate) fn images(args: &ImagesArgs) -> Result<Exit, CliError> {
    let root = user_cache().map_err(CliError::own)?.join("store");
    let store = Store::open(root).map_err(CliError::own)?;
    let mut rows = Vec::new();
    for named in store.names().map_err(CliError::own)? {
        rows.push(Row::of(&store, &named));
    }
    let text = match args.format {
        _ if args.quiet => rows.iter().map(|row| format!("{}\n", digest(row, args))).collect(),
        ListFormat::Json => rows.iter().map(|row| format!("{}\n", row.json())).collect(),
        ListFormat::Table => table(&rows, args),
    };
    crate::print(text.as_bytes())
}

impl Row {
    /// What cannot be read shows as `-`: one damaged blob hides nothing else.
    fn of(store: &Store, named: &Named) -> Self {
        let about = about(store, &named.descriptor).unwrap_or_default();
        let known = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        Self {
            name: named.reference.familiar(),
            digest: named.descriptor.digest.to_string(),
            platform: known(plain(&about.platform)),
            created: known(plain(&about.created)),
            size: about.size,
        }
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "name": self.name, "digest": self.digest, "platform": self.platform,
            "created": self.created, "size": self.size,
        })
    }
}

#[derive(Default)]
struct About {
    platform: String,
    created: String,
    size: u64,
}

fn about(store: &Store, descriptor: &Descriptor) -> Result<About, Error> {
    if let Some(artifact) = store.artifact(descriptor)? {
        return Ok(About {
            platform: format!("{}/{}", artifact.config.os, artifact.config.architecture),
            created: artifact.config.created.unwrap_or_default(),
            size: artifact.module.size,
        });
    }
    if descriptor.is_index() {
        let index: Index = store.document(&descriptor.digest)?;
        let entries: Vec<_> =
            index.manifests.iter().filter(|entry| !entry.is_attestation()).collect();
        let here = entries.iter().filter_map(|entry| about(store, entry).ok());
        let platforms = entries.iter().filter_map(|entry| entry.platform.as_ref());
        let platforms: Vec<String> = platforms.map(ToString::to_string).collect();
        let (created, size) = here.fold((String::new(), 0), |(created, size), about| {
            (about.created.max(created), about.size + size)
        });
        return Ok(About { platform: platforms.join(","), created, size });
    }
    let manifest: Manifest = store.document(&descriptor.digest)?;
    let config: ImageConfig = store.document(&manifest.config.digest)?;
    let layers: u64 = manifest.layers.iter().map(|layer| layer.size).sum();
    Ok(About {
        platform: config.platform().to_string(),
        created: config.created.unwrap_or_default(),
        size: manifest.config.size + layers,
    })
}

fn digest<'a>(row: &'a Row, args: &ImagesArgs) -> &'a str {
    let hex = row.digest.strip_prefix("sha256:").unwrap_or(&row.digest);
    if args.digests { &row.digest } else { &hex[..SHORT_DIGITS.min(hex.len())] }
}

fn table(rows: &[Row], args: &ImagesArgs) -> String {
    let head = ["NAME", "DIGEST", "PLATFORM", "CREATED", "SIZE"].map(str::to_owned);
    let cells = rows.iter().map(|row| {
        let size = BinaryBytes(row.size).to_string();
        [
            row.name.clone(),
            digest(row, args).to_owned(),
            row.platform.clone(),
            row.created.clone(),
            size,
        ]
    });
    let lines: Vec<[String; 5]> = std::iter::once(head).chain(cells).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..4).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        for (cell, width) in line.iter().zip(&widths) {
            // Writing to a string cannot fail.
            let _ = write!(text, "{cell:<width$}   ");
        }
        let _ = writeln!(text, "{}", line[4]);
    }
    text
}

/// What an image says must not steer the terminal.
fn plain(text: &str) -> String {
    text.escape_debug().to_string()
}
