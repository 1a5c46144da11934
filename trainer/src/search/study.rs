//! What a journal's lines come to.

use std::collections::BTreeMap;

use super::journal::{Journal, Line};
use super::metric::Metric;
use super::sampler::{History, Sampler};
use super::space::{Point, Space};
use crate::error::Result;

/// Trials that must have reached an epoch before another is measured by them.
const FEWEST_TO_COMPARE: usize = 4;

/// A trial.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    /// From 1.
    pub(crate) number: usize,
    pub(crate) point: Point,
    pub(crate) expected_improvement: Option<f64>,
    pub(crate) state: State,
    /// Validation after each epoch.
    pub(crate) epochs: BTreeMap<u64, f64>,
    /// Processes begun on it since the last that stopped in order, or the last epoch.
    pub(super) losses: usize,
}

/// How far a trial is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum State {
    Running,
    Finished { value: f64, same_as: Option<usize> },
    Failed { reason: String },
    Pruned { value: f64, epoch: u64 },
}

/// All trials, in the order they began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Study {
    pub(crate) trials: Vec<Trial>,
}

impl Study {
    /// Replays a journal.
    pub(super) fn replay(space: &Space, journal: &Journal) -> Result<Self> {
        let mut study = Self::default();
        for (place, line) in journal.lines().iter().enumerate() {
            study.apply(space, line).map_err(|reason| journal.contradiction(place, &reason))?;
        }
        Ok(study)
    }

    pub(super) fn apply(&mut self, space: &Space, line: &Line) -> std::result::Result<(), String> {
        match line {
            Line::Search(_) => return Err("a search begins twice".to_owned()),
            Line::Started { trial, values, expected_improvement, .. } => {
                if *trial != self.trials.len() + 1 {
                    return Err(format!("trial {trial} begins after trial {}", self.trials.len()));
                }
                let point = space.point(values).ok_or("the values are not of the space")?;
                self.trials.push(Trial {
                    number: *trial,
                    point,
                    expected_improvement: *expected_improvement,
                    state: State::Running,
                    epochs: BTreeMap::new(),
                    losses: 1,
                });
            }
            Line::Resumed { trial, .. } => self.running_mut(*trial)?.losses += 1,
            Line::Left { trial, .. } => self.running_mut(*trial)?.losses = 0,
            Line::Epoch { trial, epoch, value, .. } => {
                let trial = self.running_mut(*trial)?;
                trial.epochs.insert(*epoch, *value);
                trial.losses = 1;
            }
            Line::Finished { trial, value, same_as, .. } => {
                self.running_mut(*trial)?.state = State::Finished { value: *value, same_as: *same_as };
            }
            Line::Failed { trial, reason, .. } => {
                self.running_mut(*trial)?.state = State::Failed { reason: reason.clone() };
            }
            Line::Pruned { trial, epoch, value, .. } => {
                self.running_mut(*trial)?.state = State::Pruned { value: *value, epoch: *epoch };
            }
        }
        Ok(())
    }

    fn running_mut(&mut self, number: usize) -> std::result::Result<&mut Trial, String> {
        let trial = number.checked_sub(1).and_then(|place| self.trials.get_mut(place));
        trial
            .filter(|trial| trial.state == State::Running)
            .ok_or_else(|| format!("trial {number} is not running there"))
    }

    /// The best finished trial; of equals the first.
    pub(crate) fn best(&self, metric: Metric) -> Option<(&Trial, f64)> {
        let finished = self.trials.iter().filter_map(|trial| match trial.state {
            State::Finished { value, .. } => Some((trial, value)),
            _ => None,
        });
        finished.reduce(|best, other| if metric.is_better(other.1, best.1) { other } else { best })
    }

    /// Trials not ended.
    pub(crate) fn running(&self) -> usize {
        self.trials.iter().filter(|trial| trial.state == State::Running).count()
    }

    /// The trials as a sampler sees them.
    pub(crate) fn history(&self, metric: Metric, sampler: Sampler) -> History {
        let cost = |value| match sampler {
            Sampler::WandbCompat => metric.plain_cost(value),
            Sampler::Gp | Sampler::Random => metric.cost(value),
        };
        let mut history = History::default();
        for trial in &self.trials {
            let point = trial.point.clone();
            match trial.state {
                State::Running => history.pending.push(point),
                State::Failed { .. } => history.failed.push(point),
                State::Finished { value, .. } | State::Pruned { value, .. } => {
                    history.observed.push((point, cost(value)));
                }
            }
        }
        history
    }

    /// The median rule: whether the best of trial `number` up to `epoch` is worse than the median of what others, now
    /// ended, had come to by then.
    pub(super) fn is_hopeless(&self, metric: Metric, number: usize, epoch: u64) -> bool {
        let best_by = |trial: &Trial| {
            trial.epochs.range(..=epoch).map(|(_, value)| *value).reduce(|a, b| metric.better_of(a, b))
        };
        let Some(own) = best_by(&self.trials[number - 1]) else {
            return false;
        };
        let others = self.trials.iter().filter(|trial| {
            trial.number != number && trial.state != State::Running && trial.epochs.contains_key(&epoch)
        });
        let mut others: Vec<f64> = others.filter_map(best_by).collect();
        if others.len() < FEWEST_TO_COMPARE {
            return false;
        }
        others.sort_by(f64::total_cmp);
        let middle = others.len() / 2;
        let median =
            if others.len() % 2 == 1 { others[middle] } else { 0.5 * (others[middle - 1] + others[middle]) };
        metric.is_better(median, own)
    }
}

#[cfg(test)]
mod tests {
    use super::super::space::Coordinate;
    use super::*;

    #[test]
    fn the_median_rule_compares_after_the_same_epoch() {
        let point = vec![Coordinate::Index(0)];
        let trial = |number, epochs: &[f64], state| Trial {
            number,
            point: point.clone(),
            expected_improvement: None,
            state,
            epochs: (1..).zip(epochs.iter().copied()).collect(),
            losses: 1,
        };
        let ended = |value| State::Finished { value, same_as: None };
        let mut study = Study::default();
        for (number, epochs) in (1..).zip([[0.6, 0.9], [0.5, 0.8], [0.7, 0.7], [0.4, 0.6]]) {
            study.trials.push(trial(number, &epochs, ended(epochs[1])));
        }
        // Medians of the best so far: 0.55 after the first epoch, 0.75 after the second.
        study.trials.push(trial(5, &[0.56, 0.55], State::Running));
        assert!(!study.is_hopeless(Metric::Auroc, 5, 1));
        assert!(study.is_hopeless(Metric::Auroc, 5, 2));
        assert!(study.is_hopeless(Metric::Perplexity, 5, 1), "where lower is better");
        study.trials[0].state = State::Running;
        assert!(!study.is_hopeless(Metric::Auroc, 5, 2), "three that ended are too few");
    }
}
