//! `clinlora reproduce`: the paper's tables, one file a table.

mod clinical;
mod curves;
mod grid;
mod table1;
mod table2;
mod table3;
mod table4;
mod table_folder;

use self::grid::Row;
use crate::cli::{Common, Grid, PaperTable, Reproduce};
use crate::error::{Error, Result};
use crate::training::interrupt;

/// Makes a table.
///
/// # Errors
/// [`Error`] for inputs or values that cannot be used, an interruption, or numbers that diverged.
pub fn run(args: &Reproduce, common: &Common) -> Result<()> {
    interrupt::listen();
    match &args.table {
        PaperTable::Table1(args) => table1::run(args, common),
        PaperTable::Table2(args) => table2::run(args, common),
        PaperTable::Table3(args) => table3::run(args, common),
        PaperTable::Table4(args) => table4::run(args, common),
    }
}

/// Those of `rows` that `--rows` names, in the paper's order; all where it is not given.
fn chosen(rows: Vec<Row>, names: Option<&[String]>) -> Result<Vec<Row>> {
    let Some(names) = names else {
        return Ok(rows);
    };
    refuse_unknown("--rows", names, &rows)?;
    Ok(rows.into_iter().filter(|row| names.contains(&row.key)).collect())
}

/// The row tests are against: the one named, or `usual`, which need not be among them.
fn baseline(args: &Grid, rows: &[Row], usual: &str) -> Result<String> {
    if let Some(name) = &args.baseline {
        refuse_unknown("--baseline", std::slice::from_ref(name), rows)?;
        return Ok(name.clone());
    }
    Ok(usual.to_owned())
}

fn refuse_unknown(option: &str, names: &[String], rows: &[Row]) -> Result<()> {
    match names.iter().find(|name| rows.iter().all(|row| row.key != **name)) {
        None => Ok(()),
        Some(name) => {
            let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
            Err(Error::Input(format!("{option} {name}: no such row; there are {}", keys.join(", "))))
        }
    }
}

/// Digits in groups of three.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
