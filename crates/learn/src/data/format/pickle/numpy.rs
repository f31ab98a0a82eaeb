//! The few functions a pickle may call, and those among them that rebuild `NumPy` arrays.

use std::borrow::Cow;

use super::machine::Machine;
use super::{Array, Dialect, Dtype, Global, Ref, Value};
use crate::data::error::DataError;

impl Global {
    fn from_name(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
                Self::Reconstruct
            }
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Self::FromBuffer,
            ("numpy", "ndarray") => Self::NdArray,
            ("numpy", "dtype") => Self::Dtype,
            ("_codecs", "encode") => Self::Encode,
            _ => return None,
        })
    }
}

impl Dtype {
    /// From `NumPy`'s short name, such as `u1` or `<f4`.
    fn from_name(name: &str) -> Option<Self> {
        let (big_endian, rest) = match name.strip_prefix(['<', '|', '=']) {
            Some(rest) => (false, rest),
            None => name
                .strip_prefix('>')
                .map_or((false, name), |rest| (true, rest)),
        };
        let (kind, size) = match rest {
            "b1" => ('b', 1),
            "i1" => ('i', 1),
            "i2" => ('i', 2),
            "i4" => ('i', 4),
            "i8" => ('i', 8),
            "u1" => ('u', 1),
            "u2" => ('u', 2),
            "u4" => ('u', 4),
            "u8" => ('u', 8),
            "f2" => ('f', 2),
            "f4" => ('f', 4),
            "f8" => ('f', 8),
            _ => return None,
        };
        Some(Self {
            kind,
            size,
            big_endian,
        })
    }
}

impl Machine<'_, '_> {
    pub(super) fn global(&mut self, module: &str, name: &str) -> Result<(), DataError> {
        let (global, only) = match self.dialect {
            Dialect::Numpy => (
                Global::from_name(module, name),
                "only the functions that rebuild NumPy arrays",
            ),
            Dialect::Torch => (
                Global::from_torch_name(module, name),
                "only the functions that rebuild PyTorch tensors",
            ),
        };
        match global {
            Some(global) => self.push(Value::Global(global)),
            None => Err(self.error(
                only,
                &format!("{:.60}.{:.60}", module.escape_debug(), name.escape_debug()),
            )),
        }
    }

    /// `REDUCE`: function and argument tuple in, result out.
    pub(super) fn reduce(&mut self) -> Result<(), DataError> {
        let arguments = self.pop()?;
        let function = self.pop()?;
        let &Value::Global(global) = self.value(function)? else {
            return Err(self.error("a function to call", self.value(function)?.kind()));
        };
        let arguments = match self.value(arguments)? {
            Value::Tuple(items) if items.len() <= 8 => items.clone(),
            other => {
                return Err(self.error("a tuple of at most 8 arguments", other.kind()));
            }
        };
        let mut values = Vec::with_capacity(arguments.len());
        for &argument in &arguments {
            values.push(self.value(argument)?);
        }
        let result = match (global, values.as_slice()) {
            (Global::Encode, [Value::Str(text), Value::Str("latin1" | "latin-1")]) => {
                let bytes = self.encode_latin1(text)?;
                self.budget -= bytes.len().min(self.budget);
                Value::Bytes(Cow::Owned(bytes))
            }
            (
                Global::Reconstruct,
                [
                    Value::Global(Global::NdArray),
                    Value::Tuple(_),
                    Value::Bytes(_),
                ],
            ) => Value::Array(Box::new(Array {
                shape: vec![0],
                dtype: Dtype::U8,
                fortran_order: false,
                data: None,
            })),
            (Global::Dtype, [name, ..]) => {
                let name = text(name).unwrap_or_default();
                match Dtype::from_name(&name) {
                    Some(dtype) => Value::Dtype(dtype),
                    None => {
                        return Err(self.error(
                            "a dtype of plain numbers (b1, i1 to i8, u1 to u8, f2 to f8)",
                            &format!("{:.20}", name.escape_debug()),
                        ));
                    }
                }
            }
            (
                Global::FromBuffer,
                [
                    Value::Bytes(_),
                    Value::Dtype(dtype),
                    Value::Tuple(shape),
                    order,
                ],
            ) => {
                let fortran_order = match text(order).as_deref() {
                    Some("C") => false,
                    Some("F") => true,
                    _ => return Err(self.error("array order C or F", order.kind())),
                };
                let data = arguments.first().copied();
                Value::Array(Box::new(self.filled(shape, *dtype, fortran_order, data)?))
            }
            (Global::OrderedDict, []) => Value::Dict(Vec::new()),
            (
                Global::RebuildTensor,
                [
                    Value::Storage(storage),
                    Value::Int(offset),
                    Value::Tuple(size),
                    Value::Tuple(stride),
                    ..,
                ],
            ) => Value::Tensor(Box::new(self.tensor(storage, *offset, size, stride)?)),
            (Global::RebuildParameter, [Value::Tensor(tensor), ..]) => {
                Value::Tensor(tensor.clone())
            }
            _ => {
                let kinds: Vec<_> = values.iter().map(|value| value.kind()).collect();
                let found = format!("({})", kinds.join(", "));
                return Err(self.error(&format!("arguments that fit {global:?}"), &found));
            }
        };
        self.push(result)
    }

