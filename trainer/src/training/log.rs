//! What a run writes while it trains: `run.jsonl`, one line an update and one a validation, and the same numbers as event
//! files of TensorBoard.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::checkpoint::State;
use super::objective::Validation;
use super::step;
use super::tensorboard::{self, EventFile};
use crate::console;
use crate::error::{AtPath, Result};
use crate::files;

/// The log's name in a run folder.
pub(crate) const LOG: &str = "run.jsonl";

/// One line of `run.jsonl`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LogLine {
    pub(crate) step: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) loss: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lr: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) grad_norm: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tokens: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tokens_per_s: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seconds: Option<f64>,
    /// Of these, what was waited for notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) data_seconds: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) valid: Option<Validation>,
}

impl LogLine {
    /// Whether a run that stands at `state` has done what the line tells of.
    fn is_before(&self, state: &State) -> bool {
        is_before(state, self.step, self.valid.is_some())
    }
}

/// Whether a run that stands at `state` has made update `step`, or the validation after it.
fn is_before(state: &State, step: u64, is_validation: bool) -> bool {
    step < state.update || step == state.update && (state.next_note == 0 || !is_validation)
}

/// What an update came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update {
    pub(crate) step: u64,
    pub(crate) outcome: step::Outcome,
    pub(crate) lr: f64,
    pub(crate) tokens: usize,
    pub(crate) seconds: f64,
    /// Of these, what was waited for notes.
    pub(crate) data_seconds: f64,
}

impl Update {
    #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
    pub(crate) fn tokens_per_s(&self) -> f64 {
        self.tokens as f64 / self.seconds
    }
}

/// Both logs of a run, open for appending.
pub(crate) struct Log {
    file: File,
    path: PathBuf,
    events: EventFile,
    /// Whether a loss is that of a token, and so has a perplexity.
    has_perplexity: bool,
}

impl Log {
    /// Opens the logs of `run` after `state`; what a killed process wrote after that state goes.
    pub(crate) fn open(run: &Path, state: &State, has_perplexity: bool) -> Result<Self> {
        let path = run.join(LOG);
        if path.exists() {
            cut_back(&path, state)?;
        }
        tensorboard::cut_back(run, |step, is_validation| is_before(state, step, is_validation))?;
        let events = EventFile::create(run, state.update + 1)?;
        let file = OpenOptions::new().create(true).append(true).open(&path).at(&path)?;
        Ok(Self { file, path, events, has_perplexity })
    }

    /// Logs an update.
    pub(crate) fn update(&mut self, update: &Update) -> Result<()> {
        let Update { step, outcome, lr, tokens, seconds, data_seconds } = *update;
        let tokens_per_s = update.tokens_per_s();
        self.line(&LogLine {
            step,
            loss: Some(outcome.loss),
            lr: Some(lr),
            grad_norm: Some(outcome.grad_norm),
            tokens: Some(tokens),
            tokens_per_s: Some(tokens_per_s),
            seconds: Some(seconds),
            data_seconds: Some(data_seconds),
            valid: None,
        })?;
        let mut scalars = vec![
            ("train/loss", outcome.loss),
            ("train/learning_rate", lr),
            ("train/grad_norm", outcome.grad_norm),
            ("train/tokens_per_s", tokens_per_s),
        ];
        scalars.extend(self.has_perplexity.then(|| ("train/perplexity", outcome.loss.exp())));
        self.events.scalars(step, &scalars)
    }

    /// Logs a validation after update `step`.
    pub(crate) fn validation(&mut self, step: u64, valid: Validation) -> Result<()> {
        self.line(&LogLine {
            step,
            loss: None,
            lr: None,
            grad_norm: None,
            tokens: None,
            tokens_per_s: None,
            seconds: None,
            data_seconds: None,
            valid: Some(valid),
        })?;
        let mut scalars = vec![("valid/loss", valid.loss)];
        scalars.extend(self.has_perplexity.then(|| ("valid/perplexity", valid.loss.exp())));
        scalars.extend(valid.auroc.map(|auroc| ("valid/auroc", auroc)));
        self.events.scalars(step, &scalars)
    }

    fn line(&mut self, line: &LogLine) -> Result<()> {
        let json = serde_json::to_string(line).expect("numbers serialise");
        // In one write, so that a kill tears no line where the system writes it whole.
        self.file.write_all(format!("{json}\n").as_bytes()).at(&self.path)
    }

    /// Makes everything logged so far survive a power cut.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_all().at(&self.path)?;
        self.events.sync()
    }
}

/// Cuts off the lines that tell of something after `state`, and one that a kill tore.
fn cut_back(path: &Path, state: &State) -> Result<()> {
    let text = files::read(path)?;
    let lines = |text: &[u8]| text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut kept = lines(&text);
    if kept < text.len() {
        console::note(format_args!(
            "{}: its last line was torn, as by a kill; it is taken out",
            path.display()
        ));
    }
    while kept > 0 {
        let start = lines(&text[..kept - 1]);
        if serde_json::from_slice(&text[start..kept]).is_ok_and(|line: LogLine| line.is_before(state)) {
            break;
        }
        kept = start;
    }
    if kept < text.len() {
        let file = OpenOptions::new().write(true).open(path).at(path)?;
        file.set_len(kept as u64).and_then(|()| file.sync_all()).at(path)?;
    }
    Ok(())
}

/// The lines of a run's log that can be read.
pub(crate) fn read(run: &Path) -> Result<Vec<LogLine>> {
    let text = files::read_text(&run.join(LOG))?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// Seconds a run's updates took, without validation and checkpoints; those of an update done anew after a resume count once.
pub(crate) fn seconds(run: &Path) -> Result<f64> {
    Ok(read(run)?.iter().filter_map(|line| line.seconds).sum())
}
