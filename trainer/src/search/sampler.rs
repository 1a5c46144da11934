//! Where to look next.
//!
//! A proposal is a function of the trials so far, the seed and the trial's number: the same journal gives the same next
//! trial. On a grid of lists and integers a sampler of ours never proposes a point twice, and has nothing left to propose
//! once all are tried.

use std::collections::HashSet;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::acquisition::expected_improvement;
use super::gp::{Prediction, Surrogate};
use super::radial::{RadialProcess, SOFTENING};
use super::space::{Coordinate, Point, Space};

/// How a search chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Sampler {
    /// Gaussian process; expected improvement of every untried point.
    Gp,
    /// At random, without repeats on a grid.
    Random,
    /// The rules of the authors' search engine, repeats included.
    WandbCompat,
}

impl Sampler {
    /// Its name, as options and files have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gp => "gp",
            Self::Random => "random",
            Self::WandbCompat => "wandb-compat",
        }
    }
}

/// What trials have come to, lower costs being better.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) observed: Vec<(Point, f64)>,
    /// Taken to have cost as much as the worst that did not fail.
    pub(crate) failed: Vec<Point>,
    /// Being tried.
    pub(crate) pending: Vec<Point>,
}

/// A point to try.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Proposal {
    pub(crate) point: Point,
    /// What the surrogate expects of it, in units of the cost; none where chance chose.
    pub(crate) expected_improvement: Option<f64>,
}

/// Grids up to this size are scored whole.
const DENSE: usize = 1 << 16;
/// Candidates where the space is no such grid, and the rounds that refine the best of them.
const CANDIDATES: usize = 2048;
const ROUNDS: [f64; 3] = [0.1, 0.03, 0.01];
const REFINED: usize = 8;
const NEIGHBOURS: usize = 32;
/// Untried points of which the first trials take the one farthest from all tried.
const SPREAD: usize = 64;
/// Candidates of the authors' engine.
const WANDB_CANDIDATES: usize = 1000;

/// The point of trial `number`; none once every point of a grid has been tried.
pub(crate) fn propose(
    sampler: Sampler,
    space: &Space,
    history: &History,
    seed: u64,
    number: usize,
) -> Option<Proposal> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number as u64);
    match sampler {
        Sampler::WandbCompat => Some(wandb_compat(space, history, &mut rng)),
        Sampler::Random | Sampler::Gp => {
            let untried = Untried::new(space, history)?;
            if sampler == Sampler::Random {
                return Some(by_chance(untried.random(&mut rng)));
            }
            Some(modelled(&untried, history, &mut rng).unwrap_or_else(|| by_chance(untried.far(&mut rng))))
        }
    }
}

fn by_chance(point: Point) -> Proposal {
    Proposal { point, expected_improvement: None }
}

impl History {
    /// Points with a cost, failed ones with the worst.
    fn costs(&self) -> (Vec<&Point>, Vec<f64>) {
        let observed = self.observed.iter().map(|(point, cost)| (point, *cost));
        let worst = self.observed.iter().map(|(_, cost)| *cost).fold(f64::NEG_INFINITY, f64::max);
        let failed = self.failed.iter().map(|point| (point, worst)).filter(|(_, worst)| worst.is_finite());
        observed.chain(failed).unzip()
    }

    fn tried(&self) -> impl Iterator<Item = &Point> {
        self.observed.iter().map(|(point, _)| point).chain(&self.failed).chain(&self.pending)
    }

    fn best(&self) -> f64 {
        self.observed.iter().map(|(_, cost)| *cost).fold(f64::INFINITY, f64::min)
    }
}

/// What is left of a space.
struct Untried<'a> {
    space: &'a Space,
    tried: Vec<&'a Point>,
    /// Places of a dense grid.
    places: Option<Vec<usize>>,
}

impl<'a> Untried<'a> {
    fn new(space: &'a Space, history: &'a History) -> Option<Self> {
        let tried: Vec<&Point> = history.tried().collect();
        let places = space.size().filter(|size| *size <= DENSE).map(|size| {
            let taken: HashSet<usize> = tried.iter().map(|point| space.grid_place(point)).collect();
            (0..size).filter(|place| !taken.contains(place)).collect::<Vec<_>>()
        });
        let is_exhausted = places.as_ref().is_some_and(Vec::is_empty);
        (!is_exhausted).then_some(Self { space, tried, places })
    }

    fn random(&self, rng: &mut ChaCha8Rng) -> Point {
        match &self.places {
            Some(places) => self.space.grid_point(places[rng.random_range(0..places.len())]),
            // A space that is not dense has far more points than a search may have trials.
            None => loop {
                let point = self.space.random(rng);
                if !self.tried.contains(&&point) {
                    break point;
                }
            },
        }
    }

    /// Of some random points the one farthest from all tried: the first trials see the whole space.
    fn far(&self, rng: &mut ChaCha8Rng) -> Point {
        let tried: Vec<Vec<f64>> = self.tried.iter().map(|point| self.space.encode(point)).collect();
        let distance = |point: &Point| {
            let row = self.space.encode(point);
            let squares = |other: &Vec<f64>| row.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
            tried.iter().map(squares).fold(f64::INFINITY, f64::min)
        };
        let points: Vec<Point> = (0..SPREAD).map(|_| self.random(rng)).collect();
        let mut farthest = (f64::NEG_INFINITY, 0);
        for (i, point) in points.iter().enumerate() {
            let distance = distance(point);
            if distance > farthest.0 {
                farthest = (distance, i);
            }
        }
        points[farthest.1].clone()
    }

