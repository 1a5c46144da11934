//! The rules of R4, transcribed from the definitions of `Bundle`, `RiskAssessment` and their data types (hl7.org/fhir/R4), as a
//! validator that knows nothing of how the resource was made.

use serde_json::{Value, json};

use super::*;

/// An element: name, fewest, most (0 for any number), and what it has to be.
type Rule = (&'static str, usize, usize, fn(&Value) -> Result<(), String>);

fn check(value: &Value, rules: &[Rule]) -> Result<(), String> {
    let map = value.as_object().ok_or("no object")?;
    if map.is_empty() {
        return Err("ele-1: an object without children".to_owned());
    }
    if let Some(name) = map.keys().find(|name| !rules.iter().any(|rule| rule.0 == name.as_str())) {
        return Err(format!("{name} is no element of R4"));
    }
    for (name, fewest, most, is_sound) in rules {
        let items: Vec<&Value> = match (map.get(*name), *most) {
            (None, _) => Vec::new(),
            (Some(Value::Array(items)), 0) if !items.is_empty() => items.iter().collect(),
            (Some(_), 0) => return Err(format!("{name} is no list with an item")),
            (Some(item), _) => vec![item],
        };
        if items.len() < *fewest {
            return Err(format!("{name} is missing"));
        }
        for item in items {
            is_sound(item).map_err(|reason| format!("{name}: {reason}"))?;
        }
    }
    Ok(())
}

fn require(holds: bool, reason: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(reason.to_owned()) }
}

fn string(value: &Value) -> Result<(), String> {
    require(value.as_str().is_some_and(|text| !text.trim().is_empty()), "no string with a character")
}

fn code(value: &Value) -> Result<(), String> {
    let is_code = |text: &str| {
        !text.is_empty()
            && text.split(' ').all(|part| !part.is_empty() && !part.contains(char::is_whitespace))
    };
    require(value.as_str().is_some_and(is_code), "no code: blanks at an end, or two")
}

fn uri(value: &Value) -> Result<(), String> {
    require(
        value.as_str().is_some_and(|text| text.contains(':') && !text.contains(char::is_whitespace)),
        "no URI",
    )
}

fn decimal(value: &Value) -> Result<(), String> {
    require(value.is_number(), "no decimal")
}

fn id(value: &Value) -> Result<(), String> {
    let is_id = |text: &str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
    };
    require(value.as_str().is_some_and(is_id), "no id")
}

/// `YYYY-MM-DDThh:mm:ss[.s]Z`: seconds and zone are required.
fn instant(value: &Value) -> Result<(), String> {
    let is_instant = |text: &str| {
        let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        let seconds = shape.strip_suffix('Z').unwrap_or("");
        let (whole, part) = seconds.split_once('.').unwrap_or((seconds, "0"));
        whole == "0000-00-00T00:00:00" && !part.is_empty() && part.bytes().all(|b| b == b'0')
    };
    require(value.as_str().is_some_and(is_instant), "no instant")
}

fn coding(value: &Value) -> Result<(), String> {
    check(
        value,
        &[("system", 0, 1, uri), ("version", 0, 1, string), ("code", 0, 1, code), ("display", 0, 1, string)],
    )
}

fn concept(value: &Value) -> Result<(), String> {
    check(value, &[("coding", 0, 0, coding), ("text", 0, 1, string)])
}

fn identifier(value: &Value) -> Result<(), String> {
    check(
        value,
        &[("use", 0, 1, code), ("type", 0, 1, concept), ("system", 0, 1, uri), ("value", 0, 1, string)],
    )
}

fn reference(value: &Value) -> Result<(), String> {
    check(
        value,
        &[
            ("reference", 0, 1, string),
            ("type", 0, 1, uri_or_type),
            ("identifier", 0, 1, identifier),
            ("display", 0, 1, string),
        ],
    )
}

fn uri_or_type(value: &Value) -> Result<(), String> {
    code(value)
}

fn of_type(value: &Value, types: &[&str]) -> Result<(), String> {
    reference(value)?;
    let said = value.get("type").and_then(Value::as_str);
    require(said.is_none_or(|said| types.contains(&said)), "a reference to another type")
}

