//! Notes to try the page with: synthetic patients with what happened to them, shown after the prediction.
//!
//! They are from the synthetic hospital of this project, made with a seed that no recipe and no bundle uses, so no model has seen
//! them; `samples.json` says with which commands. No note is of a real person.

use std::sync::LazyLock;

use serde::Deserialize;

/// A code with its words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrueCode {
    /// As the task's labels have it: `428`.
    pub code: String,
    /// In words.
    pub description: String,
}

/// A length of stay.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrueStay {
    /// Name of the task's label: `2`.
    pub label: String,
    /// In words.
    pub description: String,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Truth {
    /// Whether the patient died in hospital.
    pub died: bool,
    /// How long the patient stayed; none for those who died, whom the task leaves out.
    pub length_of_stay: Option<TrueStay>,
    /// Whether the patient was ventilated for more than 7 days; none where not ventilated, or not known.
    pub ventilated_over_7_days: Option<bool>,
    /// Diagnoses, as labels of the task.
    pub diagnoses: Vec<TrueCode>,
    /// Procedures, as labels of the task.
    pub procedures: Vec<TrueCode>,
}

impl Truth {
    /// What happened, a sentence for each of death, stay and ventilation.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let mut said =
            vec![if self.died { "Died in hospital.".to_owned() } else { "Left hospital alive.".to_owned() }];
        if let Some(stay) = &self.length_of_stay {
            said.push(format!("Stayed {}.", stay.description));
        }
        match self.ventilated_over_7_days {
            Some(true) => said.push("Ventilated for more than 7 days.".to_owned()),
            Some(false) => said.push("Ventilated for 7 days at most.".to_owned()),
            None => {}
        }
        said
    }

    /// Whether a label of a task is true, as the label is named; none where the truth is not known. Tasks are known by the
    /// words of their labels and titles that every bundle of this project has.
    #[must_use]
    pub fn label(&self, task: &crate::about::TaskAbout, label: usize) -> Option<bool> {
        use crate::about::Kind;
        use crate::codes::Coding;
        let name = task.labels.get(label)?.name.as_str();
        let said = format!("{} {}", task.name, task.title).to_lowercase();
        match task.kind {
            Kind::Binary if said.contains("death") || said.contains("mor") => Some(self.died == (label == 1)),
            Kind::Binary if said.contains("ventilation") || said.contains("pmv") => {
                self.ventilated_over_7_days.map(|was| was == (label == 1))
            }
            Kind::Multiclass if said.contains("stay") || said.contains("los") => {
                self.length_of_stay.as_ref().map(|stay| stay.label == name)
            }
            Kind::Multilabel => {
                let codes = match Coding::of(task) {
                    Coding::Diagnoses => &self.diagnoses,
                    Coding::Procedures => &self.procedures,
                    Coding::Other => return None,
                };
                (!codes.is_empty()).then(|| codes.iter().any(|code| code.code == name))
            }
            _ => None,
        }
    }
}

/// A note to try.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Its name in the synthetic hospital.
    pub id: String,
    /// `64-year-old woman, slurred speech`.
    pub title: String,
    /// A line more.
    pub description: String,
    /// The admission note.
    pub text: String,
    /// What happened.
    pub truth: Truth,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    made_by: Vec<String>,
    #[serde(rename = "chosen")]
    _chosen: String,
    samples: Vec<Sample>,
}

static DOCUMENT: LazyLock<Document> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../samples.json"))
        .expect("the file is part of the program, and a test reads it")
});

/// The notes, from the lighter cases to the graver.
#[must_use]
pub fn samples() -> &'static [Sample] {
    &DOCUMENT.samples
}

/// The commands they were made with.
#[must_use]
pub fn made_by() -> &'static [String] {
    &DOCUMENT.made_by
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::about::{Kind, LabelAbout, TaskAbout};
    use crate::codes::Coding;
    use crate::note::edit::{Sex, find_sex};
    use crate::note::sections::{SectionKind, leakage, missing, sections};
    use crate::note::{age::find_age, fitness::flags, identifiers::identifiers};

    #[test]
    fn samples_cover_what_can_happen() {
        let all = samples();
        assert!(all.len() >= 8 && made_by()[0].contains("--seed"));
        let died = all.iter().filter(|sample| sample.truth.died).count();
        assert!(died >= 2 && all.len() - died >= 5);
        let stays: BTreeSet<&str> = all
            .iter()
            .filter_map(|s| s.truth.length_of_stay.as_ref())
            .map(|stay| stay.label.as_str())
            .collect();
        assert_eq!(stays.into_iter().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
        for ventilated in [None, Some(false), Some(true)] {
            assert!(
                all.iter().any(|sample| sample.truth.ventilated_over_7_days == ventilated),
                "{ventilated:?}"
            );
        }
        let chapters: BTreeSet<Option<usize>> = all
            .iter()
            .filter_map(|s| s.truth.diagnoses.first())
            .map(|code| Coding::Diagnoses.chapter(&code.code))
            .collect();
        assert!(chapters.len() >= 5, "{chapters:?}");
        assert!(all.iter().all(|sample| !sample.truth.diagnoses.is_empty()));
    }

    #[test]
    fn samples_are_notes_as_the_page_wants_them() {
        let all = samples();
        let titles: BTreeSet<&str> = all.iter().map(|sample| sample.title.as_str()).collect();
        let texts: BTreeSet<&str> = all.iter().map(|sample| sample.text.as_str()).collect();
        assert_eq!((titles.len(), texts.len()), (all.len(), all.len()));
        for sample in all {
            let (text, title) = (sample.text.as_str(), sample.title.as_str());
            assert_eq!(identifiers(text), [], "{title}");
            assert_eq!(flags(text, None), [], "{title}");
            let parts = sections(text);
            let lacking = missing(text, &parts);
            assert!(!SectionKind::ALL[..3].iter().any(|kind| lacking.contains(kind)), "{title} {lacking:?}");
            assert_eq!(leakage(text, &parts), [], "{title}");
            let age = find_age(text).unwrap();
            let sex = if title.contains("woman") { Sex::Female } else { Sex::Male };
            assert!(title.starts_with(&format!("{}-year-old", age.years)), "{title} {age:?}");
            assert_eq!(find_sex(text), Some(sex), "{title}");
        }
    }

    #[test]
    fn truth_is_told_by_label() {
        let sample = samples().iter().find(|sample| sample.title.contains("slurred speech")).unwrap();
        let task = |name: &str, kind, labels: &[&str]| TaskAbout {
            name: name.to_owned(),
            kind,
            labels: labels
                .iter()
                .map(|name| LabelAbout { name: (*name).to_owned(), ..LabelAbout::default() })
                .collect(),
            ..TaskAbout::default()
        };
        let truth = &sample.truth;
        assert_eq!(truth.label(&task("MOR", Kind::Binary, &["0", "1"]), 1), Some(false));
        assert_eq!(truth.label(&task("PMV", Kind::Binary, &["0", "1"]), 1), Some(true));
        assert_eq!(truth.label(&task("LOS", Kind::Multiclass, &["0", "1", "2", "3"]), 2), Some(true));
        assert_eq!(truth.label(&task("DIAG", Kind::Multilabel, &["433", "999"]), 0), Some(true));
        assert_eq!(truth.label(&task("DIAG", Kind::Multilabel, &["433", "999"]), 1), Some(false));
        assert_eq!(truth.label(&task("other", Kind::Binary, &["0", "1"]), 1), None);
        assert_eq!(
            truth.sentences(),
            ["Left hospital alive.", "Stayed more than 1 to 2 weeks.", "Ventilated for more than 7 days."]
        );
    }
}
