use super::*;

fn set() -> ImageSet {
    let shape = ImageShape::new(2, 1, 3);
    ImageSet::new(shape, (0..24).collect(), vec![0, 3, 1, 3], 4).unwrap()
}

#[test]
fn accessors_agree() {
    let set = set();
    assert_eq!((set.len(), set.is_empty(), set.classes()), (4, false, 4));
    assert_eq!(set.image(1), Some(&[6, 7, 8, 9, 10, 11][..]));
    assert_eq!(set.image(4), None);
    assert_eq!(set.image(usize::MAX), None);
    assert_eq!(set.class_counts(), [1, 1, 0, 2]);
    let means = set.channel_means();
    assert!((means[0] * 255.0 - 10.0).abs() < 1e-12 && (means[1] * 255.0 - 13.0).abs() < 1e-12);
    assert!(!format!("{set:?}").contains("pixels"));
}

#[test]
fn features_stay_what_they_are() {
    let rows = vec![0.1, -2.0, 1e30, 0.0, 5.0, f32::MIN_POSITIVE];
    let set = ImageSet::of_features(2, rows.clone(), vec![1, 0, 1], 2).unwrap();
    assert_eq!((set.shape(), set.len()), (ImageShape::new(1, 1, 2), 3));
    assert_eq!(set.features(), Some(&rows[..]));
    assert_eq!(set.feature_row(2), Some(&rows[4..]));
    assert_eq!((set.image(0), set.feature_row(3)), (None, None));
    let chosen = set.subset(&[2, 0]).unwrap();
    assert_eq!(
        chosen.features(),
        Some(&[5.0, f32::MIN_POSITIVE, 0.1, -2.0][..])
    );
    assert_eq!(chosen.labels(), [1, 1]);
    assert_ne!(set.sha256(), chosen.sha256());
    let turned = set.subset(&[1, 2, 0]).unwrap();
    assert_eq!(set.content_sha256(), turned.content_sha256());
    let images = ImageSet::new(set.shape(), vec![0; 6], vec![1, 0, 1], 2).unwrap();
    let error = set.clone().append(&images, "x").unwrap_err().to_string();
    assert!(
        error.contains("should be features, but is images"),
        "{error}"
    );
    let mut joined = Joined::default();
    joined.push(&set, 0, ("all", "a")).unwrap();
    joined.push(&chosen, 2, ("all", "b")).unwrap();
    assert!(joined.push(&images, 4, ("all", "c")).is_err());
    let whole = joined.finish(set.shape(), 4).unwrap();
    assert_eq!(whole.labels(), [1, 0, 1, 3, 3]);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let rows = vec![0.0, 0.0, 0.0, bad];
        let error = ImageSet::of_features(2, rows, vec![0, 0], 1).unwrap_err();
        assert!(error.to_string().contains("row 1, column 1"), "{error}");
    }
}

#[test]
fn constructor_refuses_what_does_not_fit() {
    let shape = ImageShape::new(1, 2, 2);
    let no_images = ImageSet::new(shape, vec![], vec![], 4);
    assert!(matches!(no_images, Err(DataError::NoImages { .. })));
    let no_pixels = ImageSet::new(ImageShape::new(0, 2, 2), vec![], vec![0], 4);
    assert!(matches!(no_pixels, Err(DataError::NoImages { .. })));
    let short = ImageSet::new(shape, vec![0; 7], vec![0, 1], 4);
    assert!(matches!(short, Err(DataError::Mismatch { .. })));
    let overflow = ImageSet::new(ImageShape::new(usize::MAX, 2, 2), vec![0; 8], vec![0, 1], 4);
    assert!(matches!(overflow, Err(DataError::Mismatch { .. })));
    let classes = ImageSet::new(shape, vec![0; 8], vec![0, 1], 65_537);
    assert!(matches!(classes, Err(DataError::Mismatch { .. })));
    let label = ImageSet::new(shape, vec![0; 8], vec![0, 4], 4);
    assert!(matches!(
        label,
        Err(DataError::LabelOutOfRange {
            index: 1,
            value: 4,
            limit: 4,
            ..
        })
    ));
}

#[test]
fn subset_keeps_order_and_checks() {
    let set = set();
    let picked = set.subset(&[3, 0, 3]).unwrap();
    assert_eq!(picked.labels(), [3, 0, 3]);
    assert_eq!(picked.image(0), set.image(3));
    assert_eq!(set.subset(&[0, 1, 2, 3]).unwrap(), set);
    assert!(matches!(set.subset(&[]), Err(DataError::NoImages { .. })));
    assert!(matches!(
        set.subset(&[0, 4]),
        Err(DataError::IndexOutOfRange { index: 4, len: 4 })
    ));
}