fn subject(value: &Value) -> Result<(), String> {
    of_type(value, &["Patient", "Group"])
}

fn performer(value: &Value) -> Result<(), String> {
    of_type(value, &["Practitioner", "PractitionerRole", "Device"])
}

fn quantity(value: &Value) -> Result<(), String> {
    check(
        value,
        &[("value", 0, 1, decimal), ("unit", 0, 1, string), ("system", 0, 1, uri), ("code", 0, 1, code)],
    )?;
    require(value.get("code").is_none() || value.get("system").is_some(), "qty-3: a code without a system")
}

fn range(value: &Value) -> Result<(), String> {
    check(value, &[("low", 0, 1, quantity), ("high", 0, 1, quantity)])?;
    let number = |end: &str| value.pointer(&format!("/{end}/value")).and_then(Value::as_f64);
    let is_rising = number("low").zip(number("high")).is_none_or(|(low, high)| low <= high);
    require(is_rising, "rng-2: low above high")
}

fn percentages(value: &Value) -> Result<(), String> {
    range(value)?;
    for end in ["low", "high"] {
        let is_percent = value.get(end).is_none_or(|q| q["code"] == "%" && q["system"] == UCUM);
        require(is_percent, "ras-1: low and high must be percentages")?;
    }
    Ok(())
}

fn annotation(value: &Value) -> Result<(), String> {
    check(value, &[("authorString", 0, 1, string), ("time", 0, 1, instant), ("text", 1, 1, string)])
}

fn risk_concept(value: &Value) -> Result<(), String> {
    concept(value)?;
    for coding in value["coding"].as_array().into_iter().flatten().filter(|coding| coding["system"] == RISK) {
        let codes = ["negligible", "low", "moderate", "high", "certain"];
        require(codes.iter().any(|known| coding["code"] == *known), "no code of risk-probability")?;
    }
    Ok(())
}

fn prediction_rules(value: &Value) -> Result<(), String> {
    check(
        value,
        &[
            ("outcome", 0, 1, concept),
            ("probabilityDecimal", 0, 1, decimal),
            ("probabilityRange", 0, 1, percentages),
            ("qualitativeRisk", 0, 1, risk_concept),
            ("relativeRisk", 0, 1, decimal),
            ("whenRange", 0, 1, range),
            ("rationale", 0, 1, string),
        ],
    )?;
    let probability = value.get("probabilityDecimal").and_then(Value::as_f64);
    require(probability.is_none_or(|p| p <= 100.0), "ras-2: must be <= 100")?;
    require(probability.is_none_or(|p| p >= 0.0), "a probability below nothing")?;
    require(value.get("probabilityRange").is_none() || probability.is_none(), "two of probability[x]")
}

fn status(value: &Value) -> Result<(), String> {
    let codes = [
        "registered",
        "preliminary",
        "final",
        "amended",
        "corrected",
        "cancelled",
        "entered-in-error",
        "unknown",
    ];
    require(codes.iter().any(|code| value == code), "no code of observation-status")
}

fn risk_assessment(value: &Value) -> Result<(), String> {
    require(value["resourceType"] == "RiskAssessment", "another resource")?;
    check(
        value,
        &[
            ("resourceType", 1, 1, code),
            ("id", 0, 1, id),
            ("identifier", 0, 0, identifier),
            ("status", 1, 1, status),
            ("method", 0, 1, concept),
            ("code", 0, 1, concept),
            ("subject", 1, 1, subject),
            ("occurrenceDateTime", 0, 1, instant),
            ("performer", 0, 1, performer),
            ("basis", 0, 0, reference),
            ("prediction", 0, 0, prediction_rules),
            ("mitigation", 0, 1, string),
            ("note", 0, 0, annotation),
        ],
    )
}

fn entry(value: &Value) -> Result<(), String> {
    check(value, &[("fullUrl", 0, 1, uri), ("resource", 0, 1, risk_assessment)])?;
    let (url, id) = (value["fullUrl"].as_str().unwrap_or(""), value["resource"]["id"].as_str().unwrap_or(""));
    require(url.is_empty() || url.ends_with(id), "the full URL is not that of the resource")
}

