use super::*;
use crate::data::format::archive;
use crate::data::testing::shared_data;
use proptest::prelude::*;

/// `{'data': np.array([[1,200],[3,255]], np.uint8), 'n': [1,-2,70000,2**40], 'f': 1.5,
/// 't': (True, None, 'é')}` as Python 3 with `NumPy` 2.4 writes it in each protocol.
const PROTOCOLS: [&[u8]; 4] = [
    b"\x80\x02}q\x00(X\x04\x00\x00\x00dataq\x01cnumpy._core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85q\x04c_codecs\nencode\nq\x05X\x01\x00\x00\x00bq\x06X\x06\x00\x00\x00latin1q\x07\x86q\x08Rq\t\x87q\nRq\x0b(K\x01K\x02K\x02\x86q\x0ccnumpy\ndtype\nq\rX\x02\x00\x00\x00u1q\x0e\x89\x88\x87q\x0fRq\x10(K\x03X\x01\x00\x00\x00|q\x11NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x12b\x89h\x05X\x06\x00\x00\x00\x01\xc3\x88\x03\xc3\xbfq\x13h\x07\x86q\x14Rq\x15tq\x16bX\x01\x00\x00\x00nq\x17]q\x18(K\x01J\xfe\xff\xff\xffJp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\x00\x01eX\x01\x00\x00\x00fq\x19G?\xf8\x00\x00\x00\x00\x00\x00X\x01\x00\x00\x00tq\x1a\x88NX\x02\x00\x00\x00\xc3\xa9q\x1b\x87q\x1cu.",
    b"\x80\x03}q\x00(X\x04\x00\x00\x00dataq\x01cnumpy._core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85q\x04C\x01bq\x05\x87q\x06Rq\x07(K\x01K\x02K\x02\x86q\x08cnumpy\ndtype\nq\tX\x02\x00\x00\x00u1q\n\x89\x88\x87q\x0bRq\x0c(K\x03X\x01\x00\x00\x00|q\rNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0eb\x89C\x04\x01\xc8\x03\xffq\x0ftq\x10bX\x01\x00\x00\x00nq\x11]q\x12(K\x01J\xfe\xff\xff\xffJp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\x00\x01eX\x01\x00\x00\x00fq\x13G?\xf8\x00\x00\x00\x00\x00\x00X\x01\x00\x00\x00tq\x14\x88NX\x02\x00\x00\x00\xc3\xa9q\x15\x87q\x16u.",
    b"\x80\x04\x95\xd0\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x04data\x94\x8c\x16numpy._core.multiarray\x94\x8c\x0c_reconstruct\x94\x93\x94\x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\x94K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\x01K\x02K\x02\x86\x94h\x05\x8c\x05dtype\x94\x93\x94\x8c\x02u1\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94b\x89C\x04\x01\xc8\x03\xff\x94t\x94b\x8c\x01n\x94]\x94(K\x01J\xfe\xff\xff\xffJp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\x00\x01e\x8c\x01f\x94G?\xf8\x00\x00\x00\x00\x00\x00\x8c\x01t\x94\x88N\x8c\x02\xc3\xa9\x94\x87\x94u.",
    b"\x80\x05\x95\xbb\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x04data\x94\x8c\x13numpy._core.numeric\x94\x8c\x0b_frombuffer\x94\x93\x94(\x96\x04\x00\x00\x00\x00\x00\x00\x00\x01\xc8\x03\xff\x94\x8c\x05numpy\x94\x8c\x05dtype\x94\x93\x94\x8c\x02u1\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94bK\x02K\x02\x86\x94\x8c\x01C\x94t\x94R\x94\x8c\x01n\x94]\x94(K\x01J\xfe\xff\xff\xffJp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\x00\x01e\x8c\x01f\x94G?\xf8\x00\x00\x00\x00\x00\x00\x8c\x01t\x94\x88N\x8c\x02\xc3\xa9\x94\x87\x94u.",
];

/// `{'w': np.asfortranarray(np.arange(4, dtype='>f4').reshape(2, 2))}` in protocol 5.
const BIG_ENDIAN_FORTRAN: &[u8] = b"\x80\x05\x95\x8d\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01w\x94\x8c\x13numpy._core.numeric\x94\x8c\x0b_frombuffer\x94\x93\x94(\x96\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00@\x00\x00\x00?\x80\x00\x00@@\x00\x00\x94\x8c\x05numpy\x94\x8c\x05dtype\x94\x93\x94\x8c\x02f4\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01>\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94bK\x02K\x02\x86\x94\x8c\x01F\x94t\x94R\x94s.";

fn parse(bytes: &[u8]) -> Result<Pickle<'_>, DataError> {
    Pickle::parse(bytes, "f")
}

