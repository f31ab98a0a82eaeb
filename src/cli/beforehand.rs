//! What is known of runs before they begin: whether their data are there, and whether they fit into memory.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

use super::CliError;
use super::execute::load;
use super::printer::Printer;
use crate::data;
use crate::experiment::RunError;
use crate::experiment::plan::config::{DataChoice, RunConfig};
use crate::experiment::plan::settings::DATA_FOLDER;
use crate::experiment::search::cost::{Estimate, available_bytes, least_bytes};

/// Runs side by side: as many as were asked for, else one a core.
pub(super) fn jobs(asked: Option<usize>, threads: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    asked.unwrap_or((cores / threads.max(1)).max(1))
}

/// Numbers of images, found out once for all runs that share them.
pub(super) struct Sizes<'a> {
    folder: Option<&'a Path>,
    printer: &'a Printer,
    known: RefCell<Vec<(RunConfig, (usize, usize))>>,
}

impl<'a> Sizes<'a> {
    pub(super) fn new(folder: Option<&'a Path>, printer: &'a Printer) -> Self {
        Self {
            folder,
            printer,
            known: RefCell::default(),
        }
    }

    /// Training and test images of a configuration.
    pub(super) fn of(&self, config: &RunConfig) -> Result<(usize, usize), RunError> {
        let known = self.known.borrow();
        let same = known.iter().find(|(of, _)| config.has_images_of(of));
        if let Some((_, sizes)) = same {
            return Ok(*sizes);
        }
        drop(known);
        let sizes = self.find(config)?;
        self.known.borrow_mut().push((config.clone(), sizes));
        Ok(sizes)
    }

    /// Of the sample in the program, of one's own benchmark, as published, or as many as lie in the data folder, where these
    /// are fewer.
    fn find(&self, config: &RunConfig) -> Result<(usize, usize), RunError> {
        if config.data == DataChoice::Embedded {
            let sample = data::embedded::mnist_sample()?;
            return Ok((sample.train.len(), sample.test.len()));
        }
        if config.benchmark.is_custom() {
            let data = load(config, None, self.printer).map_err(RunError::lasting)?;
            return Ok((data.train.len(), data.test.len()));
        }
        let found = self.folder.map(data::status).unwrap_or_default();
        let of = |name: &data::DataName| {
            let (train, test) = name.counts();
            let status = found.iter().find(|status| status.name == *name);
            let fewer = status.and_then(|status| status.images_at_most);
            // Which of them are for training is not known without reading them.
            let share = fewer.map_or(1.0, |images| images as f64 / (train + test).max(1) as f64);
            let part = |images: usize| (images as f64 * share).round() as usize;
            (part(train), part(test))
        };
        let counts = config.benchmark.sources().iter().map(of);
        Ok(counts.fold((0, 0), |sum, (train, test)| (sum.0 + train, sum.1 + test)))
    }
}

/// Whether the images of a configuration can be had.
pub(super) enum DataState {
    /// They are in the program, or beside a benchmark's own file, which has been read.
    There,
    /// They lie in this folder.
    In(PathBuf),
    /// No folder was named, and the usual one is not there.
    NotNamed(String),
    /// The folder that was named does not have them.
    Missing(String),
}

impl DataState {
    pub(super) fn of(config: &RunConfig, folder: Option<&Path>) -> Self {
        if config.data == DataChoice::Embedded || config.benchmark.is_custom() {
            return Self::There;
        }
        let sources = config.benchmark.sources();
        let names: Vec<String> = sources.iter().map(ToString::to_string).collect();
        // The usual folder that nobody made is no folder that was named.
        let Some(folder) = folder.filter(|it| *it != Path::new(DATA_FOLDER) || it.exists()) else {
            return Self::NotNamed(names.join(", "));
        };
        let missing = sources
            .iter()
            .find_map(|name| data::locate(name, folder).err());
        match missing {
            None => Self::In(folder.to_path_buf()),
            Some(error) => Self::Missing(error.to_string()),
        }
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::There | Self::In(_) => json!({"there": true}),
            Self::NotNamed(_) | Self::Missing(_) => {
                json!({"there": false, "reason": self.to_string()})
            }
        }
    }

    /// Refuses a folder that does not have what it was named for.
    pub(super) fn must_be_there(&self) -> Result<(), CliError> {
        match self {
            Self::Missing(reason) => Err(CliError::Failed(reason.clone())),
            Self::There | Self::In(_) | Self::NotNamed(_) => Ok(()),
        }
    }
}

