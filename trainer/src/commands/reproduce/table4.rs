//! Table 4: clinical BERTs trained in full and with LoRA, beside the proposal.

use std::path::{Path, PathBuf};

use super::grid::{self, Grid, Row};
use super::table_folder;
use crate::cli::{Common, Table4};
use crate::error::{Error, Result};
use crate::recipe::published::{self, Base, TABLE4};
use crate::report::shown;

/// Trains and tests what is not done yet, and prints the table.
///
/// # Errors
/// [`Error`] for inputs or overrides that cannot be used, before anything is trained; an interruption.
pub(super) fn run(args: &Table4, common: &Common) -> Result<()> {
    let out = &args.out;
    let rows = rows(args)?;
    let folders = rows.iter().flat_map(|row| [row.base.as_deref(), row.clinical.as_deref()]).flatten();
    let begun = table_folder::check(out, args.grid.overwrite, folders.chain([args.grid.data.as_path()]))?;
    let baseline = super::baseline(&args.grid, &rows, &rows[0].key)?;
    let grid = Grid {
        name: "table4",
        title: "Table 4: clinical BERTs in full and with LoRA".to_owned(),
        lead: vec![
            format!("Tasks: `{}`.", shown(&args.grid.data)),
            "Paper: on MIMIC-III (arXiv 2307.03042, Table 4). All four of its BERTs have seen MIMIC-III, test patients included."
                .to_owned(),
        ],
        rows,
        out,
        args: &args.grid,
        common,
        baseline,
    };
    let columns = grid::columns(&args.grid)?;
    let plan = |folder: &Path| grid.plan(folder, &columns);
    let (cells, _lock) = table_folder::open(out, args.grid.overwrite, begun, plan)?;
    grid.make(&columns, cells)
}

/// The paper's BERTs by the names of `--bert`.
const BERTS: [(&str, Base); 4] = [
    ("bluebert", Base::BlueBert),
    ("umlsbert", Base::UmlsBert),
    ("bio-clinicalbert", Base::BioClinicalBert),
    ("core", Base::Core),
];

fn rows(args: &Table4) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for given in &args.berts {
        let refuse = |reason: &str| Err(Error::Input(format!("--bert {given:?}: {reason}")));
        let Some((name, folder)) = given.split_once('=').filter(|(_, folder)| !folder.is_empty()) else {
            return refuse("give NAME=DIR, as in bluebert=models/bluebert");
        };
        let name = name.to_lowercase();
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if name.is_empty() || !name.chars().all(fits) {
            return refuse("the name must be letters, digits, '-' and '_'");
        }
        if rows.iter().any(|row: &Row| row.key == format!("{name}-full")) {
            return refuse("the name stands twice");
        }
        let known = BERTS.iter().find(|(known, _)| *known == name).map(|(_, base)| *base);
        // Another BERT is trained by the recipes of the first.
        let of_base = |row: &&published::Row| row.base == known.unwrap_or(Base::BlueBert);
        for (published, kind) in TABLE4.iter().filter(of_base).zip(["full", "lora"]) {
            let title = match (known.is_some(), kind) {
                (true, "full") => format!("{}, full", published.title),
                (true, _) => published.title.to_owned(),
                (false, "full") => format!("{name}, full"),
                (false, _) => format!("{name} + LoRA"),
            };
            rows.push(Row {
                key: format!("{name}-{kind}"),
                title,
                published: *published,
                in_paper: known.is_some(),
                base: Some(PathBuf::from(folder)),
                clinical: None,
            });
        }
    }
    if let (Some(_), None) | (None, Some(_)) = (&args.model, &args.clinical) {
        return Err(Error::Input("the proposal's row needs both --model and --clinical".into()));
    }
    let proposal = &TABLE4[TABLE4.len() - 1];
    rows.push(Row {
        key: "proposal".to_owned(),
        title: proposal.title.to_owned(),
        published: *proposal,
        in_paper: true,
        base: args.model.clone(),
        clinical: args.clinical.clone(),
    });
    super::chosen(rows, args.rows.as_deref())
}
