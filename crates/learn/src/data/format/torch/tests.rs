use proptest::prelude::*;

use super::*;

/// What `tools/make_torch_fixtures.py` saved: in the zip format,
const ZIPPED: &[u8] = include_bytes!("zip.pth");
/// in the older one, as `state_dict` of a larger checkpoint,
const OLDER: &[u8] = include_bytes!("legacy.pth");
/// and a whole module, which takes its class to read.
const MODULE: &[u8] = include_bytes!("module.pth");

fn read(bytes: &[u8]) -> Result<StateDict, DataError> {
    read_state_dict(bytes, "f")
}

fn base() -> Vec<f32> {
    (0..12).map(|i| i as f32 * 0.5).collect()
}

#[test]
fn both_formats_give_every_type_and_view() {
    for bytes in [ZIPPED, OLDER] {
        assert!(is_checkpoint(bytes));
        let weights = read(bytes).unwrap();
        let names: Vec<_> = weights.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "bfloat",
                "column",
                "double",
                "empty",
                "float",
                "half",
                "parameter",
                "transposed"
            ]
        );
        assert_eq!(weights["float"], (vec![3, 4], base()));
        assert_eq!(weights["half"], (vec![3], vec![1.5, -2.0, 65504.0]));
        let bfloat = vec![1.5, -2.0, 3.004_055_3e38, 0.100_097_656];
        assert_eq!(weights["bfloat"], (vec![2, 2], bfloat));
        assert_eq!(weights["double"], (vec![], vec![0.1]));
        assert_eq!(weights["column"], (vec![3], vec![0.5, 2.5, 4.5]));
        let transposed = (0..12).map(|i| base()[i % 3 * 4 + i / 3]).collect();
        assert_eq!(weights["transposed"], (vec![4, 3], transposed));
        assert_eq!(weights["parameter"], (vec![1], vec![0.25]));
        assert_eq!(weights["empty"], (vec![0, 3], vec![]));
    }
}

fn problem(bytes: &[u8]) -> String {
    read(bytes).unwrap_err().to_string()
}

#[test]
fn objects_that_would_need_code_are_refused() {
    let error = problem(MODULE);
    assert!(error.contains("torch.nn.modules.linear.Linear"), "{error}");
}

#[test]
fn damage_is_named() {
    assert!(matches!(read(b"GIF89a"), Err(DataError::BadMagic { .. })));
    assert!(problem(&ZIPPED[..ZIPPED.len() - 30]).contains("damaged"));
    let at = OLDER.len() - 3;
    assert!(matches!(
        read(&OLDER[..at]),
        Err(DataError::Truncated { .. })
    ));
    let longer = [OLDER, b"x"].concat();
    assert!(matches!(
        read(&longer),
        Err(DataError::TrailingBytes { .. })
    ));
    // One bit of a value.
    let value = 2.5_f32.to_le_bytes();
    let at = ZIPPED.windows(4).position(|w| w == value).unwrap();
    let mut flipped = ZIPPED.to_vec();
    flipped[at] ^= 1;
    assert!(
        problem(&flipped).contains("damaged"),
        "{}",
        problem(&flipped)
    );
}

