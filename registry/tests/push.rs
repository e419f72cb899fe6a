//! Pushing to registries that misbehave.

mod support;

use lithify_image::{Descriptor, Digest};
use lithify_registry::{Error, Outcome};
use support::{
    Fake, Fault, Request, Response, TestStore, bytes, connect, options, reference, riscv,
};

/// More than two chunks of an upload.
const LARGE: usize = 40 << 20;

fn push(fake: &Fake, store: &TestStore, image: &Descriptor) -> Result<(), Error> {
    let (registry, _) = connect(fake, &options());
    registry.push(&reference(fake, "app:1"), image, store)
}

/// Fails unless the registry has `app:1` with all its blobs.
#[track_caller]
fn arrived(fake: &Fake, image: &Descriptor, layers: &[&[u8]]) {
    let json = fake.manifest("app", "1").expect("a manifest");
    assert_eq!(Digest::of(&json), image.digest);
    for layer in layers {
        assert!(fake.blob(&Digest::of(layer)).expect("a layer") == *layer);
    }
}

#[test]
fn an_image_arrives_and_the_second_time_nothing_moves() {
    let store = TestStore::new();
    let layers = [bytes(100_000, 1), bytes(10, 2), Vec::new()];
    let slices: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let (image, _) = store.image(&slices);
    let fake = Fake::new();
    push(&fake, &store, &image).unwrap();
    arrived(&fake, &image, &slices);
    let (posts, received) = (fake.count("POST", ""), fake.received());
    push(&fake, &store, &image).unwrap();
    assert_eq!(fake.count("POST", ""), posts);
    assert!(fake.received() - received < 2000, "only the manifest");
}

#[test]
fn what_was_pushed_is_pulled_again() {
    let store = TestStore::new();
    let layer = bytes(200_000, 3);
    let (image, _) = store.image(&[&layer]);
    let fake = Fake::new();
    push(&fake, &store, &image).unwrap();
    let (registry, _) = connect(&fake, &options());
    let other = TestStore::new();
    let pulled = registry.pull(&reference(&fake, "app:1"), &riscv(), &other).unwrap();
    assert_eq!(pulled.manifest, image);
    assert_eq!(other.check(), 3);
}

#[test]
fn a_large_blob_goes_in_chunks_and_survives_broken_connections() {
    let store = TestStore::new();
    let layer = bytes(LARGE, 4);
    let (image, _) = store.image(&[&layer]);
    for fault in
        [|| Fault::Forget, || Fault::Reply(Response::new(503)), || Fault::Reply(Response::new(416))]
    {
        let mut patches = 0;
        let fake = Fake::faulty(move |request| {
            patches += usize::from(request.method == "PATCH");
            (request.method == "PATCH" && patches % 2 == 0).then(fault)
        });
        push(&fake, &store, &image).unwrap();
        arrived(&fake, &image, &[&layer]);
    }
}

#[test]
fn an_upload_that_the_registry_forgot_begins_anew() {
    let store = TestStore::new();
    let layer = bytes(LARGE, 5);
    let (image, _) = store.image(&[&layer]);
    let mut patches = 0;
    let fake = Fake::faulty(move |request| {
        patches += usize::from(request.method == "PATCH");
        let is_lost = patches == 2 && matches!(request.method.as_str(), "PATCH" | "GET");
        is_lost.then(|| Fault::Reply(Response::new(404)))
    });
    push(&fake, &store, &image).unwrap();
    arrived(&fake, &image, &[&layer]);
}

#[test]
fn an_upload_that_never_works_ends_in_an_error() {
    let store = TestStore::new();
    for len in [1000, LARGE] {
        let (image, _) = store.image(&[&bytes(len, 6)]);
        for status in [500, 404, 416] {
            let fake = Fake::faulty(move |request| {
                let is_data = matches!(request.method.as_str(), "PATCH" | "PUT");
                is_data.then(|| Fault::Reply(Response::new(status)))
            });
            let message = push(&fake, &store, &image).unwrap_err().to_string();
            assert!(message.contains("upload of sha256:"), "{message}");
            assert!(fake.log().len() < 100, "{} requests", fake.log().len());
        }
    }
}

