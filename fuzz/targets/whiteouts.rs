//! Sequences of layers against a model that applies them by the letter of the specification.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use lithify_fuzz::{Choices, Entry, What, path, tar};
use lithify_rootfs::{Kind, Tree};

/// A path's content: `None` is a directory, files have a number that their links share.
type Model = BTreeMap<String, Option<(usize, u8)>>;

fuzz_target!(|bytes: &[u8]| {
    let mut choices = Choices::new(bytes);
    let (mut tree, mut model, mut files) = (Tree::new(), Model::new(), 0);
    while !choices.is_over() {
        let layer = layer(&mut choices);
        let applied = tree.apply_layer(&tar(&layer));
        let fits = apply(&mut model, &layer, &mut files);
        assert_eq!(applied.is_ok(), fits, "{layer:?}: {applied:?}");
        if !fits {
            return;
        }
        assert_eq!(shown(&tree), expected(&model), "{layer:?}");
    }
});

fn layer(choices: &mut Choices<'_>) -> Vec<Entry> {
    let entries = 1 + choices.below(6);
    (0..entries).map(|_| entry(choices)).collect()
}

fn entry(choices: &mut Choices<'_>) -> Entry {
    let path = path(choices);
    let (dir, name) = path.rsplit_once('/').map_or(("", &path[..]), |(dir, name)| (dir, name));
    let within = |name: String| if dir.is_empty() { name } else { format!("{dir}/{name}") };
    let (path, what) = match choices.below(8) {
        0 | 1 => (path, What::Directory),
        2 => (within(format!(".wh.{name}")), What::File(0)),
        3 => (within(".wh..wh..opq".into()), What::File(0)),
        4 => (path, What::HardLink(self::path(choices))),
        _ => (path, What::File(choices.byte())),
    };
    Entry { path, what }
}

/// Applies the layer; `false` if it must be refused.
fn apply(model: &mut Model, layer: &[Entry], files: &mut usize) -> bool {
    for entry in layer {
        let (dir, name) = entry.path.rsplit_once('/').unwrap_or(("", &entry.path));
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        if name == ".wh..wh..opq" {
            model.retain(|path, _| path.strip_prefix(&prefix).is_none());
        } else if let Some(hidden) = name.strip_prefix(".wh.") {
            remove(model, &format!("{prefix}{hidden}"));
        }
    }
    layer.iter().filter(|entry| !entry.path.contains(".wh.")).all(|entry| add(model, entry, files))
}

fn add(model: &mut Model, entry: &Entry, files: &mut usize) -> bool {
    let found = match &entry.what {
        What::HardLink(target) => match model.get(target) {
            Some(Some(file)) => Some(*file),
            _ => return false,
        },
        What::File(byte) => {
            *files += 1;
            Some((*files, *byte))
        }
        What::Directory => None,
    };
    for (at, _) in entry.path.match_indices('/') {
        if model.entry(entry.path[..at].to_owned()).or_default().is_some() {
            return false;
        }
    }
    if found.is_some() || model.get(&entry.path) != Some(&None) {
        remove(model, &entry.path);
        model.insert(entry.path.clone(), found);
    }
    true
}

fn remove(model: &mut Model, path: &str) {
    let below = format!("{path}/");
    model.retain(|other, _| other != path && !other.starts_with(&below));
}

fn expected(model: &Model) -> Vec<String> {
    let mut first = BTreeMap::new();
    let mut paths: Vec<&String> = model.keys().collect();
    paths.sort_by_key(|path| path.split('/').collect::<Vec<_>>());
    paths
        .into_iter()
        .map(|path| match &model[path] {
            None => format!("/{path} directory"),
            Some((number, byte)) => {
                format!("/{path} {byte} as /{}", first.entry(number).or_insert(path))
            }
        })
        .collect()
}

fn shown(tree: &Tree) -> Vec<String> {
    let entries = tree.walk().skip(1);
    entries
        .map(|entry| match &entry.node.kind {
            Kind::File(content) => {
                let mut byte = [0];
                content.read_at(&mut byte, 0).expect("a file of one byte");
                let first = entry.link_of.as_ref().unwrap_or(&entry.path);
                format!("{} {} as {}", entry.path.display(), byte[0], first.display())
            }
            _ => format!("{} directory", entry.path.display()),
        })
        .collect()
}
