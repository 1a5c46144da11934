//! The whole hospital on disk.
//!
//! Patients are made a batch at a time, the chunks of a batch in parallel, and written in order: memory does not grow with
//! their number, bytes do not depend on the threads, and the tables of few patients are how those of many begin.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use rayon::prelude::*;
use serde::Serialize;

use super::discharge_summary::SYNTHETIC;
use super::marginals::{Marginals, Tally};
use super::patient::Patient;
use super::tables::{MIMIC3, MIMIC4_NOTE, Pages, Table, dictionary};
use crate::error::{AtPath, Result};
use crate::training::progress::Progress;

/// Identifiers leave room for no more.
pub(crate) const MOST_PATIENTS: u64 = 1_000_000;

/// Where those patients begin who have notes in MIMIC-IV-Note only: no one is in both hospitals, so that a model adapted
/// to the notes of one has seen no patient of the other's tasks.
const SECOND_HOSPITAL: u64 = 50_000_000;

/// Patients made by one thread at a time.
const CHUNK: usize = 32;

/// What was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// Patients of MIMIC-III's tables, and as many others of MIMIC-IV-Note's.
    pub(crate) patients: u64,
    /// What they were drawn from.
    pub(crate) seed: u64,
    /// Rows of every table, by path.
    pub(crate) rows: BTreeMap<String, u64>,
    /// Who they are and what happened to them.
    pub(crate) marginals: Marginals,
}

/// Writes the tables of both hospitals into `folder`, which must exist.
///
/// # Errors
/// What the file system says.
pub(crate) fn write(patients: u64, seed: u64, folder: &Path, progress: &mut Progress) -> Result<Summary> {
    let mut files = Files::create(folder)?;
    for rows in dictionary::rows() {
        let mut pages = Pages::new();
        pages.replace(rows);
        files.append(&pages)?;
    }
    let batch = (CHUNK * 4 * rayon::current_num_threads()) as u64;
    let mut tally = Tally::default();
    let mut start = 0;
    while start < patients {
        let end = patients.min(start + batch);
        let starts: Vec<u64> = (start..end).step_by(CHUNK).collect();
        let chunks: Vec<(Pages, Tally)> =
            starts.into_par_iter().map(|first| chunk(seed, first, end.min(first + CHUNK as u64))).collect();
        for (pages, counted) in &chunks {
            files.append(pages)?;
            tally.merge(counted);
        }
        start = end;
        progress.set(end, || format!("{:.1} MB", files.bytes as f64 / 1e6));
    }
    let rows = files.finish()?;
    for (place, text) in [("", ROOT_README), (MIMIC3, MIMIC3_README), (MIMIC4_NOTE, MIMIC4_README)] {
        let path = folder.join(place).join("README.md");
        let listed: String = rows.iter().filter(|(path, _)| path.starts_with(place)).fold(
            String::new(),
            |list, (path, rows)| {
                list + &format!("| {} | {rows} |\n", path.trim_start_matches(place).trim_start_matches('/'))
            },
        );
        let text = text
            .replace("SYNTHETIC", SYNTHETIC)
            .replace("PATIENTS", &patients.to_string())
            .replace("SEED", &seed.to_string());
        fs::write(&path, text + "\n| file | rows |\n|---|---:|\n" + &listed).at(&path)?;
    }
    Ok(Summary { patients, seed, rows, marginals: tally.marginals() })
}

/// Patients `first` to `end - 1` of both hospitals.
fn chunk(seed: u64, first: u64, end: u64) -> (Pages, Tally) {
    let (mut pages, mut tally) = (Pages::new(), Tally::default());
    for index in first..end {
        let patient = Patient::simulate(seed, index);
        tally.add(&patient);
        pages.add_mimic3(&patient);
        pages.add_mimic4_note(&Patient::simulate(seed, SECOND_HOSPITAL + index));
    }
    (pages, tally)
}

const ROOT_README: &str = "# SYNTHETIC

Everything in this folder was made by a program (`clinlora cohort --patients PATIENTS --seed SEED`). No page, note, row or
number describes a person; identifiers lie outside the ranges of the real data sets.

- `mimic-iii/`: tables with the columns of MIMIC-III v1.4.
- `mimic-iv-note/`: tables with the columns of MIMIC-IV-Note v2.2, of other synthetic patients.

Every note says so in its text, ADMISSIONS in DIAGNOSIS, CHARTEVENTS in RESULTSTATUS, PROCEDUREEVENTS_MV in COMMENTS_EDITEDBY;
the other tables have no column of free text, and for them this page says it.
";

const MIMIC3_README: &str = "# SYNTHETIC

Tables with the columns of MIMIC-III v1.4, made by a program (`clinlora cohort --patients PATIENTS --seed SEED`). None of their
rows describes a person. The two D_ICD tables are an excerpt of the public ICD-9-CM.
";

const MIMIC4_README: &str = "# SYNTHETIC

Tables with the columns of MIMIC-IV-Note v2.2, made by a program (`clinlora cohort --patients PATIENTS --seed SEED`). None of their
rows describes a person, and none of these synthetic patients is in the tables of `mimic-iii`.
";

/// Where rows go.
enum Sink {
    Plain(BufWriter<File>),
    Compressed(Box<GzEncoder<BufWriter<File>>>),
}

/// One table on disk.
struct Open {
    table: Table,
    path: PathBuf,
    sink: Sink,
    rows: u64,
}

impl Open {
    fn create(folder: &Path, table: Table) -> Result<Self> {
        let path = folder.join(table.folder()).join(table.file());
        let file = BufWriter::with_capacity(1 << 16, File::create(&path).at(&path)?);
        let sink = if table.file().ends_with(".gz") {
            Sink::Compressed(Box::new(GzBuilder::new().comment(SYNTHETIC).write(file, Compression::fast())))
        } else {
            Sink::Plain(file)
        };
        let mut open = Self { table, path, sink, rows: 0 };
        open.write(table.header().as_bytes())?;
        Ok(open)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.sink {
            Sink::Plain(file) => file.write_all(bytes),
            Sink::Compressed(file) => file.write_all(bytes),
        }
        .at(&self.path)
    }

    fn finish(self) -> Result<(String, u64)> {
        let file = match self.sink {
            Sink::Plain(file) => file,
            Sink::Compressed(file) => file.finish().at(&self.path)?,
        };
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error).at(&self.path)?;
        file.sync_all().at(&self.path)?;
        Ok((format!("{}/{}", self.table.folder(), self.table.file()), self.rows))
    }
}

/// All tables on disk.
struct Files {
    open: Vec<Open>,
    /// Written so far, before compression.
    bytes: u64,
    printed: Vec<u8>,
}

impl Files {
    fn create(folder: &Path) -> Result<Self> {
        for place in [MIMIC3, MIMIC4_NOTE] {
            let path = folder.join(place);
            fs::create_dir_all(&path).at(&path)?;
        }
        let open = Table::ALL.into_iter().map(|table| Open::create(folder, table)).collect::<Result<_>>()?;
        Ok(Self { open, bytes: 0, printed: Vec::new() })
    }

    /// Appends rows, numbered on from those before.
    fn append(&mut self, pages: &Pages) -> Result<()> {
        for open in &mut self.open {
            let rows = pages.of(open.table);
            self.printed.clear();
            rows.print(open.rows + 1, &mut self.printed);
            open.write(&self.printed)?;
            open.rows += rows.len() as u64;
            self.bytes += self.printed.len() as u64;
        }
        Ok(())
    }

    fn finish(self) -> Result<BTreeMap<String, u64>> {
        self.open.into_iter().map(Open::finish).collect()
    }
}
