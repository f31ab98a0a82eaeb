//! Weights on disk: safetensors under the released PyTorch code's names.
//!
//! Owns writing them, so that PyTorch's `load_state_dict` takes them whole, and reading them back with every check
//! (type, shape, missing names). PyTorch's own checkpoints (`.pth`) are read too, whatever their nesting and whatever
//! wrappers put before names, and either may lend all but its head to a network with other classes.

use std::collections::{BTreeMap, BTreeSet};

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors};

use crate::data::DataError;
use crate::data::format::recognise;
use crate::data::format::torch::{self, Candidate, Choose};
use crate::optim::{Entry, Layout, write_header};

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
    safetensors_file(blocks)
}

/// Wider numbers first, then by name, as the format's own library orders them.
fn safetensors_file(mut blocks: Vec<TensorBlock>) -> Result<Vec<u8>, WeightsError> {
    blocks.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    let entries = blocks.iter().map(|(name, dtype, shape, bytes)| Entry {
        name,
        dtype: *dtype,
        shape,
        bytes: bytes.len(),
    });
    let mut file = Vec::new();
    let written = write_header(&mut file, &metadata, entries);
    written.map_err(|e| WeightsError::Format(e.to_string()))?;
    for (.., bytes) in &blocks {
        file.extend_from_slice(bytes);
    }
    Ok(file)
}

/// A safetensors file of [`Learner::weights`](super::Learner::weights) with these texts in its metadata, in their order,
/// beside the `format` that stands there. Not through the format's own map, whose order is another each time: equal
/// weights and texts are equal files.
///
/// # Errors
/// [`WeightsError::Format`] for a file of other makers.
pub fn describe_weights(file: &[u8], texts: &[(&str, &str)]) -> Result<Vec<u8>, WeightsError> {
    const BEGINNING: &str = "{\"__metadata__\":{\"format\":\"pt\"";
    let other = || WeightsError::Format("not a file that this program has made".to_owned());
    let (size, rest) = file.split_first_chunk::<8>().ok_or_else(other)?;
    let size = usize::try_from(u64::from_le_bytes(*size)).map_err(|_| other())?;
    let (header, tensors) = rest.split_at_checked(size).ok_or_else(other)?;
    let header = std::str::from_utf8(header).map_err(|_| other())?;
    let rest = header.strip_prefix(BEGINNING).ok_or_else(other)?;
    let mut header = BEGINNING.to_owned();
    for (key, text) in texts {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        header = format!("{header},{}:{}", quoted(key), quoted(text));
    }
    header.push_str(rest.trim_end());
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let mut described = (header.len() as u64).to_le_bytes().to_vec();
    described.extend_from_slice(header.as_bytes());
    described.extend_from_slice(tensors);
    Ok(described)
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
    /// A tensor holds what no network can start from.
    #[error(
        "tensor `{name}` holds {found}, value {index} of {count}: the file is damaged, or of a training that diverged"
    )]
    Value {
        /// Its name.
        name: String,
        /// What stands there.
        found: f32,
        /// Where, from 1, row-major.
        index: usize,
        /// How many values it has.
        count: usize,
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
/// widths are converted; other tensors (PyTorch's `num_batches_tracked`, masks, 8-bit floats) are left out. Of a
/// checkpoint that holds several dictionaries of tensors it is the usual one; [`fit_weights`] chooses by the network.
///
/// # Errors
/// [`WeightsError::Format`] and [`WeightsError::Checkpoint`].
pub fn read_weights(bytes: &[u8]) -> Result<Weights, WeightsError> {
    read_chosen(bytes, &mut torch::usual)
}

fn read_chosen(bytes: &[u8], choose: Choose<'_>) -> Result<Weights, WeightsError> {
    if torch::is_checkpoint(bytes) {
        return Ok(torch::read_chosen(bytes, "the checkpoint", choose)?);
    }
    let file = open_safetensors(bytes)?;
    let mut weights = BTreeMap::new();
    for (name, view) in file.tensors() {
        let data = view.data();
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => decode(data, f32::from_le_bytes),
            Dtype::F64 => decode(data, |b| f64::from_le_bytes(b) as f32),
            Dtype::F16 => decode(data, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => decode(data, |b| bf16::from_le_bytes(b).to_f32()),
            _ => continue,
        };
        weights.insert(name, (view.shape().to_vec(), values));
    }
    choose(&[candidate(&file)]).map_err(WeightsError::Format)?;
    Ok(weights)
}

fn open_safetensors(bytes: &[u8]) -> Result<SafeTensors<'_>, WeightsError> {
    SafeTensors::deserialize(bytes).map_err(|error| {
        // The first eight bytes of a safetensors file are a size, so that its ninth is the header's `{`.
        let start = bytes.get(..512).unwrap_or(bytes);
        match recognise(start).filter(|_| bytes.get(8) != Some(&b'{')) {
            Some(what) => WeightsError::Format(format!("it is {what}")),
            None => WeightsError::Format(error.to_string()),
        }
    })
}

