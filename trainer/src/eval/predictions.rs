//! `predictions.csv`: a model's probabilities beside the truth, written by `clinlora evaluate` and read back by the tables.

use std::path::Path;

use clinlora_core::task::{Task, TaskKind};

use super::auroc::{MacroAuroc, Ranking};
use super::delong::Components;
use super::scores::{Probabilities, probabilities};
use super::{EvalOptions, Labels, Truth, Undefined, interval, one_vs_one, one_vs_rest};
use crate::dataset::Sample;
use crate::error::{Error, Result};
use crate::recipe::Scores;

/// `id,label,score_<LABEL>...`: the truth as in the data, and a probability for every label.
pub(crate) fn csv(task: &Task, samples: &[Sample], logits: &[f32]) -> Vec<u8> {
    const IN_MEMORY: &str = "writing to memory does not fail";
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header(task)).expect(IN_MEMORY);
    for (sample, row) in samples.iter().zip(logits.chunks_exact(task.labels.len())) {
        let truth: Vec<&str> = task
            .labels
            .iter()
            .zip(&sample.target)
            .filter(|(_, target)| **target > 0.0)
            .map(|(label, _)| label.name.as_str())
            .collect();
        let scores = probabilities(task.kind, row).into_iter().map(|p| p.to_string());
        let record: Vec<String> = [sample.id.clone(), truth.join(",")].into_iter().chain(scores).collect();
        writer.write_record(&record).expect(IN_MEMORY);
    }
    writer.into_inner().expect(IN_MEMORY)
}

fn header(task: &Task) -> Vec<String> {
    let scores = task.labels.iter().map(|label| format!("score_{}", label.name));
    ["id".to_owned(), "label".to_owned()].into_iter().chain(scores).collect()
}

/// A model's probabilities beside the truth.
#[derive(Debug)]
pub(crate) struct Predictions {
    /// Of the notes, in the order of the data.
    pub(crate) ids: Vec<String>,
    kind: TaskKind,
    pub(super) labels: Labels,
    pub(super) probabilities: Probabilities,
}

impl Predictions {
    /// Reads what [`csv`] wrote.
    ///
    /// # Errors
    /// [`Error::Input`] with the line for anything else, and for probabilities that are none.
    pub(crate) fn read(path: &Path, task: &Task) -> Result<Self> {
        let refuse = |line: u64| {
            Error::Input(format!(
                "{}:{line}: not what `clinlora evaluate` writes for task {}; remove the folder it is in, and it is made anew",
                path.display(),
                task.name
            ))
        };
        let place = |e: &csv::Error| e.position().map_or(1, csv::Position::line);
        let mut reader = csv::Reader::from_path(path).map_err(|e| refuse(place(&e)))?;
        let found = reader.headers().map_err(|e| refuse(place(&e)))?;
        if *found != header(task) {
            return Err(refuse(1));
        }
        let (mut ids, mut rows, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for record in reader.records() {
            let record = record.map_err(|e| refuse(place(&e)))?;
            let line = record.position().map_or(1, csv::Position::line);
            ids.push(record[0].to_owned());
            rows.push(task.target(&record[1]).map_err(|_| refuse(line))?);
            for cell in record.iter().skip(2) {
                let p = cell.parse::<f64>().ok().filter(|p| (0.0..=1.0).contains(p));
                values.push(p.ok_or_else(|| refuse(line))?);
            }
        }
        if ids.is_empty() || u32::try_from(ids.len()).is_err() {
            return Err(refuse(2));
        }
        Ok(Self {
            ids,
            kind: task.kind,
            labels: Labels::of(task.kind, rows.iter().map(Vec::as_slice)),
            probabilities: Probabilities::of_values(values, task.labels.len()),
        })
    }

    /// Whether a note has a label, or is of the class.
    pub(super) fn has(&self, note: usize, label: usize) -> bool {
        match &self.labels.truth {
            Truth::Classes(classes) => classes[note] == label,
            Truth::Present(present) => present[note * self.labels.num_labels + label],
        }
    }

    /// The notes in the orders that the main AUROC looks at.
    pub(crate) fn ranked(&self, scores: Scores) -> Ranked {
        let rest =
            |probabilities: &Probabilities| one_vs_rest(probabilities, |note, label| self.has(note, label));
        let rankings = match (&self.labels.truth, scores) {
            (Truth::Classes(classes), _) if self.kind == TaskKind::Multiclass => {
                one_vs_one(&self.probabilities, classes)
            }
            (Truth::Classes(_), _) => rest(&self.probabilities).split_off(1),
            (Truth::Present(_), Scores::Sigmoid) => rest(&self.probabilities),
            (Truth::Present(_), Scores::Softmax) => rest(&self.probabilities.softmax_of_sigmoids()),
        };
        let absent = match &self.labels.truth {
            Truth::Classes(classes) => (0..self.labels.num_labels).find(|class| !classes.contains(class)),
            Truth::Present(_) => None,
        };
        let notes = u32::try_from(self.ids.len()).expect("`read` refuses more");
        Ranked { rankings, kind: self.kind, absent, notes }
    }

    /// AUROC of each label against all others; none for a label that all notes have or none.
    pub(crate) fn class_aurocs(&self) -> Vec<Option<f64>> {
        one_vs_rest(&self.probabilities, |note, label| self.has(note, label))
            .iter()
            .map(Ranking::auroc)
            .collect()
    }

    /// DeLong's components of a binary task's AUROC; none for other tasks, and for fewer than two notes of a class.
    pub(crate) fn components(&self) -> Option<Components> {
        let column = || self.probabilities.column(1).map(|(note, p)| (p, self.has(note as usize, 1)));
        (self.kind == TaskKind::Binary).then(|| Components::new(column())).flatten()
    }
}

/// Notes ordered for the main AUROC of their task.
pub(crate) struct Ranked {
    rankings: Vec<Ranking>,
    kind: TaskKind,
    absent: Option<usize>,
    notes: u32,
}

impl Ranked {
    fn mean(&self) -> MacroAuroc<'_> {
        match self.kind {
            TaskKind::Binary | TaskKind::Multiclass => MacroAuroc::of_all(&self.rankings),
            TaskKind::Multilabel => MacroAuroc::of_varying(&self.rankings),
        }
    }