fn array_at<'p>(pickle: &'p Pickle<'_>, key: &str) -> &'p Array {
    match pickle.get(pickle.lookup(pickle.root(), key).unwrap()) {
        Some(Value::Array(array)) => array,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_protocol_gives_the_same_values() {
    for bytes in PROTOCOLS {
        let pickle = parse(bytes).unwrap();
        let array = array_at(&pickle, "data");
        assert_eq!(
            (array.shape.as_slice(), array.dtype),
            (&[2, 2][..], Dtype::U8)
        );
        assert!(!array.fortran_order);
        assert_eq!(pickle.array_bytes(array), Some(&[1, 200, 3, 255][..]));
        let get = |key| {
            pickle
                .get(pickle.lookup(pickle.root(), key).unwrap())
                .unwrap()
        };
        let Value::List(numbers) = get("n") else {
            panic!()
        };
        let numbers: Vec<_> = numbers
            .iter()
            .map(|&n| pickle.get(n).unwrap().clone())
            .collect();
        assert_eq!(numbers, [1, -2, 70_000, 1 << 40].map(Value::Int));
        assert_eq!(get("f"), &Value::Float(1.5));
        let Value::Tuple(items) = get("t") else {
            panic!()
        };
        let items: Vec<_> = items
            .iter()
            .map(|&n| pickle.get(n).unwrap().clone())
            .collect();
        assert_eq!(items, [Value::Bool(true), Value::None, Value::Str("é")]);
        assert_eq!(pickle.lookup(pickle.root(), "absent"), None);
        assert_eq!(pickle.kind(pickle.root()), "a dict");
    }
}

#[test]
fn byte_and_column_order_are_kept() {
    let pickle = parse(BIG_ENDIAN_FORTRAN).unwrap();
    let array = array_at(&pickle, "w");
    assert_eq!(
        array.dtype,
        Dtype {
            kind: 'f',
            size: 4,
            big_endian: true
        }
    );
    assert!(array.fortran_order);
}

#[test]
fn truncated_at_every_length() {
    for bytes in PROTOCOLS {
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length]).is_err(), "{length}");
        }
    }
}

#[test]
fn trailing_bytes_and_wrong_protocols() {
    assert!(matches!(
        parse(b"\x80\x02N.N"),
        Err(DataError::TrailingBytes { .. })
    ));
    assert!(matches!(parse(b"(lp0\n."), Err(DataError::BadMagic { .. })));
    assert!(matches!(
        parse(b"\x80\x06N."),
        Err(DataError::BadMagic { .. })
    ));
    assert!(matches!(parse(b""), Err(DataError::Truncated { .. })));
}

fn refused(bytes: &[u8], part: &str) {
    let error = parse(bytes).unwrap_err();
    assert!(matches!(error, DataError::Pickle { .. }), "{error}");
    assert!(error.to_string().contains(part), "{error}");
}

