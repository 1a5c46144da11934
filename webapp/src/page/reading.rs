//! How a note is read before the model reads it: from a file or the clipboard, its marks, and remarks on it.

use clinlora_webapp::marks::Mark;
use clinlora_webapp::reasons::{Reason, Verdict, reasons};
use clinlora_webapp::trial::Trial;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::File;

use super::state::Page;

/// A text, and what is to be said of how it was read.
pub(crate) struct Read {
    pub(crate) text: String,
    pub(crate) remark: Option<String>,
}

/// Something to know of a note.
pub(crate) struct Remark {
    /// Name of a style.
    pub(crate) class: &'static str,
    pub(crate) text: String,
}

/// The text of a file.
pub(crate) async fn read_file(file: &File) -> Result<Read, String> {
    let buffer =
        JsFuture::from(file.array_buffer()).await.map_err(|_| "The file cannot be read.".to_owned())?;
    let bytes = js_sys::Uint8Array::new(buffer.unchecked_ref()).to_vec();
    Ok(Read { text: String::from_utf8_lossy(&bytes).into_owned(), remark: None })
}

/// A text from the keyboard or the clipboard.
pub(crate) fn pasted(text: &str) -> Result<Read, String> {
    Ok(Read { text: text.to_owned(), remark: None })
}

/// What is marked in the note.
pub(crate) fn marks(page: Page) -> Vec<Mark> {
    let mut marks = Vec::new();
    if let Some(tokens) = page.tokens.get() {
        let end = page.note.with(String::len);
        marks.push(Mark { range: tokens.read_bytes..end, class: "unread" });
    }
    marks.extend(reasons_marks(page));
    marks
}

/// What raised and lowered the outcome in focus, the passage that was chosen, and what is left out of the copy.
fn reasons_marks(page: Page) -> Vec<Mark> {
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

/// What is to be known of the note.
pub(crate) fn remarks(_page: Page) -> Vec<Remark> {
    Vec::new()
}