    /// `BUILD`: fills an array that `_reconstruct` made, or sets a data type's byte order.
    pub(super) fn build(&mut self) -> Result<(), DataError> {
        let state = self.pop()?;
        let target = self.top()?;
        if let (Dialect::Torch, Value::Dict(_)) = (self.dialect, self.value(target)?) {
            // A state_dict's attributes (`_metadata`: versions of layers) say nothing of values.
            return Ok(());
        }
        let Value::Tuple(state) = self.value(state)? else {
            return Err(self.error("a tuple as state", self.value(state)?.kind()));
        };
        let new = match (self.value(target)?, state.as_slice()) {
            (Value::Array(array), &[_version, shape, dtype, order, data])
                if array.data.is_none() =>
            {
                let (Value::Tuple(shape), &Value::Dtype(dtype), Value::Bytes(_)) =
                    (self.value(shape)?, self.value(dtype)?, self.value(data)?)
                else {
                    return Err(self.error("shape, dtype and bytes of an array", "other values"));
                };
                let fortran_order = match self.value(order)? {
                    Value::Bool(flag) => *flag,
                    Value::Int(flag) => *flag != 0,
                    other => return Err(self.error("an order flag", other.kind())),
                };
                Value::Array(Box::new(self.filled(
                    shape,
                    dtype,
                    fortran_order,
                    Some(data),
                )?))
            }
            (Value::Dtype(dtype), &[_version, order, ..]) => {
                let order = self.value(order)?;
                let big_endian = match text(order).as_deref() {
                    Some("|" | "<" | "=") => false,
                    Some(">") => true,
                    _ => return Err(self.error("byte order |, <, = or >", order.kind())),
                };
                Value::Dtype(Dtype {
                    big_endian,
                    ..*dtype
                })
            }
            (other, state) => {
                let found = format!("{} and {} values", other.kind(), state.len());
                return Err(self.error("an empty array or a dtype, and its state", &found));
            }
        };
        if let Some(value) = self.value_mut(target) {
            *value = new;
        }
        Ok(())
    }

    /// An array whose sizes, type and bytes agree.
    fn filled(
        &self,
        shape: &[Ref],
        dtype: Dtype,
        fortran_order: bool,
        data: Option<Ref>,
    ) -> Result<Array, DataError> {
        if shape.len() > 32 {
            return Err(self.error("at most 32 dimensions", &shape.len().to_string()));
        }
        let mut sizes = Vec::with_capacity(shape.len());
        for &size in shape {
            let Value::Int(size) = *self.value(size)? else {
                return Err(self.error("an int as array size", self.value(size)?.kind()));
            };
            let size = usize::try_from(size)
                .map_err(|_| self.error("an array size of 0 or more", &size.to_string()))?;
            sizes.push(size);
        }
        let needed = sizes
            .iter()
            .try_fold(dtype.size, |product, &size| product.checked_mul(size));
        let present = match data.map(|data| self.value(data)).transpose()? {
            Some(Value::Bytes(bytes)) => Some(bytes.len()),
            _ => None,
        };
        if needed.is_none() || needed != present {
            return Err(self.error(
                &format!(
                    "as many bytes as an array of sizes {sizes:?} and {} bytes an element has",
                    dtype.size
                ),
                &format!("{} bytes", present.unwrap_or(0)),
            ));
        }
        Ok(Array {
            shape: sizes,
            dtype,
            fortran_order,
            data,
        })
    }

    /// The bytes that text stands for, each character one byte, within the budget.
    fn encode_latin1(&self, text: &str) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        let length = text.chars().count();
        if length > self.budget {
            return Err(DataError::TooLarge {
                file: self.file.to_owned(),
                what: "bytes decoded from a pickle (they may not be more than the file's)",
                found: (self.input.len() - self.budget + length) as u64,
                limit: self.input.len() as u64,
            });
        }
        bytes.reserve_exact(length);
        for character in text.chars() {
            let byte = u8::try_from(character).map_err(|_| {
                self.error(
                    "characters up to U+00FF",
                    &format!("U+{:04X}", u32::from(character)),
                )
            })?;
            bytes.push(byte);
        }
        Ok(bytes)
    }
}

/// The text of a `str` (its start) or of a short Python 2 `str`.
fn text(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Str(text) => Some(text.chars().take(40).collect()),
        Value::Bytes(bytes) if bytes.len() <= 40 => {
            std::str::from_utf8(bytes).ok().map(str::to_owned)
        }
        _ => None,
    }
}
