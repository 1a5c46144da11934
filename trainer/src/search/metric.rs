//! What a search makes better.

use serde::{Deserialize, Serialize};

use crate::recipe::Purpose;
use crate::training::objective::Validation;

/// A figure of held-out notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Area under the ROC curve, maximised; downstream runs.
    Auroc,
    /// `exp` of the mean loss of a token, minimised; pretraining.
    Perplexity,
    /// Mean loss, minimised.
    Loss,
}

impl Metric {
    /// The paper's: AUROC of a task, perplexity of pretraining.
    pub(crate) fn of(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Pretrain => Self::Perplexity,
            Purpose::Finetune => Self::Auroc,
        }
    }

    /// Its name, as options and files have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auroc => "auroc",
            Self::Perplexity => "perplexity",
            Self::Loss => "loss",
        }
    }

    /// The figure of a validation, if there is one.
    pub(crate) fn value(self, valid: Validation) -> Option<f64> {
        let value = match self {
            Self::Auroc => valid.auroc?,
            Self::Perplexity => valid.loss.exp(),
            Self::Loss => valid.loss,
        };
        value.is_finite().then_some(value)
    }

    /// What a surrogate models, lower being better. Of a perplexity it is the logarithm, whose scale one bad trial does not
    /// set.
    pub(crate) fn cost(self, value: f64) -> f64 {
        match self {
            Self::Auroc => -value,
            Self::Perplexity => value.ln(),
            Self::Loss => value,
        }
    }

    /// As [`Self::cost`], of the figure as it is: what the authors' search engine models.
    pub(crate) fn plain_cost(self, value: f64) -> f64 {
        match self {
            Self::Auroc => -value,
            Self::Perplexity | Self::Loss => value,
        }
    }

    /// Whether `new` is better than `old`.
    pub(crate) fn is_better(self, new: f64, old: f64) -> bool {
        self.plain_cost(new) < self.plain_cost(old)
    }

    /// The better of two.
    pub(crate) fn better_of(self, a: f64, b: f64) -> f64 {
        if self.is_better(b, a) { b } else { a }
    }
}
