//! A packed matrix on a device, and its product in plain tensor operations: what runs where no kernel does.

use std::ops::Range;

use burn::module::{Module, Param, ParamId};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::layout::{BLOCK_ROWS, Bits, GROUP, SCALE_WORDS, blocks};

/// Values unpacked at a time in a product: 16 MiB of them, whatever the matrix.
const UNPACKED: usize = 1 << 22;

/// A packed matrix `[d_out, d_in]`, as one row of words.
#[derive(Module, Debug)]
pub struct Packed {
    words: Param<Tensor<1, Int>>,
    #[module(skip)]
    shape: [usize; 2],
    #[module(skip)]
    bits: Bits,
}

impl Packed {
    /// Puts the words of a matrix of this shape on `device`.
    ///
    /// # Panics
    /// If there are more words or fewer.
    #[must_use]
    pub fn new(words: Vec<u32>, shape: [usize; 2], bits: Bits, device: &Device) -> Self {
        let [row_blocks, groups] = blocks(shape);
        let count = words.len();
        assert_eq!(count, row_blocks * groups * bits.block_words(), "the words of a matrix of {shape:?}");
        let words: Vec<i32> = words.into_iter().map(u32::cast_signed).collect();
        let words = Tensor::from_data(TensorData::new(words, [count]), (device, DType::I32));
        Self { words: Param::initialized(ParamId::new(), words), shape, bits }
    }

    /// The words, `[words]`: 32 bits each, as signed numbers.
    #[must_use]
    pub fn words(&self) -> Tensor<1, Int> {
        self.words.val()
    }

    /// `[d_out, d_in]`.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Bits of a code.
    #[must_use]
    pub fn bits(&self) -> Bits {
        self.bits
    }

    /// `x·Wᵀ + b`, unpacking some blocks of rows at a time.
    ///
    /// # Shapes
    /// - `x`: `[rows, d_in]`
    /// - `bias`: `[d_out]`
    /// - result: `[rows, d_out]`
    #[must_use]
    pub fn linear(&self, x: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
        let [row_blocks, groups] = blocks(self.shape);
        let at_once = (UNPACKED / (groups * GROUP * BLOCK_ROWS)).max(1);
        let dtype = x.dtype();
        let parts: Vec<Tensor<2>> = (0..row_blocks)
            .step_by(at_once)
            .map(|first| {
                let weight = self.unpacked(first..row_blocks.min(first + at_once)).cast(dtype);
                burn::tensor::module::linear(x.clone(), weight.transpose(), None)
            })
            .collect();
        let y = Tensor::cat(parts, 1);
        match bias {
            Some(bias) => y + bias.unsqueeze(),
            None => y,
        }
    }

    /// The whole matrix, `[d_out, d_in]`, f32.
    #[must_use]
    pub fn dense(&self) -> Tensor<2> {
        self.unpacked(0..blocks(self.shape)[0])
    }

    /// The rows of some blocks, `[rows, d_in]`, f32.
    fn unpacked(&self, of: Range<usize>) -> Tensor<2> {
        let [d_out, d_in] = self.shape;
        let groups = blocks(self.shape)[1];
        let (count, words, code_words) = (of.len(), self.bits.block_words(), self.bits.code_words());
        let rows = d_out.min(of.end * BLOCK_ROWS) - of.start * BLOCK_ROWS;
        let here = self.words.val().narrow(0, of.start * groups * words, count * groups * words);
        let here = here.reshape([count, groups, words]);
        let codes = here.clone().narrow(2, 0, BLOCK_ROWS * code_words);
        let codes = codes.reshape([count, groups, BLOCK_ROWS, code_words]);
        let codes = self.codes(codes).reshape([count, groups, BLOCK_ROWS, GROUP]);
        let scales = here.narrow(2, BLOCK_ROWS * code_words, SCALE_WORDS);
        let halves = vec![low_half(scales.clone()), low_half(scales.bitwise_right_shift_scalar(16))];
        let scales = Tensor::stack::<4>(halves, 3).reshape([count, groups, BLOCK_ROWS]);
        let values = codes * halves_to_floats(scales).unsqueeze_dim(3);
        let values = values.swap_dims(1, 2).reshape([count * BLOCK_ROWS, groups * GROUP]);
        values.slice([0..rows, 0..d_in])
    }

