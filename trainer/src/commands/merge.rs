//! `clinlora merge`.

use std::path::PathBuf;

use burn::tensor::DType;

use super::{print_json, stack};
use crate::audit::{self, Event};
use crate::cli::{Common, Merge};
use crate::console;
use crate::error::{Error, Result};
use crate::files::{self, NewFolder};
use crate::folders::adapter::{self, Origin};
use crate::folders::base::{self, BaseFolder};
use crate::training::progress::Stage;

/// Writes base plus adapters as one f32 checkpoint. The head of the last adapter that carries one goes with it, as the
/// folder's `head.safetensors`, so that the folder given as `--model` and as `--adapter` predicts as the stack did.
///
/// # Errors
/// [`Error`] for whatever of the inputs cannot be used, or an output that exists.
pub fn run(args: &Merge, common: &Common) -> Result<()> {
    let opened = common.device.open()?;
    files::refuse_existing(&args.out, args.overwrite)?;
    let inputs = args.adapters.iter().chain([&args.model]);
    files::refuse_inputs_inside(&args.out, inputs.map(PathBuf::as_path))?;
    let merging = Stage::begin("merge");
    let base = BaseFolder::open(&args.model)?;
    let (mut merged, head) = stack::merged(&base, &args.adapters, &opened.device, DType::F32)?;
    let tokenizer = base.tokenizer.to_json().map_err(|e| Error::Input(e.to_string()))?;
    let out = NewFolder::create(&args.out, args.overwrite)?;
    base::save(out.path(), merged.as_mut(), &base.config, &tokenizer)?;
    if let Some(head) = head {
        let origin = Origin {
            base_fingerprint: BaseFolder::open(out.path())?.fingerprint(&opened.device)?,
            last_position: head.last_position,
            ..Origin::default()
        };
        adapter::save_head(out.path(), &head.values, &origin)?;
    }
    audit::carry_over(&args.out, out.path())?;
    let event = Event::new("merged").files(out.path(), &["model.safetensors", "head.safetensors"])?;
    stack::logged(event, &args.adapters)?.append_to(out.path())?;
    out.finish()?;
    drop(merging);
    if common.json {
        return print_json(&serde_json::json!({"merged": args.out}));
    }
    console::result(format_args!("merged model written to {}", args.out.display()))
}
