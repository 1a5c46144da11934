//! LOS, MOR, DIAG, PROC and PMV from the tables of MIMIC-III.
//!
//! The four CORe tasks share the admission notes of `sections`; the texts of MOR and PMV are cleaned of the outcome
//! ([`mortality`]). Everything is written in the order of `HADM_ID`, so the same tables give the same bytes.

mod codes;
mod files;
mod mortality;
mod pmv;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use clinlora_core::task::TaskKind;
use rayon::prelude::*;

use self::codes::{CodeKind, CodeLabels};
use self::files::{Description, Samples};
use self::pmv::{Cohort, Excluded, Labelled};
use super::defects::Ledger;
use super::identifiers::Identifiers;
use super::mimic3::{self, Admission};
use super::report::{NotMade, Stages, Table1Row, TableRows, TasksReport};
use super::sections::admission_note;
use super::selection::{self, Summaries, Summary};
use super::split::Patients;
use super::table;
use crate::error::Result;
use crate::files::{NewFolder, write_atomic};
use crate::training::progress::Progress;

/// Summaries worked on at once.
const AT_ONCE: usize = 512;

/// What to prepare, and from what.
#[derive(Debug, Clone)]
pub struct TaskOptions {
    /// Folder of the MIMIC-III tables.
    pub mimic3: PathBuf,
    /// Folder to make.
    pub out: PathBuf,
    /// Folder of patient lists; without it patients are split by hash.
    pub splits: Option<PathBuf>,
    /// Published labels of PMV; without them they are made from the tables.
    pub pmv_labels: Option<PathBuf>,
    /// Defects tolerated in all tables together.
    pub skip_bad_rows: u64,
    /// Replace `out` if it exists.
    pub overwrite: bool,
}

/// Makes the five tasks, as far as the tables allow.
///
/// # Errors
/// [`Error::Input`](crate::error::Error::Input) for tables that are missing or have more defects than tolerated; nothing is
/// then left in `out`.
pub fn prepare_tasks(options: &TaskOptions) -> Result<TasksReport> {
    let folder = NewFolder::create(&options.out, options.overwrite)?;
    let mut ledger = Ledger::new(options.skip_bad_rows);
    let mut tables = Vec::new();
    let mut stages = Stages::default();
    let mut identifiers = Identifiers::default();
    let mut remarks = Vec::new();
    let mut not_made = Vec::new();

    let patients = match &options.splits {
        Some(lists) => Patients::read_lists(lists, &mut ledger)?,
        None => Patients::Hashed,
    };
    let admissions = mimic3::admissions(&options.mimic3, &mut ledger, &mut tables)?;
    let (diagnoses, procedures, excluded) = read_codes(options, &mut ledger, &mut tables, &mut remarks)?;
    let ventilation =
        ventilation(options, &admissions, &excluded, &mut ledger, &mut tables, &mut stages, &mut not_made)?;
    let mut starts = match &ventilation {
        Ventilation::Cohort(cohort) => cohort.starts.clone(),
        _ => HashMap::new(),
    };
    let (summaries, rows) = selection::select(
        &table::require(&options.mimic3, "NOTEEVENTS")?,
        &admissions,
        &mut starts,
        folder.path(),
        &mut ledger,
        &mut stages,
        &mut identifiers,
    )?;
    let no_notes = rows.rows == 0;
    tables.push(rows);
    let ventilated = match ventilation {
        Ventilation::Cohort(cohort) => Some(Cohort { starts, ..cohort }.labels(&mut stages)),
        Ventilation::Labels(labels) => Some(labels),
        Ventilation::Unknown => None,
    };

    let descriptions = descriptions(&diagnoses, &procedures);
    for description in &descriptions {
        description.write(folder.path())?;
    }
    let mut made = Vec::new();
    let mut table1 = Vec::new();
    if no_notes {
        let reason = "NOTEEVENTS has a header and no row: there are labels and task files, but no notes";
        not_made = descriptions
            .iter()
            .map(|d| NotMade { task: d.name.to_owned(), reason: reason.to_owned() })
            .collect();
        let count = |d: &Description| Table1Row::new(d.name, d.labels.len() as u64, [0; 3]);
        table1.extend(descriptions.iter().map(count));
    } else {
        let labels = Labels {
            admissions: &admissions,
            patients: &patients,
            diagnoses: &diagnoses,
            procedures: &procedures,
            ventilated: ventilated.as_ref(),
        };
        let counts = write_samples(summaries, &labels, folder.path(), &mut stages, &mut remarks)?;
        for description in &descriptions {
            let task = description.name;
            if task == "pmv" && ventilated.is_none() {
                continue;
            }
            made.push(task.to_owned());
            table1.push(Table1Row::new(task, description.labels.len() as u64, counts[task]));
        }
    }
    let straddling = ventilated.as_ref().map_or(0, |labels| straddling(labels, &admissions));
    if made.iter().any(|task| task == "pmv") {
        remarks.push(format!(
            "pmv is split by admission, as its protocol has it: {straddling} patients of its cohort are in more than one of \
             its splits"
        ));
    }
    if options.pmv_labels.is_none() && ventilated.is_some() {
        remarks.push(
            "pmv excludes burns of codes 941 and 9483 to 9489; which titles the cohort's authors picked is not known"
                .to_owned(),
        );
    }
    let report = TasksReport {
        out: options.out.clone(),
        made,
        not_made,
        split: match &patients {
            Patients::Hashed => "by patient, 70/10/20, by the SHA-256 of SUBJECT_ID".to_owned(),
            Patients::Listed(lists) => format!("by patient, lists of {} patients", lists.len()),
        },
        tables,
        stages: stages.into_vec(),
        table1,
        defects: ledger.counts(),
        identifiers: identifiers.into_counts(),
        remarks,
    };
    let json = serde_json::to_string_pretty(&report).expect("a report serialises");
    write_atomic(&folder.path().join("report.json"), json.as_bytes())?;
    folder.finish()?;
    Ok(report)
}

