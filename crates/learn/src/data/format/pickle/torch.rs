//! What `torch.save` puts into a pickle: tensors as views of storages that lie outside it.
//!
//! Layout: `torch/serialization.py` (`persistent_id`) and `torch/_utils.py`
//! (`_rebuild_tensor_v2`). A tensor is checked against its storage's claimed size here; that the
//! storage really has that many values is for the reader of the file
//! ([`torch`](crate::data::format::torch)).

use super::machine::Machine;
use super::{Global, Ref, Value};
use crate::data::error::DataError;

/// Bound on the dimensions of a tensor; the weights of a 3-D convolution have five.
pub const MAX_DIMENSIONS: usize = 8;

/// Bound on the length of a storage's key, in bytes; the older format uses addresses in memory.
pub const MAX_KEY: usize = 20;

/// The type of a storage's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// 64-bit float.
    Double,
    /// 32-bit float.
    Float,
    /// 16-bit float.
    Half,
    /// 16-bit float with the exponent of a 32-bit one.
    BFloat16,
    /// An integer or truth value of this many bytes; such tensors are counters, never weights.
    Whole(u8),
}

impl Scalar {
    fn from_storage(name: &str) -> Option<Self> {
        Some(match name {
            "DoubleStorage" => Self::Double,
            "FloatStorage" => Self::Float,
            "HalfStorage" => Self::Half,
            "BFloat16Storage" => Self::BFloat16,
            "LongStorage" => Self::Whole(8),
            "IntStorage" => Self::Whole(4),
            "ShortStorage" => Self::Whole(2),
            "CharStorage" | "ByteStorage" | "BoolStorage" => Self::Whole(1),
            _ => return None,
        })
    }

    /// Bytes a value.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::Double => 8,
            Self::Float => 4,
            Self::Half | Self::BFloat16 => 2,
            Self::Whole(size) => usize::from(size),
        }
    }
}

/// A run of values that lies outside the pickle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Its name in the file, a number; at most [`MAX_KEY`] bytes.
    pub key: String,
    /// Type of its values.
    pub scalar: Scalar,
    /// Number of its values, as claimed.
    pub len: usize,
}

/// A view of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// The storage.
    pub storage: Storage,
    /// Position of the first value in the storage.
    pub offset: usize,
    /// Sizes; at most [`MAX_DIMENSIONS`].
    pub shape: Vec<usize>,
    /// Distance of neighbours along each dimension; every position lies inside the storage's
    /// claimed length (checked).
    pub strides: Vec<usize>,
}

impl Tensor {
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True where there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True where the values lie one after another, the last dimension first.
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        let mut expected = 1_usize;
        self.shape
            .iter()
            .zip(&self.strides)
            .rev()
            .all(|(&size, &stride)| {
                let fits = size == 1 || stride == expected;
                expected = expected.saturating_mul(size.max(1));
                fits
            })
    }
}

impl Global {
    pub(super) fn from_torch_name(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("collections", "OrderedDict") => Some(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Self::RebuildParameter),
            ("torch", storage) => Scalar::from_storage(storage).map(Self::StorageType),
            _ => None,
        }
    }
}

impl Machine<'_, '_> {
    /// `BINPERSID`: the id of a storage, `("storage", type, key, device, length)`, and in the
    /// older format a sixth value that is `None` unless the storage is part of another.
    pub(super) fn storage(&mut self) -> Result<(), DataError> {
        let id = self.pop()?;
        let items = match self.value(id)? {
            Value::Tuple(items) if items.len() <= 6 => items.clone(),
            other => return Err(self.error("the id of a storage", other.kind())),
        };
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            values.push(self.value(item)?);
        }
        let storage = match values.as_slice() {
            [
                Value::Str("storage"),
                Value::Global(Global::StorageType(scalar)),
                Value::Str(key),
                Value::Str(_),
                Value::Int(len),
            ]
            | [
                Value::Str("storage"),
                Value::Global(Global::StorageType(scalar)),
                Value::Str(key),
                Value::Str(_),
                Value::Int(len),
                Value::None,
            ] if key.len() <= MAX_KEY => Storage {
                key: (*key).to_owned(),
                scalar: *scalar,
                len: usize::try_from(*len)
                    .map_err(|_| self.error("a storage length of 0 or more", &len.to_string()))?,
            },
            other => {
                let kinds: Vec<_> = other.iter().map(|value| value.kind()).collect();
                let expected = "the id of a storage (\"storage\", type, key, device, length)";
                return Err(self.error(expected, &format!("({})", kinds.join(", "))));
            }
        };
        self.push(Value::Storage(Box::new(storage)))
    }

    /// A view whose every position lies inside its storage.
    pub(super) fn tensor(
        &self,
        storage: &Storage,
        offset: i64,
        shape: &[Ref],
        strides: &[Ref],
    ) -> Result<Tensor, DataError> {
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        let offset = usize::try_from(offset)
            .map_err(|_| self.error("a storage offset of 0 or more", &offset.to_string()))?;
        if shape.len() != strides.len() {
            return Err(self.error(
                &format!("{} strides", shape.len()),
                &strides.len().to_string(),
            ));
        }
        let count = shape
            .iter()
            .try_fold(1_usize, |product, &size| product.checked_mul(size));
        let last = shape
            .iter()
            .zip(&strides)
            .try_fold(offset, |at, (&size, &stride)| {
                size.saturating_sub(1)
                    .checked_mul(stride)
                    .and_then(|step| at.checked_add(step))
            });
        let fits = count == Some(0) || last.is_some_and(|last| last < storage.len);
        if count.is_none() || !fits {
            return Err(self.error(
                &format!("a tensor inside its storage of {} values", storage.len),
                &format!("sizes {shape:?} with strides {strides:?} from value {offset}"),
            ));
        }
        Ok(Tensor {
            storage: storage.clone(),
            offset,
            shape,
            strides,
        })
    }

    fn sizes(&self, items: &[Ref]) -> Result<Vec<usize>, DataError> {
        if items.len() > MAX_DIMENSIONS {
            return Err(self.error(
                &format!("at most {MAX_DIMENSIONS} dimensions"),
                &items.len().to_string(),
            ));
        }
        let mut sizes = Vec::with_capacity(items.len());
        for &item in items {
            let size = match self.value(item)? {
                Value::Int(size) => usize::try_from(*size).ok(),
                _ => None,
            };
            sizes.push(
                size.ok_or_else(|| self.error("a size or stride of 0 or more", "another value"))?,
            );
        }
        Ok(sizes)
    }
}
