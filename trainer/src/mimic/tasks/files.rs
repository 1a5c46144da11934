//! A task's folder: `train.csv`, `valid.csv` and `test.csv` with `id,text,label`, the task file and its labels.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clinlora_core::task::TaskKind;

use crate::error::{AtPath, Result};
use crate::files::write_atomic;
use crate::mimic::split::{SPLITS, Split};

/// What a task file says.
pub(super) struct Description {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) kind: TaskKind,
    /// Name and description of each label, in class order.
    pub(super) labels: Vec<(String, String)>,
}

impl Description {
    /// Writes `task.toml` and `labels.csv` into a new folder of the task's name.
    pub(super) fn write(&self, out: &Path) -> Result<()> {
        let folder = out.join(self.name);
        fs::create_dir_all(&folder).at(&folder)?;
        let (kind, class_weighting) = match self.kind {
            TaskKind::Binary => ("binary", "balanced"),
            TaskKind::Multiclass => ("multiclass", "balanced"),
            TaskKind::Multilabel => ("multilabel", "none"),
        };
        let text = format!(
            "name = \"{}\"\ntitle = \"{}\"\nkind = \"{kind}\"\nclass_weighting = \"{class_weighting}\"\nlabels_file = \
             \"labels.csv\"\n",
            self.name, self.title
        );
        let path = folder.join("task.toml");
        write_atomic(&path, text.as_bytes())?;
        let mut labels = QuotedCsv::create(folder.join("labels.csv"), &["name", "description"])?;
        for (name, description) in &self.labels {
            labels.row(&[name, description])?;
        }
        labels.finish()
    }
}

/// The samples of a task, a file a split.
pub(super) struct Samples {
    files: Vec<QuotedCsv>,
    /// Samples written, by split.
    pub(super) counts: [u64; 3],
}

impl Samples {
    /// Begins the files of task `name`, whose folder is there.
    pub(super) fn create(out: &Path, name: &str) -> Result<Self> {
        let create = |split: Split| {
            let path = out.join(name).join(format!("{split}.csv"));
            QuotedCsv::create(path, &["id", "text", "label"])
        };
        Ok(Self { files: SPLITS.into_iter().map(create).collect::<Result<_>>()?, counts: [0; 3] })
    }

    /// Writes one sample.
    pub(super) fn write(&mut self, split: Split, admission: u32, text: &str, label: &str) -> Result<()> {
        self.counts[split as usize] += 1;
        self.files[split as usize].row(&[&admission.to_string(), text, label])
    }

    /// Completes the files.
    pub(super) fn finish(self) -> Result<()> {
        self.files.into_iter().try_for_each(QuotedCsv::finish)
    }
}

/// A CSV file with every field in quotes, as CORe writes its own.
struct QuotedCsv {
    path: PathBuf,
    file: BufWriter<File>,
}

impl QuotedCsv {
    fn create(path: PathBuf, header: &[&str]) -> Result<Self> {
        let file = BufWriter::new(File::create(&path).at(&path)?);
        let mut csv = Self { path, file };
        csv.row(header)?;
        Ok(csv)
    }

    fn row(&mut self, fields: &[&str]) -> Result<()> {
        let quoted: Vec<String> =
            fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
        writeln!(self.file, "{}", quoted.join(",")).at(&self.path)
    }

    fn finish(mut self) -> Result<()> {
        self.file.flush().at(&self.path)?;
        self.file.get_ref().sync_all().at(&self.path)
    }
}
