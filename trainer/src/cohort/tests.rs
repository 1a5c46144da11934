//! The hospital as whoever reads its files finds it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::LazyLock;

use flate2::read::GzDecoder;
use rayon::prelude::*;

use super::hospital::{Summary, write};
use super::marginals::Tally;
use super::patient::Patient;
use super::tables::Table;
use crate::mimic::{TaskOptions, prepare_tasks};
use crate::training::progress::Progress;

const SEED: u64 = 11;

/// A hospital on disk: the text of every file by path, and what was said of it.
struct Hospital {
    files: BTreeMap<String, String>,
    summary: Summary,
}

fn build(patients: u64, seed: u64, threads: usize) -> Hospital {
    let folder = tempfile::tempdir().unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let mut progress = Progress::new("test", 0, patients);
    let summary = pool.install(|| write(patients, seed, folder.path(), &mut progress)).unwrap();
    let mut files = BTreeMap::new();
    for place in ["", "mimic-iii", "mimic-iv-note"] {
        for entry in fs::read_dir(folder.path().join(place)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
                files.insert(name, text(&path));
            }
        }
    }
    Hospital { files, summary }
}

fn text(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    if path.extension().is_some_and(|e| e == "gz") {
        let mut text = String::new();
        GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
        return text;
    }
    String::from_utf8(bytes).unwrap()
}

/// One that most of the tests look at.
static HOSPITAL: LazyLock<Hospital> = LazyLock::new(|| build(400, SEED, 2));

type Row = HashMap<String, String>;

impl Hospital {
    fn rows(&self, table: Table) -> Vec<Row> {
        let path = format!("{}/{}", table.folder(), table.file());
        csv::Reader::from_reader(self.files[&path].as_bytes()).deserialize().map(Result::unwrap).collect()
    }

    fn column(&self, table: Table, name: &str) -> BTreeSet<String> {
        self.rows(table).into_iter().map(|row| row[name].clone()).filter(|value| !value.is_empty()).collect()
    }
}

/// Discharge summaries of those who are not newborn.
fn summaries() -> Vec<Row> {
    let admissions = HOSPITAL.rows(Table::Admissions);
    let newborn: BTreeSet<_> = admissions
        .iter()
        .filter(|row| row["ADMISSION_TYPE"] == "NEWBORN")
        .map(|row| &row["HADM_ID"])
        .collect();
    let mut notes = HOSPITAL.rows(Table::NoteEvents);
    notes.retain(|row| {
        row["CATEGORY"] == "Discharge summary"
            && row["DESCRIPTION"] == "Report"
            && !newborn.contains(&row["HADM_ID"])
    });
    notes
}

#[test]
fn bytes_depend_on_the_seed_and_on_nothing_else() {
    let one = build(70, SEED, 1);
    let two = build(70, SEED, 2);
    assert_eq!(one.files, two.files);
    assert_eq!(one.summary, two.summary);
    let other = build(70, SEED + 1, 2);
    for table in Table::ALL {
        let path = format!("{}/{}", table.folder(), table.file());
        let dictionary = matches!(table, Table::DiagnosisCodes | Table::ProcedureCodes);
        assert_eq!(one.files[&path] == other.files[&path], dictionary, "{path}");
        assert!(HOSPITAL.files[&path].starts_with(&one.files[&path]), "{path}: more patients only add rows");
    }
}

#[test]
fn columns_are_those_of_the_published_tables_and_rows_are_counted() {
    for table in Table::ALL {
        let path = format!("{}/{}", table.folder(), table.file());
        let mut reader = csv::Reader::from_reader(HOSPITAL.files[&path].as_bytes());
        let columns: Vec<String> = reader.headers().unwrap().iter().map(String::from).collect();
        assert_eq!(columns, table.columns(), "{path}");
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len() as u64, HOSPITAL.summary.rows[&path], "{path}");
        if columns[0] == "ROW_ID" {
            for (number, row) in (1_usize..).zip(&rows) {
                assert_eq!(row[0], number.to_string(), "{path}");
            }
        }
    }
}

