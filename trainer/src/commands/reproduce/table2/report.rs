//! Table 2 as markdown and as JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::PAPER_BATCH;
use crate::eval::perplexity::Perplexity;

/// The table. The same command on the same inputs gives the same, but for `seconds`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) model: PathBuf,
    /// Values of the base.
    pub(super) parameters: usize,
    pub(super) notes: PathBuf,
    /// Training notes in all.
    pub(super) train_notes: usize,
    pub(super) max_tokens: usize,
    pub(super) seed: u64,
    /// As typed.
    pub(super) overrides: Vec<String>,
    pub(super) base: Figures,
    pub(super) methods: Vec<Row>,
    /// Of each method's updates.
    pub(super) seconds: BTreeMap<&'static str, f64>,
}

/// One method.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    #[serde(skip)]
    pub(super) title: &'static str,
    pub(super) method: &'static str,
    pub(super) run: PathBuf,
    pub(super) updates: u64,
    pub(super) learning_rate: f64,
    pub(super) trainable: usize,
    /// Of base and adapter.
    pub(super) percent: f64,
    #[serde(flatten)]
    pub(super) figures: Figures,
    pub(super) paper: Paper,
}

/// The paper's row for LLaMA-7B on MIMIC-IV.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Paper {
    pub(super) trainable: usize,
    pub(super) percent: f64,
    /// Of the last micro-batch of ten notes that was logged.
    pub(super) train_perplexity: f64,
    pub(super) test_perplexity: f64,
    /// Hours, minutes, seconds on one A100-80GB.
    pub(super) time: &'static str,
}

/// What a model makes of the notes.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    /// A sample of the training notes.
    pub(super) train: Measured,
    pub(super) test: Measured,
}

/// Perplexities of one set of notes.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    /// As `clinlora perplexity` prints them: with the first token of a note where virtual tokens stand before it.
    #[serde(flatten)]
    pub(super) all: Perplexity,
    /// Of the tokens after a note's first, each weighing the same: of the same tokens for every method and the base.
    #[serde(rename = "perplexity_after_first_token")]
    pub(super) after_first: f64,
}

impl Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (train, test) = (&self.train, &self.test);
        write!(f, "{:.3} in training, {:.3} in test", train.after_first, test.after_first)
    }
}

impl Figures {
    /// Three cells of the table.
    fn cells(&self) -> String {
        format!(
            "{:.3} | {:.3} | {:.3}",
            self.train.after_first, self.test.after_first, self.test.all.batch_mean_perplexity
        )
    }
}

const TO_A_STRING: &str = "writing to a string does not fail";

impl Report {
    /// The table for people.
    pub(super) fn markdown(&self) -> String {
        let mut text = String::new();
        let mut line = |content: String| writeln!(text, "{content}").expect(TO_A_STRING);
        line(format!(
            "# Table 2: five PEFT methods on {}, seed {}\n\nBase: {} ({} values). {} training notes, {} test notes, of {} tokens at \
             most.\n",
            self.notes.display(),
            self.seed,
            self.model.display(),
            grouped(self.parameters),
            grouped(self.train_notes),
            grouped(self.base.test.all.notes),
            self.max_tokens,
        ));
        line(
            "| | trained | % | train PPL | test PPL | test PPL, batch mean | time | paper: trained | % | train PPL | test PPL | \
             time |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
                .to_owned(),
        );
        line(format!("| base | | | {} | | | | | | |", self.base.cells()));
        for row in &self.methods {
            let paper = &row.paper;
            line(format!(
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                row.title,
                grouped(row.trainable),
                share(row.percent),
                row.figures.cells(),
                clock(self.seconds.get(row.method).copied().unwrap_or_default()),
                grouped(paper.trainable),
                paper.percent,
                paper.train_perplexity,
                paper.test_perplexity,
                paper.time,
            ));
        }
        line(format!(
            "\n- Train and test PPL: exp of the mean loss of a token, every token after a note's first weighing the same, with what\n  \
             each run saved; train over {} training notes evenly spaced, test over all test notes.\n\
             - Batch mean, the paper's definition: exp of the mean over batches of {PAPER_BATCH} notes of each batch's mean. Prompt \
             tuning and\n  P-tuning predict a note's first token too, as in the paper.\n\
             - Time: of the updates, h:mm:ss, without validation and measuring.\n\
             - Paper: LLaMA-7B on MIMIC-IV, one A100-80GB (arXiv 2307.03042, Table 2). On another base or other notes its figures\n  \
             stand beside ours for the order of the methods alone; its train PPL is that of one micro-batch of ten notes, and\n  \
             comparable to nothing.",
            grouped(self.base.train.all.notes),
        ));
        if !self.overrides.is_empty() {
            line(format!("- Not as in the paper: `{}`.", self.overrides.join("` `")));
        }
        text
    }
}

/// Digits in groups of three.
pub(super) fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A percentage with two digits that say something, and not below two places.
fn share(percent: f64) -> String {
    let mut places = 2;
    let mut scaled = percent * 100.0;
    while scaled > 0.0 && scaled < 9.5 && places < 6 {
        scaled *= 10.0;
        places += 1;
    }
    format!("{percent:.places$}")
}

/// Seconds as h:mm:ss.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of durations, below 2^52")]
fn clock(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_paper_writes_them() {
        assert_eq!([0, 999, 61_440, 16_093_696].map(grouped), ["0", "999", "61,440", "16,093,696"]);
        assert_eq!([12.345, 0.124, 0.0182, 0.000_912].map(share), ["12.35", "0.12", "0.018", "0.00091"]);
        assert_eq!([0.4, 59.6, 77_862.0].map(clock), ["0:00:00", "0:01:00", "21:37:42"]);
    }
}
