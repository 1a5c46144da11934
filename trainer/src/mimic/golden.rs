//! The same samples as an implementation in Python makes: `tests/golden/core_tasks/generate.py`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::defects::Ledger;
use super::timestamp::Timestamp;
use super::ventilation::{self, Event};
use super::{TaskOptions, TasksReport, prepare_tasks};

pub(super) fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/core_tasks")
}

/// Options for the golden tables.
pub(super) fn options(out: &Path) -> TaskOptions {
    TaskOptions {
        mimic3: golden().join("mimic3"),
        out: out.to_owned(),
        splits: Some(golden().join("splits")),
        pmv_labels: None,
        skip_bad_rows: 0,
        overwrite: false,
    }
}

fn records(text: &str) -> Vec<csv::StringRecord> {
    csv::Reader::from_reader(text.as_bytes()).records().map(Result::unwrap).collect()
}

/// Samples of a task in one split.
fn samples(out: &Path, task: &str, split: &str) -> String {
    fs::read_to_string(out.join(task).join(format!("{split}.csv"))).unwrap()
}

fn assert_equal(out: &Path, task: &str, at_least: usize) {
    let mut rows = 0;
    for split in ["train", "valid", "test"] {
        let ours = samples(out, task, split);
        let expected = golden().join("expected").join(format!("{task}-{split}.csv"));
        let expected = fs::read_to_string(expected).unwrap();
        for (ours, expected) in records(&ours).iter().zip(records(&expected)) {
            assert_eq!(*ours, expected, "{task} {split}");
            rows += 1;
        }
        assert!(ours == expected, "{task} {split}: the bytes differ");
    }
    assert!(rows >= at_least, "{task}: {rows} rows prove little");
}

#[test]
fn ids_labels_and_texts_of_the_core_tasks_equal_python() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("tasks");
    prepare_tasks(&options(&out)).unwrap();
    for task in ["los", "mor", "diag", "proc"] {
        assert_equal(&out, task, 50);
    }
    for task in ["diag", "proc"] {
        let labels = fs::read_to_string(out.join(task).join("labels.csv")).unwrap();
        let names: Vec<String> = records(&labels).iter().map(|row| row[0].to_owned()).collect();
        let expected = golden().join("expected").join(format!("{task}-labels.txt"));
        let expected = fs::read_to_string(expected).unwrap();
        assert_eq!(names, expected.lines().collect::<Vec<_>>(), "{task}: order of first appearance");
    }
}

#[test]
fn ventilation_and_its_cohort_equal_python() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("tasks");
    prepare_tasks(&options(&out)).unwrap();
    assert_equal(&out, "pmv", 15);

    let table = |name: &str| golden().join("mimic3").join(format!("{name}.csv"));
    let stays = fs::read_to_string(table("ICUSTAYS")).unwrap();
    let stays = records(&stays).into_iter().map(|row| row[3].parse().unwrap()).collect::<Vec<u32>>();
    let events = ventilation::events(
        &table("CHARTEVENTS"),
        &table("PROCEDUREEVENTS_MV"),
        stays,
        &mut Ledger::new(0),
        &mut Vec::new(),
    )
    .unwrap();
    let mut expected: HashMap<u32, Vec<Event>> = HashMap::new();
    let text = fs::read_to_string(golden().join("expected/ventilation.csv")).unwrap();
    for row in records(&text) {
        let moment = |text: &str| Timestamp::parse(text).unwrap();
        let (start, end) = (moment(&row[1]), moment(&row[2]));
        expected.entry(row[0].parse().unwrap()).or_default().push(Event { start, end });
    }
    assert!(expected.len() > 60, "{} ventilated stays prove little", expected.len());
    assert_eq!(events, expected);
}

/// Every file below a folder and its bytes.
pub(super) fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            files.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("tasks");
    let with_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let options = TaskOptions { overwrite: true, ..options(&out) };
        pool.install(|| prepare_tasks(&options)).unwrap();
        contents(&out)
    };
    let one = with_threads(1);
    assert!(one.len() > 20, "{} files", one.len());
    assert!(one == with_threads(2) && one == with_threads(5), "bytes differ");
}

