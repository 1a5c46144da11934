//! The order of notes in training: a function of seed and epoch alone, so that a run resumes anywhere at once.

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;

/// Places of `count` notes in the order epoch `epoch` visits them.
#[must_use]
pub(crate) fn shuffled(count: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(epoch + 1);
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut rng);
    order
}

/// Splits places of `count` notes in two, the second holding `fraction` of them, at least one.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a count is rounded to a count"
)]
pub(crate) fn split(count: usize, seed: u64, fraction: f64) -> (Vec<usize>, Vec<usize>) {
    let mut first = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut first);
    let held = ((count as f64 * fraction).round() as usize).clamp(1, count.saturating_sub(1));
    let mut second = order.split_off(count - held);
    order.sort_unstable();
    second.sort_unstable();
    (order, second)
}

/// Places of notes in groups of like length, longest first so that memory is known at the first group. A group padded to its
/// longest note is at most `tokens` long, or it is one note.
#[must_use]
pub(crate) fn by_length(lengths: &[usize], tokens: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(lengths[*i]), *i));
    let mut groups = Vec::new();
    while let Some(longest) = order.first() {
        let size = (tokens / lengths[*longest].max(1)).clamp(1, order.len());
        let rest = order.split_off(size);
        groups.push(std::mem::replace(&mut order, rest));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_visits_every_note_once_in_an_order_of_its_own() {
        let first = shuffled(31, 7, 0);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..31).collect::<Vec<_>>());
        assert_eq!(first, shuffled(31, 7, 0));
        assert_ne!(first, shuffled(31, 7, 1));
        assert_ne!(first, shuffled(31, 8, 0));
    }

    #[test]
    fn groups_by_length_keep_to_their_tokens_and_leave_none_out() {
        let lengths = [3, 50, 7, 7, 120, 1, 9, 300];
        let groups = by_length(&lengths, 100);
        assert_eq!(groups, [vec![7], vec![4], vec![1, 6], vec![2, 3, 0, 5]]);
        assert_eq!(by_length(&[], 100), Vec::<Vec<usize>>::new());
        let one_by_one = by_length(&lengths, 0);
        assert!(one_by_one.iter().all(|group| group.len() == 1) && one_by_one.len() == lengths.len());
    }

    #[test]
    fn a_split_parts_the_notes_and_leaves_none_out() {
        let (train, held) = split(11, 3, 0.2);
        assert_eq!((train.len(), held.len()), (9, 2));
        let mut all = [train, held].concat();
        all.sort_unstable();
        assert_eq!(all, (0..11).collect::<Vec<_>>());
    }
}
