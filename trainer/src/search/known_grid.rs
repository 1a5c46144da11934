//! The samplers on grids whose every point is known: how many trials until the best is found.
//!
//! `cargo test --profile checked -p clinlora --lib search::known_grid -- --nocapture` prints the figures.

use std::path::Path;

use super::sampler::{History, Proposal, Sampler, propose};
use super::space::{Point, Space};

/// The paper's space of LoRA.
const LORA: &str = include_str!("../../recipes/search/lora.toml");

const SEEDS: u64 = 50;

/// Where the search by the authors' rules, which repeats itself, is stopped; a median below is not touched by that.
const WANDB_TRIALS: usize = 60;

/// The same space measured: validation AUROC of every point, α slowest and r fastest, on the task of ventilation of
/// `clinlora demo` (37 validation notes), made by
/// `clinlora search demo/recipes/lora.toml --space lora --sampler random --trials 48 training.epochs=2` with `task`,
/// `data.train` and `data.valid` of `demo/tasks/pmv`.
#[rustfmt::skip]
const MEASURED: [f64; 48] = [
    0.7081, 0.7050, 0.7143, 0.7112, 0.7143, 0.7081, 0.7112, 0.7143, 0.7236, 0.7081, 0.7112, 0.7081,
    0.6988, 0.6925, 0.6894, 0.6957, 0.7143, 0.6957, 0.6832, 0.6894, 0.7174, 0.6894, 0.6894, 0.6925,
    0.6863, 0.6522, 0.6180, 0.6398, 0.6894, 0.6615, 0.6180, 0.6460, 0.6863, 0.6491, 0.6118, 0.6429,
    0.6739, 0.5776, 0.4472, 0.6118, 0.6615, 0.6180, 0.4410, 0.6304, 0.5994, 0.6211, 0.4193, 0.6087,
];

/// A grid and the cost of each of its points.
struct Grid {
    space: Space,
    costs: Vec<f64>,
}