fn read_codes(
    options: &TaskOptions,
    ledger: &mut Ledger,
    tables: &mut Vec<TableRows>,
    remarks: &mut Vec<String>,
) -> Result<(CodeLabels, CodeLabels, Excluded)> {
    let folder = &options.mimic3;
    let titles = mimic3::code_table(folder, "D_ICD_DIAGNOSES", ledger, tables)?;
    let mut excluded = Excluded::new(&titles);
    let see = |admission, code: &str| excluded.see(admission, code);
    let diagnoses = codes::read(folder, CodeKind::Diagnosis, &titles, ledger, tables, see)?;
    let titles = mimic3::code_table(folder, "D_ICD_PROCEDURES", ledger, tables)?;
    let procedures = codes::read(folder, CodeKind::Procedure, &titles, ledger, tables, |_, _| {})?;
    for (labels, name) in [(&diagnoses, "D_ICD_DIAGNOSES"), (&procedures, "D_ICD_PROCEDURES")] {
        if labels.codes_without_title > 0 {
            remarks.push(format!(
                "{name} lacks {} codes that are used; their labels are described by the other codes of the category",
                labels.codes_without_title
            ));
        }
    }
    Ok((diagnoses, procedures, excluded))
}

/// What is known of ventilation before the notes are read.
enum Ventilation {
    Cohort(Cohort),
    Labels(BTreeMap<u32, Labelled>),
    Unknown,
}

fn ventilation(
    options: &TaskOptions,
    admissions: &BTreeMap<u32, Admission>,
    excluded: &Excluded,
    ledger: &mut Ledger,
    tables: &mut Vec<TableRows>,
    stages: &mut Stages,
    not_made: &mut Vec<NotMade>,
) -> Result<Ventilation> {
    if let Some(path) = &options.pmv_labels {
        let labels = pmv::read_labels(path, ledger, tables)?;
        let count = labels.len() as u64;
        stages.add("pmv", "admissions with a published label", count, count);
        return Ok(Ventilation::Labels(labels));
    }
    match pmv::Tables::find(&options.mimic3)? {
        Ok(paths) => {
            let cohort = pmv::cohort(&paths, admissions, excluded, ledger, tables, stages)?;
            Ok(Ventilation::Cohort(cohort))
        }
        Err(reason) => {
            not_made
                .push(NotMade { task: "pmv".to_owned(), reason: format!("{reason}; or give --pmv-labels") });
            Ok(Ventilation::Unknown)
        }
    }
}

