//! Causal attention, one key/value head of one note at a time on each thread: its scores stay in the cache, and no tensor
//! over all of them exists.

use burn::backend::flex::FlexTensor;

use super::super::attention::scale;
use super::exp::exp;
use super::product::{Matrix, Threads, add_product, product};
use super::rows::{made, map_sum, map_tasks, max, sum2};
use super::{tensor, vectorised};

/// Sizes of a call: `B`, `H`, `T`, `E`, and `K`, `S`.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) notes: usize,
    pub(super) heads: usize,
    pub(super) tokens: usize,
    pub(super) width: usize,
    pub(super) key_heads: usize,
    pub(super) keys: usize,
}

impl Sizes {
    pub(super) fn of(q: &FlexTensor, k: &FlexTensor) -> Self {
        let [notes, heads, tokens, width] = q.layout().shape().dims::<4>();
        let [_, key_heads, keys, _] = k.layout().shape().dims::<4>();
        Self { notes, heads, tokens, width, key_heads, keys }
    }

    pub(super) fn group(self) -> usize {
        self.heads / self.key_heads
    }

    /// Keys before the tokens' own.
    pub(super) fn before(self) -> usize {
        self.keys - self.tokens
    }

    /// Scores or shares of one head, `[T, S]`.
    fn scores(self, values: &[f32]) -> Matrix<'_> {
        Matrix::row_major(values, [self.tokens, self.keys])
    }

    #[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
    pub(super) fn scale(self) -> f32 {
        scale(self.width) as f32
    }
}

/// One head of one note, `[rows, E]`.
fn head(x: &FlexTensor, note: usize, head: usize) -> Matrix<'_> {
    let [_, _, rows, width] = x.layout().shape().dims::<4>();
    let [by_note, by_head, by_row, by_value] = [0, 1, 2, 3].map(|dim| x.layout().strides()[dim]);
    let offset = note.cast_signed() * by_note + head.cast_signed() * by_head;
    Matrix::within(x, offset, [rows, width], [by_row, by_value])
}

/// Shares of one head, `[T, S]`, zero where a token must not look.
fn shares(q: Matrix<'_>, k: Matrix<'_>, sizes: Sizes) -> Vec<f32> {
    let mut scores = product(q, k.transposed(), Threads::One);
    softmax_rows(&mut scores, sizes.keys, sizes.before(), sizes.scale());
    scores
}

vectorised! {
    /// Softmax of `scale·x` over the first `before + i + 1` values of row `i`; zero over the rest.
    pub(super) fn softmax_rows(scores: &mut [f32], width: usize, before: usize, scale: f32) {
        for (i, row) in scores.chunks_exact_mut(width).enumerate() {
            let (seen, unseen) = row.split_at_mut(before + i + 1);
            unseen.fill(0.0);
            let max = max(seen) * scale;
            let sum = map_sum(seen, |x| exp(x * scale - max));
            let factor = 1.0 / sum;
            for share in seen {
                *share *= factor;
            }
        }
    }
}

vectorised! {
    /// Gradient of the scores from the shares and their gradient, which it replaces.
    fn softmax_rows_backward(shares: &[f32], gradient: &mut [f32], width: usize, before: usize, scale: f32) {
        for (i, (shares, gradient)) in shares.chunks_exact(width).zip(gradient.chunks_exact_mut(width)).enumerate() {
            let (seen, unseen) = gradient.split_at_mut(before + i + 1);
            unseen.fill(0.0);
            let along = sum2(&shares[..seen.len()], seen, |share, d| share * d);
            for (d, share) in seen.iter_mut().zip(shares) {
                *d = share * (*d - along) * scale;
            }
        }
    }
}

/// Lays heads, each `[rows, E]`, out token by token and hands them back as `[B, heads, rows, E]`.
fn assemble(parts: &[Vec<f32>], notes: usize, heads: usize, rows: usize, width: usize) -> FlexTensor {
    let out = made(notes * rows * heads * width, heads * width, |row, out| {
        for (row, out) in (row..).zip(out.chunks_exact_mut(heads * width)) {
            let (note, place) = (row / rows, row % rows);
            for (head, out) in out.chunks_exact_mut(width).enumerate() {
                out.copy_from_slice(&parts[note * heads + head][place * width..][..width]);
            }
        }
    });
    tensor(out, &[notes, rows, heads, width]).transpose(1, 2)
}

#[cfg(any(test, not(target_arch = "wasm32")))]
pub(super) fn forward(q: &FlexTensor, k: &FlexTensor, v: &FlexTensor) -> FlexTensor {
    let sizes = Sizes::of(q, k);
    let mixed = map_tasks(sizes.notes * sizes.heads, |task| {
        let (note, query) = (task / sizes.heads, task % sizes.heads);
        let key = query / sizes.group();
        let shares = shares(head(q, note, query), head(k, note, key), sizes);
        product(sizes.scores(&shares), head(v, note, key), Threads::One)
    });
    assemble(&mixed, sizes.notes, sizes.heads, sizes.tokens, sizes.width)
}

/// Gradients of the query heads that share a key/value head, and of that head.
struct GroupGradients {
    queries: Vec<Vec<f32>>,
    keys: Vec<f32>,
    values: Vec<f32>,
}

pub(super) fn backward(
    q: &FlexTensor,
    k: &FlexTensor,
    v: &FlexTensor,
    grad: &FlexTensor,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let sizes = Sizes::of(q, k);
    let gradients = map_tasks(sizes.notes * sizes.key_heads, |task| {
        group_backward(q, k, v, grad, task / sizes.key_heads, task % sizes.key_heads, sizes)
    });
    let (mut queries, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for group in gradients {
        queries.extend(group.queries);
        keys.push(group.keys);
        values.push(group.values);
    }
    let Sizes { notes, heads, tokens, width, key_heads, keys: rows } = sizes;
    (
        assemble(&queries, notes, heads, tokens, width),
        assemble(&keys, notes, key_heads, rows, width),
        assemble(&values, notes, key_heads, rows, width),
    )
}

fn group_backward(
    q: &FlexTensor,
    k: &FlexTensor,
    v: &FlexTensor,
    grad: &FlexTensor,
    note: usize,
    key: usize,
    sizes: Sizes,
) -> GroupGradients {
    let (k, v) = (head(k, note, key), head(v, note, key));
    let mut queries = Vec::with_capacity(sizes.group());
    let [mut keys, mut values] = [(); 2].map(|()| vec![0.0; sizes.keys * sizes.width]);
    for query in key * sizes.group()..(key + 1) * sizes.group() {
        let (q, grad) = (head(q, note, query), head(grad, note, query));
        let shares = shares(q, k, sizes);
        add_product(sizes.scores(&shares).transposed(), grad, &mut values, Threads::One);
        let mut scores = product(grad, v.transposed(), Threads::One);
        softmax_rows_backward(&shares, &mut scores, sizes.keys, sizes.before(), sizes.scale());
        queries.push(product(sizes.scores(&scores), k, Threads::One));
        add_product(sizes.scores(&scores).transposed(), q, &mut keys, Threads::One);
    }
    GroupGradients { queries, keys, values }
}