fn validate(value: &Value) -> Result<(), String> {
    require(value["resourceType"] == "Bundle" && value["type"] == "collection", "no collection")?;
    check(
        value,
        &[
            ("resourceType", 1, 1, code),
            ("type", 1, 1, code),
            ("timestamp", 0, 1, instant),
            ("entry", 0, 0, entry),
        ],
    )?;
    let urls: Vec<&Value> =
        value["entry"].as_array().into_iter().flatten().map(|entry| &entry["fullUrl"]).collect();
    let is_unique = urls.iter().enumerate().all(|(at, url)| !urls[..at].contains(url));
    require(is_unique, "bdl-7: full URLs are not unique")
}

fn about() -> About {
    About::read(&json!({
        "generator": "clinlora 0.1.0", "base_sha256": "b".repeat(64), "card": {"name": "tiny"},
        "adapters": [{"name": "clinical", "sha256": "c".repeat(64), "r": 8, "scale": 2.0}],
        "tasks": [
            {"name": "MOR", "title": "Death in hospital", "kind": "binary", "stack": ["clinical"],
             "labels": [{"name": "0", "description": "lives"}, {"name": "1", "description": "dies in hospital"}],
             "evidence": {"base_rates": [0.9, 0.1], "thresholds": [null, 0.2]}},
            {"name": "LOS", "title": "Length of stay", "kind": "multiclass",
             "labels": [{"name": "0", "description": "3 days at most"}, {"name": "1", "description": "more than 3 to 7 days"},
                {"name": "2", "description": "more than 1 to 2 weeks"}, {"name": "3", "description": "more than 2 weeks"}]},
            {"name": "DIAG", "title": "Diagnoses", "kind": "multilabel",
             "labels": [{"name": "428", "description": "Heart failure"}, {"name": "V58", "description": ""}],
             "evidence": {"base_rates": [0.4, 0.0], "thresholds": [0.3, 0.3]}},
            {"name": "PROC", "kind": "multilabel", "labels": [{"name": "966", "description": "Enteral infusion"}]}
        ]
    }))
}

fn exported(time: &str) -> Value {
    let outcome = |task: &str, probabilities: &[f64]| Outcome {
        task: task.to_owned(),
        probabilities: probabilities.to_vec(),
        tokens_read: 128,
        elapsed_ms: 3.0,
    };
    let outcomes = [
        outcome("MOR", &[0.816, 0.184]),
        outcome("LOS", &[0.2, 0.5, 0.2, 0.1]),
        outcome("DIAG", &[0.45, 0.004]),
        outcome("PROC", &[1.0]),
        outcome("unknown", &[1.0]),
    ];
    let (about, note) = (about(), super::super::note_hash("Secret note of the patient"));
    bundle(&Context { about: &about, manifest_sha256: &"a".repeat(64), note_sha256: &note, time }, &outcomes)
}

const TIME: &str = "2026-11-26T01:35:00.123Z";

#[test]
fn the_export_is_valid_r4_and_says_what_was_predicted() {
    let exported = exported(TIME);
    validate(&exported).unwrap();
    let resource = |at: usize| &exported["entry"][at]["resource"];
    assert_eq!(exported["entry"].as_array().map(Vec::len), Some(4));
    let death = &resource(0)["prediction"];
    assert_eq!(death.as_array().map(Vec::len), Some(1), "of a binary task only the outcome");
    assert_eq!(death[0]["probabilityDecimal"], json!(18.4), "a percentage");
    assert_eq!(death[0]["relativeRisk"], json!(1.84));
    assert_eq!(death[0]["qualitativeRisk"]["coding"][0]["code"], "moderate");
    assert_eq!(resource(1)["prediction"][2]["whenRange"]["low"]["value"], 7);
    assert_eq!(resource(1)["prediction"][2]["whenRange"]["high"]["value"], 14);
    assert_eq!(resource(1)["prediction"][3]["whenRange"].get("high"), None);
    let code = &resource(2)["prediction"][0]["outcome"]["coding"][0];
    assert_eq!(code, &json!({"system": ICD9, "code": "428", "display": "Heart failure"}));
    assert_eq!(resource(3)["prediction"][0]["outcome"]["coding"][0]["code"], "96.6");
    let method = &resource(0)["method"]["coding"];
    assert_eq!(
        method[2],
        json!({"system": "urn:clinlora:adapter-sha256", "code": "c".repeat(64), "display": "clinical"})
    );
    assert_eq!(resource(0)["note"][0]["text"], WARNING);
    assert!(!exported.to_string().contains("Secret note"));
}

