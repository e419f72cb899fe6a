//! Who is let in, with what, and where credentials go.

mod support;

use std::sync::Arc;

use lithify_image::{OCI_MANIFEST, Reference};
use lithify_registry::{Credential, Credentials, Error, Options, Registry, Silent};
use support::{
    Access, Fake, Fault, Request, Response, TestStore, connect, options, reference, riscv,
};

const BASIC: Access = Access::Basic { user: "me", password: "secret" };

fn given(user: &str, password: &str) -> Options {
    let credential = Credential::Password { user: user.to_owned(), password: password.to_owned() };
    Options { credentials: Credentials::Given(credential), ..options() }
}

fn with_token(token: &str) -> Options {
    let credential = Credential::IdentityToken(token.to_owned());
    Options { credentials: Credentials::Given(credential), ..options() }
}

fn bearer(realm: &str) -> Access {
    Access::Bearer { realm: realm.to_owned() }
}

/// Pushes `app:1` and pulls it again.
fn round_trip(fake: &Fake, options: &Options) -> Result<(), Error> {
    let store = TestStore::new();
    let (image, _) = store.image(&[b"layer"]);
    let (registry, _) = connect(fake, options);
    registry.push(&reference(fake, "app:1"), &image, &store)?;
    let other = TestStore::new();
    registry.pull(&reference(fake, "app:1"), &riscv(), &other)?;
    assert_eq!(other.check(), 3);
    Ok(())
}

fn is_denied(outcome: &Result<(), Error>, fake: &Fake) -> bool {
    let Err(error @ Error::Denied { .. }) = outcome else { return false };
    let message = error.to_string();
    message.contains(&format!("lithify login {}", fake.name())) && !message.contains("secret")
}

fn authorized(request: &Request) -> bool {
    request.header("authorization").is_some()
}

#[test]
fn a_password_opens_the_door_and_is_not_shown_unasked() {
    let fake = Fake::with(BASIC, |_| None);
    round_trip(&fake, &given("me", "secret")).unwrap();
    assert!(!authorized(&fake.log()[0]));
    let fake = Fake::new();
    round_trip(&fake, &given("me", "secret")).unwrap();
    assert!(!fake.log().iter().any(authorized), "nobody asked for it");
}

#[test]
fn wrong_or_no_credentials_are_refused_without_a_loop() {
    for options in [given("me", "wrong"), options(), with_token("token")] {
        for access in [BASIC, bearer("http://127.0.0.1:PORT/token")] {
            let fake = Fake::with(access, |request| {
                (request.path == "/token").then(|| Fault::Reply(Response::new(401)))
            });
            let outcome = round_trip(&fake, &options);
            assert!(is_denied(&outcome, &fake), "{outcome:?}");
            assert!(fake.log().len() < 6, "{} requests", fake.log().len());
        }
    }
}

#[test]
fn a_registry_that_refuses_every_token_is_given_up() {
    let fake = Fake::with(bearer("http://127.0.0.1:PORT/token"), |request| {
        let refusal = || {
            Response::new(401).header("www-authenticate", "Bearer realm=\"/token\",service=\"x\"")
        };
        (request.path != "/token").then(|| Fault::Reply(refusal()))
    });
    let outcome = round_trip(&fake, &given("me", "secret"));
    assert!(is_denied(&outcome, &fake), "{outcome:?}");
    assert!(fake.log().len() < 10, "{} requests", fake.log().len());
}

#[test]
fn a_token_is_fetched_for_what_is_done_and_used_again() {
    let fake = Fake::with(bearer("http://127.0.0.1:PORT/token"), |_| None);
    round_trip(&fake, &given("me", "secret")).unwrap();
    let log = fake.log();
    let tokens: Vec<&Request> = log.iter().filter(|request| request.path == "/token").collect();
    let scopes: Vec<&str> = tokens.iter().map(|request| request.query["scope"].as_str()).collect();
    assert_eq!(scopes, ["repository:app:pull,push", "repository:app:pull"]);
    for token in tokens {
        assert_eq!(token.method, "GET");
        assert_eq!(token.query["service"], "fake");
        assert!(token.header("authorization").unwrap().starts_with("Basic "));
    }
}

#[test]
fn nobody_gets_an_anonymous_token_with_credentials() {
    let fake = Fake::with(bearer("http://127.0.0.1:PORT/token"), |_| None);
    round_trip(&fake, &options()).unwrap();
    assert!(fake.log().iter().filter(|request| request.path == "/token").all(|r| !authorized(r)));
}

