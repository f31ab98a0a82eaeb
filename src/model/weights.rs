//! Weights on disk: safetensors under the released PyTorch code's names.
//!
//! Owns writing them, so that PyTorch's `load_state_dict` takes them whole, and reading them back with every check
//! (type, shape, missing names).

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

/// A named tensor of single-precision values.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FloatTensor {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

/// A safetensors file of these tensors; beside every running variance stands `num_batches_tracked`.
pub(super) fn write_weights(
    tensors: &[FloatTensor],
    batches: i64,
) -> Result<Vec<u8>, WeightsError> {
    let mut blocks: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for tensor in tensors {
        if let Some(norm) = tensor.name.strip_suffix(".running_var") {
            let tracked = format!("{norm}.num_batches_tracked");
            blocks.push((tracked, Dtype::I64, vec![], batches.to_le_bytes().to_vec()));
        }
        let bytes = tensor.values.iter().flat_map(|x| x.to_le_bytes()).collect();
        blocks.push((tensor.name.clone(), Dtype::F32, tensor.shape.clone(), bytes));
    }
    let format = |e: safetensors::SafeTensorError| WeightsError::Format(e.to_string());
    let views = blocks
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(format)?;
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    serialize(views, Some(metadata)).map_err(format)
}

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

/// Shape and values of tensors, by name.
pub type Weights = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Reads all float tensors of a safetensors file: name → shape and values. Integer tensors (PyTorch's
/// `num_batches_tracked`) are left out.
///
/// # Errors
/// [`WeightsError::Format`] and [`WeightsError::Type`].
pub fn read_weights(bytes: &[u8]) -> Result<Weights, WeightsError> {
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
            other => {
                return Err(WeightsError::Type {
                    name,
                    found: format!("{other:?}"),
                });
            }
        }
    }
    Ok(weights)
}

pub(super) fn take_weight(
    weights: &Weights,
    name: &str,
    shape: &[usize],
) -> Result<Vec<f32>, WeightsError> {
    let Some((found, values)) = weights.get(name) else {
        let available = weights
            .keys()
            .take(8)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        return Err(WeightsError::Missing {
            name: name.to_string(),
            available,
        });
    };
    if found != shape {
        let (expected, found) = (shape.to_vec(), found.clone());
        return Err(WeightsError::Shape {
            name: name.to_string(),
            expected,
            found,
        });
    }
    Ok(values.clone())
}
