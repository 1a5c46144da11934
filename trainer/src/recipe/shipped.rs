//! Recipes of `trainer/recipes/`, compiled into the program.
//!
//! A command that trains by one writes it into its own folder and reads it from there: what it did is then a recipe that
//! a person can read, change and run.

use std::path::Path;

use super::{Purpose, Recipe};
use crate::error::{AtPath, Result};
use crate::files;

/// The recipe `trainer/recipes/$folder/$name.toml`.
macro_rules! shipped {
    ($folder:literal, $name:literal) => {
        $crate::recipe::shipped::Shipped {
            name: $name,
            text: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/recipes/",
                $folder,
                "/",
                $name,
                ".toml"
            )),
        }
    };
}
pub(crate) use shipped;

/// A recipe of the program's own, made by [`shipped!`].
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// The file's name without its ending.
    pub name: &'static str,
    /// The file.
    pub text: &'static str,
}

impl Shipped {
    /// Writes the recipe into `folder`, made if need be, and reads it with `overrides`.
    ///
    /// # Errors
    /// As [`Recipe::read`], and what the file system says.
    pub fn read_in(self, folder: &Path, overrides: &[String], purpose: Purpose) -> Result<Recipe> {
        std::fs::create_dir_all(folder).at(folder)?;
        let path = folder.join(format!("{}.toml", self.name));
        files::write_atomic(&path, self.text.as_bytes())?;
        Recipe::read(&path, overrides, purpose)
    }
}
