//! What packing promises of any matrix: the error bound, exactness on grids, and that nothing depends on the padding.

use clinlora_core::quant::{
    BLOCK_ROWS, Bits, GROUP, Moments, matrix_words, pack, pack_for, pack_rows, product, unpack, unpack_row,
};
use proptest::prelude::*;

/// A matrix with values of very different sizes, some of them 0.
fn matrices() -> impl Strategy<Value = ([usize; 2], Vec<f32>)> {
    let value = prop_oneof![
        1 => Just(0.0_f32),
        4 => -1.0_f32..1.0,
        1 => (-20_i32..15, -1.0_f32..1.0).prop_map(|(e, m)| m * 2_f32.powi(e)),
    ];
    (1_usize..140, 1_usize..100)
        .prop_flat_map(move |(n, k)| (Just([n, k]), prop::collection::vec(value.clone(), n * k)))
}

fn bits() -> impl Strategy<Value = Bits> {
    prop_oneof![Just(Bits::Four), Just(Bits::Eight)]
}

/// The scale of a value in the packed words, read from where the layout says it lies.
fn scale(words: &[u32], [_, k]: [usize; 2], bits: Bits, row: usize, column: usize) -> f32 {
    let block = row / BLOCK_ROWS * k.div_ceil(GROUP) + column / GROUP;
    let within = row % BLOCK_ROWS;
    let word = words[block * bits.block_words() + BLOCK_ROWS * bits.code_words() + within / 2];
    let half = if within.is_multiple_of(2) { word & 0xffff } else { word >> 16 };
    // f16 by its definition; scales have no sign.
    let (exponent, mantissa) = (half >> 10, (half & 1023) as f32);
    if exponent == 0 {
        mantissa * 2_f32.powi(-24)
    } else {
        (1024.0 + mantissa) * 2_f32.powi(exponent as i32 - 25)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_value_comes_back_within_half_a_step(((shape, values), bits) in (matrices(), bits())) {
        let words = pack(&values, shape, bits).expect("finite and not too large");
        prop_assert_eq!(words.len() as u64, matrix_words(shape.map(|size| size as u64), bits));
        for (place, (value, read)) in values.iter().zip(unpack(&words, shape, bits)).enumerate() {
            let scale = scale(&words, shape, bits, place / shape[1], place % shape[1]);
            // The product of code and scale is exact in f32; half a step, and the rounding of the comparison itself.
            let bound = scale * 0.5 * (1.0 + 1e-5);
            prop_assert!((value - read).abs() <= bound, "{value} came back as {read}, the step is {scale}");
        }
    }

    #[test]
    fn what_was_packed_once_is_packed_again_without_change(((shape, values), bits) in (matrices(), bits())) {
        let once = unpack(&pack(&values, shape, bits).expect("finite"), shape, bits);
        let twice = unpack(&pack(&once, shape, bits).expect("finite"), shape, bits);
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn knowing_the_inputs_never_makes_their_outputs_worse(
        (shape, values) in matrices(),
        seed in 0_u32..1000,
    ) {
        let [n, k] = shape;
        let rows = 24_u32;
        // Inputs of two directions and a little noise; the groups of a row are judged one by one, as they are packed.
        let unit = |a: u32, b: usize| (((seed * 31 + a) as usize * 7919 + b * 104_729) % 2003) as f32 / 1001.5 - 1.0;
        let input = |row: u32| {
            let of = |direction| unit(direction, row as usize);
            let [first, second] = [of(1), of(3)];
            (0..k).map(move |i| first * unit(2, i) + 0.5 * second * unit(4, i) + 0.1 * unit(5 + row, i))
        };
        let inputs: Vec<f32> = (0..rows).flat_map(input).collect();
        let mut moments = Moments::new(k);
        moments.add(&inputs);
        let plain = unpack(&pack(&values, shape, Bits::Four).expect("finite"), shape, Bits::Four);
        let words = pack_for(&values, shape, Bits::Four, Some(&moments)).expect("finite");
        let fitted = unpack(&words, shape, Bits::Four);
        let energy = inputs.iter().map(|x| f64::from(x * x)).sum::<f64>();
        // The hundredth of the mean square that packing adds to every direction, and f32's rounding.
        let damping = 0.01 * energy / inputs.len() as f64;
        for row in 0..n {
            for first in (0..k).step_by(GROUP) {
                let columns = first..k.min(first + GROUP);
                let loss = |packed: &[f32]| {
                    let errors: Vec<f64> = columns.clone()
                        .map(|i| f64::from(values[row * k + i]) - f64::from(packed[row * k + i]))
                        .collect();
                    let output = |x: &[f32]| {
                        x[columns.clone()].iter().zip(&errors).map(|(x, e)| f64::from(*x) * e).sum::<f64>()
                    };
                    let outputs: f64 = inputs.chunks_exact(k).map(|x| output(x).powi(2)).sum();
                    outputs / f64::from(rows) + damping * errors.iter().map(|e| e * e).sum::<f64>()
                };
                let (plain, fitted) = (loss(&plain), loss(&fitted));
                prop_assert!(fitted <= plain * 1.05 + 1e-12, "row {row} from {first}: {fitted} after {plain}");
            }
        }
    }

    #[test]
    fn stripes_of_rows_are_packed_as_the_whole(((shape, values), bits) in (matrices(), bits())) {
        let whole = pack(&values, shape, bits).expect("finite");
        let stripe = |rows: &[f32]| pack(rows, [rows.len() / shape[1], shape[1]], bits).expect("finite");
        let parts: Vec<u32> = values.chunks(BLOCK_ROWS * shape[1]).flat_map(stripe).collect();
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn the_product_of_a_row_of_the_identity_is_a_column((shape, values) in matrices(), column in 0_usize..100) {
        let column = column % shape[1];
        let words = pack(&values, shape, Bits::Eight).expect("finite");
        let mut x = vec![0.0; shape[1]];
        x[column] = 1.0;
        let dense = unpack(&words, shape, Bits::Eight);
        let expected: Vec<f32> = dense.chunks_exact(shape[1]).map(|row| row[column]).collect();
        prop_assert_eq!(product(&x, &words, shape, Bits::Eight), expected);
    }

    #[test]
    fn rows_are_packed_each_by_itself((shape, values) in matrices()) {
        let table = pack_rows(&values, shape[1]).expect("finite");
        let width = table.len() / shape[0];
        for (row, words) in values.chunks_exact(shape[1]).zip(table.chunks_exact(width)) {
            let mut read = Vec::new();
            unpack_row(words, shape[1], &mut read);
            for (group, read) in row.chunks(GROUP).zip(read.chunks(GROUP)) {
                let largest = group.iter().fold(0.0_f32, |largest, v| largest.max(v.abs()));
                // Half a step of a scale that f16 rounds up by at most one part in 2048, or by the smallest f16.
                let bound = 0.5 * (largest / 127.0 * (1.0 + 1.0 / 1024.0) + 6e-8);
                for (value, read) in group.iter().zip(read) {
                    prop_assert!((value - read).abs() <= bound, "{value} came back as {read}");
                }
            }
        }
    }
}