/// A safetensors file as one dictionary of tensors.
fn candidate(file: &SafeTensors<'_>) -> Candidate {
    let (mut floats, mut others) = (BTreeMap::new(), Vec::new());
    for (name, view) in file.tensors() {
        if matches!(
            view.dtype(),
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::BF16
        ) {
            floats.insert(name, view.shape().to_vec());
        } else {
            others.push((name, format!("{:?}", view.dtype())));
        }
    }
    Candidate {
        path: String::new(),
        floats,
        others,
    }
}

fn decode<const N: usize>(bytes: &[u8], one: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (chunks, _) = bytes.as_chunks::<N>();
    chunks.iter().map(|chunk| one(*chunk)).collect()
}

/// What wrappers of PyTorch put into names, wherever they wrap: `DataParallel`, `torch.compile`, FSDP, checkpointing.
const WRAPPERS: [&str; 4] = [
    "module",
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
];

/// A name without the parts that wrappers put in.
fn bare(name: &str) -> String {
    let parts: Vec<_> = name
        .split('.')
        .filter(|part| !WRAPPERS.contains(part))
        .collect();
    parts.join(".")
}

/// A file's weights as a network's.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// A safetensors file under the network's names: of its tensors those that the file has, and the head that was not
    /// to be taken from it. What is missing or of another shape is for the network's `load` to say.
    pub weights: Vec<u8>,
    /// Where in the file they were: the dictionary of a checkpoint and what stands before every name; empty for names
    /// that are the network's own.
    pub source: String,
    /// The file's names of float tensors beside them, that the network lacks, sorted; of the head only if it was to be
    /// taken.
    pub left_over: Vec<String>,
}

/// One way to read a file: of which dictionary, what stands before every name, and how many of the network's tensors
/// that gives.
struct Reading {
    candidate: usize,
    prefix: String,
    found: usize,
    /// The file's names, by those without wrappers.
    names: BTreeMap<String, String>,
}

/// The ways to read a dictionary that give at least one tensor. Where the names themselves are the network's, that is
/// the one.
fn readings(index: usize, candidate: &Candidate, wanted: &BTreeSet<String>) -> Vec<Reading> {
    let mut names = BTreeMap::new();
    for name in candidate.floats.keys() {
        names.insert(bare(name), name.clone());
    }
    // Two names that wrappers alone keep apart stay as they are.
    if names.len() != candidate.floats.len() {
        names = candidate
            .floats
            .keys()
            .map(|name| (name.clone(), name.clone()))
            .collect();
    }
    let mut prefixes = BTreeSet::new();
    for name in names.keys() {
        let ends = std::iter::once(0).chain(name.match_indices('.').map(|(at, _)| at + 1));
        for (prefix, rest) in ends.filter_map(|at| name.split_at_checked(at)) {
            if wanted.contains(rest) {
                prefixes.insert(prefix.to_owned());
            }
        }
    }
    let count = |prefix: &str| {
        let there = wanted
            .iter()
            .filter(|name| names.contains_key(&format!("{prefix}{name}")));
        there.count()
    };
    // More than a few hundred prefixes are no wrappers.
    let mut readings: Vec<_> = prefixes
        .into_iter()
        .take(200)
        .map(|prefix| Reading {
            candidate: index,
            found: count(&prefix),
            prefix,
            names: names.clone(),
        })
        .collect();
    if readings
        .iter()
        .any(|reading| reading.prefix.is_empty() && reading.found == wanted.len())
    {
        readings.retain(|reading| reading.prefix.is_empty());
    }
    readings
}

