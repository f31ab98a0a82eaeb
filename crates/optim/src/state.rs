//! What an optimizer remembers, as named arrays that can be written to bytes and read back.
//!
//! Owns the record and its checks: a record of another optimizer, another model or another length is refused with both
//! values, never half loaded. How the arrays lie in a file is the matter of [`super::blocks`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::blocks::{Block, read_blocks, write_blocks};

/// Why an optimizer cannot go on, or cannot take a record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptimError {
    /// `step` was called outside a task.
    #[error("no task is under way: call begin_task before the first step of a task")]
    NoTask,
    /// A vector does not belong to the layout.
    #[error("{what} has {found} values, but the model has {expected} parameters")]
    Length {
        /// Which vector.
        what: &'static str,
        /// Length of the layout.
        expected: usize,
        /// Length that came.
        found: usize,
    },
    /// A hyper-parameter is out of its range.
    #[error("{name} = {value} is out of range: it must be {range}")]
    HyperParameter {
        /// Its name in configurations.
        name: &'static str,
        /// The value that came.
        value: f64,
        /// The allowed range in words.
        range: &'static str,
    },
    /// Two choices that do not go together.
    #[error("{name} = {value} does not go with {other} = {other_value}: it is only for {only_for}")]
    Combination {
        /// The one choice's name in configurations.
        name: &'static str,
        /// What was chosen.
        value: &'static str,
        /// The other's name.
        other: &'static str,
        /// What was chosen.
        other_value: &'static str,
        /// What the one choice is for.
        only_for: &'static str,
    },
    /// The record is of another optimizer.
    #[error("the record holds the state of `{found}`, not of `{expected}`")]
    Kind {
        /// The optimizer that was to be restored.
        expected: String,
        /// The optimizer that wrote the record.
        found: String,
    },
    /// The record lacks an array or a counter, or has one of another length.
    #[error("the record's `{name}` is missing or has the wrong length")]
    Field {
        /// Name of the array or counter.
        name: String,
    },
    /// Settings of another optimizer.
    #[error("{0}")]
    Settings(#[from] crate::settings::SettingError),
    /// The bytes are no record.
    #[error("not a readable optimizer record: {0}")]
    Format(String),
}

/// A snapshot: its kind, its counters and its arrays, borrowed where that is possible, so that taking one copies little.
///
/// Optimizers make them ([`Optimizer::state`](super::Optimizer::state)); methods and learners of this crate use the same
/// form. Names are the maker's own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State<'a> {
    kind: String,
    counters: BTreeMap<String, u64>,
    lists: BTreeMap<String, Vec<u64>>,
    arrays: BTreeMap<String, Cow<'a, [f32]>>,
    sums: BTreeMap<String, Vec<f64>>,
}

