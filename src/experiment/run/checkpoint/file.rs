//! One checkpoint as bytes.
//!
//! A line with the schema, then a safetensors file (arrays under `learner/`, `optimizer/` and `method/`; identity,
//! progress and counters as JSON in its metadata), then the SHA-256 of all of it. Written in one pass without a copy of
//! the arrays; read only after its size and checksum were found right.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Checkpoint, Identity, Unusable};
use crate::optim::{State, read_blocks, write_blocks};

/// The first line. The number grows when anything changes its meaning.
const MAGIC: &[u8] = b"tagcl checkpoint 1\n";
const DIGEST: usize = 32;
/// Key of the JSON text in the metadata.
const HEADER: &str = "run";
/// The parts' names, in front of their arrays'.
const PARTS: [&str; 3] = ["learner", "optimizer", "method"];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<P> {
    identity: Identity,
    progress: P,
    /// Kind and counters of each part.
    parts: [(String, BTreeMap<String, u64>); 3],
}

/// Passes bytes on and takes them into the checksum.
struct Hashing<W> {
    inner: W,
    digest: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

pub(super) fn write<P: Serialize>(
    out: &mut impl Write,
    identity: &Identity,
    checkpoint: &Checkpoint<'_, P>,
) -> io::Result<()> {
    let states = [
        &checkpoint.learner,
        &checkpoint.optimizer,
        &checkpoint.method,
    ];
    let header = Header {
        identity: identity.clone(),
        progress: &checkpoint.progress,
        parts: states.map(|state| (state.kind().to_string(), state.counters().clone())),
    };
    let metadata = BTreeMap::from([(HEADER.to_string(), serde_json::to_string(&header)?)]);
    let blocks: Vec<_> = PARTS
        .iter()
        .zip(states)
        .flat_map(|(part, state)| {
            let blocks = state.blocks();
            blocks.map(move |(name, block)| (format!("{part}/{name}"), block))
        })
        .collect();
    let mut out = Hashing {
        inner: out,
        digest: Sha256::new(),
    };
    out.write_all(MAGIC)?;
    write_blocks(&mut out, &metadata, &blocks)?;
    let Hashing { inner, digest } = out;
    inner.write_all(&digest.finalize())?;
    inner.flush()
}

/// Reads a file of at most `limit` bytes.
pub(super) fn read<P: DeserializeOwned>(
    path: &Path,
    limit: u64,
) -> Result<(Identity, Checkpoint<'static, P>), Unusable> {
    let file = File::open(path).map_err(Unusable::Io)?;
    let size = file.metadata().map_err(Unusable::Io)?.len();
    if size > limit {
        let reason = format!("{size} bytes are more than this run can have saved");
        return Err(Unusable::Damaged(reason));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(Unusable::Io)?;
    parse(&bytes)
}

/// A checkpoint out of bytes that may be anything.
pub(super) fn parse<P: DeserializeOwned>(
    bytes: &[u8],
) -> Result<(Identity, Checkpoint<'static, P>), Unusable> {
    let damaged = |reason: &str| Unusable::Damaged(reason.to_string());
    let content = |e: &dyn std::fmt::Display| Unusable::Content(e.to_string());
    let (body, digest) = bytes
        .split_last_chunk::<DIGEST>()
        .ok_or_else(|| damaged("it is cut off"))?;
    if Sha256::digest(body).as_slice() != digest {
        return Err(damaged("its checksum does not match"));
    }
    let Some(blocks) = body.strip_prefix(MAGIC) else {
        let reason = "it is in the format of another version";
        return Err(Unusable::Foreign(reason.to_string()));
    };
    let (metadata, blocks) = read_blocks(blocks).map_err(|e| content(&e))?;
    let header = metadata.get(HEADER).ok_or_else(|| content(&"no header"))?;
    let header: Header<P> = serde_json::from_str(header).map_err(|e| content(&e))?;
    let mut states = header.parts.map(|(kind, counters)| {
        let mut state = State::new(&kind);
        state.set_counters(counters);
        state
    });
    for (name, block) in blocks {
        let (part, name) = name
            .split_once('/')
            .ok_or_else(|| content(&"an array of no part"))?;
        let mut parts = PARTS.iter().zip(&mut states);
        let found = parts.find(|(known, _)| **known == part);
        let (_, state) = found.ok_or_else(|| content(&"an array of an unknown part"))?;
        state.put_block(name, block);
    }
    let [learner, optimizer, method] = states;
    let progress = header.progress;
    let checkpoint = Checkpoint {
        progress,
        learner,
        optimizer,
        method,
    };
    Ok((header.identity, checkpoint))
}
