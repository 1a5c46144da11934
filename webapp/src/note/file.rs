//! What an opened, dropped or pasted file is: bytes to a text the page can show, or a reason why not.

use std::fmt::Write as _;

/// Most bytes of a file that is opened: a note has some thousands.
pub const FILE_BYTES: usize = 10 << 20;

/// How the bytes were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// UTF-8, with or without a byte order mark.
    Utf8,
    /// UTF-16, little end first, as its byte order mark says.
    Utf16Le,
    /// UTF-16, big end first, as its byte order mark says.
    Utf16Be,
    /// Windows-1252, since it is no UTF-8.
    Windows1252,
}

/// A text that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The text, with line ends `\n` and without control characters.
    pub text: String,
    /// How it was read.
    pub encoding: Encoding,
    /// NULs and other control characters that were left out.
    pub removed_controls: usize,
    /// Marks that change the direction of writing; kept, since they may belong to the text, and told, since they may hide some.
    pub direction_marks: usize,
    /// Characters that could not be read and became U+FFFD.
    pub unreadable: usize,
}

/// Why a file is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// More than [`FILE_BYTES`].
    #[error("The file has {:.1} MB; a note has at most {} MB. Open the note alone, not a whole record.", megabytes(*bytes), FILE_BYTES >> 20)]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Known by its first bytes to be something else than text.
    #[error("This is {what}, not text. Save the note as plain text (.txt), or copy and paste it.")]
    Known {
        /// What, with its article.
        what: &'static str,
    },
    /// Too many bytes that no text has.
    #[error("This is not a text file. Save the note as plain text (.txt), or copy and paste it.")]
    Binary,
    /// Nothing but blanks.
    #[error("The file is empty.")]
    Empty,
}

#[expect(clippy::cast_precision_loss, reason = "said with one decimal")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// First bytes of what people drop by mistake.
const KNOWN: [(&[u8], &str); 9] = [
    (b"%PDF-", "a PDF file"),
    (b"PK\x03\x04", "a Word file or another archive"),
    (b"\xD0\xCF\x11\xE0", "an old Word file"),
    (b"{\\rtf", "a rich text file"),
    (b"\x89PNG", "a picture"),
    (b"\xFF\xD8\xFF", "a picture"),
    (b"GIF8", "a picture"),
    (b"\x1F\x8B", "a compressed file"),
    (b"\x7FELF", "a program"),
];

/// What a file holds.
///
/// # Errors
/// [`FileError`] for one that is too large, empty, or no text.
pub fn open(bytes: &[u8]) -> Result<Opened, FileError> {
    if bytes.len() > FILE_BYTES {
        return Err(FileError::TooLarge { bytes: bytes.len() });
    }
    if let Some((_, what)) = KNOWN.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Err(FileError::Known { what });
    }
    let (text, encoding) = decode(bytes)?;
    let opened = clean(&text, encoding);
    if opened.text.trim().is_empty() {
        return Err(if opened.removed_controls > 8 { FileError::Binary } else { FileError::Empty });
    }
    // A stray NUL is mended; a program's share of control characters is none of a text.
    if 10 * (opened.removed_controls + opened.unreadable)
        > opened.text.chars().count() + opened.removed_controls
    {
        return Err(FileError::Binary);
    }
    Ok(opened)
}

/// A pasted text, mended as a file's is.
///
/// # Errors
/// [`FileError::TooLarge`]; an empty one is empty.
pub fn paste(text: &str) -> Result<Opened, FileError> {
    if text.len() > FILE_BYTES {
        return Err(FileError::TooLarge { bytes: text.len() });
    }
    Ok(clean(text, Encoding::Utf8))
}

impl Opened {
    /// What was mended or should be known, in sentences; empty for a plain text.
    #[must_use]
    pub fn remarks(&self) -> String {
        let mut said = String::new();
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        match self.encoding {
            Encoding::Utf8 => {}
            Encoding::Utf16Le | Encoding::Utf16Be => said.push_str("The file was read as UTF-16. "),
            Encoding::Windows1252 => {
                said.push_str("The file was read as Windows-1252; check accented letters. ");
            }
        }
        if self.removed_controls > 0 {
            let count = self.removed_controls;
            write!(said, "{count} control character{} removed. ", plural(count))
                .expect("a string takes everything");
        }
        if self.unreadable > 0 {
            let count = self.unreadable;
            write!(said, "{count} character{} could not be read. ", plural(count))
                .expect("a string takes everything");
        }
        if self.direction_marks > 0 {
            let count = self.direction_marks;
            write!(said, "The text has {count} mark{} that change the direction of writing. ", plural(count))
                .expect("a string takes everything");
        }
        said.trim_end().to_owned()
    }
}

