//! Arguments of `export`.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct Export {
    /// Hugging Face model folder of a LLaMA.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// A task: its name in the bundle, its file, and its adapters from the bottom up; may be repeated.
    #[arg(long = "task", value_name = "NAME=TASKFILE:ADAPTER[+ADAPTER..]", value_parser = task_spec)]
    #[arg(required_unless_present = "base_only")]
    pub tasks: Vec<TaskSpec>,
    /// Bits of a weight of the base.
    #[arg(long, default_value = "4", value_parser = ["4", "8"])]
    pub bits: String,
    /// Labelled notes of a task to fit calibration and thresholds on; may be repeated.
    #[arg(long, value_name = "NAME=FILE", value_parser = named_file)]
    pub valid: Vec<NamedFile>,
    /// Labelled notes of a task that nothing was fitted on; may be repeated.
    #[arg(long, value_name = "NAME=FILE", value_parser = named_file)]
    pub test: Vec<NamedFile>,
    /// The packed base alone.
    #[arg(long, conflicts_with_all = ["tasks", "adapters_only"])]
    pub base_only: bool,
    /// Adapters and tasks alone, for the base in --base.
    #[arg(long, requires = "base")]
    pub adapters_only: bool,
    /// Bundle that holds the base, with --adapters-only.
    #[arg(long, value_name = "BUNDLE", requires = "adapters_only")]
    pub base: Option<PathBuf>,
    /// Notes are cut at this many tokens.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(2..=1 << 20))]
    pub max_tokens: u32,
    /// TOML file with `name`, `licence`, `intended_use`, `limitations`, `training_data` and `contact`.
    #[arg(long, value_name = "FILE")]
    pub card: Option<PathBuf>,
    /// Folder for the bundle.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Replace the folder if it exists and this program made it.
    #[arg(long)]
    pub overwrite: bool,
}

/// A task as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSpec {
    /// Name in the bundle.
    pub name: String,
    /// Task file.
    pub file: PathBuf,
    /// Adapters from the bottom up.
    pub adapters: Vec<PathBuf>,
}

/// A file of a task as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// Name of the task.
    pub name: String,
    /// The file.
    pub file: PathBuf,
}

fn task_spec(text: &str) -> Result<TaskSpec, String> {
    const FORM: &str = "write NAME=TASKFILE:ADAPTER, further adapters after a +";
    let (name, rest) = text.split_once('=').ok_or(FORM)?;
    let (file, adapters) = rest.split_once(':').ok_or(FORM)?;
    let adapters: Vec<PathBuf> = adapters.split('+').map(PathBuf::from).collect();
    if name.is_empty() || file.is_empty() || adapters.iter().any(|path| path.as_os_str().is_empty()) {
        return Err(FORM.to_owned());
    }
    Ok(TaskSpec { name: name.to_owned(), file: file.into(), adapters })
}

fn named_file(text: &str) -> Result<NamedFile, String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            Ok(NamedFile { name: name.to_owned(), file: file.into() })
        }
        _ => Err("write NAME=FILE, NAME being that of a task".to_owned()),
    }
}
