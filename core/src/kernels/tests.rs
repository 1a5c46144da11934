//! Every kernel against its reference in differentiable tensor operations: values and every gradient, at odd sizes. The
//! reference gradients, which devices without bodies of their own run, are held against the same.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::attention::{self, causal_attention};
use super::cross_entropy::{self, cross_entropy, projected_cross_entropy};
use super::projection::{self, adapted_projection, projection};
use super::rms_norm::{self, rms_norm};
use super::rotary::{self, rotary};
use super::swiglu::{self, swiglu};

type Tracked = Autodiff<Flex>;

const EPS: f64 = 1e-5;

fn device() -> Device {
    Device::flex().autodiff()
}

/// Devices with bodies of their own.
fn devices() -> Vec<Device> {
    vec![
        Device::flex(),
        #[cfg(feature = "wgpu")]
        Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
    ]
}

/// Numbers in (-2, 2) without a pattern that a kernel could profit from, none of them 0.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        #[expect(clippy::cast_precision_loss, reason = "24 bits are kept")]
        let unit = (state >> 8) as f32 / 16_777_216.0;
        4.0 * unit - 2.0 + 1e-4
    };
    (0..count).map(next).collect()
}

fn row(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), (device, DType::F32))
}

fn ints(values: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), (device, DType::I32))
}

fn flat<const N: usize>(x: Tensor<N>) -> Vec<f32> {
    x.into_data_as::<f32>().as_slice::<f32>().unwrap().to_vec()
}

fn tracked<const N: usize>(x: Tensor<N>) -> FloatTensor<Tracked> {
    x.try_into_primitive::<Tracked>().unwrap()
}

fn plain<const N: usize>(x: Tensor<N>) -> FloatTensor<Flex> {
    x.inner().try_into_primitive::<Flex>().unwrap()
}

fn untracked<const N: usize>(x: FloatTensor<Flex>) -> Tensor<N> {
    Tensor::from_primitive::<Flex>(x)
}

fn close(what: &str, actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len(), "{what}: as many values");
    let largest = expected.iter().fold(1.0f32, |largest, v| largest.max(v.abs()));
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= 1e-5 * largest, "{what}: {a} instead of {e} at {i}");
    }
}

/// Result and gradients of `f` at `inputs`, the result weighed with numbers of its own.
fn run<const K: usize>(
    device: &Device,
    inputs: &[Vec<f32>; K],
    f: impl Fn([Tensor<1>; K]) -> Tensor<1>,
) -> Vec<Vec<f32>> {
    let device = &device.clone().autodiff();
    let leaves = inputs.each_ref().map(|values| row(values.clone(), device).require_grad());
    let y = f(leaves.clone());
    let weights = row(numbers(y.dims()[0], 99), device);
    let gradients = (y.clone() * weights).sum().backward();
    let mut all = vec![flat(y)];
    all.extend(leaves.iter().map(|leaf| flat(leaf.grad(&gradients).unwrap())));
    all
}

/// Holds `fused` on every device against `reference` on the processor, with autodiff and without.
fn agree<const K: usize>(
    what: &str,
    inputs: &[Vec<f32>; K],
    fused: impl Fn([Tensor<1>; K]) -> Tensor<1>,
    reference: impl Fn([Tensor<1>; K]) -> Tensor<1>,
) -> Vec<Vec<f32>> {
    let expected = run(&Device::flex(), inputs, &reference);
    for device in devices() {
        for (i, (actual, expected)) in run(&device, inputs, &fused).iter().zip(&expected).enumerate() {
            close(&format!("{what}, output {i} on {device:?}"), actual, expected);
        }
        let predicted = fused(inputs.each_ref().map(|values| row(values.clone(), &device)));
        close(&format!("{what}, predicting on {device:?}"), &flat(predicted), &expected[0]);
    }
    expected
}

#[test]
fn projection_equals_its_reference() {
    for (rows, depth, width) in [(1, 1, 1), (5, 31, 33), (130, 67, 257)] {
        let inputs = [numbers(rows * depth, 1), numbers(width * depth, 2)];
        let shape = |[x, weight]: [Tensor<1>; 2]| (x.reshape([rows, depth]), weight.reshape([width, depth]));
        let fused = |inputs| {
            let (x, weight) = shape(inputs);
            projection(x, weight).flatten(0, 1)
        };
        let reference = |inputs| {
            let (x, weight) = shape(inputs);
            let y = projection::reference::<Tracked>(tracked(x), tracked(weight));
            Tensor::<2>::from_primitive::<Tracked>(y).flatten(0, 1)
        };
        agree("projection", &inputs, fused, reference);
    }
}

