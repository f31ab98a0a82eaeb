use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::TempDir;

use super::cifar10::CIFAR10;
use super::cifar100::CIFAR100;
use super::fashion_mnist::FASHION_MNIST;
use super::mnist::MNIST;
use super::official::{Half, Official, Order};
use super::*;
use crate::data::format::cifar::{self, CifarKind};
use crate::data::format::idx::{self, IdxImages};
use crate::data::image_set::ImageSet;
use crate::data::testing::{cifar_set, gzip, noise, python2_batch, shared_data, tar, xz};

const FINE: CifarKind = CifarKind::Cifar100Fine;

/// CIFAR-100 with 100 training and 100 test images: one a class.
static TINY: DataSpec = DataSpec {
    train: 100,
    test: 100,
    official: Some(Official {
        train: Half {
            content: "84370647badda2f2be2bb29db1136e039045d7efaabc03572ac02226b8cbb6e9",
            order: Order::FirstLabels(&[0, 1, 2]),
        },
        test: Half {
            content: "523c8f48478149f5741bea942dbf25105c1bce88dfbfd94f5043cede407f1474",
            order: Order::FirstLabels(&[0, 1, 2]),
        },
    }),
    ..CIFAR100
};

/// One image of each of the 100 classes.
fn half(seed: u64) -> ImageSet {
    let pixels = noise(100 * cifar::PIXELS, seed);
    ImageSet::new(cifar::SHAPE, pixels, (0..100).collect(), 100).unwrap()
}

fn binary(set: &ImageSet, kind: CifarKind) -> Vec<u8> {
    let mut bytes = Vec::new();
    cifar::write(&mut bytes, set, kind).unwrap();
    bytes
}

fn put(path: PathBuf, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn put_folder(folder: &Path) {
    put(
        folder.join("cifar-100-binary/train.bin"),
        &binary(&half(1), FINE),
    );
    put(
        folder.join("cifar-100-binary/test.bin"),
        &binary(&half(2), FINE),
    );
}

fn archive_bytes() -> Vec<u8> {
    // Test before train, and files that do not matter.
    tar(&[
        ("cifar-100-binary/._train.bin", b"resource fork"),
        ("cifar-100-binary/test.bin", &binary(&half(2), FINE)),
        ("cifar-100-binary/fine_label_names.txt", b"apple\n"),
        ("cifar-100-binary/train.bin", &binary(&half(1), FINE)),
    ])
}

/// Four idx files, with `count` training and half as many test images.
fn put_idx(folder: &Path, count: usize, packed: bool) {
    for (prefix, count) in [("train", count), ("t10k", count / 2)] {
        let pixels = noise(count * 784, count as u64);
        let labels: Vec<u8> = (0..count).map(|index| (index % 10) as u8).collect();
        let images = IdxImages {
            count,
            height: 28,
            width: 28,
            pixels,
        };
        let mut bytes = [Vec::new(), Vec::new()];
        idx::write_images(&mut bytes[0], &images).unwrap();
        idx::write_labels(&mut bytes[1], &labels).unwrap();
        for (bytes, name) in bytes.iter().zip(["images-idx3-ubyte", "labels-idx1-ubyte"]) {
            if packed {
                put(folder.join(format!("{prefix}-{name}.gz")), &gzip(bytes));
            } else {
                put(folder.join(format!("{prefix}-{name}")), bytes);
            }
        }
    }
}

/// Every path below a folder.
fn listing(folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            paths.extend(listing(&path));
        }
        paths.push(path);
    }
    paths.sort();
    paths
}

#[test]
fn names_round_trip_and_suggest() {
    for &name in DATA_SETS {
        assert_eq!(name.to_string().parse::<DataName>().unwrap(), name);
        assert!(!name.description.is_empty() && !name.licence.is_empty());
    }
    for (given, wanted) in [
        ("cifar-100", "cifar100"),
        ("MNIST", "mnist"),
        ("fashion_mnist", "fashion-mnist"),
    ] {
        let error = given.parse::<DataName>().unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("did you mean `{wanted}`?")),
            "{error}"
        );
    }
    let error = "xyz".parse::<DataName>().unwrap_err().to_string();
    assert!(
        !error.contains("did you mean") && error.contains("fashion-mnist"),
        "{error}"
    );
}

