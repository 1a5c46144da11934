//! The course of a run, from its log.

use std::path::Path;

use serde_json::Value;

use crate::error::Result;
use crate::files;

/// Points of a drawn curve of training losses.
pub(super) const LOSS_POINTS: usize = 160;

/// What a run's log says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Curves {
    /// Update and training loss.
    pub(super) losses: Vec<(f64, f64)>,
    /// Update and held-out loss, after each epoch.
    pub(super) held_out: Vec<(f64, f64)>,
    /// Update and held-out AUROC, where it exists.
    pub(super) aurocs: Vec<(f64, f64)>,
}

impl Curves {
    /// Reads `run.jsonl` of a run, where it has one.
    pub(super) fn read(run: &Path) -> Result<Self> {
        let path = run.join("run.jsonl");
        let text = if path.is_file() { files::read_text(&path)? } else { String::new() };
        Ok(Self::of(&text))
    }

    fn of(text: &str) -> Self {
        let mut curves = Self::default();
        for line in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let Some(step) = line["step"].as_f64() else {
                continue;
            };
            let point = |value: &Value| value.as_f64().map(|value| (step, value));
            curves.losses.extend(point(&line["loss"]));
            curves.held_out.extend(point(&line["valid"]["loss"]));
            curves.aurocs.extend(point(&line["valid"]["auroc"]));
        }
        curves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_updates_and_validations() {
        let text = "{\"step\":1,\"loss\":0.5,\"lr\":1e-3}\n{\"step\":1,\"valid\":{\"loss\":0.4,\"auroc\":null}}\n\
                    {\"step\":2,\"loss\":0.3}\n{\"step\":2,\"valid\":{\"loss\":0.2,\"auroc\":0.75}}\n{\"torn";
        let curves = Curves::of(text);
        assert_eq!(curves.losses, [(1.0, 0.5), (2.0, 0.3)]);
        assert_eq!(curves.held_out, [(1.0, 0.4), (2.0, 0.2)]);
        assert_eq!(curves.aurocs, [(2.0, 0.75)]);
    }
}
