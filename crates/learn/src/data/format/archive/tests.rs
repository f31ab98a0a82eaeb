use super::*;
use crate::data::testing::{gzip, noise, tar, tar_entry, tar_header, xz};
use proptest::prelude::*;

type Members = Vec<(String, Vec<u8>)>;

fn members(bytes: &[u8]) -> Result<Members, DataError> {
    let mut found = Vec::new();
    each_member(bytes, "a.tar", |path, member| {
        found.push((path.to_owned(), read_bounded(member, 1 << 20, path)?));
        Ok(())
    })?;
    Ok(found)
}

#[test]
fn members_of_every_compression() {
    let long = noise(70_000, 1);
    let plain = tar(&[
        ("x/train.bin", &long),
        ("x/empty", b""),
        ("x/test.bin", b"abc"),
    ]);
    for bytes in [gzip(&plain), xz(&plain), plain] {
        let found = members(&bytes).unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!(found[0], ("x/train.bin".to_owned(), long.clone()));
        assert_eq!(
            read_member(&bytes[..], "a", "x/test.bin", 3).unwrap(),
            b"abc"
        );
        assert_eq!(read_member(&bytes[..], "a", "empty", 3).unwrap(), b"");
        let error = read_member(&bytes[..], "a", "x/test.bin", 2).unwrap_err();
        assert!(
            matches!(
                error,
                DataError::TooLarge {
                    found: 3,
                    limit: 2,
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn unread_members_are_skipped() {
    let bytes = tar(&[("a", &noise(5_000, 1)), ("b", b"xyz")]);
    let mut paths = Vec::new();
    each_member(&bytes[..], "a.tar", |path, _| {
        paths.push(path.to_owned());
        Ok(())
    })
    .unwrap();
    assert_eq!(paths, ["a", "b"]);
}

#[test]
fn suffixes_match_whole_components() {
    assert!(path_ends_with("train.bin", "train.bin"));
    assert!(path_ends_with("./c/train.bin", "c/train.bin"));
    assert!(!path_ends_with("c/._train.bin", "train.bin"));
    assert!(!path_ends_with("mac/train.bin", "c/train.bin"));
}

#[test]
fn missing_and_double_members() {
    let bytes = tar(&[("x/train.bin", b"1"), ("y/train.bin", b"2")]);
    for (suffix, count) in [("test.bin", 0), ("train.bin", 2)] {
        let error = read_member(&bytes[..], "a", suffix, 9).unwrap_err();
        assert!(
            matches!(error, DataError::ArchiveMember { found, .. } if found == count),
            "{error}"
        );
    }
    assert_eq!(
        read_member(&bytes[..], "a", "y/train.bin", 9).unwrap(),
        b"2"
    );
}

#[test]
fn long_names_folders_and_links() {
    let long = format!("{}/train.bin", "d".repeat(150));
    let pax = |key: &str, value: &str| {
        let body = format!(" {key}={value}\n");
        let digits = if body.len() + 2 < 100 { 2 } else { 3 };
        format!("{}{body}", body.len() + digits).into_bytes()
    };
    let mut bytes = tar_entry("d/", b'5', b"");
    bytes.extend(tar_header("link", b'2', "00000000777\0"));
    bytes.extend(tar_entry(
        "././@LongLink",
        b'L',
        format!("{long}\0").as_bytes(),
    ));
    bytes.extend(tar_entry("short", b'0', b"gnu"));
    bytes.extend(tar_entry("global", b'g', &pax("comment", "x")));
    bytes.extend(tar_entry("header", b'x', &pax("path", &long)));
    bytes.extend(tar_entry("short", b'0', b"pax"));
    bytes.extend(tar_entry("header", b'x', &pax("size", "4")));
    let mut sized = tar_header("sized", b'0', "00000000000\0");
    sized.extend(b"real");
    sized.resize(1024, 0);
    bytes.extend(sized);
    let mut base256 = [0_u8; 12];
    base256[0] = 0x80;
    base256[11] = 5;
    bytes.extend(tar_header("binary", b'0', base256));
    bytes.extend([b'b'; 5]);
    bytes.resize(bytes.len().next_multiple_of(512) + 1024, 0);
    let expected: Members = [
        (long.as_str(), "gnu"),
        (&long, "pax"),
        ("sized", "real"),
        ("binary", "bbbbb"),
    ]
    .map(|(path, contents)| (path.to_owned(), contents.as_bytes().to_vec()))
    .to_vec();
    assert_eq!(members(&bytes).unwrap(), expected);
}

/// Paths are compared and never opened, so hostile ones are only strange names.
#[test]
fn traversal_names_are_harmless() {
    let bytes = tar(&[("../../etc/passwd", b"x"), ("/etc/shadow", b"y")]);
    let found = members(&bytes).unwrap();
    assert_eq!(found[0].0, "../../etc/passwd");
    assert_eq!(read_member(&bytes[..], "a", "etc/shadow", 9).unwrap(), b"y");
}

#[test]
fn truncated_at_every_length() {
    let bytes = tar(&[("a", b"123"), ("b", b"45")]);
    let end = bytes.len() - 1024;
    for length in 0..end {
        // Between entries an archive may end: many writers leave out the blocks of zeros.
        let between = length > 0 && length == 1024;
        assert_eq!(members(&bytes[..length]).is_ok(), between, "{length}");
    }
    let packed = gzip(&bytes);
    for length in 0..packed.len() {
        assert!(members(&packed[..length]).is_err(), "{length}");
    }
}

#[test]
fn huge_claims_cost_nothing() {
    let mut largest = [0xff_u8; 12];
    largest[0] = 0x80;
    for size in [&b"77777777777\0"[..], &[0xff; 12], &largest] {
        let mut bytes = tar_header("a", b'0', size);
        bytes.extend([0; 600]);
        assert!(members(&bytes).is_err());
        let name = tar_header("a", b'L', size);
        assert!(members(&name).is_err());
    }
    let mut extra = tar_header("a", b'L', "00001000000\0");
    extra.extend(vec![b'n'; 262_144]);
    assert!(matches!(
        members(&extra),
        Err(DataError::TooLarge {
            limit: MAX_EXTRA_BYTES,
            ..
        })
    ));
}

#[test]
fn bombs_stop_at_the_bound() {
    let bytes = gzip(&tar(&[("a", &vec![0; 3_000_000])]));
    assert!(bytes.len() < 30_000);
    let error = walk(&bytes[..], "a.tar.gz", 1_000_000, |_, _| Ok(())).unwrap_err();
    assert!(
        error.to_string().contains("more than 1000000 bytes"),
        "{error}"
    );
    assert!(walk(&bytes[..], "a.tar.gz", 4_000_000, |_, _| Ok(())).is_ok());
}

/// An xz header may ask for a dictionary of 4 GiB.
#[test]
fn xz_dictionary_is_bounded() {
    use lzma_rust2::{XzOptions, XzWriter};
    use std::io::Write as _;
    let mut options = XzOptions::with_preset(1);
    options.lzma_options.dict_size = 1 << 20;
    let mut writer = XzWriter::new(Vec::new(), options).unwrap();
    writer.write_all(&tar(&[("a", b"x")])).unwrap();
    let mut bytes = writer.finish().unwrap();
    assert!(members(&bytes).is_ok());
    // Block header: size, flags, filter id 0x21, 1 byte of properties, the dictionary's size code.
    let at = bytes
        .windows(2)
        .position(|pair| pair == [0x21, 0x01])
        .unwrap()
        + 2;
    bytes[at] = 40; // 4 GiB - 1
    let start = 12;
    let size = (usize::from(bytes[start]) + 1) * 4;
    let crc = flate2::Crc::new();
    let mut crc = crc;
    crc.update(&bytes[start..start + size - 4]);
    bytes[start + size - 4..start + size].copy_from_slice(&crc.sum().to_le_bytes());
    let error = members(&bytes).unwrap_err();
    assert!(error.to_string().contains("mem"), "{error}");
}

#[test]
fn errors_of_the_visitor_come_back() {
    let bytes = tar(&[("a", b"x")]);
    let error = each_member(&bytes[..], "a", |path, _| {
        Err(DataError::NoImages {
            what: path.to_owned(),
        })
    });
    assert!(matches!(error, Err(DataError::NoImages { .. })));
}

#[test]
fn damaged_headers_are_errors() {
    let good = tar(&[("abc", b"123")]);
    for at in [0, 120, 130, 150] {
        let mut bytes = good.clone();
        bytes[at] ^= 0x11;
        assert!(
            matches!(members(&bytes), Err(DataError::BadArchive { .. })),
            "{at}"
        );
    }
    let mut pax = tar_entry("h", b'x', b"99 path=a\n");
    pax.extend(good);
    assert!(matches!(members(&pax), Err(DataError::BadArchive { .. })));
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        let _ = members(&bytes);
    }

    /// Any kind, size and contents, under a correct checksum.
    #[test]
    fn any_entries(entries in prop::collection::vec(
        (any::<u8>(), prop::array::uniform12(any::<u8>()), prop::collection::vec(any::<u8>(), 0..600)), 0..4)
    ) {
        let mut bytes = Vec::new();
        for (kind, size, contents) in entries {
            let size = if kind & 1 == 0 { size.to_vec() } else { format!("{:011o}\0", contents.len()).into_bytes() };
            bytes.extend(tar_header("name", b"0Lxg5"[usize::from(kind) % 5], size));
            bytes.extend(contents);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        let _ = members(&bytes);
    }

    #[test]
    fn read_of_write_is_identity(contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1200), 1..4)) {
        let named: Vec<_> = contents.iter().enumerate().map(|(i, c)| (format!("d/{i}"), c.clone())).collect();
        let list: Vec<_> = named.iter().map(|(name, c)| (name.as_str(), c.as_slice())).collect();
        prop_assert_eq!(members(&tar(&list)).unwrap(), named);
    }
}
