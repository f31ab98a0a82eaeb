use std::fs;

use super::*;
use crate::data::watch::Silent;

const TWO: &str = r#"
name = "two-kinds"
[images]
channels = 1
height = 4
width = 4
mean = [0.5]
std = [0.25]
[[source]]
name = "shapes"
format = "folders"
path = "shapes"
test_share = 0.5
[[source]]
name = "digits"
format = "idx"
path = "digits"
class_count = 4
files = ["a", "b", "a", "b"]
[tasks]
classes = [["dot", "digits/3"], ["shapes/bar", "0"]]
"#;

/// A benchmark of two folders and four made digits.
fn make(text: &str) -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    for (class, shade) in [("bar", 10_u8), ("dot", 200), ("line", 90)] {
        let folder = root.path().join("shapes").join(class);
        fs::create_dir_all(&folder).unwrap();
        for index in 0..4 {
            let image = image::GrayImage::from_pixel(4, 4, image::Luma([shade]));
            image.save(folder.join(format!("{index}.png"))).unwrap();
        }
    }
    let digits = root.path().join("digits");
    fs::create_dir_all(&digits).unwrap();
    let images = crate::data::format::idx::IdxImages {
        count: 4,
        height: 2,
        width: 2,
        pixels: (0..16).map(|i| i / 4).collect(),
    };
    let mut bytes = Vec::new();
    crate::data::format::idx::write_images(&mut bytes, &images).unwrap();
    fs::write(digits.join("a"), &bytes).unwrap();
    bytes.clear();
    crate::data::format::idx::write_labels(&mut bytes, &[0, 1, 2, 3]).unwrap();
    fs::write(digits.join("b"), &bytes).unwrap();
    let path = root.path().join("benchmark.toml");
    fs::write(&path, text).unwrap();
    (root, path)
}

fn options() -> LoadOptions<'static> {
    LoadOptions {
        cache: None,
        watch: &Silent,
    }
}

#[test]
fn classes_come_in_the_order_of_the_tasks() {
    let (_root, path) = make(TWO);
    let custom = CustomBenchmark::read(&path).unwrap();
    assert_eq!(
        (custom.classes, custom.tasks, custom.tasks_are_fixed),
        (4, 2, true)
    );
    let data = custom.load(options()).unwrap();
    assert_eq!(data.train.shape(), ImageShape::new(1, 4, 4));
    assert_eq!(data.train.class_counts(), [2, 1, 2, 1]);
    let first = |class: u16| {
        let index = data
            .train
            .labels()
            .iter()
            .position(|&label| label == class)
            .unwrap();
        data.train.image(index).unwrap()[0]
    };
    assert_eq!([0, 1, 2, 3].map(first), [200, 3, 10, 0]);
    assert_eq!(
        data.class_names,
        ["shapes/dot", "digits/3", "shapes/bar", "digits/0"]
    );
    let scaling = custom.scaling();
    assert_eq!(
        scaling,
        Scaling::Affine {
            scale: [1.0 / 63.75; 3],
            shift: [-2.0; 3]
        }
    );
}

#[test]
fn identity_is_the_meaning_and_not_the_text() {
    let id = |text: &str| {
        let (_root, path) = make(text);
        CustomBenchmark::read(&path).unwrap().definition_sha256
    };
    assert_eq!(id(TWO), id(&format!("# a comment\n{TWO}")));
    assert_ne!(id(TWO), id(&TWO.replace("0.25", "0.26")));
    assert_ne!(id(TWO), id(&TWO.replace("[\"dot\", ", "[\"line\", ")));
}