/// A stored zip archive of these members, with right checksums.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = rawzip::ZipArchiveWriter::new(&mut bytes);
    for (name, data) in members {
        let (mut entry, config) = writer.new_file(*name).start().unwrap();
        let mut out = config.wrap(&mut entry);
        std::io::Write::write_all(&mut out, data).unwrap();
        let (_, descriptor) = out.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

/// `{'w': tensor}` of a float storage `0` with `len` values; size, stride and offset as given (below 256).
fn pickled(len: u8, offset: u8, size: u8, stride: u8) -> Vec<u8> {
    let mut bytes =
        b"\x80\x02}U\x01wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storage".to_vec();
    bytes.extend(b"ctorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu");
    bytes.extend([
        b'K', len, b't', b'Q', b'K', offset, b'K', size, 0x85, b'K', stride, 0x85,
    ]);
    bytes.extend(b"\x89}tRs.");
    // A str of Python 2 as key would be left out: text it is.
    let at = bytes.windows(3).position(|w| w == b"U\x01w").unwrap();
    bytes.splice(at..at + 3, *b"X\x01\0\0\0w");
    bytes
}

#[test]
fn members_and_storages_must_fit() {
    let values: Vec<u8> = [1.0_f32, 2.0, 3.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let make =
        |pickle: &[u8], values: &[u8]| archive(&[("a/data.pkl", pickle), ("a/data/0", values)]);
    let good = read(&make(&pickled(3, 1, 2, 1), &values)).unwrap();
    assert_eq!(good["w"], (vec![2], vec![2.0, 3.0]));
    let strided = read(&make(&pickled(3, 0, 2, 2), &values)).unwrap();
    assert_eq!(strided["w"], (vec![2], vec![1.0, 3.0]));
    // Past the end of the storage, or a storage of another length than it claims.
    assert!(problem(&make(&pickled(3, 2, 2, 1), &values)).contains("inside its storage"));
    assert!(problem(&make(&pickled(3, 0, 2, 3), &values)).contains("inside its storage"));
    assert!(problem(&make(&pickled(4, 0, 2, 1), &values)).contains("12 bytes for 4 values"));
    let without = archive(&[("a/data.pkl", &pickled(3, 0, 3, 1))]);
    assert!(problem(&without).contains("values of `w` are missing"));
    let twice = archive(&[("a/data.pkl", b"\x80\x02}."), ("a/data.pkl", b"\x80\x02}.")]);
    assert!(problem(&twice).contains("two members"));
    let empty = archive(&[("a/data.pkl", b"\x80\x02}.")]);
    assert!(problem(&empty).contains("without tensors"));
    let big = archive(&[
        ("a/data.pkl", &pickled(3, 0, 3, 1)),
        ("a/data/0", &values),
        ("a/byteorder", b"big"),
    ]);
    assert!(problem(&big).contains("big-endian"));
    let script = archive(&[
        ("a/data.pkl", &pickled(3, 0, 3, 1)),
        ("a/constants.pkl", b""),
    ]);
    assert!(problem(&script).contains("TorchScript"));
}

/// A protocol-2 pickle of what `write` writes, which may make tensors of storage `0` with six values.
fn checkpoint(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut pickle = b"\x80\x02".to_vec();
    write(&mut pickle);
    pickle.push(b'.');
    let values: Vec<u8> = (0..6_u8).flat_map(|x| f32::from(x).to_le_bytes()).collect();
    archive(&[("a/data.pkl", &pickle), ("a/data/0", &values)])
}

fn key(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.bytes());
}

/// `{text: tensor of one value, ...}`.
fn dict(out: &mut Vec<u8>, tensors: &[(&str, u8)]) {
    out.push(b'}');
    for (name, offset) in tensors {
        key(out, name);
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000");
        out.extend(b"X\x03\0\0\0cpuK\x06tQ");
        out.extend([b'K', *offset, b'K', 1, 0x85, b'K', 1, 0x85]);
        out.extend(b"\x89}tRs");
    }
}

/// The names in a dictionary of dictionaries, each with so many tensors.
fn nested(parts: &[(&str, &[(&str, u8)])]) -> Vec<u8> {
    checkpoint(|out| {
        out.push(b'}');
        for (name, tensors) in parts {
            key(out, name);
            dict(out, tensors);
            out.push(b's');
        }
    })
}

const TWO: &[(&str, u8)] = &[("conv.weight", 1), ("fc.weight", 2)];

#[test]
fn the_state_dict_is_found_wherever_it_is_usual() {
    for place in NESTED {
        let bytes = nested(&[
            ("optimizer", &[("a", 0), ("b", 0), ("c", 0)]),
            (place, TWO),
            ("ema", &[("x", 0)]),
        ]);
        let found = read(&bytes).unwrap();
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            ["conv.weight", "fc.weight"],
            "{place}"
        );
        assert_eq!(found["fc.weight"].1, [2.0]);
    }
    // Beside a tensor that is a score.
    let bytes = checkpoint(|out| {
        dict(out, &[("best_acc1", 5)]);
        key(out, "state_dict");
        dict(out, &[("conv.weight", 1)]);
        out.push(b's');
    });
    assert_eq!(
        read(&bytes).unwrap().keys().collect::<Vec<_>>(),
        ["conv.weight"]
    );
    // In a place of its own.
    assert_eq!(
        read(&nested(&[("generator", TWO), ("d", &[("x", 0)])]))
            .unwrap()
            .len(),
        2
    );
    // A key of Python 2.
    let python2 = checkpoint(|out| {
        dict(out, &[]);
        out.extend(b"U\x05model");
        dict(out, TWO);
        out.push(b's');
    });
    assert_eq!(read(&python2).unwrap().len(), 2);
}

