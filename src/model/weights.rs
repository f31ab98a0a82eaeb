//! Weights on disk: safetensors under the released PyTorch code's names.
//!
//! Owns writing them, so that PyTorch's `load_state_dict` takes them whole, and reading them back with every check
//! (type, shape, missing names). PyTorch's own checkpoints (`.pth`) are read too, and either may lend all but its head
//! to a network with other classes.

use std::collections::{BTreeMap, HashMap};

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use crate::data::DataError;
use crate::data::format::torch;
use crate::optim::Layout;

/// A named tensor of single-precision values.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatTensor {
    /// Under the released code's names.
    pub name: String,
    /// As PyTorch has it.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
}

impl FloatTensor {
    /// The tensors of a flat vector.
    pub(super) fn of_layout<'a>(
        layout: &'a Layout,
        flat: &'a [f32],
    ) -> impl Iterator<Item = Self> + 'a {
        layout.slots().iter().map(|slot| Self {
            name: slot.name.clone(),
            shape: slot.shape.clone(),
            values: flat[slot.range.clone()].to_vec(),
        })
    }
}

/// Name, type, shape and bytes of a tensor in a file.
type TensorBlock = (String, Dtype, Vec<usize>, Vec<u8>);

fn float_block(name: String, shape: Vec<usize>, values: &[f32]) -> TensorBlock {
    let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    (name, Dtype::F32, shape, bytes)
}

/// A safetensors file of these tensors; beside every running variance stands `num_batches_tracked`. `idle` are norms
/// (name and channels) that are as they were made.
pub(super) fn write_weights(
    tensors: &[FloatTensor],
    batches: i64,
    idle: &[(&str, usize)],
) -> Result<Vec<u8>, WeightsError> {
    let tracked = |norm: &str, batches: i64| {
        let name = format!("{norm}.num_batches_tracked");
        (name, Dtype::I64, vec![], batches.to_le_bytes().to_vec())
    };
    let mut blocks = Vec::new();
    for tensor in tensors {
        if let Some(norm) = tensor.name.strip_suffix(".running_var") {
            blocks.push(tracked(norm, batches));
        }
        let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
        blocks.push(float_block(name, shape, &tensor.values));
    }
    for &(norm, channels) in idle {
        let constants = [
            ("weight", 1.0),
            ("bias", 0.0),
            ("running_mean", 0.0),
            ("running_var", 1.0),
        ];
        for (what, value) in constants {
            let name = format!("{norm}.{what}");
            blocks.push(float_block(name, vec![channels], &vec![value; channels]));
        }
        blocks.push(tracked(norm, 0));
    }
    safetensors_file(&blocks)
}

fn safetensors_file(blocks: &[TensorBlock]) -> Result<Vec<u8>, WeightsError> {
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
    /// The bytes are a PyTorch checkpoint that cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] DataError),
    /// A tensor is of the wrong type.
    #[error("tensor `{name}` has the type {found}; floats (F32, F64, F16 or BF16) are needed")]
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

/// Reads all float tensors of a safetensors file or a PyTorch checkpoint: name → shape and values. Floats of other
/// widths are converted; integer tensors (PyTorch's `num_batches_tracked`) are left out.
///
/// # Errors
/// [`WeightsError::Format`], [`WeightsError::Checkpoint`] and [`WeightsError::Type`].
pub fn read_weights(bytes: &[u8]) -> Result<Weights, WeightsError> {
    if torch::is_checkpoint(bytes) {
        return Ok(torch::read_state_dict(bytes, "the checkpoint")?);
    }
    let file = SafeTensors::deserialize(bytes).map_err(|e| WeightsError::Format(e.to_string()))?;
    let mut weights = BTreeMap::new();
    for (name, view) in file.tensors() {
        let data = view.data();
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => decode(data, f32::from_le_bytes),
            Dtype::F64 => decode(data, |b| f64::from_le_bytes(b) as f32),
            Dtype::F16 => decode(data, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => decode(data, |b| bf16::from_le_bytes(b).to_f32()),
            Dtype::I64 | Dtype::I32 => continue,
            other => {
                return Err(WeightsError::Type {
                    name,
                    found: format!("{other:?}"),
                });
            }
        };
        weights.insert(name, (view.shape().to_vec(), values));
    }
    Ok(weights)
}

fn decode<const N: usize>(bytes: &[u8], one: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (chunks, _) = bytes.as_chunks::<N>();
    chunks.iter().map(|chunk| one(*chunk)).collect()
}

/// What wrappers put before every name (`net.` in the released code, `module.` by PyTorch's `DataParallel`).
const WRAPPERS: [&str; 2] = ["net.", "module."];

/// The weights of `file` with the layer `head` taken from `fresh`, a file of the network's own initial weights, so that
/// the classes of `file` do not matter. Its names may all begin with `net.` or `module.`.
///
/// # Errors
/// [`WeightsError`] if one of them cannot be read.
pub fn with_fresh_head(file: &[u8], fresh: &[u8], head: &str) -> Result<Vec<u8>, WeightsError> {
    let (mut file, fresh) = (read_weights(file)?, read_weights(fresh)?);
    for wrapper in WRAPPERS {
        let bare: Option<Weights> = file
            .iter()
            .map(|(name, tensor)| Some((name.strip_prefix(wrapper)?.to_string(), tensor.clone())))
            .collect();
        file = bare.unwrap_or(file);
    }
    let of_head = |name: &str| {
        name.rsplit_once('.')
            .is_some_and(|(layer, _)| layer == head)
    };
    file.retain(|name, _| !of_head(name));
    file.extend(fresh.into_iter().filter(|(name, _)| of_head(name)));
    let blocks: Vec<_> = file
        .into_iter()
        .map(|(name, (shape, values))| float_block(name, shape, &values))
        .collect();
    safetensors_file(&blocks)
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
