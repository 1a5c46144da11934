//! Outcomes as FHIR R4 (4.0.1): a collection bundle with one `RiskAssessment` for each task.
//!
//! One for each and not one for all: a `RiskAssessment` has a single `method`, and each task has its own stack of adapters.
//!
//! - `probabilityDecimal` is a percentage: R4 has "decimal values are expressed as percentages as well (max = 100)", and its
//!   invariant ras-2 bounds it by 100. A share between 0 and 1 would be read as a risk a hundred times smaller.
//! - `method` names the bundle, base and adapters by their hashes: codings of this project's own systems, without extensions.
//! - `whenRange` states the days of a length of stay, in UCUM's `d`.
//! - Neither the note nor anything of the patient is in it; the note has its hash.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::WARNING;
use crate::about::{About, Kind, TaskAbout};
use crate::codes::Coding;
use crate::engine::protocol::Outcome;
use crate::risk::{days_of, outcome_label, sentence};

/// Code system of ICD-9-CM.
pub const ICD9: &str = "http://hl7.org/fhir/sid/icd-9-cm";

/// Code system of qualitative risks.
pub const RISK: &str = "http://terminology.hl7.org/CodeSystem/risk-probability";

/// UCUM.
pub const UCUM: &str = "http://unitsofmeasure.org";

/// Most codes of a multilabel task that are stated: the likeliest.
const MOST_CODES: usize = 50;

/// Fewest codes that are stated, above their threshold or not.
const FEWEST_CODES: usize = 5;

/// What is said of the circumstances.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The bundle.
    pub about: &'a About,
    /// Hash of its manifest.
    pub manifest_sha256: &'a str,
    /// Hash of the note, by [`super::note_hash`].
    pub note_sha256: &'a str,
    /// When, as JavaScript's `toISOString` has it: `2026-11-26T01:35:00.000Z`.
    pub time: &'a str,
}

/// The FHIR bundle of a note's outcomes; tasks the bundle does not have are left out.
#[must_use]
pub fn bundle(context: &Context<'_>, outcomes: &[Outcome]) -> Value {
    let entries: Vec<Value> = outcomes
        .iter()
        .filter_map(|outcome| {
            let task = context.about.task(&outcome.task)?;
            let id = uuid(&[context.manifest_sha256, context.note_sha256, context.time, &task.name]);
            Some(json!({"fullUrl": format!("urn:uuid:{id}"), "resource": assessment(context, task, outcome, &id)}))
        })
        .collect();
    let mut bundle = json!({
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": context.time,
    });
    // An empty list is not allowed.
    if !entries.is_empty() {
        bundle["entry"] = Value::Array(entries);
    }
    bundle
}

fn assessment(context: &Context<'_>, task: &TaskAbout, outcome: &Outcome, id: &str) -> Value {
    let mut assessment = json!({
        "resourceType": "RiskAssessment",
        "id": id,
        "status": "preliminary",
        "method": method(context, task),
        "code": {"text": task.heading()},
        "subject": {"type": "Patient", "display": "Patient of the note that was entered; not identified"},
        "occurrenceDateTime": context.time,
        "performer": {"type": "Device", "display": format!("{}, in the browser", program(context.about))},
        "basis": [{
            "type": "DocumentReference",
            "identifier": {"system": "urn:clinlora:note-sha256", "value": context.note_sha256},
            "display": "Admission note; its text is not included"
        }],
        "note": [
            {"text": WARNING},
            {"text": sentence(task, &outcome.probabilities)},
            {"text": format!("{} {} tokens of the note were read.", task.calibration.words(), outcome.tokens_read)},
        ]
    });
    let predictions = predictions(task, &outcome.probabilities);
    if !predictions.is_empty() {
        assessment["prediction"] = Value::Array(predictions);
    }
    assessment
}

fn program(about: &About) -> &str {
    if about.generator.trim().is_empty() { "clinlora" } else { about.generator.trim() }
}

