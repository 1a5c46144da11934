//! `clinlora export`.

use std::collections::BTreeSet;
use std::path::Path;

use clinlora_core::quant::Bits;
use clinlora_core::weights::bundle::{Manifest, ModelCard};

use super::print_json;
use crate::cli::{Common, Export, NamedFile};
use crate::console;
use crate::error::{Error, Result};
use crate::export::{ExportOptions, TaskToExport, export};
use crate::files;

/// Writes a bundle, reads it back, and says how far its probabilities lie from the unpacked model's.
///
/// # Errors
/// [`Error`] for whatever of the inputs cannot be used, or an output that exists.
pub fn run(args: &Export, common: &Common) -> Result<()> {
    let opened = common.device.open()?;
    let inputs = args.tasks.iter().flat_map(|task| task.adapters.iter().chain([&task.file]));
    let inputs = inputs.chain([&args.model]).chain(&args.base).map(|path| path.as_path());
    files::refuse_existing(&args.out, args.overwrite)?;
    files::refuse_inputs_inside(&args.out, inputs)?;
    let names: BTreeSet<&str> = args.tasks.iter().map(|task| task.name.as_str()).collect();
    if names.len() < args.tasks.len() {
        return Err(Error::Input("two tasks have one name; give each its own".to_owned()));
    }
    for file in args.valid.iter().chain(&args.test) {
        if !names.contains(file.name.as_str()) {
            let message = format!("{}={}: there is no --task {0}", file.name, file.file.display());
            return Err(Error::Input(message));
        }
    }
    let tasks = args.tasks.iter().map(|task| {
        Ok(TaskToExport {
            name: task.name.clone(),
            file: task.file.clone(),
            adapters: task.adapters.clone(),
            valid: only(&args.valid, &task.name, "--valid")?,
            test: only(&args.test, &task.name, "--test")?,
        })
    });
    let options = ExportOptions {
        model: args.model.clone(),
        bits: if args.bits == "8" { Bits::Eight } else { Bits::Four },
        tasks: tasks.collect::<Result<Vec<_>>>()?,
        base: args.base.clone(),
        max_tokens: args.max_tokens as usize,
        card: card(args.card.as_deref(), &args.model)?,
        out: args.out.clone(),
        overwrite: args.overwrite,
        seed: common.seed.unwrap_or(1234),
    };
    let manifest = export(&options, &opened)?;
    if common.json {
        return print_json(&manifest);
    }
    for line in summary(&manifest) {
        console::result(line)?;
    }
    console::result(format_args!("the bundle is in {}", args.out.display()))
}

fn only(files: &[NamedFile], task: &str, option: &str) -> Result<Option<std::path::PathBuf>> {
    let mut of_task = files.iter().filter(|file| file.name == task);
    let first = of_task.next().map(|file| file.file.clone());
    match of_task.next() {
        None => Ok(first),
        Some(_) => Err(Error::Input(format!("{option} {task} stands twice"))),
    }
}

/// What the file says; the name is the folder's where nothing is said.
fn card(path: Option<&Path>, model: &Path) -> Result<ModelCard> {
    let mut card = match path {
        None => ModelCard::default(),
        Some(path) => toml::from_str(&files::read_text(path)?)
            .map_err(|e| Error::Input(format!("{}: {}", path.display(), e.message())))?,
    };
    if card.name.is_empty() {
        card.name = model.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    }
    if card.licence.is_empty() {
        console::note("warning: no licence is stated; give --card with one before you hand the bundle on");
    }
    Ok(card)
}

/// What a person wants to know of a bundle, line by line.
pub(super) fn summary(manifest: &Manifest) -> Vec<String> {
    let bytes: u64 = manifest.shards.iter().map(|shard| shard.bytes).sum();
    let mut lines = vec![format!(
        "{:.1} MB in {} shards; base {}",
        bytes as f64 / 1e6,
        manifest.shards.len(),
        manifest.base_sha256.get(..12).unwrap_or_default()
    )];
    for task in &manifest.tasks {
        let agreement = &task.agreement;
        let auroc = match (agreement.auroc_dense, agreement.auroc_packed) {
            (Some(dense), Some(packed)) => format!("; AUROC {dense:.4} unpacked, {packed:.4} packed"),
            _ => String::new(),
        };
        lines.push(format!(
            "{}: [{}]; on {} notes ({}) probabilities differ by {:.4} at most, {:.5} on average{auroc}",
            task.name,
            task.stack.join(", "),
            agreement.notes,
            agreement.sample,
            agreement.max_difference,
            agreement.mean_difference
        ));
    }
    lines
}