#[test]
fn columns_in_lower_case_and_gzip_make_the_same_samples() {
    let folder = tempfile::tempdir().unwrap();
    let tables = folder.path().join("tables");
    fs::create_dir(&tables).unwrap();
    for (path, bytes) in contents(&golden().join("mimic3")) {
        let end_of_header = bytes.iter().position(|b| *b == b'\n').unwrap();
        let mut changed = bytes.clone();
        changed[..end_of_header].make_ascii_lowercase();
        let name = path.file_name().unwrap().to_string_lossy().to_lowercase().replace(".csv", ".csv.gz");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, &changed).unwrap();
        fs::write(tables.join(name), gzip.finish().unwrap()).unwrap();
    }
    let out = folder.path().join("tasks");
    let changed = TaskOptions { mimic3: tables, ..options(&out) };
    prepare_tasks(&changed).unwrap();
    for task in ["los", "mor", "pmv", "diag", "proc"] {
        assert_equal(&out, task, 15);
    }
}

fn patients(out: &Path, task: &str) -> [Vec<String>; 3] {
    let admissions = fs::read_to_string(golden().join("mimic3/ADMISSIONS.csv")).unwrap();
    let of_admission: HashMap<String, String> =
        records(&admissions).iter().map(|row| (row[2].to_owned(), row[1].to_owned())).collect();
    ["train", "valid", "test"].map(|split| {
        let text = samples(out, task, split);
        records(&text).iter().map(|row| of_admission[&row[0]].clone()).collect()
    })
}

#[test]
fn no_patient_is_in_two_splits_and_the_report_says_where_one_may_be() {
    let folder = tempfile::tempdir().unwrap();
    for splits in [None, Some(golden().join("splits"))] {
        let out = folder.path().join(if splits.is_some() { "listed" } else { "hashed" });
        let report = prepare_tasks(&TaskOptions { splits, ..options(&out) }).unwrap();
        for task in ["los", "mor", "diag", "proc"] {
            let [train, valid, test] = patients(&out, task);
            assert!(train.len() > 20 && test.len() > 5, "{task}");
            assert!(train.iter().all(|patient| !valid.contains(patient) && !test.contains(patient)));
            assert!(valid.iter().all(|patient| !test.contains(patient)));
        }
        let said = |report: &TasksReport| {
            report.remarks.iter().any(|remark| remark.starts_with("pmv is split by admission"))
        };
        assert!(said(&report), "{:?}", report.remarks);
    }
}

#[test]
fn published_labels_of_ventilation_take_the_place_of_the_cohort() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first");
    prepare_tasks(&options(&first)).unwrap();
    let ids: Vec<String> =
        records(&samples(&first, "mor", "train")).iter().map(|row| row[0].to_owned()).collect();
    let labels = folder.path().join("labels.csv");
    let rows =
        format!("split,HADM_ID,label\ntrain,{},1\nval,{},0\ntest,{},1\ntest,999,0\n", ids[0], ids[1], ids[2]);
    fs::write(&labels, rows).unwrap();
    let out = folder.path().join("second");
    let report = prepare_tasks(&TaskOptions { pmv_labels: Some(labels), ..options(&out) }).unwrap();
    for (split, id, label) in [("train", &ids[0], "1"), ("valid", &ids[1], "0"), ("test", &ids[2], "1")] {
        let rows = records(&samples(&out, "pmv", split));
        assert_eq!((rows.len(), &rows[0][0], &rows[0][2]), (1, id.as_str(), label));
    }
    let with_note =
        report.stages.iter().find(|stage| stage.of == "pmv" && stage.stage == "with a note of mor");
    assert_eq!(with_note.map(|stage| (stage.rows_in, stage.rows_out)), Some((4, 3)));
}