fn descriptions(diagnoses: &CodeLabels, procedures: &CodeLabels) -> Vec<Description> {
    let words = |labels: &[(&str, &str)]| {
        labels.iter().map(|(name, description)| ((*name).to_owned(), (*description).to_owned())).collect()
    };
    let of_codes =
        |labels: &CodeLabels| labels.names.iter().cloned().zip(labels.descriptions.iter().cloned()).collect();
    vec![
        Description {
            name: "los",
            title: "Length of stay",
            kind: TaskKind::Multiclass,
            labels: words(&[
                ("0", "3 days at most"),
                ("1", "more than 3 to 7 days"),
                ("2", "more than 1 to 2 weeks"),
                ("3", "more than 2 weeks"),
            ]),
        },
        Description {
            name: "mor",
            title: "Death in hospital",
            kind: TaskKind::Binary,
            labels: words(&[("0", "leaves hospital alive"), ("1", "dies in hospital")]),
        },
        Description {
            name: "pmv",
            title: "Prolonged mechanical ventilation",
            kind: TaskKind::Binary,
            labels: words(&[
                ("0", "ventilated for 7 days at most"),
                ("1", "ventilated for more than 7 days"),
            ]),
        },
        Description {
            name: "diag",
            title: "Diagnoses",
            kind: TaskKind::Multilabel,
            labels: of_codes(diagnoses),
        },
        Description {
            name: "proc",
            title: "Procedures",
            kind: TaskKind::Multilabel,
            labels: of_codes(procedures),
        },
    ]
}

/// Class of a stay: its days, rounded to one decimal, are at most 3, 7, 14 or more.
#[expect(clippy::cast_precision_loss, reason = "stays are far below 2^53 seconds")]
fn length_of_stay(admission: &Admission) -> &'static str {
    let days = (admission.discharged.0 - admission.admitted.0) as f64 / 86_400.0;
    // As NumPy rounds: half to even, after the product.
    match (days * 10.0).round_ties_even() / 10.0 {
        days if days <= 3.0 => "0",
        days if days <= 7.0 => "1",
        days if days <= 14.0 => "2",
        _ => "3",
    }
}

/// Everything a sample's labels and splits come from.
struct Labels<'a> {
    admissions: &'a BTreeMap<u32, Admission>,
    patients: &'a Patients,
    diagnoses: &'a CodeLabels,
    procedures: &'a CodeLabels,
    ventilated: Option<&'a BTreeMap<u32, Labelled>>,
}

/// A summary made into samples' texts.
struct Prepared {
    admission: u32,
    subject: u32,
    /// The admission note.
    note: String,
    /// The note as MOR and PMV may see it, if it does not tell of a death.
    without_death: Option<String>,
    deleted_phrases: usize,
}

/// The samples of each task, and what became of the summaries on the way.
struct Writer<'a> {
    labels: &'a Labels<'a>,
    los: Samples,
    mor: Samples,
    diag: Samples,
    proc: Samples,
    pmv: Option<Samples>,
    in_split: u64,
    deleted_phrases: u64,
}

/// Writes every sample of every task; returns their counts by task and split.
fn write_samples(
    mut summaries: Summaries,
    labels: &Labels<'_>,
    out: &Path,
    stages: &mut Stages,
    remarks: &mut Vec<String>,
) -> Result<HashMap<&'static str, [u64; 3]>> {
    let mut writer = Writer {
        labels,
        los: Samples::create(out, "los")?,
        mor: Samples::create(out, "mor")?,
        diag: Samples::create(out, "diag")?,
        proc: Samples::create(out, "proc")?,
        pmv: labels.ventilated.map(|_| Samples::create(out, "pmv")).transpose()?,
        in_split: 0,
        deleted_phrases: 0,
    };
    let all = std::mem::take(&mut summaries.all);
    let mut progress = Progress::new("admission notes", 0, all.len() as u64);
    let (mut done, mut with_text, mut notes) = (0, 0, 0);
    for group in all.chunks(AT_ONCE) {
        let texts = group.iter().map(|summary| summaries.text(summary)).collect::<Result<Vec<String>>>()?;
        let pairs = group.par_iter().zip(texts);
        let prepared: Vec<Option<Option<Prepared>>> =
            pairs.map(|(summary, text)| prepare(summary, &text)).collect();
        with_text += prepared.iter().flatten().count() as u64;
        for prepared in prepared.into_iter().flatten().flatten() {
            notes += 1;
            writer.write(&prepared)?;
        }
        done += group.len() as u64;
        progress.set(done, || format!("{notes} notes"));
    }
    let chain = [
        ("with a text and a patient", with_text),
        ("with complaint, illness or history", notes),
        ("of a patient in a split", writer.in_split),
    ];
    stages.chain("notes", all.len() as u64, &chain);
    writer.finish(stages, remarks)
}

