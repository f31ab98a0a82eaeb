//! From a configuration to the images of its stream.
//!
//! Owns which data sets a benchmark is made of, that all of them are there before the first is read, and the subset
//! mode: what a data folder holds only in part is refused unless the configuration says how many classes to expect.

use std::path::Path;

use super::{BenchmarkKind, BenchmarkSpec};
use crate::data::{self, DataError, Dataset, LoadOptions};
use crate::experiment::plan::config::{DataChoice, RunConfig};

impl BenchmarkSpec {
    /// Official numbers of training and test images.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let counts = self.sources.iter().map(|name| name.counts());
        counts.fold((0, 0), |sum, (train, test)| (sum.0 + train, sum.1 + test))
    }
}

/// Loads the images of a configuration from a data folder, or the embedded sample.
///
/// # Errors
///
/// [`DataError::Missing`] or [`DataError::MissingParts`], [`DataError::Classes`] where classes lack images and the
/// configuration does not say so, and every error of the parsers.
pub fn load_images(
    config: &RunConfig,
    folder: &Path,
    options: LoadOptions<'_>,
) -> Result<Dataset, DataError> {
    if config.data == DataChoice::Embedded {
        return data::embedded::mnist_sample();
    }
    let data = match config.benchmark.custom() {
        Some(custom) => custom.load(options)?,
        None => load_benchmark(config.benchmark.spec(), folder, options)?,
    };
    check_classes(config, data)
}

/// Loads all images of a benchmark that a data folder holds.
///
/// # Errors
///
/// [`DataError::Missing`] or [`DataError::MissingParts`], and every error of the parsers.
pub fn load_benchmark(
    benchmark: &BenchmarkSpec,
    folder: &Path,
    options: LoadOptions<'_>,
) -> Result<Dataset, DataError> {
    let names = benchmark.sources;
    if names.is_empty() {
        let remedy = "a benchmark of one's own is named by the path of its TOML file";
        return Err(DataError::mismatch(
            "benchmark",
            "name",
            remedy,
            benchmark.name,
        ));
    }
    if let [name] = names {
        return data::load_with(name, folder, options);
    }
    let missing: Vec<_> = names
        .iter()
        .filter_map(|name| data::locate(name, folder).err())
        .collect();
    if !missing.is_empty() {
        let name = benchmark.name.to_owned();
        return Err(DataError::MissingParts { name, missing });
    }
    let parts = names
        .iter()
        .map(|name| data::load_with(name, folder, options));
    data::combine::combine(benchmark.name, benchmark.shape, parts)
}

/// The data set, if it has the classes that the configuration expects.
fn check_classes(config: &RunConfig, data: Dataset) -> Result<Dataset, DataError> {
    if config.benchmark.kind() != BenchmarkKind::Split {
        return Ok(data);
    }
    let present = data::combine::present(&data);
    let count = present.iter().filter(|&&there| there).count();
    let expected = config.images().0;
    if count == expected {
        return data::combine::present_classes(data);
    }
    if count > expected {
        return Err(DataError::MoreClasses {
            name: data.name,
            expected,
            found: count,
        });
    }
    let absent: Vec<_> = (0..present.len())
        .filter(|&c| present.get(c) == Some(&false))
        .filter_map(|c| data.class_names.get(c).cloned())
        .collect();
    Err(DataError::Classes {
        name: data.name,
        expected,
        found: count,
        absent: absent.join(", "),
        note: data
            .note
            .map(|note| format!(" ({note})"))
            .unwrap_or_default(),
    })
}
