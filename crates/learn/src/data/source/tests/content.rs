//! Whether what lies in a data folder is the official data, and what is said of it.

use super::*;
use crate::data::source::cub::CUB;
use crate::data::source::mini_imagenet::MINI_IMAGENET;
use crate::data::source::notmnist::NOTMNIST;
use crate::data::source::spec::Known;
use crate::data::source::svhn::SVHN;

/// Of a data folder that holds these two files as CIFAR-100.
fn verified(train: &ImageSet, test: &ImageSet) -> VerifyReport {
    let folder = TempDir::new().unwrap();
    for (name, set) in [("train.bin", train), ("test.bin", test)] {
        put(
            folder.path().join("cifar-100-binary").join(name),
            &binary(set, FINE),
        );
    }
    let located = reading::locate(&TINY, folder.path()).unwrap();
    verify::verify(&TINY, &located, None).unwrap()
}

/// The checksums in `TINY` are Python's, from the same numbers.
#[test]
fn content_is_judged_whatever_its_order() {
    let (train, test) = (half(1), half(2));
    let report = verified(&train, &test);
    assert_eq!((report.content, report.note), (Content::Official, None));
    let backwards: Vec<usize> = (0..100).rev().collect();
    let report = verified(&train.subset(&backwards).unwrap(), &test);
    assert_eq!(
        (report.content, report.note),
        (Content::OfficialInAnotherOrder, None)
    );
    assert!(report.problems.is_empty());
    let mut pixels = train.pixels().to_vec();
    pixels[1234] ^= 1;
    let changed = ImageSet::new(train.shape(), pixels, train.labels().to_vec(), 100).unwrap();
    let mut labels = train.labels().to_vec();
    labels.swap(3, 4);
    let relabelled = ImageSet::new(train.shape(), train.pixels().to_vec(), labels, 100).unwrap();
    for other in [&changed, &relabelled, &half(3)] {
        let report = verified(other, &test);
        assert_eq!(report.content, Content::NotOfficial);
        let note = report.note.unwrap();
        assert_eq!(
            note,
            "the training images or labels are not the official ones of cifar100"
        );
        assert_eq!(report.problems, [note]);
    }
    let report = verified(&train, &train);
    assert!(
        report.problems[0].starts_with("the test images or labels"),
        "{:?}",
        report.problems
    );
}

/// Every file of this data set is the other's, which has the same names and sizes.
#[test]
fn real_mnist_is_no_fashion_mnist() {
    let Some(folder) = shared_data() else { return };
    let data = TempDir::new().unwrap();
    let error = import(&FASHION_MNIST, &folder.join("mnist"), data.path()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("not the official ones of fashion-mnist, but those of mnist"),
        "{error}"
    );
    fs::create_dir(data.path().join("fashion-mnist")).unwrap();
    for entry in fs::read_dir(folder.join("mnist")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(
            &path,
            data.path()
                .join("fashion-mnist")
                .join(path.file_name().unwrap()),
        )
        .unwrap();
    }
    let report = verify(&FASHION_MNIST, data.path()).unwrap();
    assert_eq!(
        (report.content, report.problems.len()),
        (Content::NotOfficial, 2)
    );
    let note = load(&FASHION_MNIST, data.path()).unwrap().note.unwrap();
    assert!(note.contains("those of mnist"), "{note}");
}

/// Each in the place of a file that was not fetched.
#[test]
fn placeholders_are_named() {
    for (text, words) in [
        (
            "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n",
            "a Git LFS pointer",
        ),
        ("<!DOCTYPE html>\n<html>", "an HTML page"),
        ("", "an empty file"),
    ] {
        for (name, file) in [
            (&CIFAR100, "cifar-100-binary/train.bin"),
            (&CIFAR10, "cifar-10-batches-py/data_batch_1"),
            (&MNIST, "mnist/train-images-idx3-ubyte"),
            (&SVHN, "svhn/train_32x32.mat"),
            (
                &MINI_IMAGENET,
                "mini-imagenet/mini-imagenet-cache-train.pkl",
            ),
        ] {
            let folder = TempDir::new().unwrap();
            let file = folder.path().join(file);
            for layout in name.layouts {
                for member in layout
                    .members
                    .iter()
                    .filter(|m| m.role != layout::Role::Folder)
                {
                    put(file.parent().unwrap().join(member.name()), text.as_bytes());
                }
            }
            let error = load(name, folder.path()).unwrap_err().to_string();
            assert!(
                error.contains(words) && error.contains("official file in its place"),
                "{error}"
            );
        }
    }
}

