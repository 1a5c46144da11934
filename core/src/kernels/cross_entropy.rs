//! Negative log-likelihood of the next token: `Σ_n lse(z_n) - z_n[target_n]`, `z` the logits and `lse` the logarithm of
//! the summed exponentials of a row. Its gradient of a row is `softmax(z) - onehot(target)`.
//!
//! Over a vocabulary of tens of thousands the logits are the largest tensor of a step by far. Where the projection is
//! frozen they need never exist as a whole: [`projected_cross_entropy`] forms them a block of rows at a time and, in
//! training, turns each block into the gradient of the hidden states at once. Hsu et al. 2024, arXiv 2410.10989 (Liger).

#[cfg(feature = "fusion")]
use burn::backend::DType;
#[cfg(feature = "fusion")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IndexingUpdateOp, IntTensor};
use burn::backend::{Backend, Dispatch, FloatDType, Shape, Slice, TensorMetadata};
use burn::tensor::{Int, Tensor};

use super::anatomy::{Kind, told};
use super::{FusedGradients, FusedOps};

/// Rows of logits that the reference forms at a time.
const ROWS: usize = 1024;

/// Negative log-likelihood of `targets`, summed over the rows.
///
/// # Shapes
/// - `logits`: `[N, V]`, f32
/// - `targets`: `[N]`, each below `V`
/// - result: `[1]`
#[must_use]
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    told(Kind::Loss, || {
        Tensor::from_dispatch(Dispatch::cross_entropy(logits.into_dispatch(), targets.into_dispatch()))
    })
}

/// [`cross_entropy`] of the logits `hidden·tableᵀ`, in f32, which never exist as a whole unless `table` is trained.
///
/// # Shapes
/// - `hidden`: `[N, D]`
/// - `table`: `[V, D]`
/// - `targets`: `[N]`, each below `V`
/// - result: `[1]`, f32
#[must_use]
pub fn projected_cross_entropy(hidden: Tensor<2>, table: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    told(Kind::Loss, || {
        let (hidden, table) = (hidden.into_dispatch(), table.into_dispatch());
        Tensor::from_dispatch(Dispatch::projected_cross_entropy(hidden, table, targets.into_dispatch()))
    })
}

pub(super) fn reference<B: Backend>(logits: FloatTensor<B>, targets: IntTensor<B>) -> FloatTensor<B> {
    let rows = logits.shape()[0];
    let targets = B::int_reshape(targets, Shape::from(vec![rows, 1]));
    let picked = B::float_gather(1, B::log_softmax(logits, 1), targets);
    B::float_neg(B::float_sum(picked))
}

pub(super) fn backward_reference<B: Backend>(
    logits: FloatTensor<B>,
    targets: IntTensor<B>,
    grad: FloatTensor<B>,
) -> FloatTensor<B> {
    let grad = B::float_reshape(grad, Shape::from(vec![1, 1]));
    B::float_mul(excess::<B>(logits, targets), grad)
}

/// `softmax(logits) - onehot(targets)`.
fn excess<B: Backend>(logits: FloatTensor<B>, targets: IntTensor<B>) -> FloatTensor<B> {
    let (rows, device, dtype) = (logits.shape()[0], logits.device(), logits.dtype());
    let column = Shape::from(vec![rows, 1]);
    let targets = B::int_reshape(targets, column.clone());
    let minus_one = B::float_full(column, (-1.0).into(), &device, dtype.into());
    B::float_scatter(1, B::softmax(logits, 1), targets, minus_one, IndexingUpdateOp::Add)
}

/// Rows `from..to` of a matrix.
fn rows<B: Backend>(x: &FloatTensor<B>, from: usize, to: usize) -> FloatTensor<B> {
    B::float_slice(x.clone(), &[Slice::from(from..to), Slice::from(..)])
}

/// Logits of rows `from..to`.
fn logits<B: Backend>(
    hidden: &FloatTensor<B>,
    table: &FloatTensor<B>,
    from: usize,
    to: usize,
) -> FloatTensor<B> {
    B::float_matmul(rows::<B>(hidden, from, to), B::float_transpose(table.clone()))
}

/// Blocks of at most [`ROWS`] rows.
fn blocks(rows: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).step_by(ROWS).map(move |from| (from, rows.min(from + ROWS)))
}

pub(super) fn projected_reference<B: Backend>(
    hidden: FloatTensor<B>,
    table: FloatTensor<B>,
    targets: IntTensor<B>,
) -> FloatTensor<B> {
    let losses = blocks(hidden.shape()[0]).map(|(from, to)| {
        let targets = B::int_slice(targets.clone(), &[Slice::from(from..to)]);
        let logits = B::float_cast(logits::<B>(&hidden, &table, from, to), FloatDType::F32);
        reference::<B>(logits, targets)
    });
    losses.reduce(B::float_add).expect("at least one row")
}

