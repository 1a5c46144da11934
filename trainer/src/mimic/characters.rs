//! Characters as the rules of the tasks see them: those of Python 3.11's `str` and `re`, Unicode 14.

use memchr::{memchr2, memchr3};

/// Whether Python counts `c` as white space, in `str.strip` and in `\s`.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `text` without white space at its ends.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// Whether `c` is a decimal digit of any script, `\d`.
pub(super) fn is_digit(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_digit();
    }
    let code = c as u32;
    let after = DIGIT_ZEROS.partition_point(|zero| *zero <= code);
    after > 0 && code - DIGIT_ZEROS[after - 1] < 10
}

/// Length in bytes of `lower` at the start of `text`, in any case, or none. `lower` is lower-case ASCII.
///
/// A few letters beyond ASCII count as a case of one: the dotted and the dotless i, the long s, the Kelvin sign.
pub(super) fn prefix_ignoring_case(text: &str, lower: &str) -> Option<usize> {
    let mut rest = text.chars();
    for wanted in lower.chars() {
        let c = rest.next()?;
        let folded = match c {
            'İ' | 'ı' => 'i',
            'ſ' => 's',
            '\u{212A}' => 'k',
            _ => c.to_ascii_lowercase(),
        };
        if folded != wanted {
            return None;
        }
    }
    Some(text.len() - rest.as_str().len())
}

/// Where `lower` first stands in `text`, in any case.
pub(super) fn find_ignoring_case(text: &str, lower: &str) -> Option<std::ops::Range<usize>> {
    let first = lower.as_bytes()[0];
    let upper = first.to_ascii_uppercase();
    // First byte of the letter beyond ASCII that counts as a case of `first`.
    let beyond = match first {
        b'i' => Some(0xC4),
        b's' => Some(0xC5),
        b'k' => Some(0xE2),
        _ => None,
    };
    let mut from = 0;
    loop {
        let rest = &text.as_bytes()[from..];
        let candidate = match beyond {
            Some(byte) => memchr3(first, upper, byte, rest)?,
            None => memchr2(first, upper, rest)?,
        };
        let start = from + candidate;
        if let Some(length) = prefix_ignoring_case(&text[start..], lower) {
            return Some(start..start + length);
        }
        from = start + text[start..].chars().next().map_or(1, char::len_utf8);
    }
}

/// Zeros of the scripts that have decimal digits; the other nine follow each.
const DIGIT_ZEROS: [u32; 66] = [
    0x30, 0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50,
    0xED0, 0xF20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40,
    0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x11066,
    0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950,
    0x11C50, 0x11D50, 0x11DA0, 0x16A60, 0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6,
    0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_and_digits_number_as_many_as_in_python() {
        // sum(chr(c).isspace() ...) and sum(unicodedata.category(chr(c)) == "Nd" ...) over all c
        let all = || (0..=u32::from(char::MAX)).filter_map(char::from_u32);
        assert_eq!(all().filter(|c| is_space(*c)).count(), 29);
        assert_eq!(all().filter(|c| is_digit(*c)).count(), 660);
        assert_eq!(strip("\u{1c}\u{a0}\u{85} a b\t\r\n"), "a b");
        assert_eq!(strip("\u{200b}a"), "\u{200b}a", "a zero-width space is none");
    }

    #[test]
    fn a_phrase_is_found_in_any_case() {
        assert_eq!(find_ignoring_case("past MEDICAL History: x", "medical history:"), Some(5..21));
        assert_eq!(find_ignoring_case("\u{212A}K kı\u{17F}\u{130}t:", "kisit:"), Some(5..14));
        assert_eq!(find_ignoring_case("medical histor", "medical history:"), None);
        assert_eq!(find_ignoring_case("mmedical", "medical"), Some(1..8));
    }
}