fn decode(bytes: &[u8]) -> Result<(String, Encoding), FileError> {
    let utf16 = |rest: &[u8], read: fn([u8; 2]) -> u16| {
        let (units, odd) = rest.as_chunks::<2>();
        let mut text = String::from_utf16_lossy(&units.iter().map(|unit| read(*unit)).collect::<Vec<_>>());
        if !odd.is_empty() {
            text.push('\u{fffd}');
        }
        text
    };
    if let Some(rest) = bytes.strip_prefix(b"\xFF\xFE") {
        return Ok((utf16(rest, u16::from_le_bytes), Encoding::Utf16Le));
    }
    if let Some(rest) = bytes.strip_prefix(b"\xFE\xFF") {
        return Ok((utf16(rest, u16::from_be_bytes), Encoding::Utf16Be));
    }
    let rest = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if let Ok(text) = str::from_utf8(rest) {
        return Ok((text.to_owned(), Encoding::Utf8));
    }
    // No text in Windows-1252 has NULs; what has is UTF-16 without a mark, or no text.
    if rest.contains(&0) {
        return Err(FileError::Binary);
    }
    Ok((rest.iter().map(|byte| windows_1252(*byte)).collect(), Encoding::Windows1252))
}

/// Bytes 80 to 9F of Windows-1252, as the WHATWG Encoding Standard has them; the others are Latin-1.
const WINDOWS_1252: [char; 32] = [
    '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}', '\u{2c6}',
    '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}', '\u{90}', '\u{2018}',
    '\u{2019}', '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{2dc}', '\u{2122}', '\u{161}',
    '\u{203a}', '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
];

fn windows_1252(byte: u8) -> char {
    match byte {
        0x80..=0x9F => WINDOWS_1252[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

fn clean(text: &str, encoding: Encoding) -> Opened {
    let mut opened = Opened {
        text: String::with_capacity(text.len()),
        encoding,
        removed_controls: 0,
        direction_marks: 0,
        unreadable: 0,
    };
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\r' => {
                if rest.peek() != Some(&'\n') {
                    opened.text.push('\n');
                }
            }
            '\n' | '\t' => opened.text.push(c),
            // A form feed parts the pages of a printed record.
            '\u{c}' => opened.text.push('\n'),
            c if c.is_control() => opened.removed_controls += 1,
            '\u{feff}' => opened.removed_controls += 1,
            c => {
                opened.direction_marks += usize::from(is_direction_mark(c));
                opened.unreadable += usize::from(c == '\u{fffd}');
                opened.text.push(c);
            }
        }
    }
    opened
}

/// Marks of Unicode's bidirectional algorithm (UAX 9) that reorder what stands around them.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_in_their_encodings() {
        let read = |bytes: &[u8]| open(bytes).map(|opened| (opened.text, opened.encoding));
        assert_eq!(
            read(b"\xEF\xBB\xBFcaf\xC3\xA9\r\nx\ry"),
            Ok(("caf\u{e9}\nx\ny".to_owned(), Encoding::Utf8))
        );
        assert_eq!(read(b"\xFF\xFEc\0\xE9\0"), Ok(("c\u{e9}".to_owned(), Encoding::Utf16Le)));
        assert_eq!(read(b"\xFE\xFF\0c\0\xE9"), Ok(("c\u{e9}".to_owned(), Encoding::Utf16Be)));
        assert_eq!(
            read(b"caf\xE9 \x93x\x94 \x80"),
            Ok(("caf\u{e9} \u{201c}x\u{201d} \u{20ac}".to_owned(), Encoding::Windows1252))
        );
        assert_eq!(
            read("\u{1f600} \u{5d0}".as_bytes()).map(|read| read.0),
            Ok("\u{1f600} \u{5d0}".to_owned())
        );
    }

    #[test]
    fn what_is_no_note_is_refused_with_a_reason() {
        let refused = |bytes: &[u8]| open(bytes).unwrap_err().to_string();
        assert!(
            refused(&vec![b'a'; FILE_BYTES + 1])
                .starts_with("The file has 10.0 MB; a note has at most 10 MB.")
        );
        assert!(open(&vec![b'a'; FILE_BYTES]).is_ok());
        assert!(refused(b"%PDF-1.7 ...").starts_with("This is a PDF file, not text."));
        assert!(refused(b"PK\x03\x04....").contains("Word file"));
        assert_eq!(open(b"\x00\x01\x02\xFF\xFE\x00"), Err(FileError::Binary));
        assert_eq!(open(&[1, 2, 3, 4, 5, 6, 7, 8, 9, b'a', b'b']), Err(FileError::Binary));
        assert_eq!(open(b""), Err(FileError::Empty));
        assert_eq!(open(b" \r\n "), Err(FileError::Empty));
        assert_eq!(open(&[0; 64]), Err(FileError::Binary));
    }

    #[test]
    fn control_characters_are_removed_and_direction_marks_told() {
        let opened = open("chest\0 pain, admitted to\u{7} the ward\u{202e}!\u{2069}".as_bytes()).unwrap();
        assert_eq!(opened.text, "chest pain, admitted to the ward\u{202e}!\u{2069}");
        assert_eq!((opened.removed_controls, opened.direction_marks), (2, 2));
        let said = opened.remarks();
        assert_eq!(
            said,
            "2 control characters removed. The text has 2 marks that change the direction of writing."
        );
        assert_eq!(open(b"plain").unwrap().remarks(), "");
        assert_eq!(paste("a\0").unwrap().text, "a");
        assert!(paste(&"a".repeat(FILE_BYTES + 1)).is_err());
    }
}
