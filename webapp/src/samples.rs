//! Sample notes.

/// A sample.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Title.
    pub title: String,
    /// Line.
    pub line: String,
    /// Note.
    pub note: String,
}

/// All.
#[must_use]
pub fn samples() -> &'static [Sample] {
    static S: std::sync::OnceLock<Vec<Sample>> = std::sync::OnceLock::new();
    S.get_or_init(|| vec![Sample { title: "82-year-old man".into(), line: "x".into(), note: "CHIEF COMPLAINT: Shortness of breath.\nPRESENT ILLNESS: 82M with dyspnoea, intubated, on vasopressors.".into() }])
}
