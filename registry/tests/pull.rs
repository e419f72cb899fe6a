//! Pulling from registries that misbehave: it succeeds or fails with one clear message, and the
//! store never has a wrong blob, a part of one, or a name without its blobs.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lithify_image::{Descriptor, Digest, Index, OCI_INDEX, OCI_MANIFEST, Platform};
use lithify_registry::{Cancel, Error, Options, Outcome, Timeouts};
use support::{Fake, Fault, Response, TestStore, bytes, connect, options, reference, riscv};

/// Layers of the image that most tests pull.
fn layers() -> [Vec<u8>; 3] {
    [bytes(700_000, 1), bytes(300_000, 2), bytes(10, 3)]
}

/// Gives `fake` the image `app:1`; returns its manifest's digest.
fn publish(fake: &Fake, layers: &[Vec<u8>]) -> Digest {
    publish_as(fake, "1", &Platform::linux("riscv64"), layers).digest
}

fn publish_as(fake: &Fake, tag: &str, platform: &Platform, layers: &[Vec<u8>]) -> Descriptor {
    let origin = TestStore::new();
    let slices: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let (descriptor, manifest) = origin.image_for(platform, &slices);
    let read = |digest| origin.get(digest).unwrap().read_all(1 << 30, "x").unwrap();
    for blob in manifest.layers.iter().chain([&manifest.config]) {
        fake.add_blob(&read(&blob.digest));
    }
    fake.add_manifest("app", tag, OCI_MANIFEST, &manifest.to_json());
    descriptor
}

/// What came of pulling `app:1`.
struct Attempt {
    outcome: Result<Digest, Error>,
    store: TestStore,
    retries: Vec<(String, Duration)>,
}

fn pull_with(fake: &Fake, options: &Options) -> Attempt {
    let store = TestStore::new();
    let (registry, heard) = connect(fake, options);
    let name = reference(fake, "app:1");
    let outcome = registry.pull(&name, &riscv(), &store).map(|pulled| pulled.manifest.digest);
    store.check();
    assert_eq!(store.resolve(&name).unwrap().is_some(), outcome.is_ok());
    let retries = heard.retries.lock().unwrap().clone();
    Attempt { outcome, store, retries }
}

fn pull(fake: &Fake) -> Attempt {
    pull_with(fake, &options())
}

impl Attempt {
    #[track_caller]
    fn succeeded(&self, digest: Digest) {
        match &self.outcome {
            Ok(found) => assert_eq!(*found, digest),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(self.store.check(), layers().len() + 2);
    }

    #[track_caller]
    fn failed(&self, parts: &[&str]) {
        let message = self.outcome.as_ref().unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
    }
}

/// Calls `fault` for the first `times` requests for which it has something.
fn first(
    times: usize,
    mut fault: impl FnMut(&support::Request) -> Option<Fault> + Send + 'static,
) -> impl FnMut(&support::Request) -> Option<Fault> + Send + 'static {
    let mut left = times;
    move |request| {
        let fault = (left > 0).then(|| fault(request)).flatten()?;
        left -= 1;
        Some(fault)
    }
}

fn large_blob(request: &support::Request) -> bool {
    request.is("GET", &Digest::of(&layers()[0]).to_string())
}

#[test]
fn an_image_is_pulled_whole_and_the_second_time_nothing_moves() {
    let fake = Fake::new();
    let digest = publish(&fake, &layers());
    let attempt = pull(&fake);
    attempt.succeeded(digest);
    let before = fake.sent();
    let (registry, heard) = connect(&fake, &options());
    registry.pull(&reference(&fake, "app:1"), &riscv(), &attempt.store).unwrap();
    assert!(fake.sent() - before < 2000, "only the manifest");
    for layer in layers() {
        assert_eq!(heard.outcome_of(&Digest::of(&layer)), Some(Outcome::Existed));
    }
}