impl<'a> State<'a> {
    /// An empty snapshot of something of this kind.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self {
            kind: kind.to_string(),
            ..Self::default()
        }
    }

    /// What made it (`adam`, `tag-rmsprop`, ...).
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// With a counter.
    #[must_use]
    pub fn with_counter(mut self, name: &str, value: usize) -> Self {
        self.counters.insert(name.to_string(), value as u64);
        self
    }

    /// Puts an array in, borrowed or owned.
    pub fn put(&mut self, name: &str, values: impl Into<Cow<'a, [f32]>>) {
        self.arrays.insert(name.to_string(), values.into());
    }

    /// Puts an array of whole numbers in.
    pub fn put_list(&mut self, name: &str, values: Vec<u64>) {
        self.lists.insert(name.to_string(), values);
    }

    /// Puts an array in double precision in.
    pub fn put_sums(&mut self, name: &str, values: Vec<f64>) {
        self.sums.insert(name.to_string(), values);
    }

    /// Refuses a snapshot of another kind.
    ///
    /// # Errors
    /// [`OptimError::Kind`] with both kinds.
    pub fn expect_kind(&self, kind: &str) -> Result<(), OptimError> {
        if self.kind == kind {
            return Ok(());
        }
        Err(OptimError::Kind {
            expected: kind.to_string(),
            found: self.kind.clone(),
        })
    }

    /// A counter.
    ///
    /// # Errors
    /// [`OptimError::Field`] if it is missing or too large.
    pub fn counter(&self, name: &str) -> Result<usize, OptimError> {
        let found = self.counters.get(name).ok_or_else(|| field(name))?;
        usize::try_from(*found).map_err(|_| field(name))
    }

    /// Takes an array of this length out.
    ///
    /// # Errors
    /// [`OptimError::Field`] if it is missing or of another length.
    pub fn take(&mut self, name: &str, len: usize) -> Result<Vec<f32>, OptimError> {
        let found = self.arrays.remove(name).filter(|v| v.len() == len);
        Ok(found.ok_or_else(|| field(name))?.into_owned())
    }

    /// Takes an array of whole numbers out.
    ///
    /// # Errors
    /// [`OptimError::Field`] if it is missing.
    pub fn take_list(&mut self, name: &str) -> Result<Vec<u64>, OptimError> {
        self.lists.remove(name).ok_or_else(|| field(name))
    }

    /// Takes an array in double precision of this length out.
    ///
    /// # Errors
    /// [`OptimError::Field`] if it is missing or of another length.
    pub fn take_sums(&mut self, name: &str, len: usize) -> Result<Vec<f64>, OptimError> {
        let found = self.sums.remove(name).filter(|v| v.len() == len);
        found.ok_or_else(|| field(name))
    }

    /// All counters.
    #[must_use]
    pub fn counters(&self) -> &BTreeMap<String, u64> {
        &self.counters
    }

    /// Replaces all counters.
    pub fn set_counters(&mut self, counters: BTreeMap<String, u64>) {
        self.counters = counters;
    }

    /// All arrays, under their names.
    pub fn blocks(&self) -> impl Iterator<Item = (&str, Block<'_>)> {
        let arrays = self.arrays.iter();
        let arrays = arrays.map(|(name, v)| (name.as_str(), Block::F32(Cow::Borrowed(v))));
        let sums = self.sums.iter();
        let sums = sums.map(|(name, v)| (name.as_str(), Block::F64(Cow::Borrowed(v))));
        let lists = self.lists.iter();
        let lists = lists.map(|(name, v)| (name.as_str(), Block::U64(Cow::Borrowed(v))));
        arrays.chain(sums).chain(lists)
    }

    /// Puts an array of any type in.
    pub fn put_block(&mut self, name: &str, block: Block<'a>) {
        match block {
            Block::F32(values) => self.put(name, values),
            Block::F64(values) => self.put_sums(name, values.into_owned()),
            Block::U64(values) => self.put_list(name, values.into_owned()),
        }
    }

    /// The snapshot as bytes of a safetensors file.
    ///
    /// # Errors
    /// [`OptimError::Format`] if the arrays cannot be written (never for a snapshot made by an optimizer).
    pub fn to_bytes(&self) -> Result<Vec<u8>, OptimError> {
        let format = |e: &dyn std::fmt::Display| OptimError::Format(e.to_string());
        let counters = serde_json::to_string(&self.counters).map_err(|e| format(&e))?;
        let metadata = BTreeMap::from([
            ("kind".to_string(), self.kind.clone()),
            ("counters".to_string(), counters),
        ]);
        let blocks: Vec<_> = self.blocks().map(|(n, b)| (n.to_string(), b)).collect();
        let mut bytes = Vec::new();
        write_blocks(&mut bytes, &metadata, &blocks).map_err(|e| format(&e))?;
        Ok(bytes)
    }

    /// Reads a snapshot back.
    ///
    /// # Errors
    /// [`OptimError::Format`] for bytes that are no such file.
    pub fn from_bytes(bytes: &[u8]) -> Result<State<'static>, OptimError> {
        let (metadata, blocks) = read_blocks(bytes)?;
        let text = |key: &str| metadata.get(key).ok_or_else(|| field(key));
        let mut state = State::new(text("kind")?);
        state.counters = serde_json::from_str(text("counters")?)
            .map_err(|e| OptimError::Format(e.to_string()))?;
        for (name, block) in blocks {
            state.put_block(&name, block);
        }
        Ok(state)
    }
}

fn field(name: &str) -> OptimError {
    OptimError::Field {
        name: name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_bytes_and_refuses_the_wrong_reader() {
        let mut state = State::new("adam").with_counter("steps", 7);
        state.put("first", &[1.0, f32::MIN_POSITIVE, -0.0][..]);
        state.put_sums("alpha", vec![0.1]);
        state.put_list("slots", vec![3, u64::MAX]);
        let mut back = State::from_bytes(&state.to_bytes().unwrap()).unwrap();
        assert_eq!(back, state);
        assert_eq!(back.take_list("slots").unwrap(), [3, u64::MAX]);
        assert!(matches!(
            back.expect_kind("sgd"),
            Err(OptimError::Kind { .. })
        ));
        assert!(matches!(
            back.take("first", 4),
            Err(OptimError::Field { .. })
        ));
        assert!(matches!(
            State::from_bytes(b"nonsense"),
            Err(OptimError::Format(_))
        ));
    }
}