#[test]
fn nothing_can_be_called() {
    refused(b"\x80\x02cos\nsystem\nU\x02ls\x85R.", "os.system");
    refused(b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system");
    refused(b"\x80\x02cbuiltins\neval\n.", "builtins.eval");
    refused(b"\x80\x02(ios\nsystem\n.", "opcode 0x69");
    refused(b"\x80\x02U\x03abcQ.", "persistent id");
    refused(b"\x80\x02N)\x81.", "opcode 0x81");
    refused(
        b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x05\0\0\0utf16\x86R.",
        "arguments that fit",
    );
    refused(b"\x80\x02K\x01K\x01\x85R.", "a function to call");
    refused(
        b"\x80\x02cnumpy\ndtype\nU\x02O8\x85R.",
        "dtype of plain numbers",
    );
    refused(b"\x80\x02\x97.", "opcode 0x97"); // out-of-band buffer
}

#[test]
fn broken_stacks_are_errors() {
    for bytes in [
        &b"\x80\x02."[..],
        b"\x80\x02N(.",
        b"\x80\x02t.",
        b"\x80\x02]N(N)ae.",
        b"\x80\x02Na.",
        b"\x80\x02NNa.",
        b"\x80\x02}(Nu.",
        b"\x80\x02h\x07.",
        b"\x80\x02q\x07.",
        b"\x80\x02N\x86.",
        b"\x80\x02R.",
        b"\x80\x02b.",
        b"\x80\x02NNb.",
        b"\x80\x02\x8a\x09\0\0\0\0\0\0\0\0\x01.",
        b"\x80\x02X\x02\0\0\0\xff\xfe.",
    ] {
        let error = parse(bytes).unwrap_err();
        assert!(matches!(error, DataError::Pickle { .. }), "{error}");
    }
    // Marks that only group are fine.
    assert!(parse(b"\x80\x02(N1N.").is_ok());
    assert!(parse(b"\x80\x02(0N.").is_ok());
}

#[test]
fn arrays_must_fit_their_bytes() {
    for (from, to) in [
        (&b"K\x02K\x02\x86"[..], &b"K\x02K\x03\x86"[..]),
        (b"K\x02K\x02\x86", b"K\x02N\x86"),
        (b"K\x02K\x02\x86", b"J\xff\xff\xff\xffK\x02\x86"),
        (b"K\x02K\x02\x86", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"),
        (b"U\x02u1", b"U\x02u2"),
    ] {
        let base = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02K\x02\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R\x89U\x04abcdtb.";
        assert!(parse(base).is_ok());
        let at = base
            .windows(from.len())
            .position(|window| window == from)
            .unwrap();
        let bytes = [&base[..at], to, &base[at + from.len()..]].concat();
        refused(&bytes, "expected");
    }
}

#[test]
fn shared_and_cyclic_values_stay_small() {
    // a = []; a.append(a)
    let pickle = parse(b"\x80\x02]q\x00h\x00a.").unwrap();
    assert_eq!(
        pickle.get(pickle.root()),
        Some(&Value::List(vec![pickle.root()]))
    );
    // Thirty levels of [x, x]: a tree of it would have 2^30 leaves.
    let mut bytes = b"\x80\x02]".to_vec();
    for _ in 0..30 {
        bytes.extend(b"q\x00h\x00\x86");
    }
    bytes.push(b'.');
    assert_eq!(parse(&bytes).unwrap().values.len(), 31);
}

#[test]
fn huge_claims_cost_nothing() {
    for bytes in [
        &b"\x80\x02T\xff\xff\xff\x7fab."[..],
        b"\x80\x02T\xff\xff\xff\xffab.",
        b"\x80\x03B\xff\xff\xff\xffab.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xffab.",
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fab.",
        b"\x80\x05\x96\0\0\0\0\0\x01\0\0ab.",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xffN.",
    ] {
        assert!(matches!(parse(bytes), Err(DataError::Truncated { .. })));
    }
    // A memo slot is a key, not an index.
    assert!(parse(b"\x80\x02Nr\xff\xff\xff\xffj\xff\xff\xff\xff\x86.").is_ok());
}

/// Text decoded again and again would multiply the input.
#[test]
fn decoding_is_bounded_by_the_input() {
    let mut bytes = b"\x80\x02c_codecs\nencode\nq\x00X\x00\x04\0\0".to_vec();
    bytes.extend([b'a'; 1024]);
    bytes.extend(b"q\x01X\x06\0\0\0latin1\x86q\x02R");
    for _ in 0..100 {
        bytes.extend(b"h\x00h\x02R");
    }
    bytes.push(b'.');
    assert!(matches!(parse(&bytes), Err(DataError::TooLarge { .. })));
}

#[test]
fn number_of_opcodes_is_bounded() {
    assert!(size_of::<Value<'_>>() <= 32);
    let mut bytes = b"\x80\x02".to_vec();
    bytes.resize(MAX_OPS + 10, b'N');
    assert!(matches!(parse(&bytes), Err(DataError::TooLarge { .. })));
}

/// Real pickles: the mini-ImageNet cache, a sample of it.
#[test]
fn mini_imagenet() {
    let Some(folder) = shared_data() else { return };
    let path = folder.join("mini-imagenet-sample/mini-imagenet-cache-sample.tar.xz");
    let mut classes = Vec::new();
    archive::each_member(
        std::fs::File::open(path).unwrap(),
        "cache",
        |path, member| {
            let mut bytes = Vec::new();
            member.read_to_end(&mut bytes).unwrap();
            let pickle = Pickle::parse(&bytes, path)?;
            let array = array_at(&pickle, "image_data");
            let count = array.shape[0];
            assert_eq!(
                (&array.shape[1..], array.dtype),
                (&[84, 84, 3][..], Dtype::U8)
            );
            assert_eq!(
                pickle.array_bytes(array).unwrap().len(),
                count * 84 * 84 * 3
            );
            let dict = pickle.lookup(pickle.root(), "class_dict").unwrap();
            let Some(Value::Dict(items)) = pickle.get(dict) else {
                panic!()
            };
            assert_eq!(count, items.len() * 6);
            classes.push(items.len());
            Ok(())
        },
    )
    .unwrap();
    classes.sort_unstable();
    assert_eq!(classes, [16, 20, 64]);
}

proptest! {
    #[test]
    fn any_bytes(tail in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&tail);
        let _ = parse(&[&[0x80, 2], tail.as_slice()].concat());
    }

    /// Random programs of real opcodes get further than random bytes.
    #[test]
    fn any_program(ops in prop::collection::vec(prop::sample::select(vec![
        &b"("[..], b"]", b")", b"}", b"N", b"K\x02", b"U\x02u1", b"X\x02\0\0\0u1", b"a", b"e", b"s", b"u", b"t",
        b"l", b"d", b"\x85", b"\x86", b"\x87", b"q\x00", b"q\x01", b"h\x00", b"h\x01", b"0", b"1", b"R", b"b",
        b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"cnumpy.core.multiarray\n_reconstruct\n",
        b"cnumpy.core.numeric\n_frombuffer\n", b"c_codecs\nencode\n", b"X\x06\0\0\0latin1", b"\x88", b"\x94",
    ]), 0..60)) {
        let mut bytes = b"\x80\x04".to_vec();
        bytes.extend(ops.concat());
        bytes.push(b'.');
        let _ = parse(&bytes);
    }

    #[test]
    fn any_change_of_one_byte(which in 0..4_usize, at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut bytes = PROTOCOLS[which].to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let _ = parse(&bytes);
    }
}