/// The texts of a summary: none without text or patient, none within if the three main sections are empty.
fn prepare(summary: &Summary, text: &str) -> Option<Option<Prepared>> {
    let subject = summary.subject.filter(|_| !text.is_empty())?;
    Some(admission_note(text).map(|note| {
        let (without_death, deleted_phrases) = mortality::without_death(&note);
        Prepared { admission: summary.admission, subject, note, without_death, deleted_phrases }
    }))
}

impl Writer<'_> {
    fn write(&mut self, sample: &Prepared) -> Result<()> {
        let Some(split) = self.labels.patients.split(sample.subject) else {
            return Ok(());
        };
        self.in_split += 1;
        let Prepared { admission: id, note, .. } = sample;
        let admission = &self.labels.admissions[id];
        if !admission.died {
            self.los.write(split, *id, note, length_of_stay(admission))?;
        }
        if let Some(text) = &sample.without_death {
            self.deleted_phrases += sample.deleted_phrases as u64;
            self.mor.write(split, *id, text, if admission.died { "1" } else { "0" })?;
            if let Some(pmv) = &mut self.pmv
                && let Some(labelled) = self.labels.ventilated.and_then(|labels| labels.get(id))
            {
                pmv.write(labelled.split, *id, text, if labelled.prolonged { "1" } else { "0" })?;
            }
        }
        if let Some(codes) = self.labels.diagnoses.joined(*id) {
            self.diag.write(split, *id, note, &codes)?;
        }
        if let Some(codes) = self.labels.procedures.joined(*id) {
            self.proc.write(split, *id, note, &codes)?;
        }
        Ok(())
    }

    fn finish(
        self,
        stages: &mut Stages,
        remarks: &mut Vec<String>,
    ) -> Result<HashMap<&'static str, [u64; 3]>> {
        remarks.push(format!("{} phrases of death were deleted from texts of mor", self.deleted_phrases));
        let cohort = self.labels.ventilated.map_or(0, |labels| labels.len() as u64);
        let made = [
            ("los", "left alive", Some(self.los), self.in_split),
            ("mor", "that do not tell of a death", Some(self.mor), self.in_split),
            ("diag", "with a diagnosis", Some(self.diag), self.in_split),
            ("proc", "with a procedure", Some(self.proc), self.in_split),
            ("pmv", "with a note of mor", self.pmv, cohort),
        ];
        let mut counts = HashMap::new();
        for (task, stage, samples, rows_in) in made {
            let Some(samples) = samples else { continue };
            let [train, valid, test] = samples.counts;
            let rows = train + valid + test;
            stages.add(task, stage, rows_in, rows);
            for (split, count) in [("train", train), ("valid", valid), ("test", test)] {
                stages.add(task, split, rows, count);
            }
            counts.insert(task, samples.counts);
            samples.finish()?;
        }
        Ok(counts)
    }
}

/// Patients of more than one split of the ventilation task.
fn straddling(labels: &BTreeMap<u32, Labelled>, admissions: &BTreeMap<u32, Admission>) -> usize {
    let mut splits: HashMap<u32, [bool; 3]> = HashMap::new();
    for (id, labelled) in labels {
        if let Some(admission) = admissions.get(id) {
            splits.entry(admission.subject).or_default()[labelled.split as usize] = true;
        }
    }
    splits.values().filter(|splits| splits.iter().filter(|in_it| **in_it).count() > 1).count()
}