/// The reading that gives the most of the network's tensors; several that give as many, and not only a few by chance,
/// are named in the error.
fn best(candidates: &[Candidate], wanted: &BTreeSet<String>) -> Result<Option<Reading>, String> {
    let each = candidates.iter().enumerate();
    let mut all: Vec<Reading> = each
        .flat_map(|(index, c)| readings(index, c, wanted))
        .collect();
    let most = all.iter().map(|reading| reading.found).max().unwrap_or(0);
    all.retain(|reading| reading.found == most);
    if all.len() > 1 && 2 * most >= wanted.len() {
        let names: Vec<_> = all
            .iter()
            .map(|reading| {
                let path = candidates.get(reading.candidate).map_or("", |c| &c.path);
                where_from(path, &reading.prefix)
            })
            .collect();
        return Err(torch::several_fit(names.iter().map(String::as_str)));
    }
    Ok((!all.is_empty()).then(|| all.swap_remove(0)))
}

/// `state_dict, backbone.*`.
fn where_from(path: &str, prefix: &str) -> String {
    match (path, prefix) {
        ("", "") => "the file's own names".to_owned(),
        (path, "") => path.to_owned(),
        ("", prefix) => format!("{prefix}*"),
        (path, prefix) => format!("{path}, {prefix}*"),
    }
}

/// The weights of `file` under the names of a network whose own initial weights are `fresh`: whatever dictionary of a
/// checkpoint holds them, and whatever wrappers and prefixes (`module.`, `net.`, `model.`, `_orig_mod.`, `backbone.`) stand
/// before the names. `fresh_head` is a layer that is taken from `fresh`, so that the classes of `file` do not matter.
///
/// # Errors
/// [`WeightsError`] if one of them cannot be read, several parts of the file fit, or a tensor is not of floats.
pub fn fit_weights(
    file: &[u8],
    fresh: &[u8],
    fresh_head: Option<&str>,
) -> Result<Fitted, WeightsError> {
    let own = read_weights(fresh)?;
    let of_head = |name: &str| {
        name.rsplit_once('.')
            .is_some_and(|(layer, _)| Some(layer) == fresh_head)
    };
    let wanted: BTreeSet<String> = own.keys().filter(|name| !of_head(name)).cloned().collect();
    let (mut reading, mut path, mut others) = (None, String::new(), Vec::new());
    let mut read = read_chosen(file, &mut |candidates| {
        let found = best(candidates, &wanted)?;
        let chosen = match &found {
            Some(reading) => reading.candidate,
            None => torch::usual(candidates)?,
        };
        if let Some(candidate) = candidates.get(chosen) {
            path.clone_from(&candidate.path);
            others.clone_from(&candidate.others);
        }
        reading = found;
        Ok(chosen)
    })?;
    let (prefix, names) = reading.map_or_else(Default::default, |r| (r.prefix, r.names));
    let mut blocks = Vec::new();
    for (name, (shape, values)) in &own {
        if of_head(name) {
            blocks.push(float_block(name.clone(), shape.clone(), values));
            continue;
        }
        let full = format!("{prefix}{name}");
        if let Some((shape, values)) = names.get(&full).and_then(|in_file| read.remove(in_file)) {
            blocks.push(float_block(name.clone(), shape, &values));
        } else if let Some((_, found)) = others.iter().find(|(other, _)| bare(other) == full) {
            let (name, found) = (name.clone(), found.clone());
            return Err(WeightsError::Type { name, found });
        }
    }
    let is_head = |name: &str| bare(name).strip_prefix(&*prefix).is_some_and(of_head);
    // Nothing fits: the file's own names tell why.
    if blocks.iter().all(|(name, ..)| of_head(name)) && !wanted.is_empty() {
        let tensors = read
            .iter()
            .map(|(name, (shape, values))| float_block(name.clone(), shape.clone(), values));
        blocks.extend(tensors.filter(|(name, ..)| !of_head(name)));
    }
    Ok(Fitted {
        weights: safetensors_file(blocks)?,
        source: if path.is_empty() && prefix.is_empty() {
            String::new()
        } else {
            where_from(&path, &prefix)
        },
        left_over: read.into_keys().filter(|name| !is_head(name)).collect(),
    })
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
    // A variance is no less than 0; anything else is finite.
    let variance = name.ends_with(".running_var");
    let bad = |x: &f32| !x.is_finite() || (variance && *x < 0.0);
    if let Some(index) = values.iter().position(bad) {
        return Err(WeightsError::Value {
            name: name.to_string(),
            found: values.get(index).copied().unwrap_or_default(),
            index: index + 1,
            count: values.len(),
        });
    }
    Ok(values.clone())
}

#[cfg(test)]
mod tests;