#[test]
fn append_joins_only_like_sets() {
    let mut joined = set().subset(&[0, 1]).unwrap();
    joined
        .append(&set().subset(&[2, 3]).unwrap(), "second")
        .unwrap();
    assert_eq!(joined, set());
    let other = ImageSet::new(ImageShape::new(1, 1, 1), vec![0], vec![0], 4).unwrap();
    assert!(matches!(
        joined.append(&other, "other"),
        Err(DataError::Mismatch { .. })
    ));
}

#[test]
fn sha256_depends_on_every_part() {
    let base = set();
    assert_eq!(base.sha256().len(), 64);
    assert_eq!(base.sha256(), set().sha256());
    let pixels: Vec<u8> = (0..24).collect();
    let labels = vec![0, 3, 1, 3];
    let shape = ImageShape::new(1, 2, 3);
    let reshaped = ImageSet::new(shape, pixels.clone(), labels.clone(), 4).unwrap();
    let shape = base.shape();
    let relabelled = ImageSet::new(shape, pixels.clone(), vec![0, 3, 1, 2], 4).unwrap();
    let more_classes = ImageSet::new(shape, pixels.clone(), labels.clone(), 5).unwrap();
    let mut changed = pixels;
    changed[7] = 99;
    let repainted = ImageSet::new(shape, changed, labels, 4).unwrap();
    for other in [reshaped, relabelled, more_classes, repainted] {
        assert_ne!(other.sha256(), base.sha256());
    }
}

/// The definition, pinned: results that name a hash stay comparable.
#[test]
fn sha256_is_pinned() {
    let one = ImageSet::new(ImageShape::new(1, 1, 2), vec![1, 2], vec![3], 10).unwrap();
    let mut bytes = b"tagcl image set 1\n".to_vec();
    for size in [1_u64, 1, 2, 10, 1] {
        bytes.extend(size.to_le_bytes());
    }
    bytes.extend([1, 2, 3, 0]);
    assert_eq!(one.sha256(), hex(&Sha256::digest(&bytes)));
}

#[test]
fn content_does_not_depend_on_the_order() {
    let base = set();
    let content = base.content_sha256();
    for order in [[3, 2, 1, 0], [1, 0, 3, 2]] {
        let shuffled = base.subset(&order).unwrap();
        assert_eq!(shuffled.content_sha256(), content);
        assert_ne!(shuffled.sha256(), base.sha256());
    }
    // One pixel, one label, labels exchanged between two images, an image twice for another.
    let mut pixels = base.pixels().to_vec();
    pixels[7] += 1;
    let labels = base.labels().to_vec();
    let changed = [
        ImageSet::new(base.shape(), pixels, labels, 4).unwrap(),
        ImageSet::new(base.shape(), base.pixels().to_vec(), vec![0, 3, 1, 2], 4).unwrap(),
        ImageSet::new(base.shape(), base.pixels().to_vec(), vec![3, 0, 1, 3], 4).unwrap(),
        base.subset(&[0, 1, 2, 2]).unwrap(),
        base.subset(&[0, 1, 2]).unwrap(),
    ];
    for other in changed {
        assert_ne!(other.content_sha256(), content);
    }
    let one = ImageSet::new(ImageShape::new(1, 1, 2), vec![1, 2], vec![3], 10).unwrap();
    let mut bytes = b"tagcl image content 1\n".to_vec();
    for size in [1_u64, 1, 2, 10, 1] {
        bytes.extend(size.to_le_bytes());
    }
    bytes.extend(Sha256::digest([1, 2, 3, 0]));
    assert_eq!(one.content_sha256(), hex(&Sha256::digest(&bytes)));
}

#[test]
fn dataset_halves_must_match() {
    let other = ImageSet::new(ImageShape::new(2, 1, 3), vec![0; 6], vec![0], 5).unwrap();
    assert!(matches!(
        Dataset::new("x", set(), other, None),
        Err(DataError::Mismatch { .. })
    ));
    let swapped = Dataset::new("x", set().subset(&[0]).unwrap(), set(), None).unwrap();
    let straight = Dataset::new("y", set(), set().subset(&[0]).unwrap(), None).unwrap();
    assert_ne!(swapped.sha256(), straight.sha256());
}
