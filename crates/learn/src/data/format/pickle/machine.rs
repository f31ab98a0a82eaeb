//! The pickle machine: input, stack, memo and the opcodes for plain values.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Dialect, MAX_OPS, Pickle, Ref, Value};
use crate::data::error::DataError;
use crate::data::image_set::hex;

/// Opcodes, by their names in `pickletools.py`.
mod op {
    pub(super) const PROTO: u8 = 0x80;
    pub(super) const FRAME: u8 = 0x95;
    pub(super) const STOP: u8 = b'.';
    pub(super) const MARK: u8 = b'(';
    pub(super) const POP: u8 = b'0';
    pub(super) const POP_MARK: u8 = b'1';
    pub(super) const NONE: u8 = b'N';
    pub(super) const NEWTRUE: u8 = 0x88;
    pub(super) const NEWFALSE: u8 = 0x89;
    pub(super) const BININT: u8 = b'J';
    pub(super) const BININT1: u8 = b'K';
    pub(super) const BININT2: u8 = b'M';
    pub(super) const LONG1: u8 = 0x8a;
    pub(super) const BINFLOAT: u8 = b'G';
    pub(super) const SHORT_BINSTRING: u8 = b'U';
    pub(super) const BINSTRING: u8 = b'T';
    pub(super) const BINBYTES: u8 = b'B';
    pub(super) const SHORT_BINBYTES: u8 = b'C';
    pub(super) const BINBYTES8: u8 = 0x8e;
    pub(super) const BYTEARRAY8: u8 = 0x96;
    pub(super) const BINUNICODE: u8 = b'X';
    pub(super) const SHORT_BINUNICODE: u8 = 0x8c;
    pub(super) const BINUNICODE8: u8 = 0x8d;
    pub(super) const EMPTY_LIST: u8 = b']';
    pub(super) const LIST: u8 = b'l';
    pub(super) const APPEND: u8 = b'a';
    pub(super) const APPENDS: u8 = b'e';
    pub(super) const EMPTY_TUPLE: u8 = b')';
    pub(super) const TUPLE: u8 = b't';
    pub(super) const TUPLE1: u8 = 0x85;
    pub(super) const TUPLE2: u8 = 0x86;
    pub(super) const TUPLE3: u8 = 0x87;
    pub(super) const EMPTY_DICT: u8 = b'}';
    pub(super) const DICT: u8 = b'd';
    pub(super) const SETITEM: u8 = b's';
    pub(super) const SETITEMS: u8 = b'u';
    pub(super) const BINPUT: u8 = b'q';
    pub(super) const LONG_BINPUT: u8 = b'r';
    pub(super) const MEMOIZE: u8 = 0x94;
    pub(super) const BINGET: u8 = b'h';
    pub(super) const LONG_BINGET: u8 = b'j';
    pub(super) const GLOBAL: u8 = b'c';
    pub(super) const STACK_GLOBAL: u8 = 0x93;
    pub(super) const REDUCE: u8 = b'R';
    pub(super) const BUILD: u8 = b'b';
    pub(super) const BINPERSID: u8 = b'Q';
    pub(super) const PERSID: u8 = b'P';
}

/// The stack machine.
pub(super) struct Machine<'a, 'f> {
    pub(super) input: &'a [u8],
    pub(super) file: &'f str,
    pub(super) dialect: Dialect,
    /// Offset of the next byte.
    at: usize,
    /// Offset of the opcode being executed.
    op_at: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Ref>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Ref>,
    /// Bytes that may still be decoded to owned memory.
    pub(super) budget: usize,
}

impl<'a, 'f> Machine<'a, 'f> {
    pub(super) fn new(input: &'a [u8], file: &'f str, dialect: Dialect) -> Self {
        Self {
            input,
            file,
            dialect,
            at: 0,
            op_at: 0,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            budget: input.len(),
        }
    }

