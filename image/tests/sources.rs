//! Opening images from every kind of place, good and bad.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use lithify_image::{
    Digest, Error, Image, ImageChoice, ImageConfig, Layer, LayoutWriter, Platform, Selection,
    Store, open_image,
};
use serde_json::{Value, json};

struct Place {
    dir: tempfile::TempDir,
    store: Store,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        Self { dir, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn open(&self, name: &str, selection: &Selection) -> Result<Image, Error> {
        open_image(&self.path(name), selection, &self.store)
    }

    fn layer(&self, tar: &[u8]) -> Layer {
        let (diff_id, _) = self.store.put(tar, None).unwrap();
        self.store.layer(&diff_id).unwrap()
    }

    /// Writes a layout with one image per platform under the tag of the same place.
    fn layout(&self, name: &str, images: &[(&str, &str)]) -> Vec<Digest> {
        let mut writer = LayoutWriter::create(&self.path(name)).unwrap();
        let add = |(tag, platform): &(&str, &str)| {
            let layer = self.layer(format!("tar of {tag} {platform}").as_bytes());
            let config = config(platform, &[&layer]);
            writer.add_image(&config, &[layer], (!tag.is_empty()).then_some(tag)).unwrap()
        };
        images.iter().map(add).collect()
    }

    /// Rewrites one JSON file of a layout.
    fn edit(&self, file: &str, change: impl FnOnce(&mut Value)) {
        let path = self.path(file);
        let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut value);
        fs::write(path, serde_json::to_vec(&value).unwrap()).unwrap();
    }

    /// Adds a JSON blob to a layout and returns its descriptor.
    fn add_blob(&self, layout: &str, media_type: &str, value: &Value) -> Value {
        let bytes = serde_json::to_vec(value).unwrap();
        let digest = Digest::of(&bytes);
        fs::write(self.path(&format!("{layout}/blobs/sha256/{}", digest.hex())), &bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    }
}

fn config(platform: &str, layers: &[&Layer]) -> ImageConfig {
    let mut config = ImageConfig::new(&platform.parse().unwrap());
    config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id).collect();
    config
}

fn any(platform: &str) -> Selection {
    Selection { image: None, platform: platform.parse().unwrap() }
}

fn tagged(tag: &str) -> Selection {
    let image = Some(ImageChoice::Tag(tag.into()));
    Selection { image, platform: Platform::linux("riscv64") }
}

fn tar_of(image: &Image, layer: usize) -> String {
    let mut tar = Vec::new();
    image.layers[layer].copy_tar_to(&mut tar).unwrap();
    String::from_utf8(tar).unwrap()
}

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tar_directory(dir: &Path) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_dir_all(".", dir).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn a_written_layout_opens_again() {
    let place = Place::new();
    let manifests = place.layout("layout", &[("a", "linux/riscv64")]);
    let image = place.open("layout", &any("linux/riscv64")).unwrap();
    assert_eq!(image.manifest_digest, Some(manifests[0]));
    assert_eq!(image.config.platform(), Platform::linux("riscv64"));
    assert_eq!(tar_of(&image, 0), "tar of a linux/riscv64");
}