/// Bundle, base and the task's adapters by their hashes.
fn method(context: &Context<'_>, task: &TaskAbout) -> Value {
    let about = context.about;
    let mut codings =
        vec![json!({"system": "urn:clinlora:manifest-sha256", "code": context.manifest_sha256})];
    if !about.base_sha256.is_empty() {
        let mut coding = json!({"system": "urn:clinlora:base-sha256", "code": about.base_sha256});
        if !about.card.name.trim().is_empty() {
            coding["display"] = json!(about.card.name);
        }
        codings.push(coding);
    }
    for name in &task.stack {
        if let Some(adapter) =
            about.adapters.iter().find(|adapter| adapter.name == *name && !adapter.sha256.is_empty())
        {
            codings.push(
                json!({"system": "urn:clinlora:adapter-sha256", "code": adapter.sha256, "display": name}),
            );
        }
    }
    json!({"coding": codings, "text": format!("Language model with LoRA adapters, {}", program(about))})
}

fn predictions(task: &TaskAbout, probabilities: &[f64]) -> Vec<Value> {
    let known: Vec<usize> = (0..task.labels.len().min(probabilities.len()))
        .filter(|label| (0.0..=1.0).contains(&probabilities[*label]))
        .collect();
    let labels = match (outcome_label(task), task.kind) {
        (Some(label), _) => known.into_iter().filter(|known| *known == label).collect(),
        (_, Kind::Multilabel) => stated_codes(task, probabilities, known),
        _ => known,
    };
    labels.into_iter().map(|label| prediction(task, label, probabilities[label])).collect()
}

/// Labels above their threshold, or the likeliest few where that are fewer, by falling probability.
fn stated_codes(task: &TaskAbout, probabilities: &[f64], mut known: Vec<usize>) -> Vec<usize> {
    known.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]));
    let passed =
        |label: &usize| task.threshold(*label).is_some_and(|threshold| probabilities[*label] >= threshold);
    let stated: Vec<usize> = known.iter().copied().filter(passed).take(MOST_CODES).collect();
    if stated.len() >= FEWEST_CODES { stated } else { known.into_iter().take(FEWEST_CODES).collect() }
}

fn prediction(task: &TaskAbout, label: usize, probability: f64) -> Value {
    let about = &task.labels[label];
    let mut outcome = json!({"text": format!("{}: {}", task.heading(), about.words())});
    let coding = Coding::of(task);
    if task.kind == Kind::Multilabel && coding != Coding::Other && !about.name.trim().is_empty() {
        let mut code = json!({"system": ICD9, "code": coding.print(about.name.trim())});
        if !about.description.trim().is_empty() {
            code["display"] = json!(about.description.trim());
        }
        outcome["coding"] = json!([code]);
    }
    let (risk, display) = qualitative(probability);
    let mut prediction = json!({
        "outcome": outcome,
        "probabilityDecimal": rounded(100.0 * probability, 100.0),
        "qualitativeRisk": {"coding": [{"system": RISK, "code": risk, "display": display}]},
    });
    if let Some(rate) = task.base_rate(label).filter(|rate| *rate > 0.0) {
        prediction["relativeRisk"] = json!(rounded(probability / rate, 100.0));
        prediction["rationale"] =
            json!(format!("Average in the validation notes: {}", crate::risk::percent(rate)));
    }
    if let (Kind::Multiclass, Some((low, high))) = (task.kind, days_of(about.words())) {
        let days = |value: u32| json!({"value": value, "unit": "days", "system": UCUM, "code": "d"});
        let mut range = json!({"low": days(low)});
        if let Some(high) = high {
            range["high"] = days(high);
        }
        prediction["whenRange"] = range;
    }
    prediction
}

/// R4's words for a probability, by borders of this page: 1 %, 10 %, 30 %. Never "certain".
fn qualitative(probability: f64) -> (&'static str, &'static str) {
    match probability {
        p if p < 0.01 => ("negligible", "Negligible likelihood"),
        p if p < 0.10 => ("low", "Low likelihood"),
        p if p < 0.30 => ("moderate", "Moderate likelihood"),
        _ => ("high", "High likelihood"),
    }
}

fn rounded(value: f64, by: f64) -> f64 {
    (value * by).round() / by
}

/// A name-based UUID (RFC 9562, version 8: SHA-256), so that the same export has the same names.
fn uuid(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let mut bytes = hash.finalize();
    bytes[6] = (bytes[6] & 0x0F) | 0x80;
    bytes[8] = (bytes[8] & 0x3F) | 0x80;
    let hex = super::hexadecimal(&bytes[..16]);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests;
