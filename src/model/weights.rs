//! Weights on disk: safetensors under the released PyTorch code's names.
//!
//! Owns reading them back with every check (type, shape, missing and unknown names); writing is
//! [`Learner::weights`](super::Learner::weights).

use std::collections::BTreeMap;

use safetensors::tensor::{Dtype, SafeTensors};

/// Why a weights file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The bytes are no safetensors file.
    #[error("not a readable safetensors file: {0}")]
    Format(String),
    /// A tensor is of the wrong type.
    #[error("tensor `{name}` has the type {found}; single-precision floats (F32) are needed")]
    Type {
        /// Its name.
        name: String,
        /// Its type.
        found: String,
    },
    /// A tensor is missing.
    #[error("tensor `{name}` is missing; the file has {available}")]
    Missing {
        /// Its name.
        name: String,
        /// What the file has.
        available: String,
    },
    /// A tensor has another shape.
    #[error("tensor `{name}` has the shape {found:?}; this model needs {expected:?}")]
    Shape {
        /// Its name.
        name: String,
        /// The model's shape.
        expected: Vec<usize>,
        /// The file's shape.
        found: Vec<usize>,
    },
}

/// Reads all float tensors of a safetensors file: name → shape and values. Integer tensors (PyTorch's
/// `num_batches_tracked`) are left out.
///
/// # Errors
/// [`WeightsError::Format`] and [`WeightsError::Type`].
pub fn read_weights(bytes: &[u8]) -> Result<BTreeMap<String, (Vec<usize>, Vec<f32>)>, WeightsError> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| WeightsError::Format(e.to_string()))?;
    let mut weights = BTreeMap::new();
    for (name, view) in file.tensors() {
        match view.dtype() {
            Dtype::F32 => {
                let (chunks, _) = view.data().as_chunks::<4>();
                let values = chunks.iter().map(|c| f32::from_le_bytes(*c)).collect();
                weights.insert(name, (view.shape().to_vec(), values));
            }
            Dtype::I64 | Dtype::I32 => {}
            other => return Err(WeightsError::Type { name, found: format!("{other:?}") }),
        }
    }
    Ok(weights)
}

pub(super) fn take_weight(
    weights: &BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    name: &str,
    shape: &[usize],
) -> Result<Vec<f32>, WeightsError> {
    let Some((found, values)) = weights.get(name) else {
        let available = weights.keys().take(8).cloned().collect::<Vec<_>>().join(", ");
        return Err(WeightsError::Missing { name: name.to_string(), available });
    };
    if found != shape {
        let (expected, found) = (shape.to_vec(), found.clone());
        return Err(WeightsError::Shape { name: name.to_string(), expected, found });
    }
    Ok(values.clone())
}