#[test]
fn too_many_requests_are_waited_for_as_the_registry_says() {
    let busy = || Response::new(429).header("retry-after", "1").body("slow down");
    let fake = Fake::faulty(first(1, move |request| {
        request.is("GET", "/manifests/").then(|| Fault::Reply(busy()))
    }));
    let digest = publish(&fake, &layers());
    let attempt = pull(&fake);
    attempt.succeeded(digest);
    assert_eq!(attempt.retries.len(), 1);
    assert!(attempt.retries[0].0.contains("429") && attempt.retries[0].1.as_secs() == 1);
}

#[test]
fn too_many_requests_for_ever_end_in_an_error() {
    let busy = || Response::new(429).header("retry-after", "0");
    let fake =
        Fake::faulty(move |request| request.is("GET", "/manifests/").then(|| Fault::Reply(busy())));
    publish(&fake, &layers());
    pull(&fake).failed(&["429", "/v2/app/manifests/1"]);
    assert_eq!(fake.count("GET", "/manifests/"), 4);
}

#[test]
fn a_wait_that_a_registry_asks_for_can_be_canceled() {
    let wait = || Response::new(503).header("retry-after", "3600");
    let fake =
        Fake::faulty(move |request| request.is("GET", "/manifests/").then(|| Fault::Reply(wait())));
    publish(&fake, &layers());
    let cancel = Cancel::default();
    let options = Options { cancel: cancel.clone(), ..options() };
    std::thread::scope(|scope| {
        let attempt = scope.spawn(|| pull_with(&fake, &options));
        while fake.count("GET", "/manifests/") == 0 {
            std::thread::yield_now();
        }
        cancel.cancel();
        attempt.join().unwrap().failed(&["canceled"]);
    });
}

#[test]
fn a_registry_that_hangs_can_be_canceled() {
    let fake = Fake::faulty(|request| large_blob(request).then_some(Fault::Hang));
    publish(&fake, &layers());
    let cancel = Cancel::default();
    let options = Options { cancel: cancel.clone(), ..options() };
    std::thread::scope(|scope| {
        let attempt = scope.spawn(|| pull_with(&fake, &options));
        while !fake.log().iter().any(large_blob) {
            std::thread::yield_now();
        }
        cancel.cancel();
        attempt.join().unwrap().failed(&["canceled"]);
    });
}

#[test]
fn server_errors_pass() {
    let fake = Fake::faulty(first(3, |request| {
        large_blob(request).then(|| Fault::Reply(Response::new(500)))
    }));
    let digest = publish(&fake, &layers());
    pull(&fake).succeeded(digest);
}

#[test]
fn a_broken_transfer_goes_on_where_it_broke() {
    for fault in [Fault::CutOff as fn(usize) -> Fault, Fault::Reset] {
        let fake =
            Fake::faulty(first(5, move |request| large_blob(request).then(|| fault(100_000))));
        let digest = publish(&fake, &layers());
        pull(&fake).succeeded(digest);
        assert!(fake.sent() < 1_200_000, "{} bytes for one million", fake.sent());
    }
}

/// Pulls a layer of `size` bytes over twenty connections that are reset; returns how many bytes
/// were given to the connections in all, which is no fewer than arrived.
fn sent_over_twenty_resets(size: usize) -> u64 {
    let layer = vec![bytes(size, 5)];
    let path = Digest::of(&layer[0]).to_string();
    let (blob, mut resets) = (path.clone(), 0);
    let fake = Fake::faulty(first(20, move |request| {
        resets += 1;
        request.path.ends_with(&blob).then(|| Fault::Reset((size / 21) + resets))
    }));
    let digest = publish(&fake, &layer);
    drop(layer);
    let attempt = pull(&fake);
    assert_eq!(attempt.outcome.as_ref().ok(), Some(&digest), "{:?}", attempt.outcome);
    assert_eq!(fake.count("GET", &path), 21, "each of twenty resets was survived");
    fake.sent()
}