#[test]
fn tasks_by_number_and_by_source() {
    let by = |tasks: &str| {
        let text = TWO.split("[tasks]").next().unwrap();
        let (_root, path) = make(&format!("{text}[tasks]\n{tasks}\n"));
        CustomBenchmark::read(&path)
            .map(|c| (c.classes, c.tasks, c.tasks_are_fixed))
            .map_err(|e| e.problem)
    };
    // Which numbers divide the classes is judged with the other settings.
    assert_eq!(by("count = 3"), Ok((7, 3, false)));
    // Sources of three and four classes.
    assert_eq!(by("by = \"source\""), Ok((7, 2, true)));
    for (tasks, words) in [
        ("", "one of count"),
        ("count = 2\nby = \"source\"", "one of count"),
        (
            "classes = [[\"bar\"], [\"nobody\"]]",
            "no class `nobody`; known: shapes/bar",
        ),
        ("classes = [[\"bar\"], [\"bar\"]]", "twice"),
        (
            "classes = [[\"bar\"], [\"dot\", \"line\"]]",
            "task 1 has 1 class, and in tasks of one class",
        ),
        ("classes = [[]]", "at least two"),
        ("count = 7", "7 tasks of 7 classes are tasks of one class"),
        ("classes = [[\"bar\"], [\"dot\"]]", "tasks of one class"),
        ("classes = [[\"bar\"]]", "tasks of one class"),
    ] {
        let error = by(tasks).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn every_slip_is_named() {
    for (from, to, words) in [
        ("height = 4", "hight = 4", "hight"),
        ("height = 4", "height = 0", "1 to 1024"),
        ("channels = 1", "channels = 2", "1 or 3"),
        ("std = [0.25]", "std = [0.0]", "above 0"),
        (
            "mean = [0.5]\nstd = [0.25]",
            "mean = [123.675]\nstd = [58.395]",
            "divide them by 255: mean = [0.4850], std = [0.2290]",
        ),
        ("std = [0.25]", "std = [63.0]", "from 0 to 1"),
        ("std = [0.25]", "std = [1.01]", "from 0 to 1"),
        ("mean = [0.5]", "mean = [127.5]", "divide them by 255"),
        (
            "mean = [0.5]",
            "mean = [-0.5]",
            "must be from 0 to 1, of values from 0 to 1\n",
        ),
        ("mean = [0.5]", "mean = [nan]", "one number a channel"),
        ("std = [0.25]", "std = [0.0009]", "divided by 255 twice"),
        ("std = [0.25]", "", "images.scaling must be"),
        ("std = [0.25]", "std = [1.0, 2.0]", "one number a channel"),
        ("name = \"two-kinds\"", "name = \"../x\"", "lower-case"),
        ("test_share = 0.5", "", "test_share must be set"),
        ("test_share = 0.5", "test_share = 1.5", "between 0 and 1"),
        ("class_count = 4", "", "needs class_count"),
        (
            "format = \"idx\"",
            "format = \"cifar11\"",
            "files is only for",
        ),
        (
            "format = \"folders\"",
            "format = \"cifar11\"",
            "test_share is only for",
        ),
        ("path = \"shapes\"", "path = \"nowhere\"", "nowhere"),
        ("[[source]]", "model = 3\n[[source]]", "model"),
    ] {
        let (_root, path) = make(&TWO.replacen(from, to, 1));
        let error = CustomBenchmark::read(&path).unwrap_err().to_string();
        assert!(
            format!("{error}\n").contains(words) && error.contains("benchmark.toml"),
            "{from}: {error}"
        );
    }
    let (_root, path) = make(&TWO.replacen("name =", "model = \"resnet99\"\nname =", 1));
    assert!(
        CustomBenchmark::read(&path)
            .unwrap_err()
            .to_string()
            .contains("unknown model `resnet99`")
    );
    assert!(
        CustomBenchmark::read(Path::new("/no/such.toml"))
            .unwrap_err()
            .to_string()
            .contains("/no/such.toml")
    );
}

#[test]
fn a_file_that_changed_since_is_refused() {
    let (_root, path) = make(TWO);
    let custom = CustomBenchmark::read(&path).unwrap();
    fs::write(&path, TWO.replace("0.25", "0.5")).unwrap();
    assert!(
        custom
            .load(options())
            .unwrap_err()
            .to_string()
            .contains("changed since")
    );
}

#[test]
fn known_data_sets_are_sources() {
    let text = r#"
name = "known"
[images]
channels = 3
height = 32
width = 32
[[source]]
name = "m"
format = "mnist"
path = "."
[[source]]
name = "c"
format = "cifar10"
path = "."
[tasks]
by = "source"
"#;
    let named = text.replace(
        "by = \"source\"",
        "classes = [[\"c/cat\", \"dog\"], [\"m/7\", \"c/0\"]]",
    );
    let (_root, path) = make(&named);
    assert_eq!(CustomBenchmark::read(&path).unwrap().classes, 4);
    let (_root, path) = make(text);
    let custom = CustomBenchmark::read(&path).unwrap();
    assert_eq!((custom.classes, custom.tasks), (20, 2));
    assert!(matches!(
        custom.load(options()),
        Err(DataError::Missing { .. })
    ));
}

const FEATURES: &str = r#"
name = "of-features"
[features]
width = 2
[[source]]
name = "net"
format = "features"
path = "f.safetensors"
class_labels = [7, -1, 30, 5]
[tasks]
classes = [["30", "net/-1"], ["5", "7"]]
"#;

/// A safetensors file of features and labels.
fn write_features(path: &Path, names: [&str; 4]) {
    use safetensors::tensor::{Dtype, TensorView};
    let rows: Vec<u8> = (0..8_u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
    let labels: Vec<u8> = [30_i32, 7, 5, -1]
        .iter()
        .flat_map(|label| label.to_le_bytes())
        .collect();
    let view = |i: usize| {
        if i.is_multiple_of(2) {
            TensorView::new(Dtype::F32, vec![4, 2], &rows).unwrap()
        } else {
            TensorView::new(Dtype::I32, vec![4], &labels).unwrap()
        }
    };
    let tensors: std::collections::BTreeMap<&str, _> =
        (0..4).map(|i| (names[i], view(i))).collect();
    fs::write(path, safetensors::serialize(tensors, None).unwrap()).unwrap();
}

#[test]
fn features_are_a_source() {
    let (root, path) = make(FEATURES);
    let file = root.path().join("f.safetensors");
    write_features(
        &file,
        [
            "train_features",
            "train_labels",
            "test_features",
            "test_labels",
        ],
    );
    let custom = CustomBenchmark::read(&path).unwrap();
    assert!(custom.has_features() && custom.model.name == "linear");
    assert_eq!((custom.classes, custom.shape), (4, [1, 1, 2]));
    let data = custom.load(options()).unwrap();
    assert_eq!(data.train.labels(), [0, 3, 2, 1]);
    assert_eq!(data.class_names, ["30", "-1", "5", "7"]);
    assert_eq!(data.test.feature_row(3), Some(&[6.0, 7.0][..]));
    // The same out of two files, under other names.
    let two = FEATURES.replace(
        "class_labels",
        "test_path = \"g\"\narrays = [\"x\", \"y\", \"a\", \"b\"]\nclass_labels",
    );
    let (root, path) = make(&two);
    for name in ["f.safetensors", "g"] {
        write_features(&root.path().join(name), ["x", "y", "a", "b"]);
    }
    let other = CustomBenchmark::read(&path).unwrap();
    let other = other.load(options()).unwrap();
    assert_eq!(other.sha256(), data.sha256());
}

#[test]
fn what_features_do_not_go_with_is_said() {
    for (from, to, words) in [
        ("[features]\nwidth = 2", "", "there must be [images] with"),
        (
            "width = 2",
            "width = 0",
            "features.width = 0 must be 1 to 65536",
        ),
        (
            "[features]",
            "[images]\nchannels = 1\nheight = 1\nwidth = 2\n[features]",
            "a benchmark is of one or the other",
        ),
        (
            "[features]",
            "[images]\nchannels = 1\nheight = 1",
            "source net: format = \"features\" needs [features]",
        ),
        (
            "\"features\"",
            "\"npz\"\nclass_count = 4",
            "source net: format = \"npz\" gives images",
        ),
        ("class_labels = [7, -1, 30, 5]", "", "needs class_count"),
        ("[7, -1, 30, 5]", "[7, -1, 7]", "class_labels names 7 twice"),
        (
            "class_labels",
            "class_count = 4\nclass_labels",
            "leave one out",
        ),
        (
            "class_labels",
            "test_share = 0.5\nclass_labels",
            "test_share is only for",
        ),
    ] {
        let (_root, path) = make(&FEATURES.replace(from, to));
        let error = CustomBenchmark::read(&path).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let (_root, path) = make(&TWO.replace(
        "test_share",
        "arrays = [\"a\", \"b\", \"c\", \"d\"]\ntest_share",
    ));
    let error = CustomBenchmark::read(&path).unwrap_err().to_string();
    assert!(
        error.contains("arrays is only for format = \"features\""),
        "{error}"
    );
}

#[test]
fn tasks_may_have_different_numbers_of_classes_named_by_numbers_too() {
    let uneven = TWO.replace(
        "classes = [[\"dot\", \"digits/3\"], [\"shapes/bar\", \"0\"]]",
        "classes = [[3, \"dot\", 0], [\"bar\", 1]]",
    );
    let (_root, path) = make(&uneven);
    let custom = CustomBenchmark::read(&path).unwrap();
    assert_eq!((custom.classes, custom.tasks), (5, 2));
    assert_eq!(custom.task_sizes, [3, 2]);
    let data = custom.load(options()).unwrap();
    assert_eq!(
        data.class_names,
        [
            "digits/3",
            "shapes/dot",
            "digits/0",
            "shapes/bar",
            "digits/1"
        ]
    );
    // Equally many stay what they were: no sizes, and a number is the text that it is.
    let (_root, path) = make(TWO);
    let even = CustomBenchmark::read(&path).unwrap();
    assert!(even.task_sizes.is_empty() && even.sizes().is_none());
    let (_root, path) = make(&TWO.replace("\"0\"", "0"));
    let numbers = CustomBenchmark::read(&path).unwrap();
    assert_eq!(numbers.definition_sha256, even.definition_sha256);
    for (lists, words) in [
        ("[[3, \"dot\"], [\"bar\", 3, 1]]", "names `3` twice"),
        ("[[3, \"dot\"], [9, 1, 0]]", "there is no class `9`"),
        ("[[3, \"dot\"], []]", "task 2 has 0 classes"),
        (
            "[[3, \"dot\", 0], [1]]",
            "task 2 has 1 class, and in tasks of one class",
        ),
        ("[]", "at least one list"),
    ] {
        let text = uneven.replace("[[3, \"dot\", 0], [\"bar\", 1]]", lists);
        let (_root, path) = make(&text);
        let error = CustomBenchmark::read(&path).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
