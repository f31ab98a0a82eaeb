//! A reader for the safe part of Python's pickle format, protocols 2 to 5.
//!
//! A pickle is a program for a small stack machine that may call any Python function; this machine
//! knows plain values (None, bool, int, float, str, bytes, list, tuple, dict) and the handful of
//! functions that rebuild a `NumPy` array or (in its own dialect) a `PyTorch` tensor, and refuses
//! everything else. Reading never runs code.
//!
//! Two decisions shape it. Values live in an arena and refer to each other by [`Ref`], because a
//! pickle may share values and even make cycles: a tree of owned values could be exponentially
//! large or endless. And bytes and text are borrowed from the input, so that an array costs no
//! copy; only `NumPy` arrays written by Python 3 in protocol 2 (latin-1 text) are decoded to owned
//! bytes.
//!
//! Memory is bounded by the input's size (decoded bytes) plus 128 bytes for each of at most
//! [`MAX_OPS`] opcodes (values and references; a tensor takes three opcodes), 256 MiB in all; a file
//! that needs more is refused.
//!
//! Format: Python's `Lib/pickletools.py`. Array layout: `numpy/_core/multiarray`,
//! `ndarray.__reduce_ex__`.

mod machine;
mod numpy;
mod torch;

use std::borrow::Cow;

pub use torch::{MAX_DIMENSIONS, MAX_KEY, Scalar, Storage, Tensor};

use crate::data::error::DataError;

/// Bound on the number of opcodes: each makes at most one value and one reference. The known
/// files need at most about 250,000.
pub const MAX_OPS: usize = 1 << 21;

/// A value's place in its [`Pickle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ref(u32);

/// One value; containers hold references to others.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of at most 64 bits; larger ones are errors.
    Int(i64),
    /// A float.
    Float(f64),
    /// `bytes`, `bytearray`, or a `str` of Python 2.
    Bytes(Cow<'a, [u8]>),
    /// A `str` of Python 3 (or `unicode` of Python 2).
    Str(&'a str),
    /// A list.
    List(Vec<Ref>),
    /// A tuple.
    Tuple(Vec<Ref>),
    /// A dict, in the order of insertion; a key may occur again, then the last one counts.
    Dict(Vec<(Ref, Ref)>),
    /// One of the permitted functions or classes.
    Global(Global),
    /// A `NumPy` data type.
    Dtype(Dtype),
    /// A `NumPy` array.
    Array(Box<Array>),
    /// Values of a `PyTorch` tensor, which lie outside the pickle.
    Storage(Box<Storage>),
    /// A `PyTorch` tensor.
    Tensor(Box<Tensor>),
}

impl Value<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an int",
            Self::Float(_) => "a float",
            Self::Bytes(_) => "bytes",
            Self::Str(_) => "a str",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Dict(_) => "a dict",
            Self::Global(_) => "a function",
            Self::Dtype(_) => "a NumPy dtype",
            Self::Array(_) => "a NumPy array",
            Self::Storage(_) => "a PyTorch storage",
            Self::Tensor(_) => "a PyTorch tensor",
        }
    }
}

/// The functions and classes that a pickle may name. A new one needs an arm in
/// `Machine::reduce`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Global {
    /// `numpy.core.multiarray._reconstruct`: an empty array, filled by a later `BUILD`.
    Reconstruct,
    /// `numpy.core.numeric._frombuffer`: an array, as protocol 5 writes it.
    FromBuffer,
    /// `numpy.ndarray`, only an argument of `_reconstruct`.
    NdArray,
    /// `numpy.dtype`.
    Dtype,
    /// `_codecs.encode`, only with `latin1`: how Python 3 writes bytes in protocol 2.
    Encode,
    /// `collections.OrderedDict`, only empty: what `state_dict` fills.
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2`: a tensor from a storage.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`: a tensor that is trained.
    RebuildParameter,
    /// `torch.FloatStorage` and its like, only in the id of a storage.
    StorageType(Scalar),
}