    /// The main AUROC, as in `metrics.json`.
    pub(crate) fn auroc(&self) -> std::result::Result<f64, Undefined> {
        if let Some(class) = self.absent {
            return Err(Undefined::ClassAbsent { class });
        }
        self.mean().value().ok_or(Undefined::NoLabelVaries)
    }

    /// The same in every bootstrap resample.
    pub(crate) fn resampled(&self, options: &EvalOptions) -> Vec<Option<f64>> {
        interval::resampled(self.mean(), self.notes, options.resamples, options.seed)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::Value;

    use super::*;
    use crate::dataset::table::read_task;
    use crate::eval::evaluate;

    fn golden(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/predictions").join(name)
    }

    #[test]
    fn aurocs_of_written_predictions_equal_those_of_scikit_learn() {
        // tests/golden/predictions/generate.py wrote the files and asked scikit-learn.
        let text =
            std::fs::read_to_string(golden("golden.json")).expect("the golden file is in the checkout");
        let expected: Value = serde_json::from_str(&text).expect("JSON");
        for name in ["pmv", "los", "diag"] {
            let task = read_task(&golden(&format!("{name}.toml"))).expect("a task");
            let predictions = Predictions::read(&golden(&format!("{name}.csv")), &task).expect("predictions");
            let close = |actual: Option<f64>, expected: &Value, what: &str| match (actual, expected.as_f64())
            {
                (Some(a), Some(e)) => assert!((a - e).abs() < 1e-12, "{name}: {what} {a} against {e}"),
                (a, e) => assert_eq!(a, e, "{name}: {what}"),
            };
            let expected = &expected[name];
            close(predictions.ranked(Scores::Sigmoid).auroc().ok(), &expected["auroc"], "AUROC");
            close(
                predictions.ranked(Scores::Softmax).auroc().ok(),
                &expected["auroc_softmax"],
                "AUROC, softmax",
            );
            for (class, auroc) in predictions.class_aurocs().into_iter().enumerate() {
                close(auroc, &expected["classes"][class], "AUROC of a class");
            }
        }
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        let task = read_task(&golden("diag.toml")).expect("a task");
        let labels = task.labels.len();
        let logits: Vec<f32> = (0..7 * labels).map(|i| ((i * 37 % 101) as f32 - 50.0) / 9.0).collect();
        let samples: Vec<Sample> = (0..7)
            .map(|i| Sample {
                id: format!("note,{i}"),
                ids: Vec::new(),
                target: (0..labels).map(|l| f32::from(u8::from((i + l) % 3 == 0))).collect(),
            })
            .collect();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("predictions.csv");
        std::fs::write(&path, csv(&task, &samples, &logits)).expect("writable");
        let read = Predictions::read(&path, &task).expect("what was written");
        assert_eq!(read.ids[6], "note,6");
        let labels = Labels::of(task.kind, samples.iter().map(|s| s.target.as_slice()));
        assert_eq!(read.labels, labels);
        let options = EvalOptions { resamples: 60, seed: 3 };
        let metrics = evaluate(task.kind, &labels, &logits, &options).expect("finite");
        let ranked = read.ranked(Scores::Sigmoid);
        assert_eq!(ranked.auroc().ok(), metrics.auroc);
        let interval = interval::Interval::of(&ranked.resampled(&options));
        assert_eq!(interval, metrics.auroc_interval, "the same resamples");

        let text = std::fs::read_to_string(&path).expect("written");
        for (from, to, line) in [("id,label", "id,truth", 1), ("0.", "1.", 2), ("note", "\"\nnote", 3)] {
            std::fs::write(&path, text.replacen(from, to, 1)).expect("writable");
            let error = Predictions::read(&path, &task).expect_err(to).to_string();
            assert!(error.contains("not what `clinlora evaluate` writes"), "{line}: {error}");
            assert!(!error.contains("note,"), "{error}");
        }
    }

    #[test]
    fn one_class_alone_has_no_auroc() {
        let task = read_task(&golden("pmv.toml")).expect("a task");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("predictions.csv");
        let name = &task.labels[0].name;
        let header = header(&task).join(",");
        std::fs::write(&path, format!("{header}\na,{name},0.25,0.75\nb,{name},0.5,0.5\n")).expect("writable");
        let read = Predictions::read(&path, &task).expect("predictions");
        assert_eq!(read.ranked(Scores::Sigmoid).auroc(), Err(Undefined::ClassAbsent { class: 1 }));
        assert_eq!((read.components(), read.roc(1)), (None, None));
        assert_eq!(read.reliability().len(), 2);
    }
}