#[test]
fn tags_digests_and_platforms_choose() {
    let place = Place::new();
    let manifests = place.layout(
        "layout",
        &[
            ("a", "linux/riscv64"),
            ("a", "linux/amd64"),
            ("b", "linux/riscv64"),
            ("", "linux/arm64/v8"),
        ],
    );
    let manifest = |selection: &Selection| {
        place.open("layout", selection).map(|image| image.manifest_digest.unwrap())
    };
    assert_eq!(manifest(&tagged("a")).unwrap(), manifests[0]);
    assert_eq!(manifest(&tagged("b")).unwrap(), manifests[2]);
    assert_eq!(manifest(&any("linux/amd64")).unwrap(), manifests[1]);
    assert_eq!(manifest(&any("linux/arm64")).unwrap(), manifests[3]);
    let by_digest = Selection { image: Some(ImageChoice::Digest(manifests[2])), ..tagged("") };
    assert_eq!(manifest(&by_digest).unwrap(), manifests[2]);

    for (selection, message) in [
        (tagged("c"), "has no image `c`; it has `a`, `a`, `b`"),
        (any("linux/riscv64"), "holds several images, name one of `a`, `a`, `b`"),
        (any("linux/s390x"), "has no image for linux/s390x; it has `linux/riscv64`, `linux/amd64`"),
    ] {
        let error = manifest(&selection).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn full_references_match_what_tools_write() {
    let place = Place::new();
    place.layout("layout", &[("x", "linux/riscv64")]);
    place.edit("layout/index.json", |index| {
        index["manifests"][0]["annotations"] = json!({
            "io.containerd.image.name": "docker.io/library/debian:trixie",
            "org.opencontainers.image.ref.name": "trixie"
        });
    });
    for name in ["trixie", "debian:trixie", "docker.io/library/debian:trixie"] {
        assert!(place.open("layout", &tagged(name)).is_ok(), "{name}");
    }
    assert!(place.open("layout", &tagged("debian:bookworm")).is_err());
}

#[test]
fn nested_indexes_and_attestations_are_understood() {
    let place = Place::new();
    place.layout("layout", &[("", "linux/riscv64"), ("", "linux/amd64")]);
    place.edit("layout/index.json", |index| {
        let manifests = index["manifests"].as_array_mut().unwrap();
        let mut attestation = manifests[0].clone();
        attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
        manifests.push(attestation);
        // Without a platform of its own, the config tells.
        manifests[0].as_object_mut().unwrap().remove("platform");
        let inner = json!({"schemaVersion": 2, "manifests": manifests});
        let mut root = place.add_blob("layout", "application/vnd.oci.image.index.v1+json", &inner);
        root["annotations"] = json!({"org.opencontainers.image.ref.name": "multi"});
        index["manifests"] = json!([root]);
    });
    let image = place.open("layout", &tagged("multi")).unwrap();
    assert_eq!(tar_of(&image, 0), "tar of  linux/riscv64");
    assert!(place.open("layout", &any("linux/s390x")).is_err());
}

#[test]
fn indexes_nested_without_end_are_refused() {
    let place = Place::new();
    place.layout("layout", &[("", "linux/riscv64")]);
    place.edit("layout/index.json", |index| {
        for _ in 0..6 {
            let root = place.add_blob("layout", "application/vnd.oci.image.index.v1+json", index);
            index["manifests"] = json!([root]);
        }
    });
    let error = place.open("layout", &any("linux/riscv64")).unwrap_err().to_string();
    assert!(error.contains("limit of 4 nested indexes"), "{error}");
}

#[test]
fn damage_is_found_and_named() {
    let blob_of = |place: &Place, kind: &str| {
        let image = place.open("layout", &any("linux/riscv64")).unwrap();
        let digest = match kind {
            "manifest" => image.manifest_digest.unwrap(),
            "config" => image.config_digest,
            _ => image.layers[0].digest,
        };
        place.path(&format!("layout/blobs/sha256/{}", digest.hex()))
    };
    for (kind, damage, reason) in [
        ("manifest", "flip", "has the digest"),
        ("manifest", "cut", "bytes, expected"),
        ("manifest", "remove", "has no blob"),
        ("config", "flip", "has the digest"),
        ("config", "remove", "has no blob"),
        ("layer", "flip", "has the digest"),
        ("layer", "cut", "bytes, expected"),
        ("layer", "remove", "has no blob"),
    ] {
        let place = Place::new();
        place.layout("layout", &[("", "linux/riscv64")]);
        let path = blob_of(&place, kind);
        let mut bytes = fs::read(&path).unwrap();
        match damage {
            "flip" => bytes[5] ^= 1,
            "cut" => drop(bytes.pop()),
            _ => {}
        }
        fs::write(&path, bytes).unwrap();
        if damage == "remove" {
            fs::remove_file(&path).unwrap();
        }
        let opened = place.open("layout", &any("linux/riscv64"));
        let error = opened.and_then(|image| image.layers[0].copy_tar_to(&mut Vec::new()).map(drop));
        let error = error.expect_err(&format!("{kind} {damage}")).to_string();
        assert!(error.contains(reason), "{kind} {damage}: {error}");
    }
}

#[test]
fn manifests_that_do_not_fit_are_refused() {
    type Edit = fn(&mut Value);
    let cases: [(&str, Edit, &str); 5] = [
        (
            "artifact config",
            |m| m["config"]["mediaType"] = json!("application/vnd.wasm.config.v0+json"),
            "media type `application/vnd.wasm.config.v0+json`",
        ),
        (
            "wasm layer",
            |m| m["layers"][0]["mediaType"] = json!("application/wasm"),
            "media type `application/wasm`",
        ),
        (
            "one layer too many",
            |m| {
                let layer = m["layers"][0].clone();
                m["layers"].as_array_mut().unwrap().push(layer);
            },
            "has 2 layers but its config names 1",
        ),
        (
            "too many layers",
            |m| {
                let layer = m["layers"][0].clone();
                m["layers"] = vec![layer; 2000].into();
            },
            "limit of 1024 layers",
        ),
        (
            "other digest algorithm",
            |m| m["config"]["digest"] = json!("sha512:00"),
            "is not a digest",
        ),
    ];
    for (name, edit, reason) in cases {
        let place = Place::new();
        let manifests = place.layout("layout", &[("", "linux/riscv64")]);
        let path = place.path(&format!("layout/blobs/sha256/{}", manifests[0].hex()));
        let mut manifest = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        edit(&mut manifest);
        place.edit("layout/index.json", |index| {
            let media_type = "application/vnd.oci.image.manifest.v1+json";
            let mut root = place.add_blob("layout", media_type, &manifest);
            root["platform"] = json!({"os": "linux", "architecture": "riscv64"});
            index["manifests"] = json!([root]);
        });
        let error = place.open("layout", &any("linux/riscv64")).expect_err(name).to_string();
        assert!(error.contains(reason), "{name}: {error}");
    }
}

#[test]
fn oci_archives_open_plain_and_compressed() {
    let place = Place::new();
    place.layout("layout", &[("a", "linux/riscv64")]);
    let tar = tar_directory(&place.path("layout"));
    let zstd = zstd::encode_all(&tar[..], 1).unwrap();
    for (name, bytes) in [("a.tar", tar.clone()), ("a.tar.gz", gzip(&tar)), ("a.tar.zst", zstd)] {
        fs::write(place.path(name), bytes).unwrap();
        let image = place.open(name, &tagged("a")).unwrap();
        assert_eq!(tar_of(&image, 0), "tar of a linux/riscv64", "{name}");
    }
    assert_eq!(fs::read_dir(place.path("store/tmp")).unwrap().count(), 0);
}

fn docker_archive(layers: &[(&str, &[u8])], tars: &[&[u8]]) -> Vec<u8> {
    let mut config = ImageConfig::new(&Platform::linux("riscv64"));
    config.rootfs.diff_ids = tars.iter().map(|tar| Digest::of(tar)).collect();
    let config = config.to_json();
    let config_name = format!("{}.json", Digest::of(&config).hex());
    let names: Vec<&str> = layers.iter().map(|(name, _)| *name).collect();
    let manifest = json!([{"Config": config_name, "RepoTags": ["app:1"], "Layers": names}]);
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let members = [(config_name.as_str(), &config[..]), ("manifest.json", &manifest)];
    archive(&[layers, &members].concat())
}

#[test]
fn docker_archives_open() {
    let place = Place::new();
    let zipped = gzip(b"two");
    let bytes =
        docker_archive(&[("x/layer.tar", b"one"), ("y/layer.tar", &zipped)], &[b"one", b"two"]);
    fs::write(place.path("d.tar"), bytes).unwrap();
    for selection in
        [tagged("app:1"), tagged("1"), tagged("docker.io/library/app:1"), any("linux/riscv64")]
    {
        let image = place.open("d.tar", &selection).unwrap();
        assert_eq!((tar_of(&image, 0).as_str(), tar_of(&image, 1).as_str()), ("one", "two"));
        assert_eq!(image.manifest_digest, None);
        assert_eq!(image.layers[1].digest, Digest::of(&zipped));
    }
    assert!(matches!(place.open("d.tar", &tagged("app:2")), Err(Error::NoSuchImage { .. })));
    assert!(matches!(place.open("d.tar", &any("linux/amd64")), Err(Error::NoSuchPlatform { .. })));
}

#[test]
fn a_docker_archive_with_a_wrong_layer_fails_when_it_is_read() {
    let place = Place::new();
    fs::write(place.path("d.tar"), docker_archive(&[("l.tar", b"evil")], &[b"good"])).unwrap();
    let image = place.open("d.tar", &any("linux/riscv64")).unwrap();
    assert!(matches!(place.store.stage_tar(&image.layers[0]), Err(Error::DigestMismatch { .. })));
}

#[test]
fn other_files_are_no_images() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    fs::write(place.path("text"), "FROM scratch\n".repeat(100)).unwrap();
    fs::write(place.path("other.tar"), archive(&[("a", b"1")])).unwrap();
    fs::write(place.path("cut.tar.gz"), &gzip(&archive(&[("a", b"1")]))[..40]).unwrap();
    for (name, reason) in [
        ("empty", "there is no `oci-layout`"),
        ("text", "not a tar header"),
        ("other.tar", "neither `index.json` nor `manifest.json`"),
        ("cut.tar.gz", "read "),
        ("missing", "open "),
    ] {
        let error = place.open(name, &any("linux/riscv64")).expect_err(name).to_string();
        assert!(error.contains(reason) && error.contains(name), "{name}: {error}");
    }
}

#[test]
fn huge_documents_are_refused_unread() {
    let place = Place::new();
    place.layout("layout", &[("", "linux/riscv64")]);
    fs::File::options()
        .write(true)
        .open(place.path("layout/index.json"))
        .unwrap()
        .set_len(5 << 20)
        .unwrap();
    let error = place.open("layout", &any("linux/riscv64")).unwrap_err().to_string();
    assert!(error.contains("limit of 4194304 bytes"), "{error}");
}
