//! Versions, users, fids.

use crate::client::{Client, Fields, NO_FID, ROOT};
use std::fs;

#[test]
fn other_versions_are_answered_by_unknown() {
    let mut client = Client::mounted();
    let mut answer = client.call(100, Fields::new().u32(8192).str("9P2000.u")).unwrap();
    assert_eq!((answer.u32(), answer.str().as_str()), (8192, "unknown"));
    assert_eq!(client.call(100, Fields::new().u32(100).str("9P2000.L")).err(), Some(22));
}

#[test]
fn a_new_session_closes_what_was_open() {
    let mut client = Client::mounted();
    fs::write(client.path().join("file"), "").unwrap();
    client.open_path("file", 2, 0).unwrap();
    client.begin();
    for fid in [0, ROOT, 2] {
        assert_eq!(client.clunk(fid), Err(9));
    }
}

#[test]
fn answers_keep_to_the_agreed_length() {
    let mut client = Client::mounted();
    fs::write(client.path().join("file"), vec![7; 10_000]).unwrap();
    client.call(100, Fields::new().u32(4096).str("9P2000.L")).unwrap();
    client.attach(0, 0, "").unwrap();
    client.walk(0, 1, &["0", "file"]).unwrap();
    client.open(1, 0).unwrap();
    assert_eq!(client.read(1, 0, 10_000).unwrap().len(), 4096 - 11);
}

#[test]
fn attaching_needs_no_authentication_and_knows_one_tree() {
    let mut client = Client::mounted();
    let attach =
        |fid: u32, auth: u32, tree: &str| Fields::new().u32(fid).u32(auth).str("").str(tree).u32(0);
    client.call(104, attach(5, NO_FID, "/")).unwrap();
    for fields in [attach(5, NO_FID, ""), attach(6, 5, ""), attach(6, NO_FID, "/etc")] {
        assert_eq!(client.call(104, fields).err(), Some(22));
    }
    assert_eq!(client.call(102, Fields::new().u32(7).str("").str("").u32(0)).err(), Some(95));
}

#[test]
fn walks_stop_where_there_is_nothing_and_make_no_fid_then() {
    let mut client = Client::mounted();
    fs::create_dir_all(client.path().join("a/b")).unwrap();
    assert_eq!(client.walk(ROOT, 2, &["a", "b", "c"]), Ok(2));
    assert_eq!(client.clunk(2), Err(9));
    assert_eq!(client.walk(ROOT, 2, &["a", "b"]), Ok(2));
    assert_eq!(client.walk(2, 2, &["..", "b"]), Ok(2), "a fid may walk on");
    assert_eq!(client.walk(ROOT, 2, &[]), Err(22), "the number is taken");
    assert_eq!(client.walk(77, 3, &[]), Err(9));
    assert_eq!(client.walk(ROOT, 3, &["a"; 17]), Err(22));
    for name in ["", ".", "a/b", "a\0"] {
        assert_eq!(client.walk(ROOT, 3, &[name]), Err(22), "{name:?}");
    }
}

#[test]
fn what_is_not_supported_is_an_error() {
    let mut client = Client::mounted();
    assert_eq!(client.call(18, Fields::new().u32(ROOT).str("x")).err(), Some(1), "mknod");
    for kind in [0, 6, 20, 30, 32, 98, 122, 124, 126, 255] {
        assert_eq!(client.call(kind, Fields::new()).err(), Some(95), "message {kind}");
    }
    client.done(108, Fields::new().u16(3)).unwrap();
}
