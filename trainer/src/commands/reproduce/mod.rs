//! `clinlora reproduce`: the paper's tables, one file a table.

mod table2;

use crate::cli::{Common, PaperTable, Reproduce};
use crate::error::Result;
use crate::training::interrupt;

/// Makes a table.
///
/// # Errors
/// [`crate::error::Error`] for inputs or values that cannot be used, an interruption, or numbers that diverged.
pub fn run(args: &Reproduce, common: &Common) -> Result<()> {
    interrupt::listen();
    match &args.table {
        PaperTable::Table2(args) => table2::run(args, common),
    }
}