/// What `layout::read` relies on.
#[test]
fn layouts_are_well_formed() {
    use layout::{Encoding, Role, Split};
    for source in DATA_SETS {
        for layout in source.layouts {
            assert!(!layout.folder().is_empty());
            let order: Vec<_> = layout.members.iter().map(|m| (m.split, m.role)).collect();
            if matches!(layout.encoding, Encoding::Idx) {
                let expected = [Split::Train, Split::Test]
                    .map(|split| [(split, Role::Images), (split, Role::Labels)])
                    .concat();
                assert_eq!(order, expected);
            } else if order.iter().any(|(split, _)| *split == Split::Pooled) {
                assert!(
                    order
                        .iter()
                        .all(|(split, role)| *split == Split::Pooled && *role != Role::Images)
                );
                let in_files = layout
                    .members
                    .iter()
                    .any(|member| member.role == Role::Folder);
                assert_eq!(in_files, matches!(layout.encoding, Encoding::Files(_)));
            } else {
                assert!(order.iter().all(|(_, role)| *role == Role::Records));
                assert!(order.iter().any(|(split, _)| *split == Split::Test));
            }
        }
    }
}

#[test]
fn cifar100_from_every_form() {
    let expected = Dataset::new("cifar100", half(1), half(2), None).unwrap();
    let expected = expected.with_class_names(CIFAR100.class_names()).unwrap();
    let python = tar(&[
        (
            "cifar-100-python/train",
            &python2_batch(&half(1), "fine_labels"),
        ),
        (
            "cifar-100-python/test",
            &python2_batch(&half(2), "fine_labels"),
        ),
    ]);
    let archive = archive_bytes();
    let cases: [(&str, Vec<u8>); 5] = [
        ("cifar-100-binary.tar", archive.clone()),
        ("cifar-100-binary.tar.gz", gzip(&archive)),
        ("cifar-100-binary.tgz", gzip(&archive)),
        ("cifar-100-binary.tar.xz", xz(&archive)),
        ("cifar-100-python.tar.gz", gzip(&python)),
    ];
    for (file, bytes) in cases {
        let folder = TempDir::new().unwrap();
        put(folder.path().join(file), &bytes);
        let located = locate(&CIFAR100, folder.path()).unwrap();
        assert_eq!(
            (located.form, located.bytes),
            (Form::Archive, bytes.len() as u64)
        );
        let loaded = load(&CIFAR100, folder.path()).unwrap();
        assert_eq!(
            (&loaded.train, &loaded.test),
            (&expected.train, &expected.test),
            "{file}"
        );
        assert!(
            loaded
                .note
                .is_some_and(|note| note.contains("100 training"))
        );
        assert_eq!(listing(folder.path()).len(), 1, "nothing is unpacked");
    }
    let folder = TempDir::new().unwrap();
    put_folder(folder.path());
    // The folder is preferred, so that the archive is not even looked at.
    put(folder.path().join("cifar-100-binary.tar.gz"), b"nonsense");
    assert_eq!(
        load(&CIFAR100, folder.path()).unwrap().sha256(),
        expected.sha256()
    );
    let located = reading::locate(&TINY, folder.path()).unwrap();
    let read = reading::read(&TINY, &located, located::ReadOptions::default()).unwrap();
    assert_eq!(read.dataset, expected, "complete, so without a note");
}

#[test]
fn cifar10_batches_follow_each_other() {
    let folder = TempDir::new().unwrap();
    let names = [1, 2, 3, 4, 5].map(|batch| format!("data_batch_{batch}"));
    let batches = [1, 2, 3, 4, 5, 6].map(|seed| cifar_set(2, 10, seed));
    for (name, batch) in names
        .iter()
        .map(String::as_str)
        .chain(["test_batch"])
        .zip(&batches)
    {
        let binary = binary(batch, CifarKind::Cifar10);
        put(
            folder
                .path()
                .join(format!("a/cifar-10-batches-bin/{name}.bin")),
            &binary,
        );
        let python = python2_batch(batch, "labels");
        put(
            folder.path().join(format!("b/cifar-10-batches-py/{name}")),
            &python,
        );
    }
    let loaded = load(&CIFAR10, &folder.path().join("a")).unwrap();
    assert_eq!(loaded.train.len(), 10);
    for (index, batch) in batches[..5].iter().enumerate() {
        assert_eq!(loaded.train.image(2 * index), batch.image(0));
        assert_eq!(
            loaded.train.labels()[2 * index..2 * index + 2],
            *batch.labels()
        );
    }
    assert_eq!(loaded.test, batches[5]);
    assert_eq!(load(&CIFAR10, &folder.path().join("b")).unwrap(), loaded);
}