#[test]
fn twenty_resets_cost_less_than_a_tenth() {
    const SIZE: usize = 64 << 20;
    let sent = sent_over_twenty_resets(SIZE);
    assert!(sent * 10 < SIZE as u64 * 11, "{sent} bytes for {SIZE}");
}

#[test]
#[ignore = "slow: pulls a gigabyte"]
fn twenty_resets_of_a_gigabyte_cost_less_than_a_tenth() {
    const SIZE: usize = 1 << 30;
    let sent = sent_over_twenty_resets(SIZE);
    println!("{sent} bytes for {SIZE}");
    assert!(sent * 10 < SIZE as u64 * 11, "{sent} bytes for {SIZE}");
}

#[test]
fn a_registry_without_ranges_sends_again_and_the_blob_is_right() {
    let mut requests = 0;
    let fake = Fake::faulty(move |request| {
        if !large_blob(request) {
            return None;
        }
        requests += 1;
        Some(if requests == 1 { Fault::CutOff(100_000) } else { Fault::Without("range") })
    });
    let digest = publish(&fake, &layers());
    pull(&fake).succeeded(digest);
}

#[test]
fn a_transfer_that_always_breaks_at_once_ends_in_an_error() {
    let fake = Fake::faulty(|request| large_blob(request).then_some(Fault::CutOff(10)));
    publish(&fake, &layers());
    let attempt = pull(&fake);
    attempt.failed(&[&Digest::of(&layers()[0]).to_string()]);
    assert_eq!(fake.log().iter().filter(|request| large_blob(request)).count(), 4);
}

#[test]
fn a_range_that_was_not_asked_for_is_refused() {
    for range in ["bytes 0-699999/700000", "bytes 100000-699999/9", "bytes */700000", ""] {
        let mut requests = 0;
        let fake = Fake::faulty(move |request| {
            if !large_blob(request) {
                return None;
            }
            requests += 1;
            let wrong = Response::new(206).header("content-range", range).body(bytes(600_000, 9));
            Some(if requests == 1 { Fault::CutOff(100_000) } else { Fault::Reply(wrong) })
        });
        publish(&fake, &layers());
        pull(&fake).failed(&["asked for bytes from ", range]);
    }
}

#[test]
fn a_corrupted_blob_is_fetched_anew_once() {
    let fake = Fake::faulty(first(1, |request| large_blob(request).then_some(Fault::Corrupt)));
    let digest = publish(&fake, &layers());
    pull(&fake).succeeded(digest);

    let fake = Fake::faulty(|request| large_blob(request).then_some(Fault::Corrupt));
    publish(&fake, &layers());
    pull(&fake).failed(&["expected sha256:", "received sha256:"]);
    assert_eq!(fake.log().iter().filter(|request| large_blob(request)).count(), 2);
}

#[test]
fn a_wrong_length_is_refused_before_the_bytes() {
    for length in [1, 699_999, 700_001, usize::MAX / 2] {
        let fake =
            Fake::faulty(move |request| large_blob(request).then_some(Fault::Length(length)));
        publish(&fake, &layers());
        pull(&fake).failed(&["expected 700000 bytes", &format!("received {length}")]);
    }
}

#[test]
fn a_server_that_drips_is_given_up() {
    let options = Options {
        timeouts: Timeouts { connect: Duration::from_secs(5), stall: Duration::from_millis(300) },
        ..options()
    };
    let drip = Duration::from_millis(20);
    let fake = Fake::faulty(move |request| large_blob(request).then_some(Fault::Drip(drip)));
    publish(&fake, &layers());
    pull_with(&fake, &options).failed(&["stalled"]);

    let fake =
        Fake::faulty(move |request| request.is("GET", "/manifests/").then_some(Fault::Drip(drip)));
    publish(&fake, &layers());
    pull_with(&fake, &options).failed(&["stalled", "/manifests/1"]);

    let fake = Fake::faulty(|request| request.is("GET", "/manifests/").then_some(Fault::Hang));
    publish(&fake, &layers());
    pull_with(&fake, &options).failed(&["stalled", "/manifests/1"]);
}

