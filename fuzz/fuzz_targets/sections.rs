//! Any text gives an admission note with eight blocks, one of the first three with a body, or none.
//!
//! `cargo +nightly fuzz run sections`

#![no_main]

#[path = "../../trainer/src/mimic/characters.rs"]
mod characters;
#[path = "../../trainer/src/mimic/sections.rs"]
mod sections;

use libfuzzer_sys::fuzz_target;

const LABELS: [&str; 8] = [
    "CHIEF COMPLAINT",
    "PRESENT ILLNESS",
    "MEDICAL HISTORY",
    "MEDICATION ON ADMISSION",
    "ALLERGIES",
    "PHYSICAL EXAM",
    "FAMILY HISTORY",
    "SOCIAL HISTORY",
];

fuzz_target!(|text: &str| {
    let Some(note) = sections::admission_note(text) else {
        return;
    };
    let blocks: Vec<&str> = note.split("\n\n").collect();
    assert_eq!(blocks.len(), LABELS.len());
    let body = |(block, label): (&&str, &str)| {
        block
            .strip_prefix(label)
            .and_then(|rest| rest.strip_prefix(": ").map(str::len))
    };
    let bodies: Vec<usize> = blocks
        .iter()
        .zip(LABELS)
        .map(|pair| body(pair).expect("label, colon, blank"))
        .collect();
    assert!(bodies[..3].iter().any(|length| *length > 0));
    assert!(note.len() <= text.len() * 8 + 200, "a body is a part of the text");
});