#[test]
fn an_identity_token_is_exchanged_by_post() {
    let form = Arc::new(std::sync::Mutex::new(String::new()));
    let seen = form.clone();
    let fake = Fake::with(bearer("http://127.0.0.1:PORT/token"), move |request| {
        if request.path == "/token" {
            *seen.lock().unwrap() = String::from_utf8(request.body.clone()).unwrap();
        }
        None
    });
    round_trip(&fake, &with_token("re+fresh/=")).unwrap();
    assert_eq!(fake.count("GET", "/token"), 0);
    let form = form.lock().unwrap().clone();
    assert_eq!(
        form,
        "grant_type=refresh_token&client_id=lithify&service=fake&\
         scope=repository%3Aapp%3Apull&refresh_token=re%2Bfresh%2F%3D"
    );
}

#[test]
fn a_token_that_ends_early_is_replaced() {
    let mut refused = false;
    let fake = Fake::with(bearer("http://127.0.0.1:PORT/token"), move |request| {
        let expired = !refused && request.is("PUT", "/manifests/");
        refused |= expired;
        expired.then(|| {
            let challenge = "Bearer realm=\"/token\",service=\"fake\"";
            Fault::Reply(Response::new(401).header("www-authenticate", challenge))
        })
    });
    round_trip(&fake, &given("me", "secret")).unwrap();
    assert_eq!(fake.count("PUT", "/manifests/"), 2);
}

#[test]
fn a_token_service_elsewhere_gets_no_credentials() {
    let fake = Fake::with(bearer("http://evil.example/token"), |_| None);
    for options in [given("me", "secret"), with_token("secret")] {
        let error = round_trip(&fake, &options).unwrap_err();
        assert!(matches!(error, Error::ForeignRealm { .. }), "{error}");
    }
}

#[test]
fn unusable_tokens_are_errors() {
    for (body, part) in [
        ("{\"token\":\"a\\r\\nx: y\"}".to_owned(), "no usable token"),
        ("not json".to_owned(), "no usable token"),
        (format!("{{\"token\":\"{}\"}}", "x".repeat(1 << 20)), "more than 262144 bytes"),
    ] {
        let fake = Fake::with(bearer("http://127.0.0.1:PORT/token"), move |request| {
            (request.path == "/token").then(|| Fault::Reply(Response::new(200).body(body.clone())))
        });
        let message = round_trip(&fake, &given("me", "secret")).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn redirects_carry_no_credentials_and_their_challenges_are_not_answered() {
    for access in [BASIC, bearer("http://127.0.0.1:PORT/token")] {
        let other = Fake::with(BASIC, |_| None);
        let target = other.url();
        let fake = Fake::with(access, move |request| {
            let to = Response::new(307).header("location", format!("{target}{}", request.path));
            (request.is("GET", "/blobs/") && authorized(request)).then_some(Fault::Reply(to))
        });
        let outcome = round_trip(&fake, &given("me", "secret"));
        assert!(is_denied(&outcome, &fake), "{outcome:?}");
        assert!(!other.log().is_empty() && !other.log().iter().any(authorized));
    }
}

#[test]
fn uploads_elsewhere_carry_no_credentials() {
    let other = Fake::new();
    let target = other.url();
    let fake = Fake::with(BASIC, move |request| {
        let upload =
            Response::new(202).header("location", format!("{target}/v2/app/blobs/uploads/9"));
        (request.method == "POST" && authorized(request)).then_some(Fault::Reply(upload))
    });
    assert!(round_trip(&fake, &given("me", "secret")).is_err());
    assert!(!other.log().is_empty() && !other.log().iter().any(authorized));
}

#[test]
fn access_is_checked() {
    let fake = Fake::with(BASIC, |_| None);
    let check = |options| connect(&fake, &options).0.check_access();
    check(given("me", "secret")).unwrap();
    assert!(is_denied(&check(given("me", "wrong")), &fake));
    let fake = Fake::with(bearer("http://127.0.0.1:PORT/token"), |_| None);
    connect(&fake, &given("me", "secret")).0.check_access().unwrap();
}

#[test]
fn text_of_a_registry_does_not_reach_the_terminal_raw() {
    let fake = Fake::faulty(|request| {
        let refusal = Response::new(403)
            .body("{\"errors\":[{\"code\":\"DENIED\",\"message\":\"\\u001b]0;x\\u0007\"}]}");
        request.is("GET", "/manifests/").then_some(Fault::Reply(refusal))
    });
    fake.add_manifest("app", "1", OCI_MANIFEST, b"{}");
    let registry = Registry::connect(&fake.name(), &options(), Arc::new(Silent)).unwrap();
    let name: Reference = format!("{}/app:1", fake.name()).parse().unwrap();
    let message = registry.document(&name).unwrap_err().to_string();
    assert!(message.contains("\\u{1b}]0;x\\u{7} (DENIED)"), "{message}");
}
