use std::collections::BTreeMap;

use proptest::prelude::*;
use safetensors::tensor::TensorView;

use super::*;
use crate::data::format::npz::write_archive;

/// Name, type as `NumPy` and as safetensors call it, shape and bytes.
type Part = (&'static str, &'static str, Dtype, Vec<usize>, Vec<u8>);

fn bytes<T: Copy, const N: usize>(values: &[T], one: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&x| one(x)).collect()
}

fn parts() -> Vec<Part> {
    let rows = [0.5_f32, -1.0, 2.0, 3.0, 4.0, 5.5];
    let halves: Vec<half::f16> = rows.iter().map(|&x| half::f16::from_f32(x)).collect();
    let wide: Vec<f64> = rows.iter().map(|&x| f64::from(x)).collect();
    let bad = [0.0, 1.0, 2.0, f32::NAN, 4.0, 5.0];
    vec![
        (
            "x",
            "<f4",
            Dtype::F32,
            vec![3, 2],
            bytes(&rows, f32::to_le_bytes),
        ),
        (
            "half",
            "<f2",
            Dtype::F16,
            vec![3, 2],
            bytes(&halves, half::f16::to_le_bytes),
        ),
        (
            "wide",
            "<f8",
            Dtype::F64,
            vec![3, 2],
            bytes(&wide, f64::to_le_bytes),
        ),
        (
            "bad",
            "<f4",
            Dtype::F32,
            vec![3, 2],
            bytes(&bad, f32::to_le_bytes),
        ),
        (
            "cube",
            "<f4",
            Dtype::F32,
            vec![3, 2, 1],
            bytes(&rows, f32::to_le_bytes),
        ),
        ("none", "<f4", Dtype::F32, vec![0, 2], vec![]),
        ("nobody", "<i8", Dtype::I64, vec![0], vec![]),
        (
            "huge",
            "<f8",
            Dtype::F64,
            vec![3, 2],
            bytes(&[0.0, 0.0, 1e300, 0.0, 0.0, 0.0], f64::to_le_bytes),
        ),
        (
            "y",
            "<i8",
            Dtype::I64,
            vec![3],
            bytes(&[1_i64, 0, 1], i64::to_le_bytes),
        ),
        ("small", "|i1", Dtype::I8, vec![3, 1], vec![255, 7, 255]),
        (
            "short",
            "<i4",
            Dtype::I32,
            vec![2],
            bytes(&[1_i32, 0], i32::to_le_bytes),
        ),
        ("hot", "|u1", Dtype::U8, vec![3, 2], vec![0, 1, 1, 0, 0, 1]),
    ]
}

pub(crate) fn archive() -> Vec<u8> {
    let parts = parts();
    let members = parts.iter().map(|(name, descr, _, shape, data)| {
        let sizes: Vec<String> = shape.iter().map(|side| format!("{side},")).collect();
        (
            format!("{name}.npy"),
            *descr,
            format!("({})", sizes.join(" ")),
            data.as_slice(),
        )
    });
    write_archive(members)
}

pub(crate) fn tensors() -> Vec<u8> {
    let parts = parts();
    let views: BTreeMap<&str, TensorView<'_>> = parts
        .iter()
        .map(|(name, _, dtype, shape, data)| {
            (*name, TensorView::new(*dtype, shape.clone(), data).unwrap())
        })
        .collect();
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn both_files_give_the_same_features() {
    let labels = Labels::Below(2);
    for bytes in [archive(), tensors()] {
        let read = |x| read_features(&bytes, (x, "y"), 2, &labels, "f").unwrap();
        let set = read("x");
        assert_eq!(set.features(), Some(&[0.5, -1.0, 2.0, 3.0, 4.0, 5.5][..]));
        assert_eq!((set.labels(), set.classes()), (&[1, 0, 1][..], 2));
        assert_eq!((read("half"), read("wide")), (set.clone(), set));
        let named = Labels::Named(vec![7, -1, 100]);
        let set = read_features(&bytes, ("x", "small"), 2, &named, "f").unwrap();
        assert_eq!((set.labels(), set.classes()), (&[1, 0, 1][..], 3));
    }
}

#[test]
fn what_does_not_fit_is_named_with_its_remedy() {
    for bytes in [archive(), tensors()] {
        for ((x, y), width, labels, words) in [
            (("gone", "y"), 2, Labels::Below(2), "`gone`; it has ["),
            (("x", "gone"), 2, Labels::Below(2), "`gone`; it has ["),
            (
                ("y", "y"),
                2,
                Labels::Below(2),
                "f: y: its numbers are integers of 64 bits, not floats; save x.astype",
            ),
            (
                ("x", "x"),
                2,
                Labels::Below(2),
                "f: x: its numbers are floats of 32 bits, not integers; save y.astype",
            ),
            (
                ("x", "y"),
                3,
                Labels::Below(2),
                "its rows have 2 features, and [features] width = 3",
            ),
            (
                ("cube", "y"),
                2,
                Labels::Below(2),
                "its shape is [3, 2, 1], not [rows, features]",
            ),
            (
                ("x", "short"),
                2,
                Labels::Below(2),
                "its shape is [2], 3 rows of x need 3 labels",
            ),
            (("x", "hot"), 2, Labels::Below(2), "save y.argmax(axis=1)"),
            (
                ("x", "y"),
                2,
                Labels::Below(1),
                "the label in row 0 (from 0) is 1, and class_count = 1 allows 0 to 0",
            ),
            (("x", "small"), 2, Labels::Below(9), "row 0 (from 0) is -1"),
            (
                ("x", "small"),
                2,
                Labels::Named(vec![-1, 8]),
                "row 1 (from 0) is 7, and class_labels are -1, 8",
            ),
            (
                ("bad", "y"),
                2,
                Labels::Below(2),
                "f: bad: the feature in row 1, column 1 (from 0) is NaN",
            ),
            (
                ("huge", "y"),
                2,
                Labels::Below(2),
                "f: huge: the feature in row 1, column 0 (from 0) is inf",
            ),
            (
                ("none", "nobody"),
                2,
                Labels::Below(2),
                "f: none holds no images",
            ),
        ] {
            let error = read_features(&bytes, (x, y), width, &labels, "f")
                .unwrap_err()
                .to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}

#[test]
fn what_is_neither_file_is_named() {
    for (bytes, words) in [
        (&b""[..], "an empty file"),
        (b"\x93NUMPY\x01\0v", "a NumPy array (.npy)"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"PK\x03\x04", "no undamaged NPZ archive"),
        (
            b"\xff\xff\xff\xff\xff\xff\xff\xff{",
            "neither an NPZ archive nor an undamaged safetensors",
        ),
    ] {
        let error = read_features(bytes, ("x", "y"), 2, &Labels::Below(2), "f").unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    let whole = tensors();
    let cut = whole.get(..whole.len() - 1).unwrap();
    assert!(read_features(cut, ("x", "y"), 2, &Labels::Below(2), "f").is_err());
}

proptest! {
    #[test]
    fn any_damage_gives_a_value_or_an_error(position in 0_usize..4000, value: u8, cut in 0_usize..4000) {
        for mut bytes in [archive(), tensors()] {
            let position = position % bytes.len();
            bytes[position] = value;
            let _ = read_features(&bytes, ("x", "y"), 2, &Labels::Below(2), "f");
            bytes.truncate(cut);
            let _ = read_features(&bytes, ("x", "y"), 2, &Labels::Below(2), "f");
        }
    }
}
