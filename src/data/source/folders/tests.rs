use super::*;
use crate::data::watch::Silent;
use image::{DynamicImage, GrayImage, RgbaImage};

/// Three classes in mixed formats and sizes: grey PNG, colour JPEG, WebP with alpha, 16-bit PNG.
fn make(root: &Path, split: bool) {
    for (class, shade) in [("ants", 20_u8), ("bees", 120), ("cats", 220)] {
        for index in 0..5_u32 {
            let half = match (split, index) {
                (false, _) => "",
                (true, 0..3) => "train/",
                (true, _) => "test/",
            };
            let folder = root.join(format!("{half}{class}"));
            fs::create_dir_all(&folder).unwrap();
            let grey =
                DynamicImage::ImageLuma8(GrayImage::from_pixel(7 + index, 9, image::Luma([shade])));
            let path = |ending: &str| folder.join(format!("{index}.{ending}"));
            match index {
                0 => grey.save(path("png")).unwrap(),
                1 => grey.to_rgb8().save(path("JPG")).unwrap(),
                2 => RgbaImage::from_pixel(4, 4, image::Rgba([shade, shade, shade, 9]))
                    .save(path("webp"))
                    .unwrap(),
                3 => DynamicImage::ImageLuma16(grey.to_luma16())
                    .save(path("png"))
                    .unwrap(),
                _ => grey.save(path("png")).unwrap(),
            }
        }
    }
    fs::write(root.join("README.txt"), "no image").unwrap();
}