/// Shapes of `x`, weight, `A` and `B` for this many rows, input, output and rank.
fn adapted([rows, depth, width, rank]: [usize; 4], [x, weight, a, b]: [Tensor<1>; 4]) -> [Tensor<2>; 4] {
    [
        x.reshape([rows, depth]),
        weight.reshape([width, depth]),
        a.reshape([rank, depth]),
        b.reshape([width, rank]),
    ]
}

fn adapted_inputs([rows, depth, width, rank]: [usize; 4]) -> [Vec<f32>; 4] {
    [numbers(rows * depth, 1), numbers(width * depth, 2), numbers(rank * depth, 3), numbers(width * rank, 4)]
}

#[test]
fn adapted_projection_equals_its_reference() {
    for sizes in [[1, 1, 1, 1], [5, 31, 33, 3], [130, 67, 57, 17]] {
        let fused = |inputs| {
            let [x, weight, a, b] = adapted(sizes, inputs);
            adapted_projection(x, weight, a, b).flatten(0, 1)
        };
        let reference = |inputs| {
            let [x, weight, a, b] = adapted(sizes, inputs).map(tracked);
            let y = projection::adapted_reference::<Tracked>(x, weight, a, b);
            Tensor::<2>::from_primitive::<Tracked>(y).flatten(0, 1)
        };
        agree("adapted_projection", &adapted_inputs(sizes), fused, reference);
    }
}

#[test]
fn whatever_is_trained_of_an_adapted_projection_gets_the_same_gradient() {
    let sizes = [7, 5, 6, 2];
    let inputs = adapted_inputs(sizes);
    let gradients = |trained: [bool; 4]| {
        let device = device();
        let mut leaves = inputs.each_ref().map(|values| row(values.clone(), &device));
        for (leaf, trained) in leaves.iter_mut().zip(trained) {
            *leaf = leaf.clone().set_require_grad(trained);
        }
        let [x, weight, a, b] = adapted(sizes, leaves.clone());
        let y = adapted_projection(x, weight, a, b).flatten::<1>(0, 1);
        let weights = row(numbers(y.dims()[0], 99), &device);
        let gradients = (y * weights).sum().backward();
        leaves.map(|leaf| leaf.grad(&gradients).map(flat))
    };
    let all = gradients([true; 4]);
    for trained in 1..15u8 {
        let trained = [0, 1, 2, 3].map(|bit| trained >> bit & 1 == 1);
        for ((some, all), trained) in gradients(trained).iter().zip(&all).zip(trained) {
            assert_eq!(some.as_ref(), all.as_ref().filter(|_| trained), "where {trained:?} is trained");
        }
    }
}

#[test]
fn rms_norm_equals_its_reference() {
    for (rows, width) in [(1, 1), (3, 31), (7, 33), (130, 257), (2, 2052)] {
        let inputs = [numbers(rows * width, 1), numbers(width, 2)];
        let fused =
            |[x, gain]: [Tensor<1>; 2]| rms_norm(x.reshape([1, rows, width]), gain, EPS).flatten(0, 2);
        let reference = |[x, gain]: [Tensor<1>; 2]| {
            let x = tracked(x.reshape([1, rows, width]));
            let y = rms_norm::reference::<Tracked>(x, tracked(gain), EPS);
            Tensor::<3>::from_primitive::<Tracked>(y).flatten(0, 2)
        };
        let expected = agree("rms_norm", &inputs, fused, reference);
        let [x, gain] = inputs.map(|values| row(values, &device()));
        let grad = row(numbers(rows * width, 99), &device()).reshape([rows, width]);
        let x = x.reshape([rows, width]);
        let dx = rms_norm::x_backward_reference::<Flex>(plain(x), plain(gain), plain(grad), EPS);
        close("rms_norm, reference gradient", &flat(untracked::<2>(dx)), &expected[1]);
    }
}