impl fmt::Display for DataState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::There => write!(f, "the images are there"),
            Self::In(folder) => write!(f, "the images are in {}", folder.display()),
            Self::NotNamed(names) => write!(
                f,
                "{names} will be needed: there is no folder {DATA_FOLDER}; `tagcl data get NAME` makes it, or give another with \
                 --data DIR (or TAGCL_DATA)"
            ),
            Self::Missing(reason) => write!(f, "the images are NOT there: {reason}"),
        }
    }
}

/// What runs side by side need, and what the machine has.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Memory {
    /// Bytes of one run, at least.
    run_bytes: usize,
    /// Bytes of the images.
    image_bytes: usize,
    /// Runs side by side.
    side_by_side: usize,
    /// Bytes in all, at least.
    bytes: u64,
    /// Bytes that are left; absent where unknown.
    available_bytes: Option<u64>,
}

impl Memory {
    pub(super) fn of(cost: &Estimate, side_by_side: usize) -> Self {
        Self::new(cost.run_bytes, cost.image_bytes, side_by_side)
    }

    fn new(run_bytes: usize, image_bytes: usize, side_by_side: usize) -> Self {
        Self {
            run_bytes,
            image_bytes,
            side_by_side,
            bytes: (run_bytes as u64)
                .saturating_mul(side_by_side as u64)
                .saturating_add(image_bytes as u64),
            available_bytes: available_bytes(),
        }
    }

    /// What to say, if it will not fit.
    pub(super) fn warning(&self) -> Option<String> {
        let available = self.available_bytes.filter(|left| *left < self.bytes)?;
        let mut remedies = vec![
            "a smaller network or batch",
            "past_moments = \"bf16\" for TAG",
        ];
        if self.side_by_side > 1 {
            remedies.insert(0, "--jobs 1");
        }
        Some(format!(
            "this needs at least {}, and {} are left on this machine: it will be killed, or everything will be slow; {} \
             would help",
            gigabytes(self.bytes),
            gigabytes(available),
            remedies.join(", ")
        ))
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = gigabytes(self.bytes);
        write!(
            f,
            "at least {all} of memory for {} side by side",
            self.side_by_side
        )?;
        match self.available_bytes {
            Some(left) if left < self.bytes => {
                write!(f, ": MORE THAN the {} left", gigabytes(left))
            }
            Some(left) => write!(f, ", of {} left", gigabytes(left)),
            None => Ok(()),
        }
    }
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

/// What to say of runs that are about to begin and will surely not fit. Nothing is measured: the arrays alone are counted, and
/// the images that have yet to be read.
pub(super) fn too_large(
    config: &RunConfig,
    image_bytes: usize,
    side_by_side: usize,
) -> Result<Option<String>, RunError> {
    let run_bytes = least_bytes(config)?;
    Ok(Memory::new(run_bytes, image_bytes, side_by_side).warning())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_larger_than_the_machine_is_warned_of() {
        let memory = |run_bytes, side_by_side, available_bytes| Memory {
            available_bytes,
            ..Memory::new(run_bytes, 1 << 30, side_by_side)
        };
        let fits = memory(1 << 30, 2, Some(3 << 30));
        assert_eq!((fits.bytes, fits.warning()), (3 << 30, None));
        let warning = memory(1 << 30, 2, Some((3 << 30) - 1)).warning().unwrap();
        for part in ["at least 3.2 GB", "--jobs 1", "smaller"] {
            assert!(warning.contains(part), "{warning}");
        }
        let alone = memory(1 << 40, 1, Some(1)).warning().unwrap();
        assert!(!alone.contains("--jobs"), "{alone}");
        assert_eq!(memory(1 << 40, 1, None).warning(), None);
        assert_eq!(
            Memory::new(usize::MAX, usize::MAX, 9).bytes,
            u64::MAX,
            "no overflow"
        );
    }
}
