//! `clinlora demo`.

use crate::cli::{Common, Demo};
use crate::error::Result;

/// x
///
/// # Errors
/// x
pub fn run(_args: &Demo, _common: &Common) -> Result<()> {
    Ok(())
}