#[test]
fn a_blob_of_another_repository_is_mounted_or_else_sent() {
    let layer = bytes(100_000, 7);
    for mounts in [true, false] {
        let store = TestStore::new();
        let (image, _) = store.image(&[&layer]);
        let fake = Fake::faulty(move |request: &Request| {
            if request.is("HEAD", "/v2/other/") {
                return Some(Fault::Reply(Response::new(404)));
            }
            (!mounts && request.query.contains_key("mount")).then(|| {
                let upload = "/v2/other/blobs/uploads/0?state=1";
                Fault::Reply(Response::new(405).header("location", upload))
            })
        });
        push(&fake, &store, &image).unwrap();
        let (registry, heard) = connect(&fake, &options());
        registry.push(&reference(&fake, "other:1"), &image, &store).unwrap();
        let expected = if mounts { Outcome::Mounted } else { Outcome::Moved };
        assert_eq!(heard.outcome_of(&Digest::of(&layer)), Some(expected));
    }
}

#[test]
fn a_mount_that_becomes_an_upload_is_one() {
    let store = TestStore::new();
    let layer = bytes(100_000, 8);
    let (image, _) = store.image(&[&layer]);
    // The first repository is one that the second registry does not have.
    let fake = Fake::faulty(|request| {
        request.is("HEAD", "/v2/other/").then(|| Fault::Reply(Response::new(404)))
    });
    push(&fake, &store, &image).unwrap();
    let (registry, _) = connect(&fake, &options());
    let renamed = reference(&fake, "third:1");
    registry.push(&renamed, &image, &store).unwrap();
    registry.push(&reference(&fake, "other:1"), &image, &store).unwrap();
    let log = fake.log();
    let posts: Vec<_> = log.iter().filter(|request| request.is("POST", "/v2/other/")).collect();
    assert!(posts.iter().all(|request| request.query.contains_key("mount")), "{posts:?}");
    assert!(fake.manifest("other", "1").is_some());
}

#[test]
fn a_registry_that_stores_something_else_is_found_out() {
    let store = TestStore::new();
    let (image, _) = store.image(&[&bytes(1000, 9)]);
    for part in ["/manifests/", "/blobs/uploads/"] {
        let fake = Fake::faulty(move |request| {
            let wrong = Response::new(201)
                .header("location", "/")
                .header("docker-content-digest", Digest::of(b"other"));
            request.is("PUT", part).then_some(Fault::Reply(wrong))
        });
        let error = push(&fake, &store, &image).unwrap_err();
        assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
    }
}

#[test]
fn uploads_go_nowhere_strange() {
    let store = TestStore::new();
    let (image, _) = store.image(&[&bytes(1000, 10)]);
    for (status, location, part) in [
        (202, Some("not a url"), "cannot go on at `not a url`"),
        (202, None, "the reply has no Location"),
        (307, Some("/elsewhere"), "uploads are not redirected"),
        (403, None, "access to `app` denied"),
    ] {
        let fake = Fake::faulty(move |request| {
            let reply = Response::new(status);
            let reply = match location {
                Some(location) => reply.header("location", location),
                None => reply,
            };
            request.is("POST", "/uploads/").then_some(Fault::Reply(reply))
        });
        let message = push(&fake, &store, &image).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
        assert!(fake.manifest("app", "1").is_none(), "a name for nothing");
    }
}

#[test]
fn a_damaged_blob_of_the_store_is_not_sent() {
    let store = TestStore::new();
    let layer = bytes(1000, 11);
    let (image, _) = store.image(&[&layer]);
    let path = store.root().join("blobs/sha256").join(Digest::of(&layer).hex());
    let times = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::write(&path, bytes(1000, 12)).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(times).unwrap();
    let fake = Fake::new();
    let message = push(&fake, &store, &image).unwrap_err().to_string();
    assert!(message.contains("damaged"), "{message}");
    assert!(fake.manifest("app", "1").is_none());
}