#[test]
fn every_file_says_that_it_is_synthetic() {
    for table in Table::ALL {
        let column = match table {
            Table::NoteEvents => "TEXT",
            Table::Discharge | Table::Radiology => "text",
            Table::Admissions => "DIAGNOSIS",
            Table::ChartEvents => "RESULTSTATUS",
            Table::ProcedureEvents => "COMMENTS_EDITEDBY",
            // There is no column of free text: the page beside them says it.
            _ => {
                let page = &HOSPITAL.files[&format!("{}/README.md", table.folder())];
                assert!(page.contains("SYNTHETIC") && page.contains(table.file()), "{}", table.file());
                continue;
            }
        };
        for row in HOSPITAL.rows(table) {
            assert!(row[column].contains("SYNTHETIC"), "{}", table.file());
        }
    }
    assert!(HOSPITAL.files["README.md"].contains("SYNTHETIC"));
}

#[test]
fn rows_point_at_rows_that_exist() {
    let subjects = HOSPITAL.column(Table::Patients, "SUBJECT_ID");
    let admissions = HOSPITAL.column(Table::Admissions, "HADM_ID");
    let stays = HOSPITAL.column(Table::IcuStays, "ICUSTAY_ID");
    let links: [(&[Table], &str, &BTreeSet<String>); 3] = [
        (&[Table::Admissions, Table::IcuStays, Table::Diagnoses, Table::NoteEvents], "SUBJECT_ID", &subjects),
        (
            &[Table::IcuStays, Table::Diagnoses, Table::Procedures, Table::ChartEvents, Table::NoteEvents],
            "HADM_ID",
            &admissions,
        ),
        (&[Table::ChartEvents, Table::ProcedureEvents], "ICUSTAY_ID", &stays),
    ];
    for (tables, column, known) in links {
        for table in tables {
            assert!(HOSPITAL.column(*table, column).is_subset(known), "{} {column}", table.file());
        }
    }
    for (table, dictionary) in
        [(Table::Diagnoses, Table::DiagnosisCodes), (Table::Procedures, Table::ProcedureCodes)]
    {
        let known = HOSPITAL.column(dictionary, "ICD9_CODE");
        assert!(HOSPITAL.column(table, "ICD9_CODE").is_subset(&known), "{}", table.file());
    }
    let others = HOSPITAL.column(Table::Discharge, "subject_id");
    assert!(others.is_disjoint(&subjects), "no patient is in both hospitals");
}

#[test]
fn summaries_have_the_headers_that_extraction_seeks() {
    let notes = summaries();
    for (header, at_least) in [
        ("chief complaint:", 0.95),
        ("present illness:", 0.93),
        ("medical history:", 0.9),
        ("medications on admission:", 0.88),
        ("allergies:", 0.95),
        ("physical exam:", 0.8),
        ("family history:", 0.88),
        ("social history:", 0.88),
    ] {
        let found = notes.iter().filter(|row| row["TEXT"].to_lowercase().contains(header)).count();
        let share = found as f64 / notes.len() as f64;
        assert!((at_least..1.0).contains(&share), "{header} in {share}");
    }
}

#[test]
fn notes_are_written_as_clinicians_write() {
    let notes = summaries();
    let share = |words: &[&str]| {
        let found = notes.iter().filter(|row| words.iter().any(|word| row["TEXT"].contains(word))).count();
        found as f64 / notes.len() as f64
    };
    assert!(share(&["[**"]) > 0.999, "marks of de-identification");
    assert!(share(&["enies", "enied", " No ", "no "]) > 0.9, "negation");
    assert!(share(&["mg", "mcg", "units"]) > 0.9, "units");
    assert!(share(&["s/p", "w/", "h/o", "y/o", "p/w", "c/b", "b/l"]) > 0.8, "abbreviations");
    for row in HOSPITAL.rows(Table::NoteEvents) {
        let text = &row["TEXT"];
        for wrong in ["{", "}", "<", " ,", " .\n", " . ", ",.", ".. ", " 1 days", " 1 weeks", " 1 units"] {
            assert!(!text.contains(wrong), "{wrong:?} in note {}", row["ROW_ID"]);
        }
    }
    for row in HOSPITAL.rows(Table::Discharge).iter().chain(&HOSPITAL.rows(Table::Radiology)) {
        assert!(!row["text"].contains("[**") && row["text"].len() > 100, "{}", row["note_id"]);
    }
}

