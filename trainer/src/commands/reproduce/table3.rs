//! Table 3: six ways of learning the five tasks on one base.

use std::path::Path;

use super::clinical::Clinical;
use super::grid::{self, Grid, Row};
use super::table_folder;
use crate::cli::{Common, PaperBase, Table3};
use crate::error::{Error, Result};
use crate::recipe::published::{self, Base, TABLE3};
use crate::report::shown;

/// Trains and tests what is not done yet, and prints the table.
///
/// # Errors
/// [`Error`] for inputs or overrides that cannot be used, before anything is trained; an interruption.
pub(super) fn run(args: &Table3, common: &Common) -> Result<()> {
    let out = &args.out;
    let inputs = [Some(&args.grid.data), Some(&args.model), args.clinical.as_ref(), args.notes.as_ref()];
    let begun = table_folder::check(
        out,
        args.grid.overwrite,
        inputs.into_iter().flatten().map(|path| path.as_path()),
    )?;
    let rows = rows(args)?;
    let baseline = super::baseline(&args.grid, &rows, "head")?;
    let needs_training = args.clinical.is_none() && rows.iter().any(|row| row.clinical.is_some());
    let clinical = args.notes.as_ref().filter(|_| needs_training).map(|notes| Clinical {
        model: &args.model,
        notes,
        base: base(args.paper),
        setting: args.grid.setting,
        overrides: &args.grid.overrides,
        common,
    });
    let grid = Grid {
        name: "table3",
        title: "Table 3: what each way of adapting is worth".to_owned(),
        lead: lead(args),
        rows,
        out,
        args: &args.grid,
        common,
        baseline,
    };
    let columns = grid::columns(&args.grid)?;
    let plan = |folder: &Path| -> Result<_> {
        let recipe = clinical.as_ref().map(|of| of.plan(folder, out.join(CLINICAL))).transpose()?;
        Ok((recipe, grid.plan(folder, &columns)?))
    };
    let ((recipe, cells), _lock) = table_folder::open(out, args.grid.overwrite, begun, plan)?;
    if let (Some(clinical), Some(recipe)) = (&clinical, &recipe) {
        clinical.train(recipe)?;
    }
    grid.make(&columns, cells)
}

/// The clinical adapter's run in the folder of the table.
const CLINICAL: &str = "clinical";

fn base(paper: PaperBase) -> Base {
    match paper {
        PaperBase::Llama => Base::Llama,
        PaperBase::PmcLlama => Base::PmcLlama,
    }
}

fn rows(args: &Table3) -> Result<Vec<Row>> {
    let base = base(args.paper);
    let of_base = TABLE3.iter().filter(|row| row.base == base);
    let clinical = args.clinical.clone().or_else(|| args.notes.as_ref().map(|_| args.out.join(CLINICAL)));
    let row = |published: &published::Row| Row {
        key: published.recipe.name.to_owned(),
        title: published.title.to_owned(),
        published: *published,
        in_paper: true,
        base: Some(args.model.clone()),
        clinical: clinical.clone().filter(|_| published.loads_clinical()),
    };
    let rows = super::chosen(of_base.map(row).collect(), args.rows.as_deref())?;
    match rows.iter().find(|row| row.published.loads_clinical() && row.clinical.is_none()) {
        None => Ok(rows),
        Some(row) => Err(Error::Input(format!(
            "row {} loads a clinical adapter: give it as --clinical, or notes to train it on as --notes, or leave such rows out \
             (--rows head,lora)",
            row.key
        ))),
    }
}

fn lead(args: &Table3) -> Vec<String> {
    let base = match args.paper {
        PaperBase::Llama => "LLaMA-7B",
        PaperBase::PmcLlama => "PMC-LLaMA-7B",
    };
    let clinical = match (&args.clinical, &args.notes) {
        (Some(adapter), _) => format!(" Clinical adapter: `{}`.", shown(adapter)),
        (None, Some(notes)) => format!(" Clinical adapter: trained here on `{}`.", shown(notes)),
        (None, None) => String::new(),
    };
    vec![
        format!("Base: `{}`. Tasks: `{}`.{clinical}", shown(&args.model), shown(&args.grid.data)),
        format!(
            "Paper: {base} on MIMIC-III (arXiv 2307.03042, Table 3). With another base or other notes its figures stand beside \
             ours for the order of the rows alone."
        ),
    ]
}