    /// Codes of words `[.., words]`, in order along a new last dimension, as floats.
    fn codes(&self, words: Tensor<4, Int>) -> Tensor<5> {
        let shifted =
            |shift: i32, mask: i32| words.clone().bitwise_right_shift_scalar(shift).bitwise_and_scalar(mask);
        let (codes, zero) = match self.bits {
            // Low nibbles of the four bytes, then the high ones.
            Bits::Four => ([0, 8, 16, 24, 4, 12, 20, 28].map(|shift| shifted(shift, 15)).to_vec(), 8),
            // Two's complement: flipping the sign bit leaves code + 128.
            Bits::Eight => {
                let biased = |shift| shifted(shift, 255).bitwise_xor_scalar(128);
                ([0, 8, 16, 24].map(biased).to_vec(), 128)
            }
        };
        Tensor::stack::<5>(codes, 4).sub_scalar(zero).float().cast(DType::F32)
    }
}

fn low_half(words: Tensor<3, Int>) -> Tensor<3, Int> {
    words.bitwise_and_scalar(0xffff)
}

/// Values of f16 bit patterns that are not negative: `(1024 + m) · 2^(e - 25)`, and `m · 2^-24` where `e = 0`.
fn halves_to_floats(bits: Tensor<3, Int>) -> Tensor<3> {
    let shape = bits.dims();
    let exponent = bits.clone().bitwise_right_shift_scalar(10);
    let mantissa = bits.bitwise_and_scalar(1023).float().cast(DType::F32);
    let implicit = exponent.clone().greater_elem(0).float().cast(DType::F32).mul_scalar(1024.0);
    let powers: Vec<f32> = (0_i32..32).map(|e| 2_f32.powi(e.max(1) - 25)).collect();
    let powers = Tensor::<1>::from_data(TensorData::new(powers, [32]), (&exponent.device(), DType::F32));
    let power = powers.select(0, exponent.flatten(0, 2)).reshape(shape);
    (mantissa + implicit) * power
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tolerance;

    use super::super::pack::{pack, product, unpack};
    use super::*;

    #[test]
    fn tensor_operations_unpack_what_the_reference_does() {
        let device = Device::flex();
        for bits in [Bits::Four, Bits::Eight] {
            for shape in [[1, 1], [3, 31], [64, 32], [130, 97]] {
                let [n, k] = shape;
                let values: Vec<f32> = (0..n * k)
                    .map(|i| ((i * 7919 % 641) as f32 - 320.0) * [1e-4, 1e-3, 1e-2, 1e-1][i % 4])
                    .collect();
                let words = pack(&values, shape, bits).expect("finite");
                let packed = Packed::new(words.clone(), shape, bits, &device);
                let dense = packed.dense().into_data_as::<f32>();
                assert_eq!(
                    dense.as_slice::<f32>().expect("f32"),
                    unpack(&words, shape, bits),
                    "{bits:?} {shape:?}"
                );

                let x: Vec<f32> = (0..2 * k).map(|i| (i % 11) as f32 - 5.0).collect();
                let bias = Tensor::<1>::ones([n], (&device, DType::F32));
                let rows = Tensor::<2>::from_data(TensorData::new(x.clone(), [2, k]), (&device, DType::F32));
                let expected: Vec<f32> = product(&x, &words, shape, bits).iter().map(|y| y + 1.0).collect();
                packed.linear(rows, Some(bias)).into_data().assert_approx_eq::<f32>(
                    &TensorData::new(expected, [2, n]),
                    Tolerance::rel_abs(1e-4, 5e-3),
                );
            }
        }
    }

    #[test]
    fn every_scale_is_read_as_f16_has_it() {
        let bits: Vec<u16> = (0..0x7c00).step_by(7).chain([1, 1023, 1024, 0x7bff]).collect();
        let ints: Vec<i32> = bits.iter().map(|b| i32::from(*b)).collect();
        let count = ints.len();
        let tensor = TensorData::new(ints, [1, 1, count]);
        let floats = halves_to_floats(Tensor::from_data(tensor, (&Device::flex(), DType::I32)));
        let expected: Vec<f32> = bits.into_iter().map(|b| half::f16::from_bits(b).to_f32()).collect();
        assert_eq!(floats.into_data_as::<f32>().as_slice::<f32>().expect("f32"), expected);
    }
}