#[test]
fn no_note_holds_what_looks_like_an_identifier() {
    for row in HOSPITAL.rows(Table::NoteEvents) {
        // What stands in a mark is what MIMIC puts there.
        let outside: String = row["TEXT"]
            .split("[**")
            .map(|part| part.split_once("**]").map_or(part, |(_, rest)| rest))
            .collect();
        let mail = outside.split_whitespace().any(|word| word.len() > 1 && word.contains('@'));
        assert!(!mail && !outside.contains("http"), "note {}", row["ROW_ID"]);
        let mut digits = 0;
        for part in outside.split(|c: char| !c.is_ascii_digit() && c != '-' && c != '/') {
            let groups: Vec<usize> = part.split(['-', '/']).map(str::len).collect();
            let phone = part.contains('-') && matches!(groups[..], [3, 4] | [3, 3, 4]);
            let date = matches!(groups[..], [4, 1..=2, 1..=2] | [1..=2, 1..=2, 4]);
            digits = digits.max(groups.iter().copied().max().unwrap_or(0));
            assert!(!phone && !date, "note {}", row["ROW_ID"]);
        }
        assert!(digits < 7, "note {}: a number as long as a record's", row["ROW_ID"]);
    }
}

#[test]
fn ventilation_is_found_again_in_the_chart() {
    let mut charted: BTreeMap<String, Vec<(String, Kind)>> = BTreeMap::new();
    for row in HOSPITAL.rows(Table::ChartEvents) {
        let kind = kind(row["ITEMID"].parse().unwrap(), &row["VALUE"]);
        if let Some(kind) = kind.filter(|_| !row["VALUE"].is_empty() && row["ERROR"] != "1") {
            charted.entry(row["HADM_ID"].clone()).or_default().push((row["CHARTTIME"].clone(), kind));
        }
    }
    for row in HOSPITAL.rows(Table::ProcedureEvents) {
        if ["227194", "225468", "225477"].contains(&row["ITEMID"].as_str()) {
            charted
                .entry(row["HADM_ID"].clone())
                .or_default()
                .push((row["STARTTIME"].clone(), Kind::Extubated));
        }
    }
    let mut ventilated = 0;
    for patient in (0..400).map(|index| Patient::simulate(SEED, index)) {
        for admission in &patient.admissions {
            let mut rows = charted.remove(&admission.hadm_id.to_string()).unwrap_or_default();
            rows.sort();
            let at = |hours: f64| admission.admitted.plus_hours(hours).minute().stamp();
            let expected: Vec<_> = admission.ventilation.iter().map(|e| (at(e.start), at(e.end))).collect();
            ventilated += expected.len();
            assert_eq!(events(&rows), expected, "admission {}", admission.hadm_id);
        }
    }
    assert!(ventilated > 60, "{ventilated}");
}

/// What a row says, in the order in which rows of a minute count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Ventilator,
    Extubated,
    Oxygen,
}

/// The rules of `ventdurations` for the items of this hospital.
fn kind(item: u64, value: &str) -> Option<Kind> {
    match item {
        720 if value != "Other/Remarks" => Some(Kind::Ventilator),
        223_848 if value != "Other" => Some(Kind::Ventilator),
        467 if value == "Ventilator" => Some(Kind::Ventilator),
        223_849 | 444 | 448 | 506 | 535 | 543 | 682 | 683 => Some(Kind::Ventilator),
        220_339 | 224_684 | 224_685 | 224_687 | 224_695 | 224_696 => Some(Kind::Ventilator),
        640 => Some(Kind::Extubated),
        467 | 226_732 => Some(Kind::Oxygen),
        _ => None,
    }
}

