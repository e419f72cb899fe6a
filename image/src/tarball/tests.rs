use std::io::Write;
use std::process::Command;

use super::*;

fn blob(bytes: &[u8]) -> Blob {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Blob::whole(file, bytes.len() as u64, "test.tar".into())
}

fn read(bytes: &[u8]) -> Result<Vec<TarEntry>, Error> {
    TarEntries::new(blob(bytes), "test.tar".into()).collect()
}

/// A header of type `flag` for `path`, then `data`, padded to a block.
fn raw(flag: u8, path: &str, data: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(EntryType::new(flag));
    header.set_mode(0o644);
    header.set_size(data.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let len = (1..4)
        .map(|digits| rest.len() + digits)
        .find(|len| len.to_string().len() + rest.len() == *len);
    format!("{}{rest}", len.unwrap()).into_bytes()
}

#[test]
fn extended_headers_apply_to_the_next_entry_only() {
    let records =
        [record("path", "long/name"), record("uid", "4000000"), record("mtime", "-3.5")].concat();
    let tar =
        [raw(b'x', "pax", &records), raw(b'0', "short", b"data"), raw(b'0', "other", b"")].concat();
    let entries = read(&tar).unwrap();
    assert_eq!(entries[0].path, b"long/name");
    assert_eq!((entries[0].uid, entries[0].mtime), (4_000_000, -4));
    assert_eq!((entries[1].path.as_slice(), entries[1].uid), (&b"other"[..], 0));
}

#[test]
fn gnu_long_names_apply_to_the_next_entry() {
    let name = "d/".repeat(200) + "f";
    let terminated = format!("{name}\0");
    let tar = [
        raw(b'L', "././@LongLink", terminated.as_bytes()),
        raw(b'K', "././@LongLink", b"target\0"),
        raw(b'2', "cut", b""),
    ];
    let entries = read(&tar.concat()).unwrap();
    assert_eq!(entries[0].path, name.as_bytes());
    assert_eq!(entries[0].kind, TarKind::Symlink(b"target".to_vec()));
}

#[test]
fn a_pax_size_wins_over_the_header() {
    let data = raw(b'0', "f", &[7; 600]);
    let mut lying = raw(b'0', "f", b"");
    lying.extend(&data[512..]);
    let tar = [raw(b'x', "pax", &record("size", "600")), lying, raw(b'0', "next", b"")].concat();
    let entries = read(&tar).unwrap();
    assert_eq!(entries.len(), 2);
    assert!(matches!(&entries[0].kind, TarKind::File(data) if data.len == 600));
}

#[test]
fn each_pax_sparse_format_places_its_extents() {
    let expected = |blob_offset| {
        vec![
            Extent { file_offset: 0, blob_offset, len: 4 },
            Extent { file_offset: 1000, blob_offset: blob_offset + 4, len: 3 },
        ]
    };
    let v00 = [
        record("GNU.sparse.size", "2000"),
        record("GNU.sparse.numblocks", "3"),
        record("GNU.sparse.offset", "0"),
        record("GNU.sparse.numbytes", "4"),
        record("GNU.sparse.offset", "1000"),
        record("GNU.sparse.numbytes", "3"),
        record("GNU.sparse.offset", "2000"),
        record("GNU.sparse.numbytes", "0"),
    ]
    .concat();
    let v01 =
        [record("GNU.sparse.size", "2000"), record("GNU.sparse.map", "0,4,1000,3,2000,0")].concat();
    let v10 = [
        record("GNU.sparse.major", "1"),
        record("GNU.sparse.minor", "0"),
        record("GNU.sparse.name", "real"),
        record("GNU.sparse.realsize", "2000"),
    ]
    .concat();
    let mut mapped = b"3\n0\n4\n1000\n3\n2000\n0\n".to_vec();
    mapped.resize(512, 0);
    mapped.extend(b"abcdefg");
    for (name, records, data, offset) in [
        ("0.0", v00, b"abcdefg".to_vec(), 1536),
        ("0.1", v01, b"abcdefg".to_vec(), 1536),
        ("1.0", v10, mapped, 2048),
    ] {
        let tar = [raw(b'x', "pax", &records), raw(b'0', "made-up", &data)].concat();
        let entries = read(&tar).unwrap();
        let TarKind::File(data) = &entries[0].kind else { panic!("{name}: no file") };
        assert_eq!((data.len, &data.extents), (2000, &expected(offset)), "{name}");
    }
}

#[test]
fn hostile_archives_are_refused_with_the_place() {
    let sparse = |map: &str| {
        let records = [record("GNU.sparse.size", "100"), record("GNU.sparse.map", map)].concat();
        [raw(b'x', "pax", &records), raw(b'0', "f", b"0123456789")].concat()
    };
    let mut beyond = raw(b'0', "f", b"");
    beyond[124..136].copy_from_slice(b"77777777777\0");
    let mut bad_sum = raw(b'0', "f", b"");
    bad_sum[0] = b'g';
    let fix = |mut header: Vec<u8>| {
        let sum = format!("{:06o}\0 ", checksum(header[..512].try_into().unwrap()));
        header[148..156].copy_from_slice(sum.as_bytes());
        header
    };
    for (name, bytes, reason) in [
        ("data beyond the end", fix(beyond), "beyond the archive's end"),
        ("wrong checksum", bad_sum, "checksum"),
        ("half a header", raw(b'0', "f", b"")[..100].to_vec(), "ends within"),
        ("unknown type", raw(b'Z', "f", b""), "unsupported entry type `Z`"),
        ("link without target", raw(b'2', "f", b""), "without a usable target"),
        ("overlapping sparse parts", sparse("0,5,3,5"), "overlaps"),
        ("sparse part beyond the file", sparse("0,5,98,5"), "beyond the file"),
        ("sparse map with an odd length", sparse("0,5,50"), "odd"),
        ("sparse map with an overflow", sparse("18446744073709551615,10"), "beyond the file"),
        ("sparse map short of its data", sparse("0,5"), "does not cover"),
        ("huge PAX header", raw(b'x', "pax", &vec![b'1'; (1 << 20) + 1]), "limit of 1048576"),
        (
            "huge uid",
            [raw(b'x', "p", &record("uid", "4294967296")), raw(b'0', "f", b"")].concat(),
            "uid",
        ),
        (
            "NUL in a name",
            [raw(b'x', "p", &record("path", "a\0b")), raw(b'0', "f", b"")].concat(),
            "NUL",
        ),
    ] {
        let message = read(&bytes).expect_err(name).to_string();
        assert!(message.contains(reason) && message.contains("test.tar"), "{name}: {message}");
    }
}

#[test]
fn numbers_are_octal_text_or_binary() {
    let mut header = Header::new_old();
    for (field, expected) in [
        (&b"0000644\0"[..], Some(0o644)),
        (b"   12 \0\0", Some(10)),
        (b"\0\0\0\0\0\0\0\0", Some(0)),
        (b"\x80\0\0\0\0\x10\0\0", Some(1 << 20)),
        (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
        (b"\x81\0\0\0\0\0\0\0", None),
        (b"12x\0\0\0\0\0", None),
    ] {
        header.as_mut_bytes()[UID].copy_from_slice(field);
        assert_eq!(numeric(&header, UID), expected, "{field:?}");
    }
    for (field, expected) in [
        (&b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfd"[..], Some(-3)),
        (b"\x80\0\0\0\0\0\0\x02\0\0\0\0", Some(1 << 33)),
        (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", None),
    ] {
        header.as_mut_bytes()[MTIME].copy_from_slice(field);
        assert_eq!(numeric(&header, MTIME), expected, "{field:?}");
    }
}

#[test]
fn an_iterator_ends_after_its_error() {
    let mut entries = TarEntries::new(blob(&[1; 1024]), "test.tar".into());
    assert!(entries.next().unwrap().is_err());
    assert!(entries.next().is_none());
}

#[test]
fn archives_of_countless_headers_are_refused() {
    let mut entries = TarEntries::new(blob(&raw(b'5', "d", b"").repeat(2)), "test.tar".into());
    entries.headers = MAX_TAR_ENTRIES - 1;
    assert!(entries.next().unwrap().is_ok());
    let message = entries.next().unwrap().unwrap_err().to_string();
    assert!(message.contains("limit of 1048576 tar entries"), "{message}");
}

/// GNU tar is the reference for what real archives look like.
#[test]
fn archives_of_gnu_tar_are_understood_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let sparse = std::fs::File::create(path("sparse")).unwrap();
    sparse.set_len(3 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, &[7; 5000], 1 << 20).unwrap();
    std::fs::write(path("plain"), b"hello").unwrap();
    std::fs::write(path(&"n".repeat(150)), b"long").unwrap();
    std::fs::hard_link(path("plain"), path("twin")).unwrap();
    std::os::unix::fs::symlink("plain", path("symlink")).unwrap();
    for format in [
        &["--format=gnu"][..],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ] {
        let output = Command::new("tar")
            .args(["-c", "-f", "-", "--sparse", "--sort=name", "-C"])
            .arg(dir.path())
            .args(format)
            .arg(".")
            .output();
        let Ok(output) = output else {
            println!("skipped: no `tar` program");
            return;
        };
        assert!(output.status.success());
        let entries = read(&output.stdout).unwrap();
        let names: Vec<_> =
            entries.iter().map(|e| String::from_utf8_lossy(&e.path).into_owned()).collect();
        let long = format!("./{}", "n".repeat(150));
        assert_eq!(
            names,
            ["./", &long, "./plain", "./sparse", "./symlink", "./twin"],
            "{format:?}"
        );
        assert_eq!(entries[4].kind, TarKind::Symlink(b"plain".to_vec()));
        assert_eq!(entries[5].kind, TarKind::HardLink(b"./plain".to_vec()));
        let TarKind::File(data) = &entries[3].kind else { panic!("sparse is no file") };
        assert_eq!(data.len, 3 << 20, "{format:?}");
        let sevens = data.extents.iter().flat_map(|extent| {
            let start = extent.blob_offset as usize;
            output.stdout[start..start + extent.len as usize].iter()
        });
        assert_eq!(sevens.filter(|byte| **byte == 7).count(), 5000, "{format:?}");
    }
}
