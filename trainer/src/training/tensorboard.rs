//! Event files of TensorBoard, `events.out.tfevents.*`, in a run's folder: `tensorboard --logdir runs` shows the curves.
//!
//! A file is a row of records (TensorFlow's `TFRecord`: length, masked CRC-32C of the length, bytes, masked CRC-32C of the
//! bytes), each an `Event` in protocol buffers (`tensorflow/core/util/event.proto`). Every process writes a file of its own;
//! a resumed run first cuts back what its predecessor wrote after the checkpoint, and tells a TensorBoard that has read that
//! already, with a session's start, to forget it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use prost::Message;

use crate::error::{AtPath, Result};
use crate::files;
use crate::process;

/// Names of event files begin so.
const PREFIX: &str = "events.out.tfevents.";
/// What the first event of a file says.
const VERSION: &str = "brain.Event:2";
/// `SessionLog.SessionStatus.START`.
const SESSION_START: i32 = 1;
/// Names of what is measured on held-out notes begin so.
const VALID: &str = "valid/";

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    /// Of a `oneof`: written even where it is 0.
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// An event file being written.
pub(crate) struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// Begins a file of `run` for update `first_step` and those after it.
    pub(crate) fn create(run: &Path, first_step: u64) -> Result<Self> {
        let time = process::seconds_since_1970();
        let name = format!("{PREFIX}{time:010.0}.{}.{}", process::host(), std::process::id());
        let path = run.join(name);
        let file = OpenOptions::new().create(true).append(true).open(&path).at(&path)?;
        let mut events = Self { file, path };
        events.write(time, 0, What::FileVersion(VERSION.to_owned()))?;
        if first_step > 1 {
            events.write(time, first_step, What::SessionLog(SessionLog { status: SESSION_START }))?;
        }
        Ok(events)
    }

    /// Writes numbers of update `step`, each with its name.
    pub(crate) fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<()> {
        self.write(process::seconds_since_1970(), step, summary(scalars))
    }

    fn write(&mut self, wall_time: f64, step: u64, what: What) -> Result<()> {
        self.file.write_all(&record(&event(wall_time, step, what))).at(&self.path)
    }

    /// Makes everything written so far survive a power cut.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_all().at(&self.path)
    }
}

fn event(wall_time: f64, step: u64, what: What) -> Event {
    Event { wall_time, step: i64::try_from(step).unwrap_or(i64::MAX), what: Some(what) }
}

fn summary(scalars: &[(&str, f64)]) -> What {
    #[expect(clippy::cast_possible_truncation, reason = "TensorBoard's scalars are f32")]
    let value =
        |(tag, value): &(&str, f64)| Value { tag: (*tag).to_owned(), simple_value: Some(*value as f32) };
    What::Summary(Summary { value: scalars.iter().map(value).collect() })
}

/// The bytes of an event with their frame.
fn record(event: &Event) -> Vec<u8> {
    let data = event.encode_to_vec();
    let length = (data.len() as u64).to_le_bytes();
    let (length_crc, data_crc) = (masked_crc(&length), masked_crc(&data));
    [&length[..], &length_crc.to_le_bytes(), &data, &data_crc.to_le_bytes()].concat()
}

/// A CRC of data that holds CRCs is weak, so TensorFlow rotates them and adds a constant.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Cuts the event files of `run` back to the events whose update, and whether they tell of its validation, `is_kept`
/// accepts; a record that a kill tore goes too.
pub(crate) fn cut_back(run: &Path, is_kept: impl Fn(u64, bool) -> bool) -> Result<()> {
    for entry in std::fs::read_dir(run).at(run)? {
        let path = entry.at(run)?.path();
        let is_ours = |name: &str| name.starts_with(PREFIX);
        if !path.file_name().and_then(|name| name.to_str()).is_some_and(is_ours) {
            continue;
        }
        let bytes = files::read(&path)?;
        let mut kept = 0;
        while let Some((event, end)) = read_record(&bytes, kept) {
            let (step, is_validation) = match &event.what {
                Some(What::Summary(summary)) => {
                    (event.step, summary.value.iter().any(|value| value.tag.starts_with(VALID)))
                }
                _ => (0, false),
            };
            if step > 0 && !is_kept(step.unsigned_abs(), is_validation) {
                break;
            }
            kept = end;
        }
        if kept == 0 {
            std::fs::remove_file(&path).at(&path)?;
        } else if kept < bytes.len() {
            let file = OpenOptions::new().write(true).open(&path).at(&path)?;
            file.set_len(kept as u64).and_then(|()| file.sync_all()).at(&path)?;
        }
    }
    Ok(())
}