impl Grid {
    /// The 48 points of the paper's LoRA space. Costs are a bowl over the logarithms of rank and scale and over dropout, with
    /// its bottom between grid points and rank and scale entangled, as α/r makes them, and a ripple of `roughness` that no
    /// surrogate can foresee, the same for all seeds.
    fn lora(roughness: f64) -> Self {
        let adapter = crate::recipe::Adapter { trainable: true, ..Default::default() };
        let space = Space::read(Path::new("lora"), LORA, &[adapter]).unwrap();
        let cost = |place: usize| {
            let row = space.encode(&space.grid_point(place)); // alpha, dropout, r
            let (alpha, dropout, r) = (row[0], row[1], row[2]);
            let bowl = (alpha - 0.6).powi(2) + 0.7 * (r - 0.75).powi(2) + 0.5 * (alpha - r).powi(2);
            let hashed = (place as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11;
            let ripple = roughness * (hashed as f64 / (1u64 << 53) as f64 - 0.5);
            bowl + 0.3 * (dropout - 0.4).powi(2) + ripple
        };
        let costs = (0..space.size().unwrap()).map(cost).collect();
        Self { space, costs }
    }

    /// The measured one.
    fn measured() -> Self {
        Self { costs: MEASURED.iter().map(|auroc| -auroc).collect(), ..Self::lora(0.0) }
    }

    /// Trials until the best point was tried, at most `limit`.
    fn trials_to_best(&self, sampler: Sampler, seed: u64, limit: usize) -> usize {
        let best = self.costs.iter().copied().fold(f64::INFINITY, f64::min);
        let mut history = History::default();
        for number in 1..=limit {
            let Proposal { point, .. } = propose(sampler, &self.space, &history, seed, number).unwrap();
            let cost = self.costs[self.space.grid_place(&point)];
            history.observed.push((point, cost));
            if cost == best {
                return number;
            }
        }
        limit
    }

    fn median(&self, sampler: Sampler, limit: usize) -> f64 {
        let mut trials: Vec<usize> =
            (0..SEEDS).map(|seed| self.trials_to_best(sampler, seed, limit)).collect();
        trials.sort_unstable();
        let middle = trials.len() / 2;
        println!("    {:12} {:?}", sampler.name(), trials);
        0.5 * (trials[middle - 1] + trials[middle]) as f64
    }
}

#[test]
fn the_gaussian_process_finds_the_best_of_48_points_in_half_the_trials_of_chance() {
    let made = [0.0, 0.05, 0.15].map(|roughness| (format!("roughness {roughness}"), Grid::lora(roughness)));
    let measured = ("measured AUROC".to_owned(), Grid::measured());
    for (name, grid) in made.into_iter().chain([measured]) {
        assert_eq!(grid.costs.len(), 48);
        println!("48 points, {name}; trials to the best, {SEEDS} seeds:");
        let gp = grid.median(Sampler::Gp, 48);
        let random = grid.median(Sampler::Random, 48);
        let wandb = grid.median(Sampler::WandbCompat, WANDB_TRIALS);
        println!("  medians: gp {gp}, random {random}, wandb-compat {wandb} (repeats included)");
        assert!(2.0 * gp <= random, "{name}: gp {gp} against random {random}");
    }
}

#[test]
fn a_grid_is_tried_point_by_point_until_nothing_is_left() {
    let grid = Grid::lora(0.05);
    for sampler in [Sampler::Gp, Sampler::Random] {
        let mut history = History::default();
        let mut tried: Vec<Point> = Vec::new();
        while let Some(Proposal { point, .. }) = propose(sampler, &grid.space, &history, 3, tried.len() + 1) {
            assert!(!tried.contains(&point), "{} repeats itself", sampler.name());
            // Every seventh trial fails, every fifth is never done.
            match tried.len() % 35 {
                n if n % 7 == 6 => history.failed.push(point.clone()),
                n if n % 5 == 4 => history.pending.push(point.clone()),
                _ => history.observed.push((point.clone(), grid.costs[grid.space.grid_place(&point)])),
            }
            tried.push(point);
        }
        assert_eq!(tried.len(), 48);
    }
}

#[test]
fn a_proposal_follows_from_history_seed_and_number_alone() {
    let grid = Grid::lora(0.05);
    let mut history = History::default();
    for place in [3, 17, 30, 41, 8] {
        history.observed.push((grid.space.grid_point(place), grid.costs[place]));
    }
    history.pending.push(grid.space.grid_point(22));
    for sampler in [Sampler::Gp, Sampler::Random, Sampler::WandbCompat] {
        let proposal = |seed, number| propose(sampler, &grid.space, &history, seed, number).unwrap();
        assert_eq!(proposal(5, 7), proposal(5, 7), "{}", sampler.name());
        let differing = (0..20).any(|seed| proposal(seed, 7).point != proposal(seed, 8).point);
        assert!(
            differing || sampler == Sampler::Gp,
            "{}: chance does not depend on the trial",
            sampler.name()
        );
    }
}

#[test]
fn continuous_axes_are_searched_to_a_finer_place_than_chance_finds() {
    let text = "a = { min = 1e-4, max = 1e-1, log = true }\nb = { min = -1.0, max = 1.0 }\nc = [1, 2, 3]";
    let space = Space::read(Path::new("space"), text, &[]).unwrap();
    let cost = |point: &Point| {
        let row = space.encode(point);
        (row[0] - 0.37).powi(2) + (row[1] - 0.81).powi(2) + 0.2 * (row[2] - 0.5).powi(2)
    };
    let mut sums = [0.0; 2];
    for seed in 0..10 {
        for (sum, sampler) in sums.iter_mut().zip([Sampler::Gp, Sampler::Random]) {
            let mut history = History::default();
            for number in 1..=20 {
                let point = propose(sampler, &space, &history, seed, number).unwrap().point;
                let cost = cost(&point);
                history.observed.push((point, cost));
            }
            *sum += history.observed.iter().map(|(_, cost)| *cost).fold(f64::INFINITY, f64::min) / 10.0;
        }
    }
    println!("mean cost of the best of 20 trials, 10 seeds: gp {:.2e}, random {:.2e}", sums[0], sums[1]);
    assert!(10.0 * sums[0] < sums[1], "{sums:?}");
}
