//! How a note is read before the model reads it: from a file or the clipboard, its marks, and remarks on it.

use clinlora_webapp::marks::Mark;
use clinlora_webapp::note::file::{FileError, Opened, open, paste};
use clinlora_webapp::note::fitness::{FlagKind, flags};
use clinlora_webapp::note::identifiers::{identifiers, summary};
use clinlora_webapp::note::sections::{LeakKind, SectionKind, leakage, missing, sections};
use clinlora_webapp::reasons::{Reason, Verdict, reasons};
use clinlora_webapp::trial::Trial;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::File;

use super::state::Page;
use super::words;

/// Most bytes of a note in the field. The longest discharge summaries have half of it, the model reads far less, and a
/// browser lays out a field of a megabyte for a minute.
pub(crate) const NOTE_BYTES: usize = 200_000;

/// How much of a note is scanned at every key.
const SCANNED_BYTES: usize = 60_000;

/// A text, and what is to be said of how it was read.
pub(crate) struct Read {
    pub(crate) text: String,
    pub(crate) remark: Option<String>,
}

/// Something to know of a note.
#[derive(Clone, PartialEq)]
pub(crate) struct Remark {
    /// Name of a style.
    pub(crate) class: &'static str,
    pub(crate) text: String,
}

/// The text of a file.
pub(crate) async fn read_file(file: &File) -> Result<Read, String> {
    // Asked before it is read: a film or a disk image would fill the memory.
    if file.size() > words::as_number(NOTE_BYTES) {
        return Err(too_long(file.size()));
    }
    let buffer =
        JsFuture::from(file.array_buffer()).await.map_err(|_| "The file cannot be read.".to_owned())?;
    let bytes = js_sys::Uint8Array::new(buffer.unchecked_ref()).to_vec();
    open(&bytes).map(read).map_err(|error: FileError| error.to_string())
}

/// A text from the keyboard or the clipboard.
pub(crate) fn pasted(text: &str) -> Result<Read, String> {
    if text.len() > NOTE_BYTES {
        return Err(too_long(words::as_number(text.len())));
    }
    paste(text).map(read).map_err(|error| error.to_string())
}

fn read(opened: Opened) -> Read {
    let remark = opened.remarks();
    Read { text: opened.text, remark: (!remark.is_empty()).then_some(remark) }
}

fn too_long(bytes: f64) -> String {
    format!(
        "That has {:.1} MB; a note has at most {:.0} kB. Take the note alone, not a whole record. The field is as it was.",
        bytes / 1e6,
        words::as_number(NOTE_BYTES) / 1e3
    )
}

/// The part of a note that is scanned: all of it, or the beginning of a very long one.
fn scanned(note: &str) -> &str {
    &note[..note.floor_char_boundary(SCANNED_BYTES)]
}

/// What is marked in the note.
pub(crate) fn marks(page: Page) -> Vec<Mark> {
    let mut marks = Vec::new();
    page.note.with(|note| {
        let note = scanned(note);
        let parts = sections(note);
        let mark = |range, class| Mark { range, class };
        marks.extend(parts.iter().map(|part| mark(part.heading.clone(), "heading")));
        marks.extend(leakage(note, &parts).into_iter().map(|leak| mark(leak.range, "leak")));
        marks.extend(identifiers(note).into_iter().map(|one| mark(one.range, "identifier")));
    });
    marks.retain(|mark| !mark.range.is_empty());
    if let Some(tokens) = page.tokens.get() {
        let end = page.note.with(String::len);
        marks.push(Mark { range: tokens.read_bytes..end, class: "unread" });
    }
    marks
}

/// What raised and lowered the outcome in focus, the passage that was chosen, and what is left out of the copy.
pub(crate) fn reason_marks(page: Page) -> Vec<Mark> {
    let mut marks = Vec::new();
    if let Some(explanation) = page.explanation() {
        let reasons = page.note.with(|note| reasons(note, &explanation.effects));
        if Verdict::of(&reasons, explanation.agreement) == Verdict::HoldsUp {
            marks.extend(reasons.iter().filter_map(Reason::mark));
        }
    }
    let passage = page.passage.get();
    marks.extend(passage.map(|range| Mark { range, class: "chosen" }));
    let struck = page.trial.with(|trial| trial.as_ref().map(Trial::struck_passages).unwrap_or_default());
    marks.extend(struck.into_iter().map(|range| Mark { range, class: "struck" }));
    marks
}

/// What is to be known of the note before it is run: nothing of it forbids to run.
pub(crate) fn remarks(page: Page) -> Vec<Remark> {
    let tokens = page.tokens.get().map(|tokens| (tokens.count, tokens.limit));
    page.note.with(|note| {
        let note = scanned(note);
        if note.trim().is_empty() {
            return Vec::new();
        }
        let parts = sections(note);
        let warn = |text: String| Remark { class: "warn", text };
        let mut remarks = Vec::new();
        let found: Vec<String> = summary(&identifiers(note))
            .into_iter()
            .map(|(kind, count)| if count == 1 { kind.words().to_owned() } else { format!("{} ({count} times)", kind.words()) })
            .collect();
        if !found.is_empty() {
            let text = format!(
                "The underlined words may identify a patient: {}. Nothing leaves this machine, but remove them before you print \
                 the note or show it to others.",
                listed(&found)
            );
            remarks.push(Remark { class: "privacy", text });
        }
        let mut kinds: Vec<LeakKind> = leakage(note, &parts).into_iter().map(|leak| leak.kind).collect();
        kinds.dedup();
        if !kinds.is_empty() {
            let names: Vec<String> = kinds.into_iter().map(|kind| kind.title().to_lowercase()).collect();
            remarks.push(warn(format!(
                "The highlighted text is only known when a patient leaves ({}). With it the model repeats what has happened \
                 instead of expecting it: remove it.",
                listed(&names)
            )));
        }
        let flagged = flags(note, tokens);
        let says_more = flagged.iter().any(|flag| matches!(flag.kind, FlagKind::TooShort | FlagKind::Unlike | FlagKind::NotEnglish));
        remarks.extend(flagged.into_iter().map(|flag| warn(flag.sentence)));
        let absent: Vec<String> = missing(note, &parts).into_iter().map(|kind| kind.title().to_lowercase()).collect();
        if !absent.is_empty() && absent.len() < SectionKind::ALL.len() {
            let text = format!("Sections that the training notes have and this one has not: {}.", listed(&absent));
            remarks.push(Remark { class: "info", text });
        } else if !absent.is_empty() && !says_more {
            let text = "No section headings were found. The training notes have them (chief complaint, present illness, medical \
                        history and so on); with headings this note is read better."
                .to_owned();
            remarks.push(Remark { class: "info", text });
        }
        remarks
    })
}

/// `a, b and c`
fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}
