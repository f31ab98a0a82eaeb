//! Weights out of a `PyTorch` checkpoint (`.pth`, `.pt`): the float tensors of a `state_dict`.
//!
//! Two formats, both as `torch/serialization.py` writes them. Since 2020 (`PyTorch` 1.6) a checkpoint
//! is a zip archive of stored members: `NAME/data.pkl`, a pickle whose tensors name their storages,
//! and a member `NAME/data/KEY` for each storage. Before, it was five pickles in a row (a magic
//! number, a version, the writer's byte order, the object, the list of storage keys) and then the
//! storages, each after its length.
//!
//! No Python code is run: the pickle reader knows tensors, storages and plain values and refuses
//! everything else, and a compressed member is refused. Memory is bounded by the file: the tensors
//! may together have at most as many values as the file has bytes (tensors may share a storage).

use std::collections::{BTreeMap, HashMap, HashSet};

use half::{bf16, f16};
use rawzip::{CompressionMethod, ZipArchive, ZipVerification, crc32};

use super::pickle::{Pickle, Ref, Scalar, Tensor, Value};
use crate::data::error::DataError;
use crate::data::image_set::hex;

/// Shape and values of tensors, by name.
pub type StateDict = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// First bytes of a zip archive that is not empty.
const ZIP: &[u8] = b"PK\x03\x04";
/// The older format's magic number, a pickle of its own.
const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
/// Bound on the members of the archive; a large network has a few thousand tensors.
const MAX_MEMBERS: usize = 100_000;
/// Where training scripts put the `state_dict` in a checkpoint that holds more.
const NESTED: [&str; 8] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
    "weights",
];
/// Bound on dictionaries in dictionaries that are looked into.
const MAX_DEPTH: usize = 6;
/// Bound on the dictionaries with tensors that are looked at: an optimizer has one a parameter.
const MAX_CANDIDATES: usize = 10_000;

/// A dictionary of a checkpoint that holds tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The keys that lead to it, joined by dots; empty for the checkpoint itself.
    pub path: String,
    /// Sizes of its float tensors, by name.
    pub floats: BTreeMap<String, Vec<usize>>,
    /// Names and types of its other tensors.
    pub others: Vec<(String, String)>,
}

impl Candidate {
    /// Its path for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        if self.path.is_empty() {
            "the file itself"
        } else {
            &self.path
        }
    }

    /// Whether it lies where training scripts put the `state_dict`.
    fn is_usual(&self) -> bool {
        self.path.is_empty() || NESTED.contains(&&*self.path)
    }
}

/// Which of several dictionaries is the `state_dict`, without knowing the network: the one with the most float tensors
/// among those in the usual places (or among all, where those have none); `Err` names those between which that does
/// not decide. What is nested goes before the checkpoint itself, whose tensors then are counters or scores.
///
/// # Errors
///
/// What is wrong, for a message.
pub fn usual(candidates: &[Candidate]) -> Result<usize, String> {
    let of = |usual: bool| {
        let all = candidates.iter().enumerate();
        all.filter(move |(_, c)| c.is_usual() == usual && !c.floats.is_empty())
    };
    let some: Vec<_> = if of(true).next().is_some() {
        of(true)
    } else {
        of(false)
    }
    .collect();
    let most = some.iter().map(|(_, c)| c.floats.len()).max().unwrap_or(0);
    let mut largest: Vec<_> = some
        .into_iter()
        .filter(|(_, c)| c.floats.len() == most)
        .collect();
    if largest.len() > 1 {
        largest.retain(|(_, candidate)| !candidate.path.is_empty());
    }
    match largest.as_slice() {
        [(index, _)] => Ok(*index),
        [] => Ok(0),
        several => Err(several_fit(several.iter().map(|(_, c)| c.name()))),
    }
}

/// Several dictionaries could be meant.
pub fn several_fit<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.take(10).collect();
    format!(
        "it holds several sets of weights that fit ({}), and nothing says which is meant",
        names.join(", ")
    )
}

/// True where a file starts as a checkpoint of either format does.
#[must_use]
pub fn is_checkpoint(bytes: &[u8]) -> bool {
    bytes.starts_with(ZIP) || bytes.starts_with(LEGACY)
}

/// The float tensors of the checkpoint's `state_dict` in single precision (16-bit and 64-bit floats
/// are converted). Integer tensors (`num_batches_tracked`) and values that are no tensors are left
/// out. `file` names it in errors.
///
/// The `state_dict` is the one that [`usual`] chooses.
///
/// # Errors
///
/// [`DataError::Checkpoint`], and all that [`Pickle::parse_torch`] gives.
pub fn read_state_dict(bytes: &[u8], file: &str) -> Result<StateDict, DataError> {
    read_chosen(bytes, file, &mut usual)
}

