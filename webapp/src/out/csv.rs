//! Tables as comma-separated values (RFC 4180).

use crate::about::About;
use crate::engine::protocol::Outcome;
use crate::risk::Relation;

/// A cell: quoted where it has to be, and begun with an apostrophe where a spreadsheet would take it for a formula (OWASP, CSV
/// injection).
#[must_use]
pub fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{guard}{text}")
    }
}

/// Rows of cells, each row ended by CR and LF.
#[must_use]
pub fn table<Row: AsRef<[String]>>(rows: impl IntoIterator<Item = Row>) -> String {
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.as_ref().iter().map(|text| cell(text)).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

/// The heads of [`outcomes`].
pub const COLUMNS: [&str; 9] = [
    "task",
    "title",
    "label",
    "description",
    "probability",
    "average",
    "relation",
    "threshold",
    "above_threshold",
];

/// Every label of every outcome with its calibrated probability, average and threshold; unknown cells are empty.
#[must_use]
pub fn outcomes(about: &About, outcomes: &[Outcome]) -> String {
    let mut rows = vec![COLUMNS.map(str::to_owned).to_vec()];
    for outcome in outcomes {
        let Some(task) = about.task(&outcome.task) else { continue };
        for (label, (said, probability)) in task.labels.iter().zip(&outcome.probabilities).enumerate() {
            let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.6}"));
            let (average, threshold) = (task.base_rate(label), task.threshold(label));
            let relation = average.map_or("", |average| Relation::of(*probability, average).words());
            let passed =
                threshold.map_or("", |threshold| if *probability >= threshold { "yes" } else { "no" });
            rows.push(vec![
                task.name.clone(),
                task.heading().to_owned(),
                said.name.clone(),
                said.description.clone(),
                number(Some(*probability)),
                number(average),
                relation.to_owned(),
                number(threshold),
                passed.to_owned(),
            ]);
        }
    }
    table(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_guarded() {
        assert_eq!(cell("plain"), "plain");
        assert_eq!(cell("a, \"b\"\nc"), "\"a, \"\"b\"\"\nc\"");
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)"] {
            assert_eq!(cell(formula), format!("'{formula}"));
        }
        assert_eq!(cell("=a,b"), "\"'=a,b\"");
        assert_eq!(
            table([vec!["a".to_owned(), String::new()], vec!["\u{e9}".to_owned()]]),
            "a,\r\n\u{e9}\r\n"
        );
    }

    #[test]
    fn outcomes_are_rows() {
        let about = About::read(&serde_json::json!({"tasks": [{
            "name": "MOR", "title": "Death in hospital", "kind": "binary",
            "labels": [{"name": "0", "description": "lives"}, {"name": "1", "description": "dies, \"early\""}],
            "evidence": {"base_rates": [0.9, 0.1], "thresholds": [0.5, null]}
        }]}));
        let outcome = |task: &str| Outcome {
            task: task.to_owned(),
            probabilities: vec![0.75, 0.25],
            tokens_read: 3,
            elapsed_ms: 1.0,
        };
        let text = outcomes(&about, &[outcome("MOR"), outcome("unknown")]);
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert_eq!(
            lines[0],
            "task,title,label,description,probability,average,relation,threshold,above_threshold"
        );
        assert_eq!(
            lines[1],
            "MOR,Death in hospital,0,lives,0.750000,0.900000,well below average,0.500000,yes"
        );
        assert_eq!(
            lines[2],
            "MOR,Death in hospital,1,\"dies, \"\"early\"\"\",0.250000,0.100000,well above average,,"
        );
        assert_eq!(lines.len(), 4);
    }
}
