//! 95 % percentile intervals by the bootstrap (Efron and Tibshirani 1993, chapter 13).
//!
//! A resample draws as many notes as there are, with replacement. Notes are drawn, not patients: where patients have
//! several notes each, the interval is too narrow. A resample in which the metric does not exist (a class was not drawn)
//! is skipped and counted. In the macro average of a multilabel task it is the labels that do not vary in a resample
//! that are left out of it, as in the figure itself.
//!
//! Resample `r` comes from stream `r` of one seeded generator, so neither threads nor the number of resamples change it.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;
use serde::Serialize;

use super::auroc::MacroAuroc;

/// Resamples weighed in one pass over a ranking: their counts for a note fill one cache line.
const LANES: usize = 16;

/// The middle 95 % of the metric over resamples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Interval {
    /// 2.5th percentile.
    pub(crate) low: f64,
    /// 97.5th percentile.
    pub(crate) high: f64,
    /// Resamples the percentiles are of.
    pub(crate) resamples: usize,
    /// Resamples drawn beside these in which the metric does not exist.
    pub(crate) skipped: usize,
}

impl Interval {
    /// Of a metric's values in resamples; none if it exists in no resample.
    pub(crate) fn of(values: &[Option<f64>]) -> Option<Self> {
        let mut sorted: Vec<f64> = values.iter().flatten().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        (!sorted.is_empty()).then(|| Self {
            low: percentile(&sorted, 2.5),
            high: percentile(&sorted, 97.5),
            resamples: sorted.len(),
            skipped: values.len() - sorted.len(),
        })
    }
}

/// `auroc` in each of `resamples` resamples of `notes` notes (fewer than 2³¹), in their order. Notes drawn depend on their
/// number and the seed alone: two models on the same notes meet the same resamples.
pub(super) fn resampled(auroc: MacroAuroc<'_>, notes: u32, resamples: u32, seed: u64) -> Vec<Option<f64>> {
    let drawn: Vec<u32> = (0..resamples).collect();
    let values = |lanes: &[u32]| {
        let weights = draw(notes, lanes, seed);
        auroc.resampled(&weights).into_iter().take(lanes.len()).collect::<Vec<_>>()
    };
    drawn.par_chunks(LANES).flat_map_iter(values).collect()
}

/// How often each of at most `LANES` resamples drew each note.
fn draw(notes: u32, resamples: &[u32], seed: u64) -> Vec<[u32; LANES]> {
    let mut weights = vec![[0; LANES]; notes as usize];
    for (lane, resample) in resamples.iter().enumerate() {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(u64::from(*resample));
        for _ in 0..notes {
            weights[rng.random_range(0..notes) as usize][lane] += 1;
        }
    }
    weights
}

/// Percentile of sorted values, linear between the two nearest.
fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let place = (sorted.len() - 1) as f64 * percent / 100.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place among the values")]
    let below = place as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::super::auroc::Ranking;
    use super::*;

    fn one_ranking(scores: &[u8], positive: &[u8]) -> Vec<Ranking> {
        let notes = (0..).zip(scores).zip(positive);
        vec![Ranking::new(notes.map(|((note, score), p)| (note, f64::from(*score), *p == 1)))]
    }

    fn interval(rankings: &[Ranking], notes: u32, resamples: u32, seed: u64) -> Option<Interval> {
        Interval::of(&resampled(MacroAuroc::of_all(rankings), notes, resamples, seed))
    }

    #[test]
    fn percentiles_lie_between_the_nearest_values() {
        assert_eq!(percentile(&[3.0], 97.5), 3.0);
        assert_eq!(percentile(&[1.0, 2.0], 25.0), 1.25);
        let hundred: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(percentile(&hundred, 97.5), 97.5);
    }

    #[test]
    fn a_resample_holds_as_many_notes_and_is_its_own() {
        let all = draw(37, &(0..16).collect::<Vec<u32>>(), 5);
        for lane in 0..LANES {
            assert_eq!(all.iter().map(|w| w[lane]).sum::<u32>(), 37);
        }
        assert!(all.iter().any(|w| w[0] != w[1]), "streams differ");
        let later: Vec<u32> = draw(37, &[9, 11], 5).iter().map(|w| w[1]).collect();
        assert_eq!(
            later,
            all.iter().map(|w| w[11]).collect::<Vec<u32>>(),
            "place in a block does not matter"
        );
    }

    #[test]
    fn threads_and_blocks_change_nothing_but_the_seed_does() {
        let rankings = one_ranking(&[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5], &[1, 0, 0, 0, 1, 1, 0, 1, 0, 0, 1]);
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| interval(&rankings, 11, 203, 8)).expect("an interval")
        };
        let alone = on(1);
        assert_eq!(alone, on(3));
        assert_eq!(alone.resamples + alone.skipped, 203);
        assert!(alone.low < alone.high);
        assert_ne!(Some(alone), interval(&rankings, 11, 203, 9));
    }

    #[test]
    fn resamples_without_a_class_are_skipped_and_counted() {
        // One positive of five: (4/5)⁵, about a third of the resamples, lack it.
        let rare =
            interval(&one_ranking(&[1, 2, 3, 4, 5], &[0, 0, 0, 1, 0]), 5, 1000, 1).expect("an interval");
        assert_eq!(rare.resamples + rare.skipped, 1000);
        assert!((280..380).contains(&rare.skipped), "{}", rare.skipped);
        assert_eq!(interval(&one_ranking(&[1, 2], &[1, 1]), 2, 50, 1), None);
        assert_eq!(interval(&one_ranking(&[1, 2], &[1, 0]), 2, 0, 1), None);
    }
}