/// The event at byte `at`, and where the next one begins; none if what stands there is no whole record.
fn read_record(bytes: &[u8], at: usize) -> Option<(Event, usize)> {
    let field = |at: usize, length: usize| bytes.get(at..at.checked_add(length)?);
    let length_bytes = field(at, 8)?;
    let length = usize::try_from(u64::from_le_bytes(length_bytes.try_into().ok()?)).ok()?;
    let crc = |at: usize| Some(u32::from_le_bytes(field(at, 4)?.try_into().ok()?));
    let data = field(at + 12, length)?;
    let sound = crc(at + 8)? == masked_crc(length_bytes) && crc(at + 12 + length)? == masked_crc(data);
    let event = Event::decode(data).ok().filter(|_| sound)?;
    Some((event, at + 16 + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of `tests/golden/tensorboard/generate.py`.
    fn golden_events() -> Vec<Event> {
        vec![
            event(1_790_000_000.25, 0, What::FileVersion(VERSION.to_owned())),
            event(1_790_000_001.5, 18, What::SessionLog(SessionLog { status: SESSION_START })),
            event(
                1_790_000_002.75,
                18,
                summary(&[("train/loss", 3.25), ("train/learning_rate", 1e-3), ("train/grad_norm", 0.0)]),
            ),
            event(
                1_790_000_003.125,
                300,
                summary(&[("valid/loss", 2.5), ("valid/perplexity", 2.5_f64.exp()), ("valid/auroc", 0.875)]),
            ),
        ]
    }

    #[test]
    fn files_are_those_of_protocol_buffers_and_tfrecord() {
        let expected = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/tensorboard/events.bin");
        let expected = std::fs::read(expected).unwrap();
        let written: Vec<u8> = golden_events().iter().flat_map(record).collect();
        assert_eq!(written, expected);
        let mut at = 0;
        for event in golden_events() {
            let (read, end) = read_record(&expected, at).unwrap();
            assert_eq!(read, event);
            at = end;
        }
        assert_eq!(at, expected.len());
    }

    #[test]
    fn a_file_is_cut_back_to_a_state_and_a_torn_record_goes() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(folder.path(), 1).unwrap();
        for step in 1..=5 {
            events.scalars(step, &[("train/loss", 1.0)]).unwrap();
        }
        events.scalars(5, &[("valid/loss", 1.0)]).unwrap();
        let path = events.path.clone();
        let steps = || {
            let bytes = std::fs::read(&path).unwrap();
            let mut steps = Vec::new();
            let mut at = 0;
            while let Some((event, end)) = read_record(&bytes, at) {
                steps.push(event.step);
                at = end;
            }
            assert_eq!(at, bytes.len(), "whole records only");
            steps
        };
        assert_eq!(steps(), [0, 1, 2, 3, 4, 5, 5]);
        cut_back(folder.path(), |step, is_validation| step < 5 || !is_validation).unwrap();
        assert_eq!(steps(), [0, 1, 2, 3, 4, 5]);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        cut_back(folder.path(), |_, _| true).unwrap();
        assert_eq!(steps(), [0, 1, 2, 3, 4]);
        cut_back(folder.path(), |step, _| step <= 2).unwrap();
        assert_eq!(steps(), [0, 1, 2]);
    }
}
