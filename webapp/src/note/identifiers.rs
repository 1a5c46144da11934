//! A local scan for what may identify a patient: the kinds HIPAA lists (45 CFR 164.514(b)(2)) that have a pattern in text.
//!
//! It warns and underlines; it proves nothing. Names without a title or heading before them, faces and fingerprints have no
//! pattern here. MIMIC's placeholders, `[** **]` and `___`, are what de-identification leaves and are passed over. A false
//! alarm in every note teaches people to ignore the scan, so blood pressures, doses, ratios and laboratory values must not
//! raise one: a pattern needs its context or a shape nothing else has.

use std::ops::Range;

use super::words::{Word, words};

mod dates;
mod names;
mod numbers;

/// What a range may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentifierKind {
    /// A person's name.
    Name,
    /// A street or a ZIP code.
    Address,
    /// A date more exact than a year.
    Date,
    /// An age over 89.
    Age,
    /// A telephone or fax number.
    Phone,
    /// An e-mail address.
    Email,
    /// A social security number.
    SocialSecurity,
    /// A medical record, account, plan, licence, vehicle or device number, or a number long enough to be one.
    Number,
    /// A web address.
    Url,
    /// An Internet address.
    Ip,
}

impl IdentifierKind {
    /// In plain words: `may be a name`.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Name => "a name",
            Self::Address => "an address or ZIP code",
            Self::Date => "a date more exact than a year",
            Self::Age => "an age over 89",
            Self::Phone => "a telephone or fax number",
            Self::Email => "an e-mail address",
            Self::SocialSecurity => "a social security number",
            Self::Number => "a record, account or licence number",
            Self::Url => "a web address",
            Self::Ip => "an Internet address",
        }
    }
}

/// A likely identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identifier {
    /// What it may be.
    pub kind: IdentifierKind,
    /// Where it stands.
    pub range: Range<usize>,
}

/// The likely identifiers of a note, in order, none over another.
#[must_use]
pub fn identifiers(text: &str) -> Vec<Identifier> {
    let words = words(text);
    let mut found = Vec::new();
    numbers::scan(text, &words, &mut found);
    dates::scan(text, &words, &mut found);
    names::scan(text, &words, &mut found);
    addresses_of_the_web(text, &mut found);
    let hidden = placeholders(text);
    found
        .retain(|one| !hidden.iter().any(|range| one.range.start < range.end && range.start < one.range.end));
    found.sort_by_key(|one| (one.range.start, usize::MAX - one.range.end, one.kind));
    let mut kept: Vec<Identifier> = Vec::new();
    for one in found {
        if kept.last().is_none_or(|before| one.range.start >= before.range.end) {
            kept.push(one);
        }
    }
    kept
}

/// `3 dates more exact than a year, 1 name`: what a warning counts, the most frequent first.
#[must_use]
pub fn summary(found: &[Identifier]) -> Vec<(IdentifierKind, usize)> {
    let mut counts: Vec<(IdentifierKind, usize)> = Vec::new();
    for one in found {
        match counts.iter_mut().find(|(kind, _)| *kind == one.kind) {
            Some((_, count)) => *count += 1,
            None => counts.push((one.kind, 1)),
        }
    }
    counts.sort_by_key(|(kind, count)| (usize::MAX - count, *kind));
    counts
}

/// Ranges of `[** **]`.
fn placeholders(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find("[**").map(|at| from + at) {
        let Some(end) = text[start..].find("**]").map(|at| start + at + 3) else { break };
        ranges.push(start..end);
        from = end;
    }
    ranges
}

fn addresses_of_the_web(text: &str, found: &mut Vec<Identifier>) {
    let folded = text.to_ascii_lowercase();
    for scheme in ["http://", "https://", "ftp://", "www."] {
        for (start, _) in folded.match_indices(scheme) {
            let part =
                text[start..].split(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | ')')).next();
            let part = part.unwrap_or("").trim_end_matches(['.', ',', ';']);
            let is_at_word = text[..start].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
            if is_at_word && part.len() > scheme.len() {
                found.push(Identifier { kind: IdentifierKind::Url, range: start..start + part.len() });
            }
        }
    }
    let is_local = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-');
    for (at, _) in text.match_indices('@') {
        let local = text[..at].len() - text[..at].trim_end_matches(is_local).len();
        let rest = &text[at + 1..];
        let domain = &rest[..rest.len()
            - rest.trim_start_matches(|c: char| c.is_alphanumeric() || matches!(c, '.' | '-')).len()];
        let domain = domain.trim_end_matches(['.', '-']);
        let top = domain.rsplit_once('.').map_or("", |(_, top)| top);
        if local > 0 && top.len() >= 2 && top.chars().all(char::is_alphabetic) {
            found.push(Identifier { kind: IdentifierKind::Email, range: at - local..at + 1 + domain.len() });
        }
    }
}

/// What stands between two words.
fn between<'a>(text: &'a str, first: &Word<'_>, second: &Word<'_>) -> &'a str {
    &text[first.end()..second.start]
}

#[cfg(test)]
mod tests;
