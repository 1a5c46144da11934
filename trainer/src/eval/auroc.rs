//! AUROC and average precision, from exact counts of notes.
//!
//! AUROC is the share of (positive, negative) pairs of notes in which the positive one scores higher, a tie counting
//! one half: the Mann-Whitney statistic, and the area under the ROC curve by trapezia. Twice that count is a whole
//! number, so nothing is rounded before the last division.
//!
//! [`Ranking`] sorts the scores once. A bootstrap resample then only weighs the notes by how often it drew them, and
//! reads the counts off the same order.

/// Notes in the order of one score, positives set against negatives.
///
/// Only scores that a positive note has matter to either metric. Each is a [`Step`]; negatives between two steps count
/// as "below" whatever their own order.
#[derive(Debug)]
pub(super) struct Ranking {
    /// Places of the notes in the data, lowest score first, negatives first among equals.
    order: Vec<u32>,
    steps: Vec<Step>,
}

/// Notes of one score: `order[tied..positive]` are negatives, `order[positive..end]` positives, at least one.
#[derive(Debug)]
struct Step {
    tied: usize,
    positive: usize,
    end: usize,
}

impl Ranking {
    /// Ranks notes, each given as its place in the data, its score (not NaN) and whether it is positive.
    pub(super) fn new(notes: impl Iterator<Item = (u32, f64, bool)>) -> Self {
        let mut notes: Vec<_> = notes.collect();
        notes.sort_unstable_by(|a, b| a.1.total_cmp(&b.1).then(a.2.cmp(&b.2)).then(a.0.cmp(&b.0)));
        let mut steps = Vec::new();
        let mut start = 0;
        for group in notes.chunk_by(|a, b| a.1 == b.1) {
            let end = start + group.len();
            let positive = start + group.partition_point(|(_, _, positive)| !positive);
            if positive < end {
                steps.push(Step { tied: start, positive, end });
            }
            start = end;
        }
        Self { order: notes.into_iter().map(|(note, ..)| note).collect(), steps }
    }

    /// How many notes are positive.
    pub(super) fn positives(&self) -> usize {
        self.steps.iter().map(|step| step.end - step.positive).sum()
    }

    /// Area under the ROC curve; none without a positive and a negative note.
    pub(super) fn auroc(&self) -> Option<f64> {
        let mut doubled_wins = 0;
        let mut positives = 0;
        for step in &self.steps {
            let below = step.tied - positives;
            let tied = step.positive - step.tied;
            let here = step.end - step.positive;
            doubled_wins += here as u64 * (2 * below + tied) as u64;
            positives += here;
        }
        ratio(doubled_wins, positives as u64, (self.order.len() - positives) as u64)
    }

    /// Average precision, `Σ (recall gained at a score) · (precision at it)` over the distinct scores from the highest
    /// down, without interpolation; none without a positive note.
    pub(super) fn average_precision(&self) -> Option<f64> {
        let mut found = 0;
        let mut sum = 0.0;
        for step in self.steps.iter().rev() {
            let here = step.end - step.positive;
            found += here;
            let retrieved = self.order.len() - step.tied;
            sum += here as f64 * (found as f64 / retrieved as f64);
        }
        (found > 0).then(|| sum / found as f64)
    }

    /// [`Self::auroc`] of `L` resamples at once; `weights[note][l]` is how often resample `l` drew the note.
    ///
    /// A resample's weights must sum to less than 2³¹.
    pub(super) fn auroc_resampled<const L: usize>(&self, weights: &[[u32; L]]) -> [Option<f64>; L] {
        let drawn = |notes: &[u32]| {
            let mut sum = [0_u32; L];
            for note in notes {
                let weight = &weights[*note as usize];
                for l in 0..L {
                    sum[l] += weight[l];
                }
            }
            sum
        };
        let mut doubled_wins = [0_u64; L];
        let mut positives = [0_u32; L];
        let mut below = [0_u32; L];
        let mut start = 0;
        for step in &self.steps {
            let between = drawn(&self.order[start..step.tied]);
            let tied = drawn(&self.order[step.tied..step.positive]);
            let here = drawn(&self.order[step.positive..step.end]);
            for l in 0..L {
                below[l] += between[l];
                doubled_wins[l] += u64::from(here[l]) * u64::from(2 * below[l] + tied[l]);
                below[l] += tied[l];
                positives[l] += here[l];
            }
            start = step.end;
        }
        let above = drawn(&self.order[start..]);
        std::array::from_fn(|l| {
            ratio(doubled_wins[l], u64::from(positives[l]), u64::from(below[l] + above[l]))
        })
    }
}