#[test]
fn mixed_formats_become_one_shape_and_come_from_the_cache_again() {
    for split in [true, false] {
        let (root, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        make(root.path(), split);
        let found = class_folders(root.path()).unwrap();
        assert_eq!(found.classes, ["ants", "bees", "cats"]);
        assert_eq!(found.halves.is_some(), split);
        let spec = ClassFolders {
            name: "insects".to_owned(),
            classes: found.classes,
            shape: ImageShape::new(3, 6, 5),
            test_share: (!split).then_some(0.4),
        };
        let options = LoadOptions {
            cache: Some(cache.path()),
            watch: &Silent,
        };
        let data = load_folders(root.path(), &spec, options).unwrap();
        assert_eq!(
            (data.train.class_counts(), data.test.class_counts()),
            (vec![3; 3], vec![2; 3])
        );
        assert_eq!(data.class_names, ["ants", "bees", "cats"]);
        assert_eq!(data.note, None);
        for set in [&data.train, &data.test] {
            for (index, &label) in set.labels().iter().enumerate() {
                let shade = [20_u8, 120, 220][usize::from(label)];
                assert!(
                    set.image(index)
                        .unwrap()
                        .iter()
                        .all(|&x| x.abs_diff(shade) <= 2),
                    "{index}"
                );
            }
        }
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
        assert_eq!(load_folders(root.path(), &spec, options).unwrap(), data);
        // One changed byte of one file is another data set.
        fs::write(
            root.path().join(if split {
                "train/ants/0.png"
            } else {
                "ants/0.png"
            }),
            "broken",
        )
        .unwrap();
        let error = load_folders(root.path(), &spec, options)
            .unwrap_err()
            .to_string();
        assert!(error.contains("0.png is no image"), "{error}");
    }
}

/// A one-colour image of 4 by 4.
fn put(root: &Path, path: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let image = GrayImage::from_pixel(4, 4, image::Luma([9]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    fs::write(path, bytes.into_inner()).unwrap();
}

/// A folder with these images.
fn folder(paths: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for path in paths {
        put(root.path(), path);
    }
    root
}

fn load(root: &Path, test_share: Option<f64>) -> Result<Dataset, DataError> {
    let spec = ClassFolders {
        name: "own".to_owned(),
        classes: class_folders(root)?.classes,
        shape: ImageShape::new(1, 4, 4),
        test_share,
    };
    load_folders(root, &spec, LoadOptions::default())
}

#[test]
fn halves_go_by_every_usual_name() {
    for (train, test) in [
        ("train", "test"),
        ("Train", "Test"),
        ("TRAINING", "Testing"),
        ("train", "val"),
        ("Training", "Valid"),
        ("train", "VALIDATION"),
    ] {
        let paths = ["a/1.png", "a/2.png", "b/1.png"].map(|path| format!("{train}/{path}"));
        let root = folder(&paths.each_ref().map(String::as_str));
        put(root.path(), &format!("{test}/a/1.png"));
        put(root.path(), &format!("{test}/b/1.png"));
        let found = class_folders(root.path()).unwrap();
        assert_eq!(found.halves, Some([train.to_owned(), test.to_owned()]));
        assert_eq!(found.classes, ["a", "b"]);
        let data = load(root.path(), None).unwrap();
        assert_eq!(
            (data.train.class_counts(), data.test.class_counts()),
            (vec![2, 1], vec![1, 1])
        );
    }
}

#[test]
fn a_third_part_is_counted_and_named() {
    let root = folder(&[
        "train/a/1.png",
        "test/a/1.png",
        "val/a/1.png",
        "val/a/2.png",
        "loose.png",
    ]);
    let note = load(root.path(), None).unwrap().note.unwrap();
    assert!(
        note.starts_with("3 images outside the class folders of train and test are not used (loose.png, val/a/1.png"),
        "{note}"
    );
    // Unlabelled test images, as competitions have them: validation is what there is to test on.
    let root = folder(&["train/a/1.png", "test/1.png", "val/a/1.png"]);
    let data = load(root.path(), None).unwrap();
    assert!(data.note.unwrap().contains("test/1.png"));
}

#[test]
fn halves_are_never_taken_for_classes() {
    for (paths, words) in [
        (
            &["train/a/1.png", "bus/1.png"][..],
            "training it has [train], for testing []",
        ),
        (
            &["test/a/1.png", "val/a/1.png"],
            "training it has [], for testing [test]",
        ),
        (
            &["train/a/1.png", "Train/a/1.png", "test/a/1.png"],
            "training it has [Train, train]",
        ),
        (
            &["train/1.png", "val/1.png"],
            "train and val hold images and no class folders",
        ),
        (
            &["train/1.png", "train/a/1.png", "test/a/1.png"],
            "train holds images as well as folders",
        ),
        (
            &["train/a/1.png", "train/zebra/1.png", "test/a/1.png"],
            "1 classes are in train alone: zebra",
        ),
        (
            &["train/a/1.png", "test/a/1.png", "test/zebra/1.png"],
            "1 classes are in test alone: zebra",
        ),
        (
            &["train/Cat/1.png", "test/cat/1.png"],
            "in train alone: Cat; 1 classes are in test alone: cat",
        ),
    ] {
        let error = class_folders(folder(paths).path()).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    // A train is a vehicle.
    let vehicles = folder(&["bus/1.png", "train/1.png"]);
    assert_eq!(
        class_folders(vehicles.path()).unwrap().classes,
        ["bus", "train"]
    );
}

#[test]
fn classes_that_cannot_be_learned_are_named() {
    let root = folder(&[
        "ants/1.png",
        "bees/1.png",
        "bees/2.png",
        "bees/3.png",
        "bees/4.png",
    ]);
    let error = load(root.path(), Some(0.5)).unwrap_err().to_string();
    assert!(
        error.contains("no test images: ants (1 image); a class needs at least 2 images"),
        "{error}"
    );
    let error = load(root.path(), Some(0.01)).unwrap_err().to_string();
    assert!(
        error.contains("test_share = 0.01")
            && error.contains("ants (1 image), bees (4 images)")
            && error.contains("100 in all"),
        "{error}"
    );
    fs::create_dir(root.path().join("wasps")).unwrap();
    fs::remove_dir_all(root.path().join("ants")).unwrap();
    let error = load(root.path(), Some(0.5)).unwrap_err().to_string();
    assert!(error.contains("wasps (no images)"), "{error}");
    let root = folder(&["train/a/1.png", "test/a/1.png"]);
    for half in ["train", "test"] {
        fs::create_dir(root.path().join(half).join("b")).unwrap();
    }
    let error = load(root.path(), None).unwrap_err().to_string();
    assert!(error.contains("none for testing: b (no images)"), "{error}");
}

#[test]
fn formats_that_are_not_read_are_counted() {
    let root = folder(&["a/1.png", "a/2.JPG", "b/1.png", "b/2.jfif"]);
    for (path, text) in [
        ("a/3.gif", "GIF89a"),
        ("b/3.BMP", "BM"),
        ("b/4.bmp", "BM"),
        ("README.txt", "hello"),
    ] {
        fs::write(root.path().join(path), text).unwrap();
    }
    let data = load(root.path(), Some(0.5)).unwrap();
    assert_eq!(
        data.note.as_deref(),
        Some("3 images are of a format that is not read (.bmp 2, .gif 1)")
    );
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("a")).unwrap();
    for name in ["1.gif", "2.gif", "notes.txt"] {
        fs::write(root.path().join("a").join(name), "GIF89a").unwrap();
    }
    let error = load(root.path(), Some(0.5)).unwrap_err().to_string();
    assert!(error.contains("(a) hold no images, but files of the endings .gif 2, .txt 1; read are files that end in .jpg"), "{error}");
}

#[test]
fn broken_images_are_named_all_at_once() {
    let root = folder(&["ants/1.png", "ants/2.png", "bees/1.png", "bees/2.png"]);
    for (path, bytes) in [
        ("ants/3.png", &b"GIF89a"[..]),
        ("ants/4.jpg", b""),
        (
            "bees/3.webp",
            b"version https://git-lfs.github.com/spec/v1\n",
        ),
        ("bees/4.jpg", b"<!doctype html>"),
    ] {
        fs::write(root.path().join(path), bytes).unwrap();
    }
    let error = load(root.path(), Some(0.5)).unwrap_err().to_string();
    for words in [
        "4 of 8 files",
        "ants: ants/3.png (a GIF image)",
        "ants: ants/4.jpg (an empty file)",
        "bees: bees/3.webp (a Git LFS pointer",
        "bees: bees/4.jpg (an HTML page",
    ] {
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[test]
fn what_systems_leave_behind_is_no_class() {
    let root = folder(&[
        "a/1.png",
        "a/2.png",
        "b/1.png",
        "b/2.png",
        "__MACOSX/a/._1.png",
        ".ipynb_checkpoints/1.png",
    ]);
    put(root.path(), "a/.ipynb_checkpoints/1.png");
    assert_eq!(class_folders(root.path()).unwrap().classes, ["a", "b"]);
    let data = load(root.path(), Some(0.5)).unwrap();
    assert_eq!(data.train.len() + data.test.len(), 4);
    let listing = Tree::Folder(root.path().to_path_buf())
        .list(&usage)
        .unwrap();
    let text = unread_files(&listing).unwrap();
    assert_eq!(
        text,
        "left behind by systems and not read: .ipynb_checkpoints 2, __MACOSX 1"
    );
}

#[cfg(unix)]
#[test]
fn linked_classes_are_classes() {
    use std::os::unix::fs::symlink;
    let elsewhere = folder(&["1.png", "2.png"]);
    let root = folder(&["a/1.png", "a/2.png"]);
    symlink(elsewhere.path(), root.path().join("b")).unwrap();
    let data = load(root.path(), Some(0.5)).unwrap();
    assert_eq!(
        (data.class_names, data.train.class_counts()),
        (vec!["a".to_owned(), "b".to_owned()], vec![1, 1])
    );
    symlink("/nowhere", root.path().join("c")).unwrap();
    let error = class_folders(root.path()).unwrap_err().to_string();
    assert!(error.contains("lead nowhere, 1 in all: c"), "{error}");
}