#[test]
fn several_candidates_are_named() {
    let error = problem(&nested(&[("state_dict", TWO), ("model", TWO)]));
    assert!(
        error.contains("several sets of weights that fit (state_dict, model)"),
        "{error}"
    );
    let error = problem(&nested(&[("student", TWO), ("teacher", TWO)]));
    assert!(error.contains("(student, teacher)"), "{error}");
    let mut seen = Vec::new();
    let bytes = nested(&[("state_dict", TWO), ("ema", TWO)]);
    let chosen = read_chosen(&bytes, "f", &mut |candidates| {
        seen = candidates.iter().map(|c| c.name().to_owned()).collect();
        Ok(1)
    });
    assert_eq!(
        (chosen.unwrap().len(), seen),
        (2, vec!["state_dict".to_owned(), "ema".to_owned()])
    );
    let error = read_chosen(&bytes, "f", &mut |_| Err("none will do".to_owned())).unwrap_err();
    assert!(error.to_string().contains("none will do"), "{error}");
}

#[test]
fn other_zip_archives_are_named() {
    assert!(problem(&archive(&[("x.npy", b"")])).contains("NumPy arrays"));
    assert!(problem(&archive(&[("word/document.xml", b"")])).contains("[word/document.xml]"));
}

/// A stride of 0 repeats one value without end in the file.
#[test]
fn repeated_values_are_bounded_by_the_file() {
    let mut pickle = pickled(1, 0, 255, 0);
    let at = pickle
        .windows(3)
        .position(|w| w == [b'K', 255, 0x85])
        .unwrap();
    pickle.splice(at..at + 2, [b'J', 255, 255, 255, 127]);
    let bytes = archive(&[("data.pkl", &pickle), ("data/0", &[0; 4])]);
    assert!(matches!(read(&bytes), Err(DataError::TooLarge { .. })));
}

proptest! {
    #[test]
    fn any_bytes(tail in prop::collection::vec(any::<u8>(), 0..300)) {
        for start in [ZIP, LEGACY, b"\x80\x02}."] {
            let _ = read(&[start, &tail].concat());
        }
        let _ = read(&archive(&[("a/data.pkl", &[b"\x80\x02", tail.as_slice()].concat())]));
    }

    #[test]
    fn any_change_of_one_byte(zip in any::<bool>(), at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut bytes = if zip { ZIPPED.to_vec() } else { OLDER.to_vec() };
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let _ = read(&bytes);
    }

    #[test]
    fn any_view(len: u8, offset: u8, size: u8, stride: u8) {
        let values = vec![0; usize::from(len) * 4];
        let bytes = archive(&[("a/data.pkl", &pickled(len, offset, size, stride)), ("a/data/0", &values)]);
        let last = usize::from(offset) + usize::from(size.saturating_sub(1)) * usize::from(stride);
        let fits = size == 0 || last < usize::from(len);
        prop_assert_eq!(read(&bytes).is_ok(), fits);
    }
}