/// Episodes from first to last row, cut after extubation, by oxygen and by eight hours of silence.
fn events(rows: &[(String, Kind)]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut open = false;
    for (at, kind) in rows {
        match kind {
            Kind::Oxygen => open = false,
            Kind::Ventilator if !open => {
                found.push((at.clone(), at.clone()));
                open = true;
            }
            Kind::Ventilator => found.last_mut().unwrap().1.clone_from(at),
            Kind::Extubated if open => {
                found.last_mut().unwrap().1.clone_from(at);
                open = false;
            }
            Kind::Extubated => {}
        }
    }
    found
}

#[test]
fn the_preparation_takes_the_tables_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    write(250, SEED, folder.path(), &mut Progress::new("test", 0, 250)).unwrap();
    let report = prepare_tasks(&TaskOptions {
        mimic3: folder.path().join(super::MIMIC3),
        out: folder.path().join("tasks"),
        splits: None,
        pmv_labels: None,
        skip_bad_rows: 0,
        overwrite: false,
    })
    .unwrap();
    assert_eq!(report.made.len(), 5, "{:?}", report.not_made);
    assert!(report.defects.is_empty() && report.identifiers.is_empty(), "{:?}", report.identifiers);
    for task in &report.made {
        let notes = fs::read_to_string(folder.path().join("tasks").join(task).join("train.csv")).unwrap();
        assert!(notes.matches("CHIEF COMPLAINT: ").count() > 20, "{task}");
    }
}

/// Twenty thousand patients without their notes.
static CROWD: LazyLock<super::marginals::Marginals> = LazyLock::new(|| {
    let parts: Vec<Tally> = (0..100_u64)
        .into_par_iter()
        .map(|part| {
            let mut tally = Tally::default();
            (200 * part..200 * (part + 1)).for_each(|index| tally.add(&Patient::simulate(SEED, index)));
            tally
        })
        .collect();
    let mut all = Tally::default();
    parts.iter().for_each(|part| all.merge(part));
    all.marginals()
});

#[test]
fn twenty_thousand_patients_show_enough_of_medicine() {
    let m = &*CROWD;
    assert!(m.problems >= 60 && m.systems >= 15, "{} problems, {} systems", m.problems, m.systems);
    assert!(m.short_diagnosis_codes >= 300, "{}", m.short_diagnosis_codes);
    assert!(m.short_procedure_codes >= 120, "{}", m.short_procedure_codes);
}

#[test]
fn marginals_are_near_those_published() {
    let m = &*CROWD;
    let within = |name: &str, value: f64, low: f64, high: f64| {
        assert!((low..=high).contains(&value), "{name}: {value}");
    };
    within("mortality", m.mortality, 0.095, 0.12);
    within("median stay", m.stay_days.median, 6.3, 7.3);
    within("median age", m.age_years.median, 63.0, 68.0);
    within("men", m.male_share, 0.53, 0.58);
    within("emergencies", m.emergency_share, 0.78, 0.88);
    within("days in intensive care", m.unit_stay_days.median, 1.7, 2.5);
    within("ventilated", m.ventilated_share, 0.22, 0.4);
    within("prolonged", m.prolonged_share, 0.38, 0.5);
    for (class, share) in [0.13, 0.37, 0.31, 0.19].into_iter().enumerate() {
        within("class of stay", m.stay_classes[class], share - 0.05, share + 0.05);
    }
}

#[test]
fn the_outcome_can_be_foreseen_but_not_known() {
    assert!((0.75..0.93).contains(&CROWD.death_risk_auroc), "{}", CROWD.death_risk_auroc);
}