#[test]
fn the_same_export_has_the_same_names_and_another_has_others() {
    assert_eq!(exported(TIME), exported(TIME));
    assert_ne!(
        exported(TIME)["entry"][0]["fullUrl"],
        exported("2026-11-26T01:35:00.124Z")["entry"][0]["fullUrl"]
    );
    let empty = bundle(&Context { about: &about(), manifest_sha256: "a", note_sha256: "b", time: TIME }, &[]);
    validate(&empty).unwrap();
    let unknown =
        Outcome { task: "MOR".to_owned(), probabilities: vec![f64::NAN; 2], tokens_read: 0, elapsed_ms: 0.0 };
    let bundle =
        bundle(&Context { about: &about(), manifest_sha256: "a", note_sha256: "b", time: TIME }, &[unknown]);
    validate(&bundle).unwrap();
    assert_eq!(bundle["entry"][0]["resource"].get("prediction"), None);
}

#[test]
fn the_validator_refuses_broken_copies() {
    let broken: [(&str, &str, Value); 20] = [
        ("", "/type", json!("batch")),
        ("", "/timestamp", json!("2026-11-26")),
        ("", "/entry", json!([])),
        ("", "/entry/1/fullUrl", exported(TIME)["entry"][0]["fullUrl"].clone()),
        ("", "/entry/0/resource/status", json!("done")),
        ("", "/entry/0/resource/status", Value::Null),
        ("", "/entry/0/resource/subject", Value::Null),
        ("", "/entry/0/resource/subject", json!({})),
        ("", "/entry/0/resource/subject/type", json!("Practitioner")),
        ("", "/entry/0/resource/method", json!("a text")),
        ("", "/entry/0/resource/id", json!("has a blank")),
        ("", "/entry/0/resource/note/0/text", json!(" ")),
        ("", "/entry/0/resource/prediction", json!({})),
        ("", "/entry/0/resource/prediction/0/probabilityDecimal", json!("18")),
        ("", "/entry/0/resource/prediction/0/probabilityDecimal", json!(100.1)),
        ("", "/entry/0/resource/prediction/0/qualitativeRisk/coding/0/code", json!("likely")),
        ("", "/entry/0/resource/prediction/0/outcome/coding", json!([])),
        ("", "/entry/1/resource/prediction/1/whenRange/low/value", json!(9)),
        ("", "/entry/1/resource/prediction/1/whenRange/low/system", Value::Null),
        ("extra", "/entry/0/resource/prediction/0", json!(1)),
    ];
    for (add, pointer, value) in broken {
        let mut copy = exported(TIME);
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        if add.is_empty() {
            let parent = copy.pointer_mut(parent).unwrap();
            match (parent, value) {
                (Value::Object(map), Value::Null) => drop(map.remove(name)),
                (Value::Object(map), value) => drop(map.insert(name.to_owned(), value)),
                _ => unreachable!("pointers name members of objects"),
            }
        } else {
            copy.pointer_mut(pointer).unwrap()[add] = value;
        }
        assert!(validate(&copy).is_err(), "{pointer}");
    }
    let mut copy = exported(TIME);
    let prediction = &mut copy["entry"][0]["resource"]["prediction"][0];
    prediction.as_object_mut().unwrap().remove("probabilityDecimal");
    prediction["probabilityRange"] = json!({"low": {"value": 10, "unit": "%", "system": UCUM, "code": "%"}});
    validate(&copy).unwrap();
    copy["entry"][0]["resource"]["prediction"][0]["probabilityRange"]["low"]["code"] = json!("d");
    assert!(validate(&copy).unwrap_err().contains("ras-1"));
}
