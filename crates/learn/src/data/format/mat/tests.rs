use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;

use super::*;
use crate::data::testing::{noise, shared_data};

fn part(kind: u32, contents: &[u8]) -> Vec<u8> {
    let mut bytes = [kind.to_le_bytes(), (contents.len() as u32).to_le_bytes()].concat();
    bytes.extend(contents);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// A numeric variable of bytes.
fn variable(name: &str, sizes: &[i32], numbers: &[u8]) -> Vec<u8> {
    variable_of(9, 2, name, sizes, numbers)
}

/// A numeric variable of this class, its numbers stored as this type.
fn variable_of(class: u8, kind: u32, name: &str, sizes: &[i32], numbers: &[u8]) -> Vec<u8> {
    let sizes: Vec<u8> = sizes.iter().flat_map(|s| s.to_le_bytes()).collect();
    let mut contents = part(MI_UINT32, &[class, 0, 0, 0, 0, 0, 0, 0]);
    contents.extend(part(MI_INT32, &sizes));
    // Short names stand in their tag, as MATLAB writes them.
    contents.extend((1 | (name.len() as u32) << 16).to_le_bytes());
    contents.extend(name.bytes().chain([0; 4]).take(4));
    contents.extend(part(kind, numbers));
    part(MI_MATRIX, &contents)
}

/// `NumPy`'s integers as SciPy's `savemat` writes them: class and type of 64-bit numbers.
#[test]
fn labels_may_be_64_bits_wide() {
    for (class, kind, bytes) in [
        (14_u8, 12_u32, [10_i64, 3].map(i64::to_le_bytes).concat()),
        (15, 13, [10_u64, 3].map(u64::to_le_bytes).concat()),
        (12, 5, [10_i32, 3].map(i32::to_le_bytes).concat()),
        (6, 9, [10_f64, 3.0].map(f64::to_le_bytes).concat()),
    ] {
        let labels = variable_of(class, kind, "y", &[2, 1], &bytes);
        let x = variable("X", &[2, 3, 3, 2], &(0..36).collect::<Vec<_>>());
        let file = [header(), x, labels].concat();
        assert_eq!(
            read_images(&file, 10, "f").unwrap().labels(),
            [0, 3],
            "class {class}"
        );
    }
    let negative = variable_of(14, 12, "y", &[1, 1], &(-1_i64).to_le_bytes());
    let huge = variable_of(15, 13, "y", &[1, 1], &u64::MAX.to_le_bytes());
    for labels in [negative, huge] {
        let file = [header(), variable("X", &[1, 1, 1], &[1]), labels].concat();
        assert!(read_images(&file, 10, "f").is_err());
    }
}

#[test]
fn the_number_of_images_stands_at_the_beginning() {
    for packed in [false, true] {
        let bytes = small(packed);
        assert_eq!(stated_images(&mut bytes.as_slice()), Some(2));
        for end in 0..bytes.len() {
            let _ = stated_images(&mut &bytes[..end]);
        }
    }
    assert_eq!(
        stated_images(
            &mut [&header()[..], &variable("y", &[2, 1], &[1, 2])]
                .concat()
                .as_slice()
        ),
        None
    );
    assert_eq!(stated_images(&mut &b"text"[..]), None);
    if let Some(folder) = shared_data() {
        let mut file = std::fs::File::open(folder.join("svhn-sample/train_32x32.mat")).unwrap();
        assert_eq!(stated_images(&mut file), Some(400));
    }
}

fn header() -> Vec<u8> {
    let mut bytes = b"MATLAB 5.0 MAT-file".to_vec();
    bytes.resize(124, b' ');
    bytes.extend(b"\x00\x01IM");
    bytes
}

fn compressed(element: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(element).unwrap();
    let packed = encoder.finish().unwrap();
    let mut bytes = [
        MI_COMPRESSED.to_le_bytes(),
        (packed.len() as u32).to_le_bytes(),
    ]
    .concat();
    bytes.extend(packed);
    bytes
}

/// Two images of 2x3 pixels and 3 channels.
pub(crate) fn small(packed: bool) -> Vec<u8> {
    let x = variable("X", &[2, 3, 3, 2], &(0..36).collect::<Vec<_>>());
    let y = variable("y", &[2, 1], &[10, 3]);
    let elements = if packed {
        [compressed(&x), compressed(&y)]
    } else {
        [x, y]
    };
    [header(), elements.concat()].concat()
}

#[test]
fn images_are_transposed_and_label_ten_is_class_zero() {
    for packed in [false, true] {
        let set = read_images(&small(packed), 10, "f").unwrap();
        assert_eq!(set.shape(), ImageShape::new(3, 2, 3));
        assert_eq!(set.labels(), [0, 3]);
        // Column-major 0 1 | 2 3 | 4 5.
        assert_eq!(set.image(0).unwrap()[..6], [0, 2, 4, 1, 3, 5]);
        assert_eq!(set.image(1).unwrap()[12..], [30, 32, 34, 31, 33, 35]);
    }
}

#[test]
fn what_is_wrong_is_named() {
    let error = |bytes: &[u8]| read_images(bytes, 10, "f.mat").unwrap_err().to_string();
    let file = |x: &[u8], y: &[u8]| [&header()[..], x, y].concat();
    let x = variable("X", &[1, 1, 1, 2], &[1, 2]);
    for (bytes, words) in [
        (b"MATLAB".to_vec(), "truncated"),
        (vec![b'x'; 200], "is not a little-endian MAT-file"),
        (
            [b"MATLAB 7.3 MAT-file".to_vec(), vec![0; 200]].concat(),
            "HDF5",
        ),
        (file(&x, &[]), "the variables [X]"),
        (
            file(&x, &variable("y", &[3, 1], &[1, 2, 3])),
            "2 integers, one an image",
        ),
        (
            file(&x, &variable("y", &[2, 1], &[1, 0])),
            "the label of image 1 is -1",
        ),
        (
            file(&x, &variable("y", &[2, 1], &[11, 1])),
            "the label of image 0 is 11",
        ),
        (
            file(&variable("X", &[9, 1, 1, 2], &[1, 2]), &[]),
            "bytes of variable X",
        ),
        (
            file(&variable("X", &[-1, 1], &[1, 2]), &[]),
            "sizes of variable X",
        ),
    ] {
        assert!(error(&bytes).contains(words), "{words}: {}", error(&bytes));
    }
}

#[test]
fn a_bomb_stops_at_the_bound() {
    let bytes = [header(), compressed(&vec![0; 1 << 20])].concat();
    assert!(matches!(
        read_within(&bytes, "f", 1 << 16),
        Err(DataError::TooLarge { .. })
    ));
}

#[test]
fn doubles_and_shorts_are_integers_where_they_are() {
    let of = |storage, bytes: Vec<u8>| Variable {
        name: String::new(),
        sizes: vec![],
        storage,
        bytes,
    };
    let doubles: Vec<u8> = [3.0_f64, -2.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    assert_eq!(of(Storage::F64, doubles).integers(), Some(vec![3, -2]));
    assert_eq!(
        of(Storage::F64, 0.5_f64.to_le_bytes().to_vec()).integers(),
        None
    );
    assert_eq!(
        of(Storage::F64, f64::NAN.to_le_bytes().to_vec()).integers(),
        None
    );
    assert_eq!(
        of(Storage::I16, vec![0xff, 0xff]).integers(),
        Some(vec![-1])
    );
}

proptest! {
    #[test]
    fn any_damage_gives_a_value_or_an_error(position in 0_usize..600, value: u8, cut in 0_usize..600, packed: bool) {
        let mut bytes = small(packed);
        let position = position % bytes.len();
        bytes[position] = value;
        let _ = read_images(&bytes, 10, "f");
        bytes.truncate(cut);
        let _ = read_images(&bytes, 10, "f");
    }

    #[test]
    fn any_bytes_after_the_header(seed: u64, count in 0_usize..300) {
        let _ = read(&[header(), noise(count, seed)].concat(), "f");
    }
}

#[test]
fn the_sample_of_svhn() {
    let Some(folder) = shared_data() else { return };
    let bytes = std::fs::read(folder.join("svhn-sample/train_32x32.mat")).unwrap();
    let set = read_images(&bytes, 10, "train").unwrap();
    assert_eq!((set.len(), set.shape()), (400, ImageShape::new(3, 32, 32)));
    assert!(set.class_counts().iter().all(|&count| count > 0));
}