/// A sample is not listed as if it were the data set.
#[test]
fn status_counts_images_without_reading_them() {
    let of = |folder: &Path, name: DataName| {
        let status = status(folder)
            .into_iter()
            .find(|status| status.name == name)
            .unwrap();
        (status.located.is_some(), status.images_at_most)
    };
    let folder = TempDir::new().unwrap();
    put_folder(folder.path());
    put_idx(&folder.path().join("mnist"), 20, true);
    put_idx(&folder.path().join("fashion-mnist"), 10, false);
    assert_eq!(of(folder.path(), &CIFAR100), (true, Some(200)));
    assert_eq!(of(folder.path(), &MNIST), (true, Some(30)));
    assert_eq!(of(folder.path(), &FASHION_MNIST), (true, Some(15)));
    assert_eq!(of(folder.path(), &SVHN), (false, None));
    let Some(shared) = shared_data() else { return };
    assert_eq!(of(&shared, &MNIST), (true, None));
    assert_eq!(of(&shared.join("svhn-sample"), &SVHN), (true, Some(600)));
    assert_eq!(
        of(&shared.join("mini-imagenet-sample/folder"), &MINI_IMAGENET),
        (true, Some(72))
    );
    let birds = of(&shared.join("cub-sample"), &CUB);
    assert!(
        birds.0 && birds.1.is_some_and(|images| images < 300),
        "{birds:?}"
    );
    // Archives are not looked into.
    assert_eq!(of(&shared, &NOTMNIST), (true, None));
}

/// The table of `docs/data.md`: one row a data set, from its [`DataSpec`] alone.
fn table() -> String {
    let grouped = |number: usize| {
        let digits = number.to_string();
        let groups = digits.as_bytes().rchunks(3).rev();
        let groups: Vec<_> = groups.map(|g| String::from_utf8_lossy(g)).collect();
        groups.join(",")
    };
    let mut rows = vec![
        "| name | classes, images | looked for in the data folder | `data get` | licence |"
            .to_owned(),
        "|---|---|---|---|---|".to_owned(),
    ];
    for data in DATA_SETS {
        let (mut folders, mut archives) = (Vec::new(), Vec::new());
        for layout in data.layouts {
            folders.extend(
                layout
                    .folders
                    .iter()
                    .filter(|f| !f.is_empty())
                    .map(|f| format!("`{f}/`")),
            );
            archives.extend(layout.archives.iter().map(|a| format!("`{a}.tar.gz`")));
        }
        folders.append(&mut archives);
        let mut seen = std::collections::HashSet::new();
        folders.retain(|place| seen.insert(place.clone()));
        let get = match data.remotes.first().map(|remote| remote.known) {
            None => "no address serves it",
            Some(Known::Md5(_)) => "yes (MD5)",
            Some(Known::Images(_)) => "yes (checksum of its images)",
        };
        rows.push(format!(
            "| `{}` | {}, {} + {} | {} | {get} | {} |",
            data.name,
            data.classes,
            grouped(data.train),
            grouped(data.test),
            folders.join(", "),
            data.licence,
        ));
    }
    rows.join("\n")
}

#[test]
fn the_documents_table_is_this_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/data.md");
    // The package as published has no documents.
    let Ok(text) = fs::read_to_string(path) else {
        return;
    };
    let table = table();
    assert!(
        text.contains(&table),
        "docs/data.md should have this table:\n{table}"
    );
}
