//! What kernels over the rows of a matrix share: the units of one cube read a row together, vector by vector, and sum what
//! each has found.

use burn::backend::TensorMetadata as _;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

/// Units of a cube: a warp, and at most eight, so that a GPU's processor holds several cubes.
const LEAST_UNITS: usize = 32;
const MOST_UNITS: usize = 256;

/// Cubes at most, which WebGPU guarantees: a cube takes a row and then every so-manyth after it.
const MOST_CUBES: usize = 65_535;

/// How rows of a width are divided among the units of a cube.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    pub(super) count: usize,
    /// Elements that are read at once.
    pub(super) vector: usize,
    /// Vectors of a row.
    pub(super) vectors: usize,
    pub(super) units: usize,
}

impl Rows {
    /// Of a tensor whose last dimension is a row.
    pub(super) fn of(x: &CubeTensor) -> Self {
        let shape = x.shape();
        let width = shape[shape.num_dims() - 1];
        let is_enough_for_all =
            |vector: &usize| width.is_multiple_of(*vector) && width / vector >= LEAST_UNITS;
        let vector = vector_sizes(x).find(is_enough_for_all).unwrap_or(1);
        let vectors = width / vector;
        let units = vectors.next_power_of_two().clamp(LEAST_UNITS, MOST_UNITS);
        Self { count: shape.num_elements() / width, vector, vectors, units }
    }

    #[expect(clippy::cast_possible_truncation, reason = "MOST_CUBES and MOST_UNITS are below 2^16")]
    pub(super) fn grid(&self) -> (CubeCount, CubeDim) {
        let cubes = self.count.clamp(1, MOST_CUBES) as u32;
        (CubeCount::Static(cubes, 1, 1), CubeDim::new_1d(self.units as u32))
    }
}

/// The longest vector of the device that divides each of these numbers of elements.
pub(super) fn widest<const N: usize>(x: &CubeTensor, counts: [usize; N]) -> usize {
    let serves = |vector: &usize| counts.iter().all(|count| count.is_multiple_of(*vector));
    vector_sizes(x).find(serves).unwrap_or(1)
}

/// Elements a unit may read at once, the most first.
fn vector_sizes(x: &CubeTensor) -> impl Iterator<Item = usize> {
    x.client.io_optimized_vector_sizes(x.dtype.size())
}

/// A tensor like this one, of any content.
pub(super) fn like(x: &CubeTensor) -> CubeTensor {
    empty_device_contiguous_dtype(x.client.clone(), x.device.clone(), x.shape(), x.dtype)
}

/// The integers that count elements of these tensors.
pub(super) fn address(tensors: &[&CubeTensor]) -> AddressType {
    tensors.iter().map(|x| x.required_address_type()).max().unwrap_or_default()
}

/// Sum of a vector's elements.
#[cube]
pub(super) fn sum_lanes<N: Size>(x: Vector<f32, N>) -> f32 {
    let mut sum = x.extract(0usize);
    #[unroll]
    for i in 1..N::value() {
        sum += x.extract(i);
    }
    sum
}

/// Largest of a vector's elements.
#[cube]
pub(super) fn largest_lane<N: Size>(x: Vector<f32, N>) -> f32 {
    let mut largest = x.extract(0usize);
    #[unroll]
    for i in 1..N::value() {
        largest = max(largest, x.extract(i));
    }
    largest
}

/// Sum of what the units of a cube hold, the same to the bit in each and from run to run.
#[cube]
pub(super) fn sum_units(x: f32, #[comptime] units: usize) -> f32 {
    fold_units(x, units, true)
}

/// Largest of what the units of a cube hold.
#[cube]
pub(super) fn largest_of_units(x: f32, #[comptime] units: usize) -> f32 {
    fold_units(x, units, false)
}

/// Half of the units take in the other half, until one is left.
#[cube]
fn fold_units(x: f32, #[comptime] units: usize, #[comptime] sums: bool) -> f32 {
    let mut held = Shared::<[f32]>::new_slice(units);
    let unit = UNIT_POS as usize;
    held[unit] = x;
    sync_cube();
    let mut half = comptime!(units / 2).runtime();
    while half > 0 {
        if unit < half {
            if sums {
                held[unit] = held[unit] + held[unit + half];
            } else {
                held[unit] = max(held[unit], held[unit + half]);
            }
        }
        sync_cube();
        half /= 2;
    }
    let folded = held[0];
    // Nobody writes the next values before all have read this one.
    sync_cube();
    folded
}
