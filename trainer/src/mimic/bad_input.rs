//! Damaged tables: every defect is counted, named with its place, and leaves nothing behind.

use std::fs;
use std::path::Path;

use super::golden::{contents, golden, options};
use super::{DefectKind, TaskOptions, TasksReport, prepare_tasks};
use crate::error::Result;

/// Prepares from the golden tables with `damage` done to the copy of one of them.
fn prepare(
    table: &str,
    damage: &dyn Fn(Vec<u8>) -> Vec<u8>,
    skip_bad_rows: u64,
) -> (Result<TasksReport>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let tables = folder.path().join("tables");
    fs::create_dir(&tables).unwrap();
    for (path, bytes) in contents(&golden().join("mimic3")) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let (name, bytes) = match name == table.trim_end_matches(".gz") {
            true => (table.to_owned(), damage(bytes)),
            false => (name, bytes),
        };
        fs::write(tables.join(name), bytes).unwrap();
    }
    let out = folder.path().join("out");
    let result = prepare_tasks(&TaskOptions { mimic3: tables, skip_bad_rows, ..options(&out) });
    let left = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    (result, left(folder.path()))
}

/// Changes line `line` (from 1) of a text.
fn on_line(line: usize, change: impl Fn(&str) -> String) -> impl Fn(Vec<u8>) -> Vec<u8> {
    move |bytes| {
        let text = String::from_utf8(bytes).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines[line - 1] = change(&lines[line - 1]);
        (lines.join("\n") + "\n").into_bytes()
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, bytes).unwrap();
    gzip.finish().unwrap()
}

type Damage = Box<dyn Fn(Vec<u8>) -> Vec<u8>>;

#[test]
fn each_defect_stops_with_its_place_or_is_tolerated_and_counted() {
    let cut_gzip: Damage = Box::new(|bytes| {
        let packed = gzip(&bytes);
        packed[..packed.len() / 2].to_vec()
    });
    let broken_gzip: Damage = Box::new(|bytes| {
        let mut packed = gzip(&bytes);
        let checksum = packed.len() - 6;
        packed[checksum] ^= 0xFF;
        packed
    });
    let open_quote: Damage = Box::new(|mut bytes| {
        bytes.truncate(bytes.len() - 2);
        bytes
    });
    let no_utf8: Damage = Box::new(|bytes| {
        let place = bytes.windows(8).position(|w| w == b"Came in ").unwrap();
        [&bytes[..place], b"\xFF", &bytes[place..]].concat()
    });
    let replace = |from: &'static str, to: &'static str| {
        move |line: &str| {
            assert!(line.contains(from), "{line}");
            line.replacen(from, to, 1)
        }
    };
    let field = |column: usize, to: &'static str| {
        move |line: &str| {
            let mut fields: Vec<&str> = line.split(',').collect();
            fields[column] = to;
            fields.join(",")
        }
    };
    let repeated: Damage = Box::new(|bytes| {
        let text = String::from_utf8(bytes).unwrap();
        let second = text.lines().nth(1).unwrap().to_owned();
        (text + &second + "\n").into_bytes()
    });
    let cases: Vec<(&str, Damage, DefectKind, &str)> = vec![
        ("ADMISSIONS.csv.gz", cut_gzip, DefectKind::TruncatedGzip, "ADMISSIONS.csv.gz:"),
        ("ADMISSIONS.csv.gz", broken_gzip, DefectKind::DamagedGzip, "ADMISSIONS.csv.gz:"),
        ("NOTEEVENTS.csv", open_quote, DefectKind::UnclosedQuote, "NOTEEVENTS.csv:"),
        ("NOTEEVENTS.csv", no_utf8, DefectKind::InvalidUtf8, "column TEXT: invalid UTF-8"),
        (
            "PATIENTS.csv",
            Box::new(on_line(5, |line| line.to_owned() + ",x")),
            DefectKind::WrongFieldCount,
            "PATIENTS.csv:5: wrong number of fields",
        ),
        (
            "DIAGNOSES_ICD.csv",
            Box::new(on_line(7, replace(",", ""))),
            DefectKind::WrongFieldCount,
            "DIAGNOSES_ICD.csv:7: wrong number of fields",
        ),
        (
            "ADMISSIONS.csv",
            Box::new(on_line(4, field(3, "2150-02-30 10:00:00"))),
            DefectKind::ImpossibleDate,
            "ADMISSIONS.csv:4: column ADMITTIME: impossible date",
        ),
        (
            "CHARTEVENTS.csv",
            Box::new(|bytes| {
                let text = String::from_utf8(bytes).unwrap();
                // An hour that no clock has.
                text.replacen(" 23:", " 25:", 1).into_bytes()
            }),
            DefectKind::ImpossibleDate,
            "column CHARTTIME: impossible date",
        ),
        (
            "ADMISSIONS.csv",
            Box::new(on_line(6, field(2, "12x"))),
            DefectKind::NotANumber,
            "ADMISSIONS.csv:6: column HADM_ID: not a whole number",
        ),
        (
            "ADMISSIONS.csv",
            Box::new(on_line(6, field(6, "2"))),
            DefectKind::UnknownValue,
            "ADMISSIONS.csv:6: column HOSPITAL_EXPIRE_FLAG: not a value",
        ),
        (
            "ICUSTAYS.csv",
            Box::new(on_line(3, field(3, ""))),
            DefectKind::MissingValue,
            "ICUSTAYS.csv:3: column ICUSTAY_ID: missing value",
        ),
        (
            "PROCEDURES_ICD.csv",
            Box::new(on_line(3, field(4, "V123"))),
            DefectKind::NotANumber,
            "PROCEDURES_ICD.csv:3: column ICD9_CODE: not a whole number",
        ),
        ("ADMISSIONS.csv", repeated, DefectKind::DuplicateId, "column HADM_ID: duplicate id"),
        (
            "D_ICD_DIAGNOSES.csv",
            Box::new(on_line(4, field(1, "\"999\""))), // 042, the only code of its category
            DefectKind::UnknownCode,
            "column ICD9_CODE: not in the code table",
        ),
    ];
    for (table, damage, kind, named) in cases {
        let (result, left) = prepare(table, &damage, 0);
        let error = result.expect_err(named);
        assert_eq!(error.exit_code(), 2, "{error}");
        let message = error.to_string();
        assert!(message.contains(named) && message.contains(&kind.to_string()), "{named}: {message}");
        assert_eq!(left, ["tables"], "{named}: something was left behind");
        let (result, _) = prepare(table, &damage, 1);
        let report = result.unwrap_or_else(|error| panic!("{named} is tolerated: {error}"));
        let [defect] = report.defects.as_slice() else {
            panic!("{named}: {:?}", report.defects);
        };
        assert_eq!((defect.kind, defect.count, defect.lines.len()), (kind, 1, 1), "{named}");
        assert!(report.table().contains("tolerated: "), "{named}");
    }
}