/// What [`losses_and_excess_reference`] makes of these shapes.
#[cfg(feature = "fusion")]
pub(super) fn losses_and_excess_specs(logits: &TensorSpec, targets: &TensorSpec) -> (TensorSpec, TensorSpec) {
    (TensorSpec::new(targets.shape.clone(), DType::F32), logits.clone())
}

pub(super) fn losses_and_excess_reference<B: Backend>(
    logits: FloatTensor<B>,
    targets: IntTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let (rows, dtype) = (logits.shape()[0], logits.dtype());
    let logits = B::float_cast(logits, FloatDType::F32);
    let column = B::int_reshape(targets.clone(), Shape::from(vec![rows, 1]));
    let picked = B::float_gather(1, B::log_softmax(logits.clone(), 1), column);
    let losses = B::float_neg(B::float_reshape(picked, Shape::from(vec![rows])));
    (losses, B::float_cast(excess::<B>(logits, targets), dtype.into()))
}

pub(super) fn projected_with_gradient_reference<B: FusedGradients>(
    hidden: FloatTensor<B>,
    table: FloatTensor<B>,
    targets: IntTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let mut loss = None;
    let mut gradients = Vec::new();
    for (from, to) in blocks(hidden.shape()[0]) {
        let targets = B::int_slice(targets.clone(), &[Slice::from(from..to)]);
        let logits = logits::<B>(&hidden, &table, from, to);
        let (losses, excess) = B::losses_and_excess(logits, targets);
        let part = B::float_sum(losses);
        loss = Some(loss.map_or(part.clone(), |loss| B::float_add(loss, part)));
        gradients.push(B::float_matmul(excess, table.clone()));
    }
    (loss.expect("at least one row"), B::float_cat(gradients, 0))
}

#[cfg(feature = "autodiff")]
pub(super) mod gradient {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::base::Checkpointer;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
    use burn::backend::ops::{FloatTensorOps, ModuleOps};
    use burn::backend::tensor::{FloatTensor, IntTensor};
    use burn::backend::{FloatDType, Shape, TensorMetadata};

    use super::super::anatomy::{Kind, told};
    use super::super::{FusedGradients, FusedOps};

    #[derive(Debug)]
    struct CrossEntropy;

    impl<B: FusedGradients> Backward<B, 1> for CrossEntropy {
        type State = (FloatTensor<B>, IntTensor<B>);

        fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
            let (logits, targets) = ops.state;
            unary::<B, _>(ops.parents, ops.node, grads, |grad| {
                told(Kind::Loss, || B::cross_entropy_backward(logits, targets, grad))
            });
        }
    }

    pub(in super::super) fn tracked<B: FusedOps + FusedGradients, C: CheckpointStrategy>(
        logits: FloatTensor<Autodiff<B, C>>,
        targets: IntTensor<Autodiff<B, C>>,
    ) -> FloatTensor<Autodiff<B, C>> {
        let (logits, node) = logits.into_parts();
        match CrossEntropy.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let loss = B::cross_entropy(logits.clone(), targets.clone());
                prep.finish((logits, targets), loss)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::cross_entropy(logits, targets)),
        }
    }

    #[derive(Debug)]
    struct ProjectedCrossEntropy;

    impl<B: FusedGradients> Backward<B, 1> for ProjectedCrossEntropy {
        /// Gradient of the hidden states for a loss that counts once.
        type State = FloatTensor<B>;

        fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
            let gradient = ops.state;
            unary::<B, _>(ops.parents, ops.node, grads, |grad| {
                told(Kind::Loss, || {
                    let grad = B::float_cast(grad, gradient.dtype().into());
                    B::float_mul(gradient, B::float_reshape(grad, Shape::from(vec![1, 1])))
                })
            });
        }
    }

    pub(in super::super) fn projected<B: FusedOps + FusedGradients, C: CheckpointStrategy>(
        hidden: FloatTensor<Autodiff<B, C>>,
        table: FloatTensor<Autodiff<B, C>>,
        targets: IntTensor<Autodiff<B, C>>,
    ) -> FloatTensor<Autodiff<B, C>> {
        if table.is_tracked() {
            // The table's own gradient wants all logits at once.
            let logits = Autodiff::<B, C>::linear(hidden, Autodiff::<B, C>::float_transpose(table), None);
            return tracked::<B, C>(Autodiff::<B, C>::float_cast(logits, FloatDType::F32), targets);
        }
        let (hidden, node) = hidden.into_parts();
        let table = table.into_primitive();
        match ProjectedCrossEntropy.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (loss, gradient) = B::projected_cross_entropy_with_gradient(hidden, table, targets);
                prep.finish(gradient, loss)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::projected_cross_entropy(hidden, table, targets)),
        }
    }
}