fn ratio(doubled_wins: u64, positives: u64, negatives: u64) -> Option<f64> {
    let pairs = positives * negatives;
    (pairs > 0).then(|| doubled_wins as f64 / (2 * pairs) as f64)
}

/// The plain mean of the AUROCs of several rankings.
#[derive(Debug, Clone, Copy)]
pub(super) struct MacroAuroc<'a> {
    rankings: &'a [Ranking],
    one_sided: OneSided,
}

/// What a ranking without positives or without negatives means to the mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OneSided {
    Forbidden,
    Skipped,
}

impl<'a> MacroAuroc<'a> {
    /// Over all of `rankings`, or there is no mean: one-vs-one and one-vs-rest need notes of every class.
    pub(super) fn of_all(rankings: &'a [Ranking]) -> Self {
        Self { rankings, one_sided: OneSided::Forbidden }
    }

    /// Over those of `rankings` that have positives and negatives: a label that does not vary says nothing.
    pub(super) fn of_varying(rankings: &'a [Ranking]) -> Self {
        Self { rankings, one_sided: OneSided::Skipped }
    }

    /// The mean, if the rule leaves one.
    pub(super) fn value(&self) -> Option<f64> {
        let mut mean = Mean::default();
        self.rankings.iter().for_each(|ranking| mean.add(ranking.auroc()));
        mean.under(self.one_sided)
    }

    /// [`Self::value`] of `L` resamples; `weights` as in [`Ranking::auroc_resampled`].
    pub(super) fn resampled<const L: usize>(&self, weights: &[[u32; L]]) -> [Option<f64>; L] {
        let mut means = [Mean::default(); L];
        for ranking in self.rankings {
            for (mean, auroc) in means.iter_mut().zip(ranking.auroc_resampled(weights)) {
                mean.add(auroc);
            }
        }
        means.map(|mean| mean.under(self.one_sided))
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    defined: usize,
    one_sided: usize,
}

impl Mean {
    fn add(&mut self, auroc: Option<f64>) {
        match auroc {
            Some(auroc) => {
                self.sum += auroc;
                self.defined += 1;
            }
            None => self.one_sided += 1,
        }
    }