#[test]
fn a_table_without_rows_header_or_column_is_never_tolerated() {
    let only_header = |bytes: Vec<u8>| {
        let end = bytes.iter().position(|b| *b == b'\n').unwrap();
        bytes[..=end].to_vec()
    };
    for (table, damage, named) in [
        ("ADMISSIONS.csv", Box::new(only_header) as Damage, "ADMISSIONS.csv:2: empty table"),
        (
            "DIAGNOSES_ICD.csv",
            Box::new(|_| Vec::new()),
            "DIAGNOSES_ICD.csv:1: empty table: there is no header",
        ),
        ("NOTEEVENTS.csv", Box::new(|_| Vec::new()), "NOTEEVENTS.csv:1: empty table: there is no header"),
        (
            "NOTEEVENTS.csv",
            Box::new(on_line(1, |line| {
                line.replace("CHARTDATE", "CHART_DATE").replace("\"TEXT\"", "\"BODY\"")
            })),
            "NOTEEVENTS.csv:1: missing column CHARTDATE, TEXT",
        ),
    ] {
        let (result, left) = prepare(table, &damage, 1000);
        let error = result.expect_err(named);
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains(named), "{error}");
        assert_eq!(left, ["tables"]);
    }
}

#[test]
fn many_defects_are_listed_in_part_and_counted_in_full() {
    let damage = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for line in &mut lines[1..51] {
            *line = line.replacen("\"21", "\"x1", 1).replace("2150-", "2150/");
        }
        (lines.join("\n") + "\n").into_bytes()
    };
    let (result, _) = prepare("ADMISSIONS.csv", &damage, 49);
    let message = result.expect_err("one too many").to_string();
    assert!(message.contains("50 defects in the tables, 49 tolerated"), "{message}");
    assert!(message.contains("ADMISSIONS.csv:2: column ADMITTIME: impossible date"), "{message}");
    assert!(message.contains("ADMISSIONS.csv, column ADMITTIME: 50 x impossible date"), "{message}");
    assert!(!message.contains("2150/"), "no value of a patient");
}

#[test]
fn the_open_demo_tables_load_as_they_are() {
    let shared = std::env::var_os("CLINLORA_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), Into::into);
    let tables = shared.join("data/mimic-iii-demo");
    if !tables.exists() {
        eprintln!("skipped: no {} (set CLINLORA_SHARED)", tables.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let report = prepare_tasks(&TaskOptions { mimic3: tables, splits: None, ..options(&out) }).unwrap();
    assert!(report.made.is_empty(), "there is no note: {:?}", report.made);
    let reasons: Vec<&str> = report.not_made.iter().map(|not| not.task.as_str()).collect();
    assert_eq!(reasons, ["los", "mor", "pmv", "diag", "proc"]);
    let rows = |file: &str| report.tables.iter().find(|table| table.file == file).map(|table| table.rows);
    // Rows of the published files, as `csv.reader` counts them.
    assert_eq!(rows("ADMISSIONS.csv"), Some(129));
    assert_eq!(rows("DIAGNOSES_ICD.csv"), Some(1761));
    assert_eq!(rows("D_ICD_DIAGNOSES.csv.gz"), Some(14_567));
    let labels = |task: &str| {
        let task = crate::dataset::table::read_task(&out.join(task).join("task.toml")).unwrap();
        task.labels.iter().map(|label| (label.name.clone(), label.description.clone())).collect::<Vec<_>>()
    };
    let diagnoses = labels("diag");
    assert_eq!(diagnoses[0], ("995".to_owned(), "Other anaphylactic reaction and others".to_owned()));
    assert!(diagnoses.iter().all(|(_, description)| !description.is_empty()));
    assert!(labels("proc").iter().any(|(name, _)| name == "331"), "03.31 without its zero");
}
