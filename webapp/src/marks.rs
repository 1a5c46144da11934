//! Marks on a text: ranges that may overlap, cut into runs that do not, so that each can be drawn as one element.

use std::ops::Range;

/// Something said of a range of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Where.
    pub range: Range<usize>,
    /// What, as the name of a style.
    pub class: &'static str,
}

/// A run of text under the same marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Where it stands.
    pub range: Range<usize>,
    /// Styles of the marks over it, each once, in the order the marks were given.
    pub classes: Vec<&'static str>,
}

/// Cuts `text` into the longest runs under the same marks; together they are the whole text. Marks are moved outwards to
/// whole characters, and clipped to the text.
#[must_use]
pub fn segments(text: &str, marks: &[Mark]) -> Vec<Segment> {
    let marks: Vec<Mark> = marks
        .iter()
        .map(|mark| Mark { range: outwards(text, &mark.range), class: mark.class })
        .filter(|mark| !mark.range.is_empty())
        .collect();
    let mut cuts: Vec<usize> = marks.iter().flat_map(|mark| [mark.range.start, mark.range.end]).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts.dedup();
    let mut segments: Vec<Segment> = Vec::new();
    for pair in cuts.windows(2) {
        let [start, end] = pair else { continue };
        let mut classes: Vec<&'static str> = Vec::new();
        for mark in &marks {
            if mark.range.start <= *start && *end <= mark.range.end && !classes.contains(&mark.class) {
                classes.push(mark.class);
            }
        }
        match segments.last_mut() {
            Some(last) if last.classes == classes => last.range.end = *end,
            _ => segments.push(Segment { range: *start..*end, classes }),
        }
    }
    segments
}

fn outwards(text: &str, range: &Range<usize>) -> Range<usize> {
    let mut start = range.start.min(text.len());
    let mut end = range.end.clamp(start, text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(range: Range<usize>, class: &'static str) -> Mark {
        Mark { range, class }
    }

    fn drawn(text: &str, marks: &[Mark]) -> Vec<(String, String)> {
        let segments = segments(text, marks);
        segments.iter().map(|s| (text[s.range.clone()].to_owned(), s.classes.join(" "))).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(text, classes)| ((*text).to_owned(), (*classes).to_owned())).collect()
    }

    #[test]
    fn overlapping_marks_share_what_is_under_both() {
        let marks = [mark(1..5, "a"), mark(3..7, "b"), mark(3..4, "a")];
        let expected = [("0", ""), ("12", "a"), ("34", "a b"), ("56", "b"), ("78", "")];
        assert_eq!(drawn("012345678", &marks), pairs(&expected));
    }

    #[test]
    fn marks_side_by_side_of_one_kind_are_one_run() {
        assert_eq!(drawn("abcd", &[mark(0..2, "x"), mark(2..3, "x")]), pairs(&[("abc", "x"), ("d", "")]));
    }

    #[test]
    fn no_character_is_cut_and_no_mark_leaves_the_text() {
        let heart = "a\u{1fac0}b";
        let marks = [mark(2..3, "x"), mark(5..99, "y"), mark(98..99, "z"), mark(0..0, "w")];
        assert_eq!(drawn(heart, &marks), pairs(&[("a", ""), ("\u{1fac0}", "x"), ("b", "y")]));
        assert_eq!(drawn("", &[mark(0..3, "x")]), pairs(&[]));
        assert_eq!(drawn("plain", &[]), pairs(&[("plain", "")]));
    }
}