/// Chooses among the dictionaries of a checkpoint that hold tensors (at least one), by its place; `Err` says what is
/// wrong with all.
pub type Choose<'a> = &'a mut dyn FnMut(&[Candidate]) -> Result<usize, String>;

/// As [`read_state_dict`], of the dictionary that `choose` chooses; the others' tensors are not decoded.
///
/// # Errors
///
/// As [`read_state_dict`]; what `choose` says, as [`DataError::Checkpoint`].
pub fn read_chosen(bytes: &[u8], file: &str, choose: Choose<'_>) -> Result<StateDict, DataError> {
    if bytes.starts_with(ZIP) {
        read_zip(bytes, file, choose)
    } else if bytes.starts_with(LEGACY) {
        read_legacy(bytes, file, choose)
    } else {
        Err(DataError::BadMagic {
            file: file.to_owned(),
            expected: "a PyTorch checkpoint (504b0304 or 80028a0a6cfc9c46f9206aa85019)".to_owned(),
            found: hex(bytes.get(..4).unwrap_or(bytes)),
        })
    }
}

fn bad(file: &str, problem: impl Into<String>) -> DataError {
    DataError::Checkpoint {
        file: file.to_owned(),
        problem: problem.into(),
    }
}

/// The zip format.
fn read_zip(bytes: &[u8], file: &str, choose: Choose<'_>) -> Result<StateDict, DataError> {
    let zip = |e: rawzip::Error| bad(file, format!("as a zip archive it is damaged ({e})"));
    let archive = ZipArchive::from_slice(bytes).map_err(zip)?;
    let mut members = HashMap::new();
    let mut entries = archive.entries();
    while let Some(entry) = entries.next_entry().map_err(zip)? {
        let name = entry.file_path();
        let name = String::from_utf8_lossy(name.as_ref()).into_owned();
        if members.len() == MAX_MEMBERS {
            return Err(bad(file, format!("it has more than {MAX_MEMBERS} members")));
        }
        let method = entry.compression_method();
        if members
            .insert(name.clone(), (method, entry.wayfinder()))
            .is_some()
        {
            return Err(bad(file, format!("it has two members {name:.200}")));
        }
    }
    let member = |name: &str| -> Result<Option<&[u8]>, DataError> {
        let Some((method, wayfinder)) = members.get(name) else {
            return Ok(None);
        };
        if *method != CompressionMethod::STORE {
            return Err(bad(file, format!("its member {name:.200} is compressed")));
        }
        let entry = archive.get_entry(*wayfinder).map_err(zip)?;
        let data = entry.data();
        let found = ZipVerification {
            crc: crc32(data),
            uncompressed_size: data.len() as u64,
        };
        entry
            .claim_verifier()
            .valid(found)
            .map_err(|e| bad(file, format!("its member {name:.200} is damaged ({e})")))?;
        Ok(Some(data))
    };
    let mut roots = members
        .keys()
        .filter_map(|name| name.strip_suffix("data.pkl"));
    let root = match (roots.next(), roots.next()) {
        (Some(root), None) if root.is_empty() || root.ends_with('/') => root,
        _ if members.keys().any(|name| name.contains(".npy")) => {
            return Err(bad(file, "it is an archive of NumPy arrays (.npz)"));
        }
        _ => {
            let mut names: Vec<_> = members.keys().map(|name| format!("{name:.60}")).collect();
            names.sort_unstable();
            names.truncate(5);
            let problem = format!(
                "it is a zip archive with no member data.pkl, or several; it has [{}]",
                names.join(", ")
            );
            return Err(bad(file, problem));
        }
    };
    if members.contains_key(&format!("{root}constants.pkl")) {
        return Err(bad(file, "it is a TorchScript program, not a state_dict"));
    }
    if member(&format!("{root}byteorder"))?.is_some_and(|order| order != b"little") {
        return Err(bad(file, "its values are big-endian"));
    }
    let pickled = member(&format!("{root}data.pkl"))?.unwrap_or_default();
    let name = format!("{file}: {root}data.pkl");
    let (pickle, end) = Pickle::parse_torch(pickled, &name)?;
    if end < pickled.len() {
        return Err(DataError::TrailingBytes {
            file: name,
            found: pickled.len() as u64,
            expected: end as u64,
        });
    }
    collect(&pickle, bytes.len(), file, choose, |key| {
        member(&format!("{root}data/{key}"))
    })
}

