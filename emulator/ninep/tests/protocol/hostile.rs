//! Guests that send what they like.

use crate::client::{Client, Fields, ROOT};
use lithify_ninep::{Errno, MAX_FIDS, MAX_MESSAGE_LEN};
use proptest::collection::vec;
use proptest::prelude::*;
use std::fs;

const KINDS: [u8; 26] = [
    8, 12, 14, 16, 18, 20, 22, 24, 26, 30, 32, 40, 50, 52, 54, 70, 72, 74, 76, 100, 104, 108, 110,
    116, 118, 120,
];

fn answer(client: &mut Client, message: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    client.server.serve(message, &mut answer);
    assert!(answer.len() >= 7 && answer.len() <= MAX_MESSAGE_LEN as usize);
    assert_eq!(answer[..4], (answer.len() as u32).to_le_bytes());
    answer
}

#[test]
fn broken_headers_are_answered_with_an_error() {
    let mut client = Client::mounted();
    let long = vec![0xff; MAX_MESSAGE_LEN as usize + 1];
    for message in
        [&[][..], &[0], &[7, 0, 0, 0, 120, 0], &[6, 0, 0, 0, 120, 0, 0], &[0xff; 7], &long]
    {
        let answer = answer(&mut client, message);
        assert_eq!((answer[4], answer.len()), (7, 11));
        assert_eq!(answer[7..], Errno::INVAL.0.to_le_bytes());
    }
}

#[test]
fn messages_cut_anywhere_are_errors() {
    let mut client = Client::mounted();
    let whole = [
        (14, Fields::new().u32(ROOT).str("new").u32(1).u32(0).u32(0)),
        (26, Fields::new().u32(ROOT).bytes(&[0; 56])),
        (74, Fields::new().u32(ROOT).str("a").u32(ROOT).str("b")),
        (110, Fields::new().u32(ROOT).u32(9).u16(2).str("a").str("b")),
        (118, Fields::new().u32(ROOT).u64(0).u32(3).bytes(b"abc")),
    ];
    for (kind, fields) in whole {
        for len in 0..fields.0.len() {
            let cut = Fields(fields.0[..len].to_vec());
            assert!(client.call(kind, cut).is_err(), "message {kind} of {len} bytes");
        }
    }
    assert_eq!(fs::read_dir(client.path()).unwrap().count(), 0);
}

#[test]
fn a_count_without_bytes_allocates_nothing() {
    let mut client = Client::mounted();
    client.create("file", 2, 2).unwrap();
    let fields = Fields::new().u32(2).u64(0).u32(u32::MAX).bytes(b"abc");
    assert_eq!(client.call(118, fields).err(), Some(Errno::INVAL.0));
}

#[test]
fn the_number_of_fids_is_bounded() {
    let mut client = Client::mounted();
    let limit = MAX_FIDS as u32;
    for fid in 2..limit {
        client.walk(ROOT, fid, &[]).unwrap();
    }
    assert_eq!(client.walk(ROOT, limit, &[]), Err(Errno::NFILE.0));
    assert_eq!(client.attach(limit, 0, ""), Err(Errno::NFILE.0));
    client.clunk(2).unwrap();
    client.walk(ROOT, limit, &[]).unwrap();
}

#[test]
fn names_that_lead_out_are_refused_by_every_message() {
    let mut client = Client::mounted();
    let secret = client.path().parent().unwrap().join("lithify-ninep-secret");
    client.create("file", 2, 2).unwrap();
    for name in ["..", "../lithify-ninep-secret", "/tmp/lithify-ninep-secret", "a/../..", ".", ""] {
        for (kind, fields) in [
            (14, Fields::new().u32(ROOT).str(name).u32(1).u32(0).u32(0)),
            (16, Fields::new().u32(ROOT).str(name).str("x").u32(0)),
            (70, Fields::new().u32(ROOT).u32(2).str(name)),
            (72, Fields::new().u32(ROOT).str(name).u32(0).u32(0)),
            (74, Fields::new().u32(ROOT).str("file").u32(ROOT).str(name)),
            (74, Fields::new().u32(ROOT).str(name).u32(ROOT).str("x")),
            (76, Fields::new().u32(ROOT).str(name).u32(0)),
            (76, Fields::new().u32(ROOT).str(name).u32(0x200)),
        ] {
            assert_eq!(client.call(kind, fields).err(), Some(Errno::INVAL.0), "{kind} {name:?}");
        }
    }
    assert!(!secret.exists());
}

/// Fields that often make sense: small numbers, names that exist.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![0..6_u32, any::<u32>()];
    let name = prop_oneof![Just("0"), Just("a"), Just("b"), Just(".."), Just("0/x")];
    let field = prop_oneof![
        4 => number.prop_map(|number| number.to_le_bytes().to_vec()),
        2 => name.prop_map(|name| Fields::new().str(name).0),
        1 => any::<u64>().prop_map(|number| number.to_le_bytes().to_vec()),
        1 => any::<u16>().prop_map(|number| number.to_le_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..40),
    ];
    vec(field, 0..8).prop_map(|fields| fields.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_messages_leave_the_server_alive(
        messages in vec((prop::sample::select(&KINDS[..]), body()), 1..60)
    ) {
        let mut client = Client::mounted();
        let sentinel = client.path().parent().unwrap().join("a");
        let existed = sentinel.exists();
        for (kind, body) in messages {
            let len = 7 + body.len() as u32;
            let message = Fields::new().u32(len).u8(kind).u16(1).bytes(&body);
            answer(&mut client, &message.0);
        }
        prop_assert_eq!(sentinel.exists(), existed);
        client.begin();
        client.attach(0, 0, "").unwrap();
        prop_assert_eq!(client.walk(0, ROOT, &["0"]), Ok(1));
    }
}