#[test]
fn rotary_equals_its_reference() {
    for (notes, heads, tokens, width) in [(1, 1, 1, 2), (2, 3, 5, 6), (3, 2, 33, 34), (2, 2, 7, 16)] {
        let tables = |device: &Device| {
            let table = |f: fn(f32) -> f32, seed| {
                let half = row(numbers(tokens * width / 2, seed), device).reshape([tokens, width / 2]);
                let half = Tensor::<2>::from_data(
                    TensorData::new(flat(half).into_iter().map(f).collect(), [tokens, width / 2]),
                    (device, DType::F32),
                );
                Tensor::cat(vec![half.clone(), half], 1)
            };
            (table(f32::cos, 5), table(f32::sin, 5))
        };
        // As a projection leaves it: token by token, seen head by head.
        let view = |x: Tensor<1>| x.reshape([notes, tokens, heads, width]).swap_dims(1, 2);
        let inputs = [numbers(notes * heads * tokens * width, 1)];
        let fused = |[x]: [Tensor<1>; 1]| {
            let (cos, sin) = tables(&x.device());
            rotary(view(x), cos, sin).flatten(0, 3)
        };
        let reference = |[x]: [Tensor<1>; 1]| {
            let (cos, sin) = tables(&x.device());
            let y = rotary::reference::<Tracked>(tracked(view(x)), tracked(cos), tracked(sin));
            Tensor::<4>::from_primitive::<Tracked>(y).flatten(0, 3)
        };
        agree("rotary", &inputs, fused, reference);
    }
}

#[test]
fn swiglu_equals_its_reference() {
    for count in [1, 31, 1757, 40_001] {
        let inputs = [numbers(count, 1), numbers(count, 2)];
        let reference = |[gate, up]: [Tensor<1>; 2]| {
            Tensor::from_primitive::<Tracked>(swiglu::reference::<Tracked>(tracked(gate), tracked(up)))
        };
        let expected = agree("swiglu", &inputs, |[gate, up]| swiglu(gate, up), reference);
        let [gate, up] = inputs.map(|values| plain(row(values, &device())));
        let grad = plain(row(numbers(count, 99), &device()));
        let (dg, du) = swiglu::backward_reference::<Flex>(gate, up, grad);
        close("swiglu, reference gradient of gate", &flat(untracked::<1>(dg)), &expected[1]);
        close("swiglu, reference gradient of up", &flat(untracked::<1>(du)), &expected[2]);
    }
}

#[test]
fn attention_equals_its_reference() {
    // Notes, query heads, key heads, tokens, keys before them, width.
    for [b, h, k, t, before, e] in [
        [1, 1, 1, 1, 0, 2],
        [2, 3, 3, 7, 0, 5],
        [2, 6, 2, 33, 0, 4],
        [1, 4, 2, 5, 3, 6],
        [1, 2, 1, 130, 0, 8],
        [2, 2, 2, 127, 1, 8],
    ] {
        let s = before + t;
        let inputs = [numbers(b * h * t * e, 1), numbers(b * k * s * e, 2), numbers(b * k * s * e, 3)];
        let shape = |[q, keys, values]: [Tensor<1>; 3]| {
            let q = q.reshape([b, t, h, e]).swap_dims(1, 2);
            let keys = keys.reshape([b, s, k, e]).swap_dims(1, 2);
            (q, keys, values.reshape([b, k, s, e]))
        };
        let fused = |inputs: [Tensor<1>; 3]| {
            let (q, k, v) = shape(inputs);
            causal_attention(q, k, v).flatten(0, 3)
        };
        let reference = |inputs: [Tensor<1>; 3]| {
            let (q, k, v) = shape(inputs);
            let y = attention::reference::<Tracked>(tracked(q), tracked(k), tracked(v));
            Tensor::<4>::from_primitive::<Tracked>(y).flatten(0, 3)
        };
        let expected = agree("attention", &inputs, fused, reference);
        let (q, keys, values) = shape(inputs.map(|values| row(values, &device())));
        let grad = row(numbers(b * h * t * e, 99), &device()).reshape([b, h, t, e]);
        let (dq, dk, dv) =
            attention::backward_reference::<Flex>(plain(q), plain(keys), plain(values), plain(grad));
        let by_token = |x: FloatTensor<Flex>| flat(untracked::<4>(x).swap_dims(1, 2));
        close("attention, reference gradient of q", &by_token(dq), &expected[1]);
        close("attention, reference gradient of k", &by_token(dk), &expected[2]);
        close("attention, reference gradient of v", &flat(untracked::<4>(dv)), &expected[3]);
    }
}

