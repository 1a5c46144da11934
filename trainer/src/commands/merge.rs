//! `clinlora merge`.

use burn::tensor::DType;
use clinlora_core::peft::stack::merge;

use super::{print_json, stack};
use crate::cli::{Common, Merge};
use crate::error::{Error, Result};
use crate::files::NewFolder;
use crate::folders::base::{self, BaseFolder};

/// Writes base plus adapters as one f32 checkpoint.
///
/// # Errors
/// [`Error`] for whatever of the inputs cannot be used, or an output that exists.
pub fn run(args: &Merge, common: &Common) -> Result<()> {
    let opened = common.device.open()?;
    let out = NewFolder::create(&args.out, args.overwrite)?;
    let base = BaseFolder::open(&args.model)?;
    let model = stack::causal_lm(&base, &args.adapters, &opened.device, DType::F32)?;
    let mut merged = merge(model).map_err(|e| Error::Input(e.to_string()))?;
    let tokenizer = base
        .tokenizer
        .to_json()
        .map_err(|e| Error::Input(e.to_string()))?;
    base::save(out.path(), &mut merged, &base.config, &tokenizer)?;
    out.finish()?;
    if common.json {
        return print_json(&serde_json::json!({"merged": args.out}));
    }
    println!("merged model written to {}", args.out.display());
    Ok(())
}
