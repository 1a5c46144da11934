//! `clinlora bench matmul`: the two products of a frozen weight, forward and backward, at a model's shapes, by every way this
//! build has. The fastest rate is what a step is compared with.

use std::time::{Duration, Instant};

use burn::tensor::{DType, Device, Distribution, Tensor};
use clinlora_core::kernels::projection::{plain_product, projection};
use serde::Serialize;

use super::median;
use crate::cli::MatmulOptions;
use crate::error::Result;
use crate::plan::device;
use crate::training::products::{self, Way};

/// Time a figure is measured for, and the most products that go into one.
const ENOUGH: Duration = Duration::from_millis(150);
const ROUNDS: usize = 5;

/// What is printed.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    device: String,
    dtype: String,
    products: Vec<Product>,
    /// The fastest of all.
    peak_tflops: f64,
    /// Why a way of this build could not be tried.
    unavailable: Vec<String>,
}

/// One product by one way.
#[derive(Debug, Serialize)]
struct Product {
    way: &'static str,
    /// `forward` is `x·Wᵀ`, `backward` is `d·W`.
    form: &'static str,
    rows: usize,
    d_in: usize,
    d_out: usize,
    /// Median.
    seconds: f64,
    tflops: f64,
    /// Largest difference from Burn's own product, over its largest value.
    apart: f64,
}

pub(super) fn measure(options: &MatmulOptions, seed: u64, plain: &Device, dtype: DType) -> Result<Measured> {
    plain.seed(seed);
    let (ways, unavailable) = products::ways(plain);
    let mut measured = Vec::new();
    for &rows in &options.rows {
        for &d_out in &options.outs {
            let d_in = options.width;
            let draw = |shape: [usize; 2]| {
                Tensor::<2>::random(shape, Distribution::Normal(0.0, 1.0), (plain, DType::F32)).cast(dtype)
            };
            let (x, weight, grad) = (draw([rows, d_in]), draw([d_out, d_in]), draw([rows, d_out]));
            for form in ["forward", "backward"] {
                let product = || match form {
                    "forward" => projection(x.clone(), weight.clone()),
                    _ => plain_product(grad.clone(), weight.clone()),
                };
                products::take(Way::Burn);
                let expected = product();
                for way in &ways {
                    products::take(*way);
                    let apart = apart(product(), expected.clone());
                    let seconds = seconds(plain, product)?;
                    #[expect(clippy::cast_precision_loss, reason = "sizes of matrices")]
                    let flops = 2.0 * rows as f64 * d_in as f64 * d_out as f64;
                    let tflops = flops / seconds / 1e12;
                    measured.push(Product {
                        way: way.name(),
                        form,
                        rows,
                        d_in,
                        d_out,
                        seconds,
                        tflops,
                        apart,
                    });
                }
            }
        }
    }
    products::take(Way::Burn);
    let peak_tflops = measured.iter().map(|product| product.tflops).fold(0.0, f64::max);
    Ok(Measured {
        device: device::describe(plain),
        dtype: format!("{dtype:?}").to_lowercase(),
        products: measured,
        peak_tflops,
        unavailable,
    })
}

/// Median time of one, several queued at a time so that the device is never without work.
fn seconds(plain: &Device, product: impl Fn() -> Tensor<2>) -> Result<f64> {
    let run = |count: usize| -> Result<Duration> {
        let started = Instant::now();
        for _ in 0..count {
            // The result is dropped: a device queues it all the same.
            let _ = product();
        }
        device::sync(plain)?;
        Ok(started.elapsed())
    };
    run(1)?; // kernels are compiled and chosen here
    let one = run(1)?.max(Duration::from_nanos(1));
    let count = (ENOUGH.as_nanos() / (ROUNDS as u128 * one.as_nanos())).clamp(1, 100) as usize;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        #[expect(clippy::cast_precision_loss, reason = "at most a hundred")]
        times.push(run(count)?.as_secs_f64() / count as f64);
    }
    Ok(median(&mut times))
}

fn apart(actual: Tensor<2>, expected: Tensor<2>) -> f64 {
    let [actual, expected] = [actual, expected].map(|x| x.cast(DType::F32));
    let largest = expected.clone().abs().max().into_scalar::<f32>();
    f64::from((actual - expected).abs().max().into_scalar::<f32>() / largest.max(f32::MIN_POSITIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_products_are_measured_at_every_shape() {
        let options = MatmulOptions { rows: vec![4, 33], width: 16, outs: vec![8, 24, 31], dtype: None };
        let measured = measure(&options, 1, &Device::flex(), DType::F32).unwrap();
        assert_eq!(measured.products.len(), 2 * 3 * 2);
        for product in &measured.products {
            assert!(product.seconds > 0.0 && product.tflops > 0.0 && product.apart == 0.0, "{product:?}");
            let flops = 2.0 * (product.rows * product.d_in * product.d_out) as f64;
            assert!((product.tflops * 1e12 * product.seconds / flops - 1.0).abs() < 1e-9);
        }
        assert!(measured.products.iter().any(|product| product.tflops == measured.peak_tflops));
    }
}