#[test]
fn cross_entropy_equals_its_reference() {
    for (rows, width) in [(1, 2), (5, 31), (67, 1001)] {
        let targets: Vec<i32> = (0..rows).map(|i| i32::try_from(i * 7 % width).unwrap()).collect();
        let inputs = [numbers(rows * width, 1)];
        let fused = |[logits]: [Tensor<1>; 1]| {
            let targets = ints(&targets, &logits.device());
            cross_entropy(logits.reshape([rows, width]) * 3.0, targets)
        };
        let reference = |[logits]: [Tensor<1>; 1]| {
            let targets = ints(&targets, &logits.device()).try_into_primitive::<Tracked>().unwrap();
            let logits = tracked(logits.reshape([rows, width]) * 3.0);
            let loss = cross_entropy::reference::<Tracked>(logits, targets);
            Tensor::from_primitive::<Tracked>(loss)
        };
        agree("cross_entropy", &inputs, fused, reference);
    }
}

#[test]
fn projected_cross_entropy_equals_its_reference() {
    // The third is more rows than a block has on any device.
    for (rows, depth, width) in [(1, 3, 2), (5, 31, 33), (1027, 9, 67), (7, 8, 1204)] {
        let targets: Vec<i32> = (0..rows).map(|i| i32::try_from(i * 7 % width).unwrap()).collect();
        let table = numbers(width * depth, 8);
        let projection =
            |table: &Vec<f32>, device: &Device| row(table.clone(), device).reshape([width, depth]);
        let inputs = [numbers(rows * depth, 1)];
        let fused = |[hidden]: [Tensor<1>; 1]| {
            let (targets, table) = (ints(&targets, &hidden.device()), projection(&table, &hidden.device()));
            projected_cross_entropy(hidden.reshape([rows, depth]), table, targets)
        };
        let reference = |[hidden]: [Tensor<1>; 1]| {
            let device = hidden.device();
            let targets = ints(&targets, &device).try_into_primitive::<Tracked>().unwrap();
            let logits = hidden.reshape([rows, depth]).matmul(projection(&table, &device).transpose());
            let loss = cross_entropy::reference::<Tracked>(tracked(logits), targets);
            Tensor::from_primitive::<Tracked>(loss)
        };
        let expected = agree("projected_cross_entropy", &inputs, fused, reference);
        let device = device();
        let hidden = plain(row(inputs[0].clone(), &device).reshape([rows, depth]));
        let plain_targets = ints(&targets, &Device::flex()).try_into_primitive::<Flex>().unwrap();
        let (loss, gradient) = cross_entropy::projected_with_gradient_reference::<Flex>(
            hidden,
            plain(projection(&table, &device)),
            plain_targets,
        );
        let weight = numbers(1, 99)[0];
        let gradient = flat(untracked::<2>(gradient) * weight);
        close("projected_cross_entropy, reference loss", &flat(untracked::<1>(loss)), &expected[0]);
        close("projected_cross_entropy, reference gradient", &gradient, &expected[1]);
    }
}

#[test]
fn a_trained_table_gets_its_gradient() {
    let (rows, depth, width) = (5, 4, 7);
    let targets = [0, 6, 3, 3, 1];
    let inputs = [numbers(rows * depth, 1), numbers(width * depth, 2)];
    let fused = |[hidden, table]: [Tensor<1>; 2]| {
        let targets = ints(&targets, &hidden.device());
        projected_cross_entropy(hidden.reshape([rows, depth]), table.reshape([width, depth]), targets)
    };
    let reference = |[hidden, table]: [Tensor<1>; 2]| {
        let targets = ints(&targets, &hidden.device()).try_into_primitive::<Tracked>().unwrap();
        let logits = hidden.reshape([rows, depth]).matmul(table.reshape([width, depth]).transpose());
        Tensor::from_primitive::<Tracked>(cross_entropy::reference::<Tracked>(tracked(logits), targets))
    };
    agree("projected_cross_entropy with a trained table", &inputs, fused, reference);
}

#[test]
fn half_precision_takes_the_reference() {
    let device = device();
    let values = |count, seed, dtype: DType| row(numbers(count, seed), &device).cast(dtype);
    let norm = |dtype| flat(rms_norm(values(66, 1, dtype).reshape([2, 33]), values(33, 2, dtype), EPS));
    let (half, full) = (norm(DType::BF16), norm(DType::F32));
    for (half, full) in half.iter().zip(&full) {
        assert!((half - full).abs() < 0.05, "{half} instead of {full}");
    }
}