/// The older format.
fn read_legacy(bytes: &[u8], file: &str, choose: Choose<'_>) -> Result<StateDict, DataError> {
    let mut at = LEGACY.len();
    let mut next = || {
        let rest = bytes.get(at..).unwrap_or_default();
        let parsed = Pickle::parse_torch(rest, file)?;
        at += parsed.1;
        Ok::<_, DataError>(parsed.0)
    };
    let version = next()?;
    if version.get(version.root()) != Some(&Value::Int(1001)) {
        return Err(bad(file, "its format version is not 1001"));
    }
    let system = next()?;
    let little = system.lookup(system.root(), "little_endian");
    if little.and_then(|value| system.get(value)) != Some(&Value::Bool(true)) {
        return Err(bad(file, "its values are not marked as little-endian"));
    }
    let object = next()?;
    let keys = next()?;
    let Some(Value::List(keys_list)) = keys.get(keys.root()) else {
        return Err(bad(file, "the list of its storages is missing"));
    };
    // How many bytes a storage has depends on its type, which the object tells.
    let types: HashMap<&str, _> = object.storages().map(|s| (s.key.as_str(), s)).collect();
    let mut storages: HashMap<&str, &[u8]> = HashMap::new();
    for &key in keys_list {
        let Some(&Value::Str(key)) = keys.get(key) else {
            return Err(bad(file, "a storage's key is no text"));
        };
        let Some(storage) = types.get(key) else {
            return Err(bad(
                file,
                format!("it does not say what storage {key:.40} is"),
            ));
        };
        let truncated = |end: usize| DataError::Truncated {
            file: file.to_owned(),
            found: bytes.len() as u64,
            expected: end as u64,
        };
        let start = at.saturating_add(8);
        let len = bytes
            .get(at..start)
            .and_then(|b| <[u8; 8]>::try_from(b).ok());
        let len = u64::from_le_bytes(len.ok_or_else(|| truncated(start))?);
        if len != storage.len as u64 {
            return Err(bad(
                file,
                format!(
                    "storage {key:.40} has {len} values, its tensor says {}",
                    storage.len
                ),
            ));
        }
        let end = start.saturating_add(storage.len.saturating_mul(storage.scalar.size()));
        let data = bytes.get(start..end).ok_or_else(|| truncated(end))?;
        storages.insert(key, data);
        at = end;
    }
    if at != bytes.len() {
        return Err(DataError::TrailingBytes {
            file: file.to_owned(),
            found: bytes.len() as u64,
            expected: at as u64,
        });
    }
    collect(&object, bytes.len(), file, choose, |key| {
        Ok(storages.get(key).copied())
    })
}