#[test]
fn a_manifest_with_another_digest_is_refused() {
    let fake = Fake::faulty(|request| request.is("GET", "/manifests/").then_some(Fault::Corrupt));
    publish(&fake, &layers());
    pull(&fake).failed(&["/v2/app/manifests/1", "expected sha256:", "received sha256:"]);

    // By digest, with a registry that says that all is well.
    let wrong = bytes(10, 4);
    let digest = Digest::of(&wrong);
    let fake = Fake::new();
    let right = publish(&fake, &layers());
    let json = fake.manifest("app", &right.to_string()).unwrap();
    fake.add_manifest("app", &digest.to_string(), OCI_MANIFEST, &json);
    let (registry, _) = connect(&fake, &options());
    let store = TestStore::new();
    let name = reference(&fake, &format!("app@{digest}"));
    let error = registry.pull(&name, &riscv(), &store).unwrap_err();
    assert!(
        matches!(error, Error::DigestMismatch { expected, .. } if expected == digest),
        "{error}"
    );
    assert_eq!(store.check(), 0);
}

#[test]
fn caps_hold() {
    let huge = format!("{{\"schemaVersion\":2,\"x\":\"{}\"}}", "x".repeat(5 << 20));
    let fake = Fake::new();
    fake.add_manifest("app", "1", OCI_MANIFEST, huge.as_bytes());
    pull(&fake).failed(&["/v2/app/manifests/1: more than 4194304 bytes"]);

    let layer = serde_json::json!({
        "mediaType": "application/vnd.oci.image.layer.v1.tar", "size": 1, "digest": Digest::of(b"x"),
    });
    let many = serde_json::json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": layer, "layers": vec![&layer; 1001],
    });
    let fake = Fake::new();
    fake.add_manifest("app", "1", OCI_MANIFEST, many.to_string().as_bytes());
    pull(&fake).failed(&["more than 1000 layers"]);

    let entry =
        serde_json::json!({ "mediaType": OCI_MANIFEST, "size": 1, "digest": Digest::of(b"x") });
    let many = serde_json::json!({
        "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": vec![&entry; 1001],
    });
    let fake = Fake::new();
    fake.add_manifest("app", "1", OCI_INDEX, many.to_string().as_bytes());
    pull(&fake).failed(&["more than 1000 index entries"]);
}

#[test]
fn what_is_no_manifest_is_refused() {
    for (text, part) in [
        ("<html>", "expected value"),
        ("{\"schemaVersion\":1}", "neither a manifest nor an index"),
        ("{\"schemaVersion\":2,\"mediaType\":\"x\\u001b[31m\"}", "`x\\u{1b}[31m`"),
    ] {
        let fake = Fake::new();
        fake.add_manifest("app", "1", OCI_MANIFEST, text.as_bytes());
        pull(&fake).failed(&[part]);
    }
}

#[test]
fn an_index_gives_the_image_for_the_platform_or_says_which_it_has() {
    let fake = Fake::new();
    let mut index = Index::default();
    for (tag, platform) in [("a", "linux/amd64"), ("b", "linux/arm/v7"), ("c", "linux/riscv64")] {
        let platform: Platform = platform.parse().unwrap();
        let mut entry = publish_as(&fake, tag, &platform, &layers());
        entry.platform = Some(platform);
        index.manifests.push(entry);
    }
    fake.add_manifest("app", "1", OCI_INDEX, &index.to_json());
    pull(&fake).succeeded(index.manifests[2].digest);

    index.manifests.pop();
    fake.add_manifest("app", "1", OCI_INDEX, &index.to_json());
    pull(&fake).failed(&["app:1: no image for linux/riscv64, only for linux/amd64, linux/arm/v7"]);
    // Nothing was fetched for nothing.
    assert_eq!(pull(&fake).store.check(), 0);

    let fake = Fake::new();
    publish_as(&fake, "1", &Platform::linux("amd64"), &layers());
    let attempt = pull(&fake);
    attempt.failed(&["no image for linux/riscv64, only for linux/amd64"]);
    assert_eq!(attempt.store.check(), 1, "the config only");
}

