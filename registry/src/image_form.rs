//! A module as a plain OCI image, the form that containerd runs with any wasm shim: one layer, a
//! tar with the module as a file, and a config that starts it.

use std::io::{self, Read};

use lithify_image::{
    Blob, Descriptor, Digest, Hasher, ImageConfig, Manifest, OCI_CONFIG, OCI_MANIFEST, Platform,
    Store,
};

use crate::Error;

/// The module's path in the image.
const MODULE: &str = "app.wasm";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// Modules are half zeros: little effort finds those, much finds little more.
const LEVEL: i32 = 3;

/// Stores the image form of a module and returns its manifest. `about` says what else is known:
/// creation time, labels, environment. Equal input gives equal bytes.
///
/// # Errors
/// If the module cannot be read or the store not written.
pub fn put_image_form(
    store: &Store,
    module: &Blob,
    about: &ImageConfig,
) -> Result<Descriptor, Error> {
    let (diff_id, layer) = put_layer(store, module)?;
    let mut config = ImageConfig::new(&platform());
    config.created.clone_from(&about.created);
    config.config.labels.clone_from(&about.config.labels);
    config.config.entrypoint = Some(vec![format!("/{MODULE}")]);
    config.config.working_dir = "/".to_owned();
    config.rootfs.diff_ids = vec![diff_id];
    let config = config.to_json();
    store.put(&config[..], None)?;
    let manifest = Manifest::new(Descriptor::new(OCI_CONFIG, &config), vec![layer]).to_json();
    store.put(&manifest[..], None)?;
    Ok(Descriptor::new(OCI_MANIFEST, &manifest))
}

/// What wasm shims call themselves.
fn platform() -> Platform {
    Platform { os: "wasip1".to_owned(), architecture: "wasm".to_owned(), variant: None }
}

fn put_layer(store: &Store, module: &Blob) -> Result<(Digest, Descriptor), Error> {
    let failed = |error: io::Error| Error::config(store.root(), error);
    let mut writer = store.writer()?;
    let mut encoder = zstd::Encoder::new(&mut writer, LEVEL).map_err(failed)?;
    encoder.include_checksum(true).map_err(failed)?;
    let mut tar = HashReader { from: archive(module), hasher: Hasher::new() };
    io::copy(&mut tar, &mut encoder).map_err(failed)?;
    encoder.finish().map_err(failed)?;
    let (digest, len) = writer.commit(None)?;
    Ok((tar.hasher.finish(), Descriptor::of(LAYER, digest, len)))
}

/// A tar of one file. POSIX pax(1): blocks of 512 bytes, two empty ones at the end.
fn archive(module: &Blob) -> impl Read {
    const BLOCK: u64 = 512;
    let mut header = tar::Header::new_gnu();
    header.set_path(MODULE).expect("a short name");
    header.set_size(module.len());
    header.set_mode(0o755);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    let padding = module.len().next_multiple_of(BLOCK) - module.len() + 2 * BLOCK;
    let header = io::Cursor::new(header.as_bytes().to_vec());
    header.chain(module.reader()).chain(io::repeat(0).take(padding))
}

struct HashReader<R> {
    from: R,
    hasher: Hasher,
}

impl<R: Read> Read for HashReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lithify_image::Selection;

    #[test]
    fn the_layer_holds_the_module_and_the_config_starts_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        let (digest, _) = store.put(&bytes[..], None).unwrap();
        let about = ImageConfig::new(&Platform::linux("riscv64"));
        let module = store.get(&digest).unwrap();
        let image = put_image_form(&store, &module, &about).unwrap();
        assert_eq!(put_image_form(&store, &module, &about).unwrap(), image);

        store.set_name(&"app".parse().unwrap(), &image).unwrap();
        let selection = Selection {
            image: Some(lithify_image::ImageChoice::Digest(image.digest)),
            platform: platform(),
        };
        let image = store.image(&selection).unwrap();
        assert_eq!(image.config.config.entrypoint.as_deref().unwrap(), ["/app.wasm"]);
        let tar = store.stage_tar(&image.layers[0]).unwrap();
        let tar = tar.read_all(1 << 20, "tar").unwrap();
        let mut archive = tar::Archive::new(&tar[..]);
        let mut entries = archive.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().to_str(), Some("app.wasm"));
        let mut found = Vec::new();
        entry.read_to_end(&mut found).unwrap();
        assert!(found == bytes && entries.next().is_none());
    }

    #[test]
    fn the_config_is_one_for_other_tools() {
        let config = ImageConfig::new(&platform());
        let foreign: oci_spec::image::ImageConfiguration =
            serde_json::from_slice(&config.to_json()).unwrap();
        assert_eq!(foreign.architecture().to_string(), "wasm");
        assert_eq!(foreign.os().to_string(), "wasip1");
    }
}