    /// Runs a pickle that is the whole input.
    pub(super) fn run(self) -> Result<Pickle<'a>, DataError> {
        let (file, total) = (self.file, self.input.len());
        let (pickle, end) = self.run_prefix()?;
        if end < total {
            return Err(DataError::TrailingBytes {
                file: file.to_owned(),
                found: total as u64,
                expected: end as u64,
            });
        }
        Ok(pickle)
    }

    /// Runs a pickle at the start of the input; returns its number of bytes, too.
    pub(super) fn run_prefix(mut self) -> Result<(Pickle<'a>, usize), DataError> {
        let start = self.input.get(..2).unwrap_or(self.input);
        match start {
            [op::PROTO, 2..=5] => self.at = 2,
            [_, _] => {
                return Err(DataError::BadMagic {
                    file: self.file.to_owned(),
                    expected: "a pickle of protocol 2 to 5 (8002 to 8005)".to_owned(),
                    found: hex(start),
                });
            }
            _ => return Err(self.truncated(2)),
        }
        for _ in 0..MAX_OPS {
            self.op_at = self.at;
            let code = self.byte()?;
            if code == op::STOP {
                return self.finish();
            }
            self.step(code)?;
        }
        Err(DataError::TooLarge {
            file: self.file.to_owned(),
            what: "number of pickle opcodes",
            found: MAX_OPS as u64 + 1,
            limit: MAX_OPS as u64,
        })
    }

    fn finish(mut self) -> Result<(Pickle<'a>, usize), DataError> {
        let root = self.pop()?;
        let pickle = Pickle {
            values: self.values,
            root,
        };
        Ok((pickle, self.at))
    }

    /// Executes one opcode; what it means stands in `pickletools.py` under the same name.
    #[allow(clippy::too_many_lines)] // one arm an opcode
    fn step(&mut self, code: u8) -> Result<(), DataError> {
        match code {
            op::FRAME => {
                // Frames only help to prefetch; the opcodes inside are checked one by one.
                let size = self.size8()?;
                if size > self.input.len().saturating_sub(self.at) {
                    return Err(self.truncated(self.at.saturating_add(size)));
                }
                Ok(())
            }
            op::MARK => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            op::POP => {
                // In Python, POP with nothing above the last mark drops the mark.
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                    return Ok(());
                }
                self.pop().map(drop)
            }
            op::POP_MARK => self.pop_mark().map(drop),
            op::NONE => self.push(Value::None),
            op::NEWTRUE => self.push(Value::Bool(true)),
            op::NEWFALSE => self.push(Value::Bool(false)),
            op::BININT => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(i64::from(value)))
            }
            op::BININT1 => {
                let value = self.byte()?;
                self.push(Value::Int(i64::from(value)))
            }
            op::BININT2 => {
                let value = u16::from_le_bytes(self.array()?);
                self.push(Value::Int(i64::from(value)))
            }
            op::LONG1 => self.long1(),
            op::BINFLOAT => {
                let value = f64::from_be_bytes(self.array()?);
                self.push(Value::Float(value))
            }
            op::SHORT_BINSTRING | op::SHORT_BINBYTES | op::SHORT_BINUNICODE => {
                let size = usize::from(self.byte()?);
                self.text_or_bytes(size, code == op::SHORT_BINUNICODE)
            }
            op::BINSTRING | op::BINBYTES | op::BINUNICODE => {
                let size = self.size4()?;
                self.text_or_bytes(size, code == op::BINUNICODE)
            }
            op::BINBYTES8 | op::BYTEARRAY8 | op::BINUNICODE8 => {
                let size = self.size8()?;
                self.text_or_bytes(size, code == op::BINUNICODE8)
            }
            op::EMPTY_LIST => self.push(Value::List(Vec::new())),
            op::EMPTY_TUPLE => self.push(Value::Tuple(Vec::new())),
            op::EMPTY_DICT => self.push(Value::Dict(Vec::new())),
            op::LIST => {
                let items = self.pop_mark()?;
                self.push(Value::List(items))
            }
            op::TUPLE => {
                let items = self.pop_mark()?;
                self.push(Value::Tuple(items))
            }
            op::TUPLE1 => self.tuple(1),
            op::TUPLE2 => self.tuple(2),
            op::TUPLE3 => self.tuple(3),
            op::DICT => {
                let items = self.pop_mark()?;
                let pairs = self.pairs(&items)?;
                self.push(Value::Dict(pairs))
            }
            op::APPEND => {
                let item = self.pop()?;
                self.extend_list(vec![item])
            }
            op::APPENDS => {
                let items = self.pop_mark()?;
                self.extend_list(items)
            }
            op::SETITEM => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend_dict(vec![(key, value)])
            }
            op::SETITEMS => {
                let items = self.pop_mark()?;
                let pairs = self.pairs(&items)?;
                self.extend_dict(pairs)
            }
            op::BINPUT => {
                let slot = u32::from(self.byte()?);
                self.put(slot)
            }
            op::LONG_BINPUT => {
                let slot = u32::from_le_bytes(self.array()?);
                self.put(slot)
            }
            op::MEMOIZE => {
                let slot = u32::try_from(self.memo.len()).unwrap_or(u32::MAX);
                self.put(slot)
            }
            op::BINGET => {
                let slot = u32::from(self.byte()?);
                self.get_memo(slot)
            }
            op::LONG_BINGET => {
                let slot = u32::from_le_bytes(self.array()?);
                self.get_memo(slot)
            }
            op::GLOBAL => {
                let module = self.line()?;
                let name = self.line()?;
                self.global(module, name)
            }
            op::STACK_GLOBAL => {
                let name = self.pop()?;
                let module = self.pop()?;
                match (self.value(module)?, self.value(name)?) {
                    (&Value::Str(module), &Value::Str(name)) => self.global(module, name),
                    _ => Err(self.error("two strings, module and name", "other values")),
                }
            }
            op::REDUCE => self.reduce(),
            op::BUILD => self.build(),
            op::BINPERSID if self.dialect == Dialect::Torch => self.storage(),
            op::BINPERSID | op::PERSID => {
                Err(self.error("a plain value", "a persistent id (data outside the pickle)"))
            }
            _ => Err(self.error(
                "an opcode for plain values, arrays or tensors",
                &format!("opcode 0x{code:02x}"),
            )),
        }
    }

    // Input.

    fn take(&mut self, count: usize) -> Result<&'a [u8], DataError> {
        let end = self.at.saturating_add(count);
        let Some(bytes) = self.input.get(self.at..end) else {
            return Err(self.truncated(end));
        };
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DataError> {
        let bytes = self.take(N)?;
        <[u8; N]>::try_from(bytes).map_err(|_| self.truncated(self.at))
    }

    fn byte(&mut self) -> Result<u8, DataError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn size4(&mut self) -> Result<usize, DataError> {
        // Python 2 wrote it signed; a negative size becomes too large and is refused by `take`.
        let size = u32::from_le_bytes(self.array()?);
        Ok(usize::try_from(size).unwrap_or(usize::MAX))
    }

    fn size8(&mut self) -> Result<usize, DataError> {
        let size = u64::from_le_bytes(self.array()?);
        Ok(usize::try_from(size).unwrap_or(usize::MAX))
    }

    /// A line of a `GLOBAL`: at most 100 bytes of text before a newline.
    fn line(&mut self) -> Result<&'a str, DataError> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let Some(length) = rest.iter().take(100).position(|&byte| byte == b'\n') else {
            return Err(self.error("a name of at most 100 bytes", "a longer one"));
        };
        let bytes = self.take(length)?;
        self.at += 1;
        std::str::from_utf8(bytes).map_err(|_| self.error("a name in UTF-8", "other bytes"))
    }

    fn text_or_bytes(&mut self, size: usize, is_text: bool) -> Result<(), DataError> {
        let bytes = self.take(size)?;
        if !is_text {
            return self.push(Value::Bytes(Cow::Borrowed(bytes)));
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|error| self.error("text in UTF-8", &format!("other bytes ({error})")))?;
        self.push(Value::Str(text))
    }

    fn long1(&mut self) -> Result<(), DataError> {
        let size = usize::from(self.byte()?);
        let bytes = self.take(size)?;
        if size > 8 {
            return Err(self.error("an int of at most 8 bytes", &format!("one of {size} bytes")));
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut padded = [if negative { 0xff } else { 0 }; 8];
        for (to, from) in padded.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.push(Value::Int(i64::from_le_bytes(padded)))
    }

    // Stack and memo.

    pub(super) fn push(&mut self, value: Value<'a>) -> Result<(), DataError> {
        let index = u32::try_from(self.values.len())
            .map_err(|_| self.error("fewer values", "more than 2^32"))?;
        self.values.push(value);
        self.stack.push(Ref(index));
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Result<Ref, DataError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(self.error("a value on the stack", "none"));
        }
        self.stack
            .pop()
            .ok_or_else(|| self.error("a value on the stack", "none"))
    }

    fn pop_mark(&mut self) -> Result<Vec<Ref>, DataError> {
        let Some(mark) = self.marks.pop() else {
            return Err(self.error("a mark on the stack", "none"));
        };
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    pub(super) fn top(&self) -> Result<Ref, DataError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(&top) if self.stack.len() > floor => Ok(top),
            _ => Err(self.error("a value on the stack", "none")),
        }
    }

    fn put(&mut self, slot: u32) -> Result<(), DataError> {
        let top = self.top()?;
        self.memo.insert(slot, top);
        Ok(())
    }

    fn get_memo(&mut self, slot: u32) -> Result<(), DataError> {
        let Some(&value) = self.memo.get(&slot) else {
            return Err(self.error(&format!("memo slot {slot} to be set"), "nothing in it"));
        };
        self.stack.push(value);
        Ok(())
    }

    pub(super) fn value(&self, value: Ref) -> Result<&Value<'a>, DataError> {
        usize::try_from(value.0)
            .ok()
            .and_then(|index| self.values.get(index))
            .ok_or_else(|| self.error("a value", "a reference to none"))
    }

    pub(super) fn value_mut(&mut self, value: Ref) -> Option<&mut Value<'a>> {
        self.values.get_mut(usize::try_from(value.0).ok()?)
    }

    // Containers.

    fn tuple(&mut self, count: usize) -> Result<(), DataError> {
        let mut items = vec![Ref(0); count];
        for item in items.iter_mut().rev() {
            *item = self.pop()?;
        }
        self.push(Value::Tuple(items))
    }

    fn pairs(&self, items: &[Ref]) -> Result<Vec<(Ref, Ref)>, DataError> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.error("a value for every key", "a key without"));
        }
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    fn extend_list(&mut self, items: Vec<Ref>) -> Result<(), DataError> {
        let top = self.top()?;
        if let Some(Value::List(list)) = self.value_mut(top) {
            list.extend(items);
            return Ok(());
        }
        let found = self.value(top)?.kind();
        Err(self.error("a list to append to", found))
    }

    fn extend_dict(&mut self, pairs: Vec<(Ref, Ref)>) -> Result<(), DataError> {
        let top = self.top()?;
        if let Some(Value::Dict(dict)) = self.value_mut(top) {
            dict.extend(pairs);
            return Ok(());
        }
        let found = self.value(top)?.kind();
        Err(self.error("a dict to set items of", found))
    }

    // Errors.

    pub(super) fn error(&self, expected: &str, found: &str) -> DataError {
        DataError::Pickle {
            file: self.file.to_owned(),
            offset: self.op_at as u64,
            expected: expected.to_owned(),
            found: found.to_owned(),
        }
    }

    fn truncated(&self, expected: usize) -> DataError {
        DataError::Truncated {
            file: self.file.to_owned(),
            found: self.input.len() as u64,
            expected: expected as u64,
        }
    }
}