/// Which functions a pickle may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// Those of `NumPy` arrays.
    Numpy,
    /// Those of `PyTorch` tensors, whose values lie outside the pickle.
    Torch,
}

/// A `NumPy` data type of plain numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dtype {
    /// `b` bool, `i` signed, `u` unsigned, `f` float.
    pub kind: char,
    /// Bytes an element: 1, 2, 4 or 8.
    pub size: usize,
    /// Whether elements of more than one byte are big-endian.
    pub big_endian: bool,
}

impl Dtype {
    /// Unsigned bytes, the type of pixels.
    pub const U8: Self = Self {
        kind: 'u',
        size: 1,
        big_endian: false,
    };
}

/// A `NumPy` array; its bytes are a value of their own, see [`Pickle::array_bytes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// Sizes; their product times the element size is the number of bytes (checked).
    pub shape: Vec<usize>,
    /// Element type.
    pub dtype: Dtype,
    /// Whether elements are in column-major (Fortran) order.
    pub fortran_order: bool,
    data: Option<Ref>,
}

/// A parsed pickle: all its values and which one it is.
#[derive(Debug, Clone)]
pub struct Pickle<'a> {
    values: Vec<Value<'a>>,
    root: Ref,
}

impl<'a> Pickle<'a> {
    /// Parses a whole pickle; `file` names it in errors.
    ///
    /// # Errors
    ///
    /// [`DataError::Pickle`] for anything outside the safe subset, [`DataError::Truncated`],
    /// [`DataError::TrailingBytes`], [`DataError::TooLarge`] for more than [`MAX_OPS`] opcodes or
    /// more decoded bytes than the input has.
    pub fn parse(input: &'a [u8], file: &str) -> Result<Self, DataError> {
        machine::Machine::new(input, file, Dialect::Numpy).run()
    }

    /// Parses the pickle that `torch.save` writes, at the start of `input`; returns the number of
    /// bytes it has, since the older format has several in a row.
    ///
    /// # Errors
    ///
    /// As [`Pickle::parse`], but for the bytes after the pickle.
    pub fn parse_torch(input: &'a [u8], file: &str) -> Result<(Self, usize), DataError> {
        machine::Machine::new(input, file, Dialect::Torch).run_prefix()
    }

    /// The reference to the outermost value.
    #[must_use]
    pub fn root(&self) -> Ref {
        self.root
    }

    /// A value. `None` only for a [`Ref`] of another pickle.
    #[must_use]
    pub fn get(&self, value: Ref) -> Option<&Value<'a>> {
        self.values.get(usize::try_from(value.0).ok()?)
    }

    /// The value under a text key of a dict, whether the key is a `str` or a Python 2 `str`;
    /// `None` if `dict` is no dict or lacks the key.
    #[must_use]
    pub fn lookup(&self, dict: Ref, key: &str) -> Option<Ref> {
        let Some(Value::Dict(items)) = self.get(dict) else {
            return None;
        };
        items
            .iter()
            .rev()
            .find(|(name, _)| match self.get(*name) {
                Some(Value::Str(text)) => *text == key,
                Some(Value::Bytes(bytes)) => bytes.as_ref() == key.as_bytes(),
                _ => false,
            })
            .map(|&(_, value)| value)
    }

    /// The bytes of an array, in its own order and type; `None` if it was never filled.
    #[must_use]
    pub fn array_bytes(&self, array: &Array) -> Option<&[u8]> {
        match self.get(array.data?)? {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// All storages that it names, in the order of their first mention.
    pub fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.values.iter().filter_map(|value| match value {
            Value::Storage(storage) => Some(&**storage),
            _ => None,
        })
    }

    /// What kind of value it is, in words, for error messages.
    #[must_use]
    pub fn kind(&self, value: Ref) -> &'static str {
        self.get(value).map_or("nothing", Value::kind)
    }
}

#[cfg(test)]
mod tests;
