//! `lithify inspect`.

use crate::args::InspectArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::reference::{Target, artifact, in_store};
use crate::registry::open_store;
use indicatif::BinaryBytes;
use lithify_registry::limits::MAX_MANIFEST_BYTES;
use lithify_snapshot::{
    MachineSizes, Report, RomReport, TranslationReport, inspect as read_report,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::path::Path;

/// Raised when a field of the JSON output changes its meaning or goes.
const JSON_VERSION: u32 = 1;

/// Prints what an artifact holds.
pub(crate) fn inspect(args: &InspectArgs) -> Result<Exit, CliError> {
    let (report, annotations) = match Target::of(&args.artifact)? {
        Target::File(path) if !args.raw => (report_of(&path)?, BTreeMap::new()),
        Target::File(_) => return Err(CliError::usage("--raw is for names in the store")),
        Target::Name(reference) => {
            let store = open_store()?;
            let descriptor = in_store(&store, &reference)?;
            if args.raw {
                let manifest = store.get(&descriptor.digest).map_err(CliError::own)?;
                let json = manifest.read_all(MAX_MANIFEST_BYTES, manifest.name());
                return crate::print(&json.map_err(CliError::own)?);
            }
            let artifact = artifact(&store, &reference, &descriptor)?;
            let module = store.get(&artifact.module.digest).map_err(CliError::own)?;
            (report_of(Path::new(module.name()))?, artifact.annotations)
        }
    };
    let text = match args.json {
        true => as_json(&report, &annotations)?,
        false => as_text(&report) + &listed(&annotations),
    };
    crate::print(text.as_bytes())
}

/// Reads an artifact; errors name the file.
pub(crate) fn report_of(path: &Path) -> Result<Report, CliError> {
    let named =
        |error: &dyn std::fmt::Display| CliError::own(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(|error| named(&error))?;
    let metadata = file.metadata().map_err(|error| named(&error))?;
    if !metadata.is_file() {
        return Err(named(&"not a regular file"));
    }
    read_report(file, metadata.len()).map_err(|error| named(&error))
}

fn as_json(report: &Report, annotations: &BTreeMap<String, String>) -> Result<String, CliError> {
    let mut value = serde_json::to_value(report).map_err(CliError::own)?;
    value["version"] = json!(JSON_VERSION);
    value["annotations"] = json!(annotations);
    Ok(format!("{value:#}\n"))
}

fn as_text(report: &Report) -> String {
    let manifest = &report.manifest;
    let config = &report.image_config["config"];
    let sizes = &report.sizes;
    let bytes = |bytes: u64| BinaryBytes(bytes).to_string();
    let rows = [
        ("Made by", plain(&manifest.tool)),
        ("Architecture", plain(&manifest.architecture)),
        ("Memory", bytes(manifest.memory_bytes)),
        ("Program", if manifest.running { "runs already" } else { "starts" }.to_owned()),
        ("Entrypoint", shown(&config["Entrypoint"])),
        ("Cmd", shown(&config["Cmd"])),
        ("Env", shown(&config["Env"])),
        ("User", shown(&config["User"])),
        ("Working dir", shown(&config["WorkingDir"])),
        ("Ports", exposed_shown(report)),
        ("Translated", translation_shown(manifest.translation)),
        ("Size", bytes(sizes.file)),
        ("  emulator", bytes(sizes.code)),
        ("  machine", machine_shown(sizes.image, manifest.machine)),
        ("  root fs", rom_shown(&report.rom)),
        ("Kernel", plain(&manifest.kernel)),
        ("Initramfs", plain(&manifest.initramfs)),
        ("Emulator", plain(&manifest.emulator)),
        ("Root fs", plain(&manifest.rootfs)),
    ];
    let mut text = String::new();
    for (name, value) in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<13} {value}");
    }
    text
}

/// The ports that the image exposes, as it writes them.
pub(crate) fn exposed(report: &Report) -> impl Iterator<Item = &str> {
    let ports = report.image_config["config"]["ExposedPorts"].as_object();
    ports.into_iter().flat_map(|ports| ports.keys()).map(String::as_str)
}

fn exposed_shown(report: &Report) -> String {
    let ports: Vec<_> = exposed(report).map(plain).collect();
    if ports.is_empty() { "-".into() } else { ports.join(" ") }
}

fn translation_shown(translation: Option<TranslationReport>) -> String {
    let Some(report) = translation else { return "nothing".to_owned() };
    format!(
        "{} of guest code, {} functions, {}; {}.{} % of what was counted",
        BinaryBytes(report.guest_bytes),
        report.functions,
        BinaryBytes(report.wasm_bytes),
        report.covered_permille / 10,
        report.covered_permille % 10,
    )
}

fn machine_shown(all: u64, parts: Option<MachineSizes>) -> String {
    let all = BinaryBytes(all);
    let Some(parts) = parts else { return all.to_string() };
    let named = [
        ("kernel code", parts.kernel_code),
        ("its constants", parts.kernel_constants),
        ("its variables", parts.kernel_variables),
        ("page tables", parts.page_tables),
        ("slab", parts.slab),
        ("page cache", parts.page_cache),
        ("programs", parts.programs),
        ("else of the kernel", parts.kernel_other),
        ("emulator", parts.emulator),
    ];
    let shown = named.map(|(name, len)| format!("{name} {}", BinaryBytes(len)));
    format!("{all} ({})", shown.join(", "))
}

fn rom_shown(rom: &RomReport) -> String {
    let stored = BinaryBytes(rom.stored);
    match (rom.compression, rom.chunks, rom.chunk_size) {
        (Some(compression), Some(chunks), Some(size)) => format!(
            "{stored} ({} in {chunks} chunks of {}, {compression})",
            BinaryBytes(rom.raw),
            BinaryBytes(size)
        ),
        _ => format!("{stored} (not compressed)"),
    }
}

/// What the manifest of a name says; a file has none.
fn listed(annotations: &BTreeMap<String, String>) -> String {
    let lines =
        annotations.iter().map(|(name, value)| format!("  {} {}\n", plain(name), plain(value)));
    if annotations.is_empty() {
        String::new()
    } else {
        format!("Annotations\n{}", lines.collect::<String>())
    }
}

/// Text of an artifact is hostile: escapes keep control characters off the terminal.
fn plain(text: &str) -> String {
    text.escape_debug().to_string()
}

/// JSON as one line; its escapes serve the same purpose.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) if text.is_empty() => "-".into(),
        other => other.to_string(),
    }
}