/// The text of a key, whether a `str` or a `str` of Python 2.
fn text<'p>(pickle: &'p Pickle<'_>, key: Ref) -> Option<&'p str> {
    match pickle.get(key)? {
        Value::Str(text) => Some(text),
        Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// The tensors in a dictionary, by name.
fn of_dict<'p>(pickle: &'p Pickle<'_>, dict: Ref) -> Vec<(&'p str, &'p Tensor)> {
    let Some(Value::Dict(items)) = pickle.get(dict) else {
        return Vec::new();
    };
    let pairs = items
        .iter()
        .map(|&(name, value)| (text(pickle, name), pickle.get(value)));
    pairs
        .filter_map(|pair| match pair {
            (Some(name), Some(Value::Tensor(tensor))) => Some((name, &**tensor)),
            _ => None,
        })
        .collect()
}

/// All dictionaries with tensors, the outer before the inner.
fn candidates(pickle: &Pickle<'_>) -> Vec<(Ref, Candidate)> {
    let mut found = Vec::new();
    let mut seen = HashSet::from([pickle.root()]);
    let mut level = vec![(pickle.root(), String::new())];
    for _ in 0..MAX_DEPTH {
        let mut below = Vec::new();
        for (dict, path) in level {
            let tensors = of_dict(pickle, dict);
            if !tensors.is_empty() && found.len() < MAX_CANDIDATES {
                let (mut floats, mut others) = (BTreeMap::new(), Vec::new());
                for (name, tensor) in tensors {
                    if let Scalar::Whole(size) = tensor.storage.scalar {
                        others.push((name.to_owned(), format!("integers of {size} bytes")));
                    } else {
                        floats.insert(name.to_owned(), tensor.shape.clone());
                    }
                }
                let path = path.clone();
                found.push((
                    dict,
                    Candidate {
                        path,
                        floats,
                        others,
                    },
                ));
            }
            let Some(Value::Dict(items)) = pickle.get(dict) else {
                continue;
            };
            for &(key, value) in items {
                let is_dict = matches!(pickle.get(value), Some(Value::Dict(_)));
                // A dictionary that stands in several places is one.
                if is_dict && below.len() < MAX_CANDIDATES && seen.insert(value) {
                    let key = match (text(pickle, key), pickle.get(key)) {
                        (Some(text), _) => format!("{text:.60}"),
                        (None, Some(Value::Int(number))) => number.to_string(),
                        _ => "?".to_owned(),
                    };
                    let path = if path.is_empty() {
                        key
                    } else {
                        format!("{path}.{key}")
                    };
                    below.push((value, path));
                }
            }
        }
        level = below;
    }
    found
}

/// Decodes the float tensors.
fn collect<'b>(
    pickle: &Pickle<'_>,
    budget: usize,
    file: &str,
    choose: Choose<'_>,
    storage: impl Fn(&str) -> Result<Option<&'b [u8]>, DataError>,
) -> Result<StateDict, DataError> {
    let (dicts, candidates): (Vec<_>, Vec<_>) = candidates(pickle).into_iter().unzip();
    if candidates.is_empty() {
        let kind = pickle.kind(pickle.root());
        return Err(bad(
            file,
            format!("it holds {kind} without tensors where a state_dict is needed"),
        ));
    }
    let chosen = choose(&candidates).map_err(|problem| bad(file, problem))?;
    let dict = dicts.get(chosen).copied().unwrap_or(pickle.root());
    let mut left = budget;
    let mut checked: HashMap<&str, &[u8]> = HashMap::new();
    let mut weights = StateDict::new();
    for (name, tensor) in of_dict(pickle, dict) {
        if matches!(tensor.storage.scalar, Scalar::Whole(_)) {
            continue;
        }
        let key = tensor.storage.key.as_str();
        let bytes = if let Some(bytes) = checked.get(key) {
            bytes
        } else {
            let bytes = storage(key)?
                .ok_or_else(|| bad(file, format!("the values of `{name:.200}` are missing")))?;
            checked.insert(key, bytes);
            bytes
        };
        let needed = tensor.storage.len.checked_mul(tensor.storage.scalar.size());
        if needed != Some(bytes.len()) {
            let (found, len) = (bytes.len(), tensor.storage.len);
            let problem =
                format!("the storage of `{name:.200}` has {found} bytes for {len} values");
            return Err(bad(file, problem));
        }
        let Some(rest) = left.checked_sub(tensor.len()) else {
            return Err(DataError::TooLarge {
                file: file.to_owned(),
                what: "number of values of its tensors (they may not be more than the file's bytes)",
                found: budget as u64 + 1,
                limit: budget as u64,
            });
        };
        left = rest;
        weights.insert(
            name.to_owned(),
            (tensor.shape.clone(), decode(tensor, bytes)),
        );
    }
    Ok(weights)
}

/// The values of a tensor, the last dimension first; its positions lie inside `bytes`.
fn decode(tensor: &Tensor, bytes: &[u8]) -> Vec<f32> {
    let size = tensor.storage.scalar.size();
    let one = |at: usize| {
        let value = bytes.get(at * size..(at + 1) * size).unwrap_or_default();
        number(tensor.storage.scalar, value)
    };
    if tensor.is_contiguous() {
        let end = tensor.offset + tensor.len();
        return (tensor.offset..end).map(one).collect();
    }
    let mut position = vec![0; tensor.shape.len()];
    let mut values = Vec::with_capacity(tensor.len());
    for _ in 0..tensor.len() {
        let steps = position
            .iter()
            .zip(&tensor.strides)
            .map(|(i, stride)| i * stride);
        values.push(one(tensor.offset + steps.sum::<usize>()));
        for (i, &size) in position.iter_mut().zip(&tensor.shape).rev() {
            *i += 1;
            if *i < size {
                break;
            }
            *i = 0;
        }
    }
    values
}

/// One value; NaN for bytes of another length, which the caller has ruled out.
fn number(scalar: Scalar, bytes: &[u8]) -> f32 {
    match (scalar, bytes) {
        (Scalar::Float, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
        (Scalar::Half, &[a, b]) => f16::from_le_bytes([a, b]).to_f32(),
        (Scalar::BFloat16, &[a, b]) => bf16::from_le_bytes([a, b]).to_f32(),
        (Scalar::Double, &[a, b, c, d, e, f, g, h]) => {
            f64::from_le_bytes([a, b, c, d, e, f, g, h]) as f32
        }
        _ => f32::NAN,
    }
}

#[cfg(test)]
mod tests;