    /// Points to score: all of a dense grid.
    fn candidates(&self, rng: &mut ChaCha8Rng) -> Vec<Point> {
        match &self.places {
            Some(places) => places.iter().map(|place| self.space.grid_point(*place)).collect(),
            None => (0..CANDIDATES).map(|_| self.random(rng)).collect(),
        }
    }

    /// A point near `point`, on some of the axes.
    fn near(&self, point: &Point, width: f64, rng: &mut ChaCha8Rng) -> Point {
        let moved = self.space.axes.iter().zip(point).map(|(axis, coordinate)| {
            if rng.random::<f64>() < 0.5 {
                return *coordinate;
            }
            let shift = width * (rng.random::<f64>() - rng.random::<f64>());
            match coordinate {
                Coordinate::Real(_) => axis.at((axis.position(*coordinate) + shift).clamp(0.0, 1.0)),
                Coordinate::Index(i) if shift > 0.0 => {
                    Coordinate::Index((i + 1).min(axis.count().map_or(*i, |count| count - 1)))
                }
                Coordinate::Index(i) => Coordinate::Index(i.saturating_sub(1)),
            }
        });
        moved.collect()
    }
}

/// Trials before a surrogate is asked: one more than the columns it has.
fn first_trials(space: &Space) -> usize {
    (space.width() + 1).clamp(3, 8)
}

/// The untried point of the highest expected improvement; none while there is too little to model.
fn modelled(untried: &Untried<'_>, history: &History, rng: &mut ChaCha8Rng) -> Option<Proposal> {
    let space = untried.space;
    if untried.tried.len() < first_trials(space) {
        return None;
    }
    let (points, costs) = history.costs();
    let rows: Vec<Vec<f64>> = points.into_iter().map(|point| space.encode(point)).collect();
    let pending: Vec<Vec<f64>> = history.pending.iter().map(|point| space.encode(point)).collect();
    let surrogate = Surrogate::fit(&rows, &costs)?.with_fantasies(&pending);
    let best = history.best();
    let score = |points: Vec<Point>| -> Vec<(Point, Score)> {
        let rows: Vec<Vec<f64>> = points.iter().map(|point| space.encode(point)).collect();
        let Prediction { means, deviations } = surrogate.predict(&rows);
        let scores = means.iter().zip(&deviations).map(|(mean, deviation)| Score {
            improvement: expected_improvement(best - mean, *deviation, 0.0),
            deviation: *deviation,
        });
        points.into_iter().zip(scores).collect()
    };
    let mut scored = score(untried.candidates(rng));
    if untried.places.is_none() {
        for width in ROUNDS {
            sort(&mut scored);
            scored.truncate(REFINED);
            let mut near: Vec<Point> = Vec::new();
            for (point, _) in &scored {
                near.extend((0..NEIGHBOURS).map(|_| untried.near(point, width, rng)));
            }
            near.retain(|point| !untried.tried.contains(&point));
            scored.extend(score(near));
        }
    }
    sort(&mut scored);
    let (point, score) = scored.swap_remove(0);
    Some(Proposal { point, expected_improvement: Some(score.improvement) })
}

#[derive(Debug, Clone, Copy)]
struct Score {
    improvement: f64,
    /// Where no improvement is expected anywhere, the least known point is the best.
    deviation: f64,
}

fn sort(scored: &mut [(Point, Score)]) {
    scored.sort_by(|(_, a), (_, b)| {
        b.improvement.total_cmp(&a.improvement).then(b.deviation.total_cmp(&a.deviation))
    });
}

/// The authors' engine: random until two trials have ended, then the best of 1,000 uniform candidates, by the cumulative
/// share of each value.
fn wandb_compat(space: &Space, history: &History, rng: &mut ChaCha8Rng) -> Proposal {
    let row = |point: &Point| -> Vec<f64> {
        space.axes.iter().zip(point).map(|(axis, coordinate)| axis.cumulative(*coordinate)).collect()
    };
    let mut candidates: Vec<Vec<f64>> =
        (0..WANDB_CANDIDATES).map(|_| space.axes.iter().map(|_| rng.random::<f64>()).collect()).collect();
    let back = |candidate: &[f64]| -> Point {
        space.axes.iter().zip(candidate).map(|(axis, share)| axis.at(*share)).collect()
    };
    let (points, mut costs) = history.costs();
    let mut rows: Vec<Vec<f64>> = points.into_iter().map(row).collect();
    let chance = by_chance(back(&candidates[0]));
    if rows.len() < 2 {
        return chance;
    }
    let Some(mut process) = RadialProcess::fit(&rows, &costs) else {
        return chance;
    };
    if !history.pending.is_empty() {
        let pending: Vec<Vec<f64>> = history.pending.iter().map(row).collect();
        costs.extend(process.predict(&pending).means.iter().map(|mean| mean * process.scale + process.mean));
        rows.extend(pending);
        match RadialProcess::fit(&rows, &costs) {
            Some(refitted) => process = refitted,
            None => return chance,
        }
    }
    if process.is_at_bound() {
        return chance;
    }
    let best = (history.best() - process.mean) / process.scale;
    let Prediction { means, deviations } = process.predict(&candidates);
    let mut highest = (f64::NEG_INFINITY, 0);
    for (i, (mean, deviation)) in means.iter().zip(&deviations).enumerate() {
        let improvement = expected_improvement(best - mean, *deviation, SOFTENING);
        if improvement > highest.0 {
            highest = (improvement, i);
        }
    }
    let candidate = candidates.swap_remove(highest.1);
    Proposal { point: back(&candidate), expected_improvement: Some(highest.0 * process.scale) }
}