    fn under(&self, rule: OneSided) -> Option<f64> {
        let forbidden = rule == OneSided::Forbidden && self.one_sided > 0;
        (self.defined > 0 && !forbidden).then(|| self.sum / self.defined as f64)
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn ranking(scores: &[f64], positive: &[u8]) -> Ranking {
        Ranking::new((0..).zip(scores).zip(positive).map(|((note, score), p)| (note, *score, *p == 1)))
    }

    /// Every pair looked at, every note as often as it was drawn.
    fn by_pairs(scores: &[f64], positive: &[u8], weights: &[u32]) -> Option<f64> {
        let (mut wins, mut pairs) = (0.0, 0.0);
        for i in (0..scores.len()).filter(|i| positive[*i] == 1) {
            for j in (0..scores.len()).filter(|j| positive[*j] == 0) {
                let weight = f64::from(weights[i]) * f64::from(weights[j]);
                pairs += weight;
                wins += weight
                    * match scores[i].total_cmp(&scores[j]) {
                        std::cmp::Ordering::Less => 0.0,
                        std::cmp::Ordering::Equal => 0.5,
                        std::cmp::Ordering::Greater => 1.0,
                    };
            }
        }
        (pairs > 0.0).then(|| wins / pairs)
    }

    #[test]
    fn small_cases_are_as_counted_by_hand() {
        // Pairs won: 0.35 over 0.1; 0.8 over both.
        let plain = ranking(&[0.1, 0.4, 0.35, 0.8], &[0, 0, 1, 1]);
        assert_eq!(plain.auroc(), Some(3.0 / 4.0));
        // From the top: 0.8 with precision 1/1, 0.35 with precision 2/3, each half of the recall.
        assert_eq!(plain.average_precision(), Some((1.0 + 2.0 / 3.0) / 2.0));
        // 3 positives, 2 negatives: 0.5 ties one and beats one (1.5), 0.5 again (1.5), 0.2 ties one (0.5): 3.5 of 6.
        let tied = ranking(&[0.5, 0.5, 0.5, 0.2, 0.2], &[1, 0, 1, 1, 0]);
        assert_eq!(tied.auroc(), Some(3.5 / 6.0));
        // 0.5: two of three; 0.2: three of five, a third of the recall.
        assert_eq!(tied.average_precision(), Some((2.0 * (2.0 / 3.0) + 3.0 / 5.0) / 3.0));
        assert_eq!(ranking(&[0.3; 5], &[1, 0, 0, 1, 0]).auroc(), Some(0.5));
        assert_eq!(ranking(&[0.9, 0.1], &[0, 1]).auroc(), Some(0.0));
    }

    #[test]
    fn one_sided_notes_have_no_auroc() {
        assert_eq!(ranking(&[0.1, 0.2, 0.2], &[1, 1, 1]).auroc(), None);
        assert_eq!(ranking(&[0.1, 0.2, 0.2], &[0, 0, 0]).auroc(), None);
        assert_eq!(ranking(&[0.1, 0.2, 0.2], &[0, 0, 0]).average_precision(), None);
        assert_eq!(ranking(&[], &[]).auroc(), None);
        // One resample draws no positive, one no negative, one both.
        let weights = [[0, 2, 1], [2, 0, 1]];
        assert_eq!(ranking(&[0.7, 0.2], &[1, 0]).auroc_resampled(&weights), [None, None, Some(1.0)]);
    }

    #[test]
    fn counting_over_an_order_equals_looking_at_every_pair() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for notes in 1..60_usize {
            let scores: Vec<f64> =
                (0..notes).map(|_| f64::from(rng.random_range(0..=13_u8)) / 13.0).collect();
            let positive: Vec<u8> = (0..notes).map(|_| u8::from(rng.random_bool(0.3))).collect();
            let weights: Vec<[u32; 3]> =
                (0..notes).map(|_| std::array::from_fn(|_| rng.random_range(0..4))).collect();
            let ranking = ranking(&scores, &positive);
            let close = |a: Option<f64>, b: Option<f64>| match (a, b) {
                (Some(a), Some(b)) => (a - b).abs() < 1e-14,
                (a, b) => a == b,
            };
            assert!(close(ranking.auroc(), by_pairs(&scores, &positive, &vec![1; notes])), "{notes}");
            for (l, auroc) in ranking.auroc_resampled(&weights).into_iter().enumerate() {
                let drawn: Vec<u32> = weights.iter().map(|w| w[l]).collect();
                assert!(close(auroc, by_pairs(&scores, &positive, &drawn)), "{notes} notes, resample {l}");
            }
        }
    }

    #[test]
    fn a_mean_follows_its_rule_for_one_sided_rankings() {
        let scores = [0.1, 0.4, 0.3];
        let rankings = [
            ranking(&scores, &[0, 1, 1]),
            ranking(&scores, &[1, 1, 1]),
            ranking(&[0.2, 0.1, 0.2], &[1, 0, 0]),
        ];
        let (all, varying) = (MacroAuroc::of_all(&rankings), MacroAuroc::of_varying(&rankings));
        assert_eq!(varying.value(), Some((1.0 + 0.75) / 2.0));
        assert_eq!(all.value(), None);
        assert_eq!(MacroAuroc::of_varying(&rankings[1..2]).value(), None);
        // Without note 0 no ranking has both sides; without note 1 the first and the last have.
        let weights = [[0, 1], [2, 0], [1, 2]];
        assert_eq!(varying.resampled(&weights), [None, Some((1.0 + 0.5) / 2.0)]);
        assert_eq!(all.resampled(&weights), [None, None]);
    }
}
