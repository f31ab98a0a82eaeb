use super::*;

/// A safetensors file of tensors of two values each, `value` and its successor.
fn file(tensors: &[(&str, f32)]) -> Vec<u8> {
    let block =
        |&(name, value): &(&str, f32)| float_block(name.to_owned(), vec![2], &[value, value + 1.0]);
    safetensors_file(tensors.iter().map(block).collect()).unwrap()
}

const FRESH: [(&str, f32); 3] = [
    ("conv.weight", 0.0),
    ("bn.running_mean", 0.0),
    ("fc.weight", 0.0),
];

fn fit(bytes: &[u8], head: Option<&str>) -> Result<Fitted, WeightsError> {
    fit_weights(bytes, &file(&FRESH), head)
}

/// First value of each tensor.
fn values(fitted: &Fitted) -> Vec<(String, f32)> {
    let weights = read_weights(&fitted.weights).unwrap();
    weights
        .into_iter()
        .map(|(name, (_, values))| (name, values[0]))
        .collect()
}

fn expected(conv: f32, bn: f32, fc: f32) -> Vec<(String, f32)> {
    [
        ("bn.running_mean", bn),
        ("conv.weight", conv),
        ("fc.weight", fc),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

#[test]
fn prefixes_in_any_order_and_nesting() {
    let parts = ["module.", "model.", "net.", "_orig_mod.", "backbone.", ""];
    let mut tried = 0;
    for first in parts {
        for second in parts {
            for third in ["", "module.", "_orig_mod."] {
                let prefix = format!("{first}{second}{third}");
                let names = ["conv.weight", "bn.running_mean", "fc.weight"]
                    .map(|name| format!("{prefix}{name}"));
                let tensors: Vec<_> = names
                    .iter()
                    .map(String::as_str)
                    .zip([1.0, 2.0, 3.0])
                    .collect();
                let whole = fit(&file(&tensors), None).unwrap();
                assert_eq!(values(&whole), expected(1.0, 2.0, 3.0), "{prefix}");
                assert!(whole.left_over.is_empty());
                let body = fit(&file(&tensors), Some("fc")).unwrap();
                assert_eq!(values(&body), expected(1.0, 2.0, 0.0), "{prefix}");
                assert!(body.left_over.is_empty(), "{prefix}: {:?}", body.left_over);
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 108);
    // Wrapped in parts, as `torch.compile` and FSDP do it with single layers, and beside a counter.
    let mixed = [
        ("conv._orig_mod.weight", 1.0),
        ("module.bn.running_mean", 2.0),
        ("fc.module.weight", 3.0),
        ("n_averaged", 9.0),
    ];
    let fitted = fit(&file(&mixed), None).unwrap();
    assert_eq!(
        (values(&fitted), fitted.left_over),
        (expected(1.0, 2.0, 3.0), vec!["n_averaged".to_owned()])
    );
}

#[test]
fn what_is_left_over_is_named() {
    let tensors = [
        ("conv.weight", 1.0),
        ("bn.running_mean", 2.0),
        ("fc.weight", 3.0),
        ("fc.bias", 4.0),
        ("ema.conv.weight", 5.0),
    ];
    let fitted = fit(&file(&tensors), None).unwrap();
    assert_eq!(fitted.left_over, ["ema.conv.weight", "fc.bias"]);
    assert_eq!(fitted.source, "");
    // The head is not taken, so that nothing of it is left over.
    assert_eq!(
        fit(&file(&tensors), Some("fc")).unwrap().left_over,
        ["ema.conv.weight"]
    );
    let student = tensors.map(|(name, value)| (format!("student.{name}"), value));
    let student: Vec<_> = student
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    assert_eq!(fit(&file(&student), None).unwrap().source, "student.*");
}

#[test]
fn several_that_fit_are_named() {
    let two = ["student.", "teacher."]
        .map(|prefix| FRESH.map(|(name, value)| (format!("{prefix}{name}"), value)));
    let two: Vec<_> = two
        .iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    for head in [None, Some("fc")] {
        let error = fit(&file(&two), head).unwrap_err().to_string();
        assert!(error.contains("(student.*, teacher.*)"), "{error}");
    }
}

#[test]
fn what_does_not_fit_is_left_for_the_network_to_say() {
    let own = fit(&file(&[("a.weight", 1.0), ("conv.weight", 2.0)]), None).unwrap();
    assert_eq!(values(&own), [("conv.weight".to_owned(), 2.0)]);
    let other = fit(&file(&[("a.weight", 1.0), ("b.weight", 2.0)]), None).unwrap();
    let names: Vec<_> = values(&other).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a.weight", "b.weight"]);
}

/// A file with a tensor of every type that safetensors knows beside the network's.
#[test]
fn tensors_of_other_types_are_left_out() {
    let kinds = [
        (Dtype::BOOL, 1),
        (Dtype::U8, 1),
        (Dtype::I8, 1),
        (Dtype::F8_E5M2, 1),
        (Dtype::F8_E4M3, 1),
        (Dtype::I16, 2),
        (Dtype::U16, 2),
        (Dtype::I32, 4),
        (Dtype::U32, 4),
        (Dtype::I64, 8),
        (Dtype::U64, 8),
    ];
    for (dtype, size) in kinds {
        let mut blocks: Vec<TensorBlock> = FRESH
            .iter()
            .map(|(name, value)| float_block((*name).to_owned(), vec![2], &[*value, 1.0]))
            .collect();
        blocks.push(("mask".to_owned(), dtype, vec![3], vec![1; 3 * size]));
        let fitted = fit(&safetensors_file(blocks.clone()).unwrap(), None).unwrap();
        assert_eq!(values(&fitted).len(), 3, "{dtype:?}");
        // In the place of a weight it is an error that names it.
        blocks.remove(0);
        blocks.push(("conv.weight".to_owned(), dtype, vec![2], vec![1; 2 * size]));
        let error = fit(&safetensors_file(blocks).unwrap(), None).unwrap_err();
        assert!(
            matches!(&error, WeightsError::Type { name, .. } if name == "conv.weight"),
            "{error}"
        );
    }
}

#[test]
fn what_is_no_weights_file_is_named() {
    for (bytes, words) in [
        (&b""[..], "an empty file"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n",
            "a Git LFS pointer",
        ),
        (b"<!DOCTYPE html><html><body>", "an HTML page"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03abcdefg", "gzip data"),
        (b"Entry not found", "a text"),
        (b"{\"weight_map\": {}}", "JSON"),
        (b"\x89HDF\r\n\x1a\n\0\0\0\0", "an HDF5 file"),
        (b"\x80\x04\x95abc", "a Python pickle"),
    ] {
        for error in [
            read_weights(bytes).unwrap_err(),
            fit(bytes, None).unwrap_err(),
        ] {
            assert!(error.to_string().contains(words), "{error}");
        }
    }
    // A cut safetensors file is still called one.
    let whole = file(&FRESH);
    let error = read_weights(&whole[..whole.len() - 3])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("not a readable safetensors file") && !error.contains("it is"),
        "{error}"
    );
}
