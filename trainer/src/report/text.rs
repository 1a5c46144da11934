//! Texts with `code` between backticks.

/// A stretch of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Span<'a> {
    Plain(&'a str),
    Code(&'a str),
}

/// The stretches of `text`; a backtick without a partner is itself.
pub(super) fn spans(text: &str) -> Vec<Span<'_>> {
    let mut spans = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('`') {
        let Some((code, after)) = after.split_once('`') else {
            break;
        };
        spans.extend([Span::Plain(before), Span::Code(code)]);
        rest = after;
    }
    spans.push(Span::Plain(rest));
    spans.retain(|span| *span != Span::Plain(""));
    spans
}

/// Runs of columns of one group, each with its length; a column without a group is a run of one.
pub(super) fn groups(columns: &[super::Column]) -> Vec<(&str, usize)> {
    let same = |a: &super::Column, b: &super::Column| !a.group.is_empty() && a.group == b.group;
    columns.chunk_by(same).map(|run| (run[0].group.as_str(), run.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backticks_part_code_from_words() {
        assert_eq!(spans("a `b` c"), [Span::Plain("a "), Span::Code("b"), Span::Plain(" c")]);
        assert_eq!(spans("`b`"), [Span::Code("b")]);
        assert_eq!(spans("a ` b"), [Span::Plain("a ` b")]);
    }
}
