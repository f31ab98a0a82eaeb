//! TensorBoard event files: scalars of every run.
//!
//! Owns the two formats involved, of which only a corner is needed. A file is a sequence of `TFRecord`s: length (u64),
//! masked CRC-32C of the length, bytes, masked CRC-32C of the bytes. The bytes are `Event` messages in protocol buffers:
//! `wall_time = 1` (double), `step = 2` (varint), `file_version = 3` (string), `summary = 5` with `value = 1` of `tag = 1`
//! (string) and `simple_value = 2` (float). The published crates for this are unmaintained or bring an image library along.

use std::io::{self, Write};
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::spec::{ExportError, ExportSpec, folder_names, write};
use crate::report::load::Run;
use crate::report::metric::METRICS;

/// `--tensorboard`.
pub static TENSORBOARD: ExportSpec = ExportSpec {
    name: "tensorboard",
    description: "Write TensorBoard event files here, a folder a run",
    target: "DIR",
    done: "TensorBoard: tensorboard --logdir",
    write: |loaded, path| write_tensorboard(&loaded.runs, path).map(|()| loaded.runs.len()),
};

/// Writes one folder a run below `out`; TensorBoard shows each as a run.
///
/// The step is the task (from 1). `accuracy/average` and `loss/average` are means over the tasks so far,
/// `accuracy/task_03` and `loss/task_03` those on a task; `metrics/...` stand at the last task.
///
/// # Errors
/// [`ExportError`] naming the file.
fn write_tensorboard(runs: &[Run], out: &Path) -> Result<(), ExportError> {
    for (run, name) in runs.iter().zip(folder_names(runs)) {
        let start = humantime::parse_rfc3339(&run.provenance.started)
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .map_or(0.0, |time| time.as_secs_f64());
        // The name decides: TensorBoard reads files that contain `tfevents`, and a second export replaces the first.
        let path = out
            .join(name)
            .join(format!("events.out.tfevents.{start:.0}.tagcl"));
        write(&path, |out| write_run(run, start, out))?;
    }
    Ok(())
}

fn write_run(run: &Run, start: f64, out: &mut dyn Write) -> io::Result<()> {
    let mut version = double(1, start);
    version.extend(bytes(3, b"brain.Event:2"));
    record(out, &version)?;
    let mut scalar = |time: f64, step: usize, tag: &str, value: f64| {
        record(out, &event(time, step, tag, value as f32))
    };
    let tasks = run.config.learned_tasks();
    let end = start + run.cost.wall_s;
    for (kind, matrix) in [
        ("accuracy", &run.accuracy_matrix),
        ("loss", &run.loss_matrix),
    ] {
        for row in matrix.rows() {
            let step = row.len();
            // Single evaluations have no time of their own in a result; a run's steps are spread over its duration.
            let time = start + run.cost.wall_s * step as f64 / tasks.max(1) as f64;
            let mean = row.iter().sum::<f64>() / row.len().max(1) as f64;
            scalar(time, step, &format!("{kind}/average"), mean)?;
            for (task, value) in row.iter().enumerate() {
                scalar(time, step, &format!("{kind}/task_{:02}", task + 1), *value)?;
            }
        }
    }
    for metric in METRICS {
        if let Some(value) = (metric.of)(&run.metrics) {
            scalar(end, tasks, &format!("metrics/{}", metric.key), value)?;
        }
    }
    Ok(())
}

/// A scalar event.
fn event(time: f64, step: usize, tag: &str, value: f32) -> Vec<u8> {
    let mut inner = bytes(1, tag.as_bytes());
    inner.push(2 << 3 | 5);
    inner.extend(value.to_le_bytes());
    let mut event = double(1, time);
    event.push(2 << 3);
    event.extend(varint(step as u64));
    event.extend(bytes(5, &bytes(1, &inner)));
    event
}

/// A protocol-buffer double.
fn double(field: u8, value: f64) -> Vec<u8> {
    let mut message = vec![field << 3 | 1];
    message.extend(value.to_le_bytes());
    message
}

/// A protocol-buffer string, byte string or message.
fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    let mut message = vec![field << 3 | 2];
    message.extend(varint(content.len() as u64));
    message.extend(content);
    message
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn record(out: &mut dyn Write, content: &[u8]) -> io::Result<()> {
    let length = (content.len() as u64).to_le_bytes();
    out.write_all(&length)?;
    out.write_all(&masked(&length).to_le_bytes())?;
    out.write_all(content)?;
    out.write_all(&masked(content).to_le_bytes())
}

/// The masked CRC-32C.
fn masked(content: &[u8]) -> u32 {
    crc32c::crc32c(content)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{config, run};

    /// The records of a file, checksums checked.
    fn records(mut file: &[u8]) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        while !file.is_empty() {
            let (head, rest) = file.split_at(12);
            let length = u64::from_le_bytes(head[..8].try_into().unwrap()) as usize;
            assert_eq!(masked(&head[..8]).to_le_bytes(), head[8..]);
            let (content, rest) = rest.split_at(length);
            let (sum, rest) = rest.split_at(4);
            assert_eq!(masked(content).to_le_bytes(), sum);
            records.push(content.to_vec());
            file = rest;
        }
        records
    }

    #[test]
    fn an_event_has_the_bytes_of_protobuf() {
        // From Python: Event(wall_time=1.5, step=300, summary=Summary(value=[Summary.Value(tag="a", simple_value=2.0)]))
        let expected = [
            0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x10, 0xac, 0x02, 0x2a, 0x0a, 0x0a, 0x08, 0x0a,
            0x01, b'a', 0x15, 0, 0, 0, 0x40,
        ];
        assert_eq!(event(1.5, 300, "a", 2.0), expected);
    }

    #[test]
    fn the_checksum_is_the_castagnoli_one_masked() {
        // CRC-32C of "123456789" is e3069283.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(
            masked(b"123456789"),
            0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8)
        );
    }

    #[test]
    fn a_file_has_the_version_and_every_evaluation_twice() {
        let mut file = Vec::new();
        write_run(&run(config(&[], 1), 50.0, 2.0), 0.0, &mut file).unwrap();
        let records = records(&file);
        // Version; 3 evaluations and 2 means of accuracy and of loss; 6 metrics.
        assert_eq!(records.len(), 1 + 2 * (3 + 2) + 6);
        assert!(records[0].ends_with(b"brain.Event:2"));
        let tagged = |tag: &[u8]| {
            records
                .iter()
                .any(|r| r.windows(tag.len()).any(|w| w == tag))
        };
        assert!(tagged(b"accuracy/task_02") && tagged(b"metrics/forgetting"));
    }
}
