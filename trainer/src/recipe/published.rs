//! The rows of the paper's Tables 3 and 4, each with the recipe behind it and the AUROCs it prints.

use std::path::Path;

use super::shipped::{Shipped, shipped};
use super::{Purpose, Recipe};
use crate::error::Result;

/// The tasks, in the order of the tables' columns. In lower case they are the folders of `clinlora prepare tasks`.
pub const TASKS: [&str; 5] = ["PMV", "MOR", "LOS", "DIAG", "PROC"];

/// Which of two readings of an experiment is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Setting {
    /// What the text of the paper says.
    #[default]
    Paper,
    /// What the authors' code did.
    AuthorCompat,
}

/// The models of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "names of published models")]
pub enum Base {
    Llama,
    PmcLlama,
    BlueBert,
    UmlsBert,
    BioClinicalBert,
    Core,
}

impl Base {
    /// Its overlay in the recipes; LLaMA is what they have without one.
    #[must_use]
    pub fn overlay(self) -> Option<&'static str> {
        match self {
            Self::Llama => None,
            Self::PmcLlama => Some("PMC-LLaMA"),
            Self::BlueBert => Some("BlueBERT"),
            Self::UmlsBert => Some("UmlsBERT"),
            Self::BioClinicalBert => Some("Bio-ClinicalBERT"),
            Self::Core => Some("CORe"),
        }
    }
}

/// A row of Table 3 or 4.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// As the paper prints it.
    pub title: &'static str,
    /// Where it begins.
    pub base: Base,
    /// How it is trained, on any base and task.
    pub recipe: Shipped,
    /// AUROC of each of [`TASKS`] in per cent, as printed.
    pub auroc_percent: [f64; 5],
}

impl Row {
    /// Plain mean over the tasks, in per cent; the paper prints three of them wrong.
    #[must_use]
    pub fn mean_percent(&self) -> f64 {
        self.auroc_percent.iter().sum::<f64>() / 5.0
    }

    /// Whether the first adapter of its recipe is a clinical one, whose folder is `adapter.0.path`.
    #[must_use]
    pub fn loads_clinical(&self) -> bool {
        self.recipe.name.starts_with("clinical-")
    }

    /// The choice of overlays for one of [`TASKS`], an override of its recipe.
    #[must_use]
    pub fn overlays(&self, task: &str, setting: Setting) -> String {
        let compat = (setting == Setting::AuthorCompat).then_some("author_compat");
        let names = self.base.overlay().into_iter().chain([task]).chain(compat);
        format!("with={}", names.collect::<Vec<_>>().join(","))
    }

    /// The recipe of one of [`TASKS`], with `overrides` on top; the file is written into `folder`. Its paths are those of a
    /// person who keeps bases, adapters and tasks in the working directory: `overrides` give others (`out`, `base.path`,
    /// `adapter.0.path`, `task`, `data.train`, `data.valid`).
    ///
    /// # Errors
    /// As [`Recipe::read`], and what the file system says.
    pub fn recipe(
        &self,
        task: &str,
        setting: Setting,
        folder: &Path,
        overrides: &[String],
    ) -> Result<Recipe> {
        let overlays = self.overlays(task, setting);
        let overrides: Vec<String> = std::iter::once(overlays).chain(overrides.iter().cloned()).collect();
        self.recipe.read_in(folder, &overrides, Purpose::Finetune)
    }
}

const HEAD: Shipped = shipped!("table3", "head");
const LORA: Shipped = shipped!("table3", "lora");
const FROZEN: Shipped = shipped!("table3", "clinical-frozen");
const FROZEN_DOWNSTREAM: Shipped = shipped!("table3", "clinical-frozen-downstream");
const TRAINABLE: Shipped = shipped!("table3", "clinical-trainable");
const TRAINABLE_DOWNSTREAM: Shipped = shipped!("table3", "clinical-trainable-downstream");
const BERT: Shipped = shipped!("table3", "bert");
const BERT_LORA: Shipped = shipped!("table4", "bert-lora");

const fn row(title: &'static str, base: Base, recipe: Shipped, auroc_percent: [f64; 5]) -> Row {
    Row { title, base, recipe, auroc_percent }
}

/// Table 3, in the paper's order.
#[rustfmt::skip]
pub const TABLE3: [Row; 16] = [
    row("BlueBERT", Base::BlueBert, BERT, [53.12, 76.95, 66.36, 73.81, 77.70]),
    row("UmlsBERT", Base::UmlsBert, BERT, [55.49, 75.87, 66.06, 64.34, 74.19]),
    row("Bio+ClinicalBERT", Base::BioClinicalBert, BERT, [54.49, 72.92, 65.13, 65.97, 71.73]),
    row("CORe", Base::Core, BERT, [52.11, 71.52, 64.17, 72.40, 72.73]),
    row("LLaMA*", Base::Llama, HEAD, [51.38, 66.80, 57.65, 60.06, 63.83]),
    row("LLaMA + LoRA", Base::Llama, LORA, [51.65, 74.89, 65.70, 78.37, 87.49]),
    row("LLaMA + Clinical (Frozen)", Base::Llama, FROZEN, [51.62, 65.66, 58.16, 63.47, 69.01]),
    row("LLaMA + Clinical (Frozen) + Downstream", Base::Llama, FROZEN_DOWNSTREAM, [51.11, 66.00, 58.04, 60.46, 65.30]),
    row("LLaMA + Clinical (Trainable)", Base::Llama, TRAINABLE, [55.76, 74.81, 64.83, 76.07, 82.76]),
    row("LLaMA + Clinical (Trainable) + Downstream", Base::Llama, TRAINABLE_DOWNSTREAM, PROPOSAL),
    row("PMC-LLaMA*", Base::PmcLlama, HEAD, [53.06, 66.77, 57.94, 60.17, 64.63]),
    row("PMC-LLaMA + LoRA", Base::PmcLlama, LORA, [53.84, 78.03, 66.14, 78.81, 86.68]),
    row("PMC-LLaMA + Clinical (Frozen)", Base::PmcLlama, FROZEN, [51.33, 67.19, 58.13, 63.59, 68.26]),
    row("PMC-LLaMA + Clinical (Frozen) + Downstream", Base::PmcLlama, FROZEN_DOWNSTREAM, [50.90, 67.00, 58.31, 60.50, 64.42]),
    row("PMC-LLaMA + Clinical (Trainable)", Base::PmcLlama, TRAINABLE, [52.88, 75.86, 65.89, 79.66, 86.85]),
    row("PMC-LLaMA + Clinical (Trainable) + Downstream", Base::PmcLlama, TRAINABLE_DOWNSTREAM, [52.21, 76.54, 68.42, 78.67, 87.08]),
];

const PROPOSAL: [f64; 5] = [56.72, 77.36, 66.32, 78.52, 87.15];

/// Table 4, in the paper's order: the full rows are those of Table 3.
pub const TABLE4: [Row; 9] = [
    TABLE3[0],
    row("BlueBERT + LoRA", Base::BlueBert, BERT_LORA, [55.77, 81.90, 70.48, 70.66, 78.10]),
    TABLE3[1],
    row("UmlsBERT + LoRA", Base::UmlsBert, BERT_LORA, [56.59, 80.33, 69.03, 69.68, 77.53]),
    TABLE3[2],
    row("Bio+ClinicalBERT + LoRA", Base::BioClinicalBert, BERT_LORA, [56.13, 78.81, 68.28, 68.53, 75.19]),
    TABLE3[3],
    row("CORe + LoRA", Base::Core, BERT_LORA, [55.31, 79.27, 68.18, 67.34, 72.36]),
    TABLE3[9],
];