#[test]
fn mnist_from_every_folder() {
    for (sub, packed) in [("mnist", true), ("MNIST/raw", false), ("", true)] {
        let folder = TempDir::new().unwrap();
        put_idx(&folder.path().join(sub), 20, packed);
        let loaded = load(&MNIST, folder.path()).unwrap();
        assert_eq!((loaded.train.len(), loaded.test.len()), (20, 10));
        let absent = load(&FASHION_MNIST, folder.path());
        assert!(matches!(absent, Err(DataError::Missing { .. })));
    }
    let folder = TempDir::new().unwrap();
    put_idx(&folder.path().join("fashion-mnist"), 20, true);
    assert_eq!(
        load(&FASHION_MNIST, folder.path()).unwrap().name,
        "fashion-mnist"
    );
    assert!(load(&MNIST, folder.path()).is_err());
}

#[test]
fn missing_files_are_listed() {
    let folder = TempDir::new().unwrap();
    put(folder.path().join("mnist/train-images-idx3-ubyte.gz"), b"x");
    let error = load(&MNIST, folder.path()).unwrap_err().to_string();
    let at = |name: &str| folder.path().join(name).display().to_string();
    for part in [
        format!("{} (found)", at("mnist/train-images-idx3-ubyte.gz")),
        format!("{} (not found)", at("mnist/t10k-labels-idx1-ubyte[.gz]")),
        "yann.lecun.com".to_owned(),
        "tagcl data import mnist PATH".to_owned(),
        "--data DIR".to_owned(),
    ] {
        assert!(error.contains(&part), "{part} in {error}");
    }
    let error = load(&CIFAR100, folder.path()).unwrap_err().to_string();
    for part in [
        "cifar-100-binary/{train.bin,test.bin}",
        "cifar-100-binary{.tar.gz,.tgz",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[test]
fn wrong_contents_are_errors() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("cifar-100-binary.tar.gz");
    put(
        path.clone(),
        &gzip(&tar(&[(
            "cifar-100-binary/train.bin",
            &binary(&half(1), FINE),
        )])),
    );
    assert!(matches!(
        load(&CIFAR100, folder.path()),
        Err(DataError::ArchiveMember { found: 0, member, .. }) if member.ends_with("test.bin")
    ));
    let train = binary(&half(1), FINE);
    let double = ("cifar-100-binary/train.bin", train.as_slice());
    put(path.clone(), &tar(&[double, double]));
    assert!(matches!(
        load(&CIFAR100, folder.path()),
        Err(DataError::ArchiveMember { found: 2, .. })
    ));
    put(
        path,
        &tar(&[("cifar-100-binary/train.bin", &train[..4000])]),
    );
    let error = load(&CIFAR100, folder.path()).unwrap_err();
    assert!(matches!(error, DataError::PartialRecord { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("tar.gz: cifar-100-binary/train.bin"),
        "{error}"
    );
}

#[test]
fn status_tells_what_is_there() {
    let folder = TempDir::new().unwrap();
    put_folder(folder.path());
    let status = status(folder.path());
    assert_eq!(status.len(), DATA_SETS.len());
    for entry in status {
        assert_eq!(entry.located.is_some(), *entry.name == CIFAR100);
        assert_eq!(entry.advice.is_none(), *entry.name == CIFAR100);
        if let Some(located) = entry.located {
            assert_eq!((located.files.len(), located.bytes), (2, 200 * 3074));
        }
    }
}

#[test]
fn verify_lists_problems() {
    let folder = TempDir::new().unwrap();
    put_folder(folder.path());
    let located = reading::locate(&TINY, folder.path()).unwrap();
    let report = verify::verify(&TINY, &located, None).unwrap();
    assert!(report.is_ok(), "{:?}", report.problems);
    assert_eq!(report.train.class_counts, [1; 100]);
    assert_eq!(report.files.len(), 2);
    assert_eq!(report.files[0].bytes, 100 * 3074);
    let hash = crate::data::image_set::hex(&<sha2::Sha256 as sha2::Digest>::digest(binary(
        &half(1),
        FINE,
    )));
    assert_eq!(report.files[0].sha256, hash);
    assert!(
        report
            .train
            .channel_means
            .iter()
            .all(|mean| (mean - 0.5).abs() < 0.02)
    );
    let report = verify(&CIFAR100, folder.path()).unwrap();
    assert_eq!(report.problems[0], "100 training images instead of 50000");
    // Classes that do not occur.
    put_idx(&folder.path().join("mnist"), 4, true);
    let problems = verify(&MNIST, folder.path()).unwrap().problems.join("\n");
    assert!(
        problems.contains("no training images of class 4, 5, 6, 7, 8, 9"),
        "{problems}"
    );
}

#[test]
fn import_from_everything() {
    let home = TempDir::new().unwrap();
    put_folder(&home.path().join("unpacked"));
    put(
        home.path().join("packed/cifar-100-binary.tar.xz"),
        &xz(&archive_bytes()),
    );
    put(home.path().join("renamed.bin"), &gzip(&archive_bytes()));
    for from in [
        "unpacked",
        "unpacked/cifar-100-binary",
        "unpacked/cifar-100-binary/test.bin",
        "packed",
        "packed/cifar-100-binary.tar.xz",
        "renamed.bin",
    ] {
        let data = TempDir::new().unwrap();
        let folder = data.path().join("new/data");
        let report = import::import(&TINY, &home.path().join(from), &folder).unwrap();
        assert!(!report.already_present);
        assert_eq!(report.path, folder.join("cifar-100-binary"));
        let loaded = load(&CIFAR100, &folder).unwrap();
        assert_eq!((loaded.train, loaded.test), (half(1), half(2)), "{from}");
        assert_eq!(listing(&folder).len(), 3, "folder and two files: {from}");
        let again = import::import(&TINY, &home.path().join(from), &folder).unwrap();
        assert!(again.already_present);
        assert_eq!(listing(&folder).len(), 3);
    }
}

/// Importing an archive that lies in the data folder unpacks it there.
#[test]
fn import_unpacks_in_place() {
    let data = TempDir::new().unwrap();
    let archive = data.path().join("cifar-100-binary.tar.xz");
    put(archive.clone(), &xz(&archive_bytes()));
    let report = import::import(&TINY, &archive, data.path()).unwrap();
    assert!(!report.already_present);
    assert_eq!(locate(&CIFAR100, data.path()).unwrap().form, Form::Folder);
    let other = gzip(&tar(&[
        ("cifar-100-binary/train.bin", &binary(&half(8), FINE)),
        ("cifar-100-binary/test.bin", &binary(&half(9), FINE)),
    ]));
    let data = TempDir::new().unwrap();
    put(data.path().join("cifar-100-binary.tar.gz"), &other);
    let refused = import::import(&TINY, report.path.as_path(), data.path());
    assert!(
        matches!(refused, Err(DataError::Exists { .. })),
        "{refused:?}"
    );
    assert_eq!(listing(data.path()).len(), 1);
}

#[test]
fn refused_imports_leave_nothing() {
    let home = TempDir::new().unwrap();
    let data = home.path().join("data");
    let from = home.path().join("from");
    put_folder(&from);
    // Too few images.
    let refused = import(&CIFAR100, &from, &data);
    assert!(
        matches!(refused, Err(DataError::ImportRefused { .. })),
        "{refused:?}"
    );
    // A broken file: the first one is fine and already copied when the second fails.
    put(from.join("cifar-100-binary/test.bin"), b"short");
    let broken = import::import(&TINY, &from, &data);
    assert!(
        matches!(broken, Err(DataError::PartialRecord { .. })),
        "{broken:?}"
    );
    assert!(listing(&data).is_empty());
    // Not the data set at all.
    put(home.path().join("text"), b"some text");
    for (name, path) in [(&MNIST, "from"), (&CIFAR100, "text")] {
        let strange = import(name, &home.path().join(path), &data);
        assert!(
            matches!(strange, Err(DataError::NotRecognised { .. })),
            "{strange:?}"
        );
    }
    let absent = import(&MNIST, &home.path().join("absent"), &data);
    assert!(matches!(absent, Err(DataError::Io { .. })));
    assert!(listing(&data).is_empty());
}

#[test]
fn imports_overwrite_nothing() {
    let home = TempDir::new().unwrap();
    let (from, data) = (home.path().join("from"), home.path().join("data"));
    put_folder(&from);
    put(
        data.join("cifar-100-binary/train.bin"),
        &binary(&half(3), FINE),
    );
    let incomplete = import::import(&TINY, &from, &data);
    assert!(
        matches!(incomplete, Err(DataError::Exists { .. })),
        "{incomplete:?}"
    );
    put(
        data.join("cifar-100-binary/test.bin"),
        &binary(&half(2), FINE),
    );
    let other = import::import(&TINY, &from, &data).unwrap_err();
    assert!(
        other.to_string().contains("its images are others"),
        "{other}"
    );
    put(data.join("cifar-100-binary/test.bin"), b"broken");
    let broken = import::import(&TINY, &from, &data).unwrap_err();
    assert!(broken.to_string().contains("it cannot be read"), "{broken}");
    assert_eq!(listing(&data).len(), 3);
    assert_eq!(
        fs::read(data.join("cifar-100-binary/test.bin")).unwrap(),
        b"broken"
    );
}

/// Prints how long it took, for whoever runs it with `--nocapture`.
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    use std::io::Write as _;
    let start = Instant::now();
    let result = work();
    let _ = writeln!(
        std::io::stderr(),
        "{what}: {:.2} s",
        start.elapsed().as_secs_f64()
    );
    result
}

#[test]
fn real_mnist() {
    let Some(folder) = shared_data() else { return };
    let report = timed("verify MNIST", || verify(&MNIST, &folder).unwrap());
    assert!(report.is_ok(), "{:?}", report.problems);
    assert_eq!(report.content, Content::Official);
    assert!((report.train.channel_means[0] - 0.1307).abs() < 5e-5);
    let loaded = timed("load MNIST", || load(&MNIST, &folder).unwrap());
    assert_eq!(
        (loaded.train.len(), loaded.test.len(), loaded.note),
        (60_000, 10_000, None)
    );
}

#[test]
fn real_cifar100() {
    let Some(folder) = shared_data() else { return };
    let data = TempDir::new().unwrap();
    let report = timed("import CIFAR-100 from tar.xz", || {
        import(&CIFAR100, &folder, data.path()).unwrap()
    });
    let hashes: Vec<_> = report
        .verified
        .files
        .iter()
        .map(|file| file.sha256.as_str())
        .collect();
    assert_eq!(
        hashes,
        [
            "c617c95b72597eb27bd922bab28af6a21f8aa30b4521c38500d175aeacef2219",
            "0a461fe056ff790976e062999cac885d156286cf74ad18be5c859d1add45017e"
        ]
    );
    assert_eq!(report.verified.content, Content::OfficialInAnotherOrder);
    assert_eq!(report.verified.note, None);
    assert_eq!(report.verified.train.class_counts, [500; 100]);
    assert_eq!(report.verified.test.class_counts, [100; 100]);
    for (mean, known) in report
        .verified
        .train
        .channel_means
        .iter()
        .zip([0.5071, 0.4865, 0.4409])
    {
        assert!((mean - known).abs() < 5e-5, "{mean}");
    }
    let archive = timed("load CIFAR-100 from tar.xz", || {
        load(&CIFAR100, &folder).unwrap()
    });
    let unpacked = timed("load CIFAR-100 from a folder", || {
        load(&CIFAR100, data.path()).unwrap()
    });
    assert_eq!(archive, unpacked);
    let hash = timed("hash CIFAR-100", || unpacked.sha256());
    assert_eq!(hash, report.verified.sha256);
}

mod content;
