//! What an optimizer remembers, as named arrays that can be written to bytes and read back.
//!
//! Owns the record format (a safetensors file whose metadata carries the kind and the counters) and its checks: a
//! record of another optimizer, another model or another length is refused with both values, never half loaded.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

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
    /// The bytes are no record.
    #[error("not a readable optimizer record: {0}")]
    Format(String),
}

/// A snapshot of an optimizer: its kind, its counters and its arrays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    kind: String,
    counters: BTreeMap<String, u64>,
    arrays: BTreeMap<String, Vec<f32>>,
    sums: BTreeMap<String, Vec<f64>>,
}

impl State {
    /// An empty snapshot of the optimizer of this kind.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self {
            kind: kind.to_string(),
            ..Self::default()
        }
    }

    /// Name of the optimizer that made it.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    pub(super) fn with_counter(mut self, name: &str, value: usize) -> Self {
        self.counters.insert(name.to_string(), value as u64);
        self
    }

    pub(super) fn put(&mut self, name: &str, values: &[f32]) {
        self.arrays.insert(name.to_string(), values.to_vec());
    }

    pub(super) fn put_sums(&mut self, name: &str, values: Vec<f64>) {
        self.sums.insert(name.to_string(), values);
    }

    pub(super) fn expect_kind(&self, kind: &str) -> Result<(), OptimError> {
        if self.kind == kind {
            return Ok(());
        }
        Err(OptimError::Kind {
            expected: kind.to_string(),
            found: self.kind.clone(),
        })
    }

    pub(super) fn counter(&self, name: &str) -> Result<usize, OptimError> {
        let field = || OptimError::Field {
            name: name.to_string(),
        };
        usize::try_from(*self.counters.get(name).ok_or_else(field)?).map_err(|_| field())
    }

    pub(super) fn take(&mut self, name: &str, len: usize) -> Result<Vec<f32>, OptimError> {
        self.arrays
            .remove(name)
            .filter(|values| values.len() == len)
            .ok_or_else(|| OptimError::Field {
                name: name.to_string(),
            })
    }

    pub(super) fn take_sums(&mut self, name: &str, len: usize) -> Result<Vec<f64>, OptimError> {
        self.sums
            .remove(name)
            .filter(|values| values.len() == len)
            .ok_or_else(|| OptimError::Field {
                name: name.to_string(),
            })
    }

    /// The snapshot as bytes of a safetensors file.
    ///
    /// # Errors
    /// [`OptimError::Format`] if the arrays cannot be written (never for a snapshot made by an optimizer).
    pub fn to_bytes(&self) -> Result<Vec<u8>, OptimError> {
        let floats = self.arrays.iter().map(|(name, values)| {
            (
                name,
                Dtype::F32,
                values.len(),
                values
                    .iter()
                    .flat_map(|x| x.to_le_bytes())
                    .collect::<Vec<u8>>(),
            )
        });
        let doubles = self.sums.iter().map(|(name, values)| {
            (
                name,
                Dtype::F64,
                values.len(),
                values
                    .iter()
                    .flat_map(|x| x.to_le_bytes())
                    .collect::<Vec<u8>>(),
            )
        });
        let blocks: Vec<_> = floats.chain(doubles).collect();
        let views = blocks
            .iter()
            .map(|(name, dtype, len, bytes)| {
                Ok((name.as_str(), TensorView::new(*dtype, vec![*len], bytes)?))
            })
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(|e| OptimError::Format(e.to_string()))?;
        let counters =
            serde_json::to_string(&self.counters).map_err(|e| OptimError::Format(e.to_string()))?;
        let metadata = HashMap::from([
            ("kind".to_string(), self.kind.clone()),
            ("counters".to_string(), counters),
        ]);
        serialize(views, Some(metadata)).map_err(|e| OptimError::Format(e.to_string()))
    }

    /// Reads a snapshot back.
    ///
    /// # Errors
    /// [`OptimError::Format`] for bytes that are no such file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OptimError> {
        let format = |e: &dyn std::fmt::Display| OptimError::Format(e.to_string());
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| format(&e))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let text = |key: &str| {
            metadata.get(key).cloned().ok_or_else(|| OptimError::Field {
                name: key.to_string(),
            })
        };
        let mut state = Self::new(&text("kind")?);
        state.counters = serde_json::from_str(&text("counters")?).map_err(|e| format(&e))?;
        for (name, view) in SafeTensors::deserialize(bytes)
            .map_err(|e| format(&e))?
            .tensors()
        {
            match view.dtype() {
                Dtype::F32 => {
                    let (chunks, _) = view.data().as_chunks::<4>();
                    state.arrays.insert(
                        name,
                        chunks.iter().map(|c| f32::from_le_bytes(*c)).collect(),
                    );
                }
                Dtype::F64 => {
                    let (chunks, _) = view.data().as_chunks::<8>();
                    state.sums.insert(
                        name,
                        chunks.iter().map(|c| f64::from_le_bytes(*c)).collect(),
                    );
                }
                other => {
                    return Err(OptimError::Format(format!(
                        "array `{name}` has the type {other:?}"
                    )));
                }
            }
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_bytes_and_refuses_the_wrong_reader() {
        let mut state = State::new("adam").with_counter("steps", 7);
        state.put("first", &[1.0, f32::MIN_POSITIVE, -0.0]);
        state.put_sums("alpha", vec![0.1]);
        let mut back = State::from_bytes(&state.to_bytes().unwrap()).unwrap();
        assert_eq!(back, state);
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
