//! `clinlora demo`: the main job end to end on synthetic patients.
//!
//! Every step is what a person would type, with the recipes of `trainer/recipes/demo/`; the report says the commands.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clinlora_core::task::Task;
use serde::Serialize;

use super::finetune::finetune;
use super::pretrain::pretrain;
use super::{evaluate, print_json, stack};
use crate::cli::{Common, Demo};
use crate::cohort;
use crate::dataset::{notes, table, tokenise};
use crate::error::{AtPath, Result};
use crate::eval::perplexity::{Perplexity, batch_losses};
use crate::eval::{EvalOptions, Metrics};
use crate::files;
use crate::folders::base::BaseFolder;
use crate::mimic;
use crate::recipe::{Purpose, Recipe};
use crate::training::interrupt;
use crate::training::objective::predict;

const BASE: &str = include_str!("../../recipes/demo/base.toml");
const CLINICAL: &str = include_str!("../../recipes/demo/clinical.toml");

/// A row of the table: how a task is learned.
struct Variant {
    title: &'static str,
    name: &'static str,
    recipe: &'static str,
    loads_clinical: bool,
}

/// Four of the paper's six variants; the other two are one override away.
const VARIANTS: [Variant; 4] = [
    Variant {
        title: "head only",
        name: "head",
        recipe: include_str!("../../recipes/demo/head.toml"),
        loads_clinical: false,
    },
    Variant {
        title: "+ LoRA",
        name: "lora",
        recipe: include_str!("../../recipes/demo/lora.toml"),
        loads_clinical: false,
    },
    Variant {
        title: "+ clinical (frozen)",
        name: "clinical-frozen",
        recipe: include_str!("../../recipes/demo/clinical-frozen.toml"),
        loads_clinical: true,
    },
    Variant {
        title: "+ clinical (trainable) + downstream",
        name: "clinical-downstream",
        recipe: include_str!("../../recipes/demo/clinical-downstream.toml"),
        loads_clinical: true,
    },
];
