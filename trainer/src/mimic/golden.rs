//! The same samples as an implementation in Python makes: `tests/golden/core_tasks/generate.py`.

use std::fs;
use std::path::{Path, PathBuf};

use super::{TaskOptions, TasksReport, prepare_tasks};

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/core_tasks")
}

fn prepare(out: &Path) -> TasksReport {
    let options = TaskOptions {
        mimic3: golden().join("mimic3"),
        out: out.to_owned(),
        splits: Some(golden().join("splits")),
        pmv_labels: None,
        skip_bad_rows: 0,
        overwrite: false,
    };
    prepare_tasks(&options).unwrap()
}

#[test]
fn ids_labels_and_texts_of_the_core_tasks_equal_python() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("tasks");
    prepare(&out);
    for task in ["los", "mor", "diag", "proc"] {
        let mut rows = 0;
        for split in ["train", "valid", "test"] {
            let ours = fs::read_to_string(out.join(task).join(format!("{split}.csv"))).unwrap();
            let expected =
                fs::read_to_string(golden().join("expected").join(format!("{task}-{split}.csv"))).unwrap();
            let read = |text: &str| -> Vec<csv::StringRecord> {
                csv::Reader::from_reader(text.as_bytes())
                    .records()
                    .map(|row| row.unwrap())
                    .collect()
            };
            for (ours, expected) in read(&ours).iter().zip(read(&expected)) {
                assert_eq!(*ours, expected, "{task} {split}");
                rows += 1;
            }
            assert!(ours == expected, "{task} {split}: the bytes differ");
        }
        assert!(rows >= 50, "{task}: {rows} rows prove little");
    }
    for task in ["diag", "proc"] {
        let labels = fs::read_to_string(out.join(task).join("labels.csv")).unwrap();
        let names: Vec<String> = csv::Reader::from_reader(labels.as_bytes())
            .records()
            .map(|row| row.unwrap()[0].to_owned())
            .collect();
        let expected =
            fs::read_to_string(golden().join("expected").join(format!("{task}-labels.txt"))).unwrap();
        assert_eq!(
            names,
            expected.lines().collect::<Vec<_>>(),
            "{task}: labels in order of first appearance"
        );
    }
}
