//! Cross-entropy by rows, and over a projection by blocks of rows.

use burn::backend::flex::FlexTensor;
use burn::backend::ops::IntTensorOps;
use burn::backend::{Flex, IntDType};

use super::exp::exp;
use super::product::{Matrix, Threads, product_into};
use super::rows::{for_rows, map_sum, map_tasks, max};
use super::{contiguous, tensor, values, vectorised};

/// Rows of logits that a projection forms at a time. Fewer would have the product read the table too often for what it
/// computes; more would only take memory.
const ROWS: usize = 512;

/// Places of the targets in their rows.
fn places(targets: FlexTensor) -> Vec<usize> {
    let targets = Flex::int_cast(targets, IntDType::I64).to_contiguous();
    let places = targets.as_slice::<i64>().expect("cast to i64, and contiguous");
    places.iter().map(|target| usize::try_from(*target).expect("a target is a token id")).collect()
}

/// Sums in f64 and in order, so that a loss does not depend on how rows are shared out.
#[expect(clippy::cast_possible_truncation, reason = "a loss is f32")]
fn summed(losses: impl Iterator<Item = f32>) -> f32 {
    losses.map(f64::from).sum::<f64>() as f32
}

pub(super) fn forward(logits: &FlexTensor, targets: FlexTensor) -> FlexTensor {
    let logits = logits.to_contiguous();
    let [_, width] = logits.layout().shape().dims::<2>();
    let (logits, targets) = (values(&logits), places(targets));
    let losses = map_tasks(targets.len(), |row| loss(&logits[row * width..][..width], targets[row]));
    tensor(vec![summed(losses.into_iter())], &[1])
}

vectorised! {
    fn loss(logits: &[f32], target: usize) -> f32 {
        let max = max(logits);
        let sum = super::rows::sum2(logits, logits, |x, _| exp(x - max));
        max + sum.ln() - logits[target]
    }
}

/// `logits` is written over where nothing else holds it.
pub(super) fn backward(logits: FlexTensor, targets: FlexTensor, grad: &FlexTensor) -> FlexTensor {
    let [_, width] = logits.layout().shape().dims::<2>();
    let (mut logits, targets) = (contiguous(logits), places(targets));
    let factor = values(&grad.to_contiguous())[0];
    for_rows(logits.storage_mut::<f32>(), width, |row, logits| {
        for (logits, target) in logits.chunks_exact_mut(width).zip(&targets[row..]) {
            excess(logits, *target, factor);
        }
    });
    logits
}

vectorised! {
    /// Replaces logits by `factor·(softmax - onehot)`.
    fn excess(logits: &mut [f32], target: usize, factor: f32) {
        let max = max(logits);
        let sum = map_sum(logits, |x| exp(x - max));
        let factor_of_shares = factor / sum;
        for share in logits.iter_mut() {
            *share *= factor_of_shares;
        }
        logits[target] -= factor;
    }
}

fn blocks(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).step_by(ROWS).map(move |from| (from, count.min(from + ROWS)))
}

pub(super) fn projected(hidden: &FlexTensor, table: &FlexTensor, targets: FlexTensor) -> FlexTensor {
    let targets = places(targets);
    let (hidden, table) = (Matrix::of(hidden), Matrix::of(table));
    let width = table.height();
    let mut losses = Vec::with_capacity(targets.len());
    let mut logits = Vec::new(); // one memory for every block: to get and clear new would cost a fifth of the product
    for (from, to) in blocks(targets.len()) {
        product_into(hidden.rows(from, to), table.transposed(), &mut logits, Threads::All);
        losses.extend(map_tasks(to - from, |row| loss(&logits[row * width..][..width], targets[from + row])));
    }
    tensor(vec![summed(losses.into_iter())], &[1])
}

pub(super) fn projected_with_gradient(
    hidden: &FlexTensor,
    table: &FlexTensor,
    targets: FlexTensor,
) -> (FlexTensor, FlexTensor) {
    let (table, targets) = (table.to_contiguous(), places(targets));
    let [count, depth] = hidden.layout().shape().dims::<2>();
    let words = values(&table);
    let (hidden, table) = (Matrix::of(hidden), Matrix::of(&table));
    let width = table.height();
    let mut losses = vec![0.0; count];
    let mut gradient = vec![0.0; count * depth];
    let (mut logits, mut mixed) = (Vec::new(), Vec::new());
    for (from, to) in blocks(count) {
        product_into(hidden.rows(from, to), table.transposed(), &mut logits, Threads::All);
        let sums = exponentials(&mut logits, width, &targets[from..to], &mut losses[from..to]);
        product_into(Matrix::row_major(&logits, [to - from, width]), table, &mut mixed, Threads::All);
        for_rows(&mut gradient[from * depth..to * depth], depth, |row, out| {
            for (row, out) in (row..).zip(out.chunks_exact_mut(depth)) {
                let own = &words[targets[from + row] * depth..][..depth];
                row_gradient(&mixed[row * depth..][..depth], own, sums[row], out);
            }
        });
    }
    (tensor(vec![summed(losses.into_iter())], &[1]), tensor(gradient, &[count, depth]))
}

vectorised! {
    /// Gradient of a row from the summed rows of the table, each weighed with its exponential, and the target's row.
    fn row_gradient(mixed: &[f32], own: &[f32], sum: f32, out: &mut [f32]) {
        let factor = 1.0 / sum;
        for ((out, mixed), own) in out.iter_mut().zip(mixed).zip(own) {
            *out = mixed * factor - own;
        }
    }
}

vectorised! {
    /// Replaces logits by their exponentials over the largest; returns the sum of these and the loss.
    fn exponential(logits: &mut [f32], target: usize) -> (f32, f32) {
        let (max, of_target) = (max(logits), logits[target]);
        let sum = map_sum(logits, |x| exp(x - max));
        (sum, max + sum.ln() - of_target)
    }
}

/// [`exponential`] of each row: the sums, and the losses put into `losses`. Dividing by the sums is left to the product's
/// result, which is far smaller.
fn exponentials(logits: &mut [f32], width: usize, targets: &[usize], losses: &mut [f32]) -> Vec<f32> {
    let of_row = |(logits, loss): (&mut [f32], &mut f32), target: &usize| {
        let (sum, of_target) = exponential(logits, *target);
        *loss = of_target;
        sum
    };
    #[cfg(not(target_arch = "wasm32"))]
    {
        use rayon::prelude::*;
        let rows = logits.par_chunks_exact_mut(width).zip(losses);
        rows.zip(targets).map(|(row, target)| of_row(row, target)).collect()
    }
    #[cfg(target_arch = "wasm32")]
    {
        let rows = logits.chunks_exact_mut(width).zip(losses);
        rows.zip(targets).map(|(row, target)| of_row(row, target)).collect()
    }
}