#[test]
fn an_index_that_leads_to_itself_ends() {
    let fake = Fake::new();
    let mut index = Index::default();
    // Each level is named by the one above; the caps end it, not the digests.
    for level in 0..6 {
        let json = index.to_json();
        fake.add_manifest("app", &format!("level{level}"), OCI_INDEX, &json);
        index.manifests = vec![Descriptor::new(OCI_INDEX, &json)];
    }
    fake.add_manifest("app", "1", OCI_INDEX, &index.to_json());
    pull(&fake).failed(&["more than 4 nested indexes"]);
}

#[test]
fn a_missing_tag_has_a_hint_out_of_ten_thousand_and_more() {
    let tags: Vec<String> = (0..100_000).map(|number| format!("v{number}")).collect();
    let list = serde_json::json!({ "name": "app", "tags": tags }).to_string();
    let fake = Fake::faulty(move |request| {
        let list = Response::new(200).body(list.clone());
        request.is("GET", "/tags/list").then_some(Fault::Reply(list))
    });
    let (registry, _) = connect(&fake, &options());
    let error = registry.document(&reference(&fake, "app:v99")).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("app:v99 not found (did you mean `v99`?)"), "{message}");
    assert_eq!(registry.tags("app").unwrap().len(), 10_000);

    // A list that goes on for ever.
    let pages = AtomicUsize::new(0);
    let fake = Fake::faulty(move |request| {
        let page = pages.fetch_add(1, Ordering::Relaxed);
        let page = Response::new(200)
            .header("link", "</v2/app/tags/list?n=1&last=x>; rel=\"next\"")
            .body(format!("{{\"tags\":[\"t{page}\"]}}"));
        request.is("GET", "/tags/list").then_some(Fault::Reply(page))
    });
    let (registry, _) = connect(&fake, &options());
    assert_eq!(registry.tags("app").unwrap().len(), 20);
}

#[test]
fn a_redirect_is_followed_within_reason() {
    let other = Fake::new();
    publish(&other, &layers());
    let target = other.url();
    let fake = Fake::faulty(move |request| {
        let to = Response::new(307).header("location", format!("{target}{}", request.path));
        request.is("GET", "/blobs/").then_some(Fault::Reply(to))
    });
    let digest = publish(&fake, &layers());
    pull(&fake).succeeded(digest);

    let fake = Fake::faulty(|request| {
        let to = Response::new(302).header("location", request.path.clone());
        request.is("GET", "/blobs/").then_some(Fault::Reply(to))
    });
    publish(&fake, &layers());
    pull(&fake).failed(&["too many redirects"]);

    for location in ["ftp://x/", "not a url", ""] {
        let fake = Fake::faulty(move |request| {
            let to = Response::new(307).header("location", location);
            request.is("GET", "/blobs/").then_some(Fault::Reply(to))
        });
        publish(&fake, &layers());
        pull(&fake).failed(&["not a URL to follow"]);
    }
}

#[test]
fn blobs_come_side_by_side_and_one_failure_ends_all() {
    let missing = Digest::of(&layers()[1]).to_string();
    let fake = Fake::faulty(move |request| {
        request.path.ends_with(&missing).then(|| Fault::Reply(Response::new(404)))
    });
    publish(&fake, &layers());
    pull(&fake).failed(&["blob sha256:", "not found"]);
}

#[test]
fn a_registry_that_is_not_there_is_named() {
    let mut options = options();
    options.plain_http = false;
    let error = lithify_registry::Registry::connect(
        "127.0.0.1:1",
        &options,
        std::sync::Arc::new(lithify_registry::Silent),
    );
    let message = error.unwrap_err().to_string();
    assert!(message.contains("http://127.0.0.1:1/v2/") && message.contains("refused"), "{message}");
}
