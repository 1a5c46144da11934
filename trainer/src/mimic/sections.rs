//! The admission note: eight sections of a discharge summary that are known when the patient comes in.
//!
//! The rules are CORe's (van Aken et al. 2021, `mimic_utils.py`), to the letter, since published figures rest on them. They
//! work on a text whose line ends are written as a backslash and an `n`: a section's body runs from its header to the first
//! blank line that a line like `Header:` follows. A literal backslash and `n` in a note therefore counts as a line end, and a
//! carriage return is an ordinary character.

use memchr::memmem;

use super::characters::{find_ignoring_case, is_digit, strip};

/// Label of a block in the admission note, and the header its body follows in the summary.
const SECTIONS: [(&str, &str); 8] = [
    ("CHIEF COMPLAINT", "chief complaint:"),
    ("PRESENT ILLNESS", "present illness:"),
    ("MEDICAL HISTORY", "medical history:"),
    ("MEDICATION ON ADMISSION", "medications on admission:"),
    ("ALLERGIES", "allergies:"),
    ("PHYSICAL EXAM", "physical exam:"),
    ("FAMILY HISTORY", "family history:"),
    ("SOCIAL HISTORY", "social history:"),
];

/// Sections of which one at least must have a body: the first three.
const MAIN_SECTIONS: usize = 3;

/// A line end, marked.
const MARKED: &str = "\\n";

/// A blank line, marked.
const BLANK_LINE: &str = "\\n\\n";

/// The admission note in `summary`, or none if chief complaint, present illness and medical history are all empty.
///
/// `summary` is an admission's discharge summary and addenda, stripped. The note always has all eight blocks, each
/// `LABEL: body`, with a blank line between.
#[must_use]
pub fn admission_note(summary: &str) -> Option<String> {
    let marked = summary.replace('\n', MARKED);
    let bodies = SECTIONS.map(|(_, header)| body(&marked, header));
    if bodies[..MAIN_SECTIONS].iter().all(String::is_empty) {
        return None;
    }
    let blocks: Vec<String> =
        SECTIONS.iter().zip(bodies).map(|((label, _), body)| format!("{label}: {body}")).collect();
    Some(blocks.join("\n\n"))
}

/// Body of the section under the first `header`; empty if there is none, or if it does not end.
fn body(marked: &str, header: &str) -> String {
    let Some(header) = find_ignoring_case(marked, header) else {
        return String::new();
    };
    let start = header.end;
    let Some(first) = marked[start..].chars().next() else {
        return String::new();
    };
    // A body has one character at least.
    let mut from = start + first.len_utf8();
    while let Some(offset) = memmem::find(&marked.as_bytes()[from..], BLANK_LINE.as_bytes()) {
        let end = from + offset;
        if begins_with_header(&marked[end + BLANK_LINE.len()..]) {
            return strip(&marked[start..end].replace(MARKED, " ")).to_owned();
        }
        from = end + 1;
    }
    String::new()
}

/// Whether `text` begins with a character or more and a colon, with no bracket, backslash, bar, dot or digit before it.
fn begins_with_header(text: &str) -> bool {
    let run = text.chars().take_while(|c| !matches!(c, '(' | ')' | '\\' | '|' | '.') && !is_digit(*c));
    run.skip(1).any(|c| c == ':')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(note: &str, label: &str) -> String {
        let blocks: Vec<&str> = note.split("\n\n").collect();
        let block = blocks.iter().find(|block| block.starts_with(label)).expect("every label stands");
        block[label.len()..].strip_prefix(": ").expect("colon and blank").to_owned()
    }

    #[test]
    fn bodies_keep_their_paragraphs_and_end_before_a_header() {
        let summary = "Chief Complaint:\nchest  pain\n\nMajor Surgical or Invasive Procedure:\nnone\n\nHistory of Present \
            Illness:\nFirst.\n\nSecond, 2 days:\nlater\n\nPast Medical History:\n1. CAD\n\nSocial History:\nnone";
        let note = admission_note(summary).expect("a note");
        assert_eq!(block(&note, "CHIEF COMPLAINT"), "chest  pain");
        assert_eq!(block(&note, "PRESENT ILLNESS"), "First.  Second, 2 days: later");
        assert_eq!(block(&note, "MEDICAL HISTORY"), "1. CAD");
        assert_eq!(block(&note, "SOCIAL HISTORY"), "", "nothing ends it");
        assert!(note.ends_with("\n\nSOCIAL HISTORY: "), "{note}");
    }

    #[test]
    fn an_empty_section_swallows_the_next_unless_a_blank_line_is_all_it_has() {
        let note =
            admission_note("Chief Complaint:\n\nAllergies:\nPenicillin\n\nAttending:\nx").expect("a note");
        assert_eq!(block(&note, "CHIEF COMPLAINT"), "Allergies: Penicillin");
        assert_eq!(block(&note, "ALLERGIES"), "Penicillin");
        let text = "Chief Complaint:\n\n\nAllergies:\nNKDA\n\nPresent illness: ill\n\nEnd:";
        assert_eq!(block(&admission_note(text).expect("a note"), "CHIEF COMPLAINT"), "");
    }

    #[test]
    fn a_note_without_main_sections_is_none() {
        assert_eq!(admission_note("Allergies:\nNKDA\n\nSex: F"), None);
        assert_eq!(admission_note("Chief Complaint:\r\npain\r\n\r\nAllergies:\r\nnone"), None, "CRLF");
        assert_eq!(admission_note("Chief Complaint: pain\n \nAllergies: none"), None, "no blank line");
        assert_eq!(admission_note(""), None);
    }

    proptest! {
        #[test]
        fn any_text_gives_eight_blocks_or_none(text in "(chief complaint:|Allergies:|\\n|\\\\n|\\PC|[0-9.(: ])*") {
            if let Some(note) = admission_note(&text) {
                let mut rest = note.as_str();
                for (label, _) in SECTIONS {
                    let at = rest.find(&format!("{label}: ")).expect("every block, in order");
                    rest = &rest[at + label.len()..];
                }
                prop_assert!(!note.contains("\n\n\n"));
            }
        }

        #[test]
        fn a_body_is_a_part_of_the_summary(text in "[a-z0-9. ,]{1,40}", next in "[A-Za-z ]{1,12}") {
            let summary = format!("x\nChief Complaint:\n{text}\n\n{next}:\nrest");
            let note = admission_note(&summary);
            let expected = text.trim();
            match note {
                Some(note) => prop_assert_eq!(block(&note, "CHIEF COMPLAINT"), expected),
                None => prop_assert!(expected.is_empty()),
            }
        }
    }
}
