//! Inputs of any size with the answers of the twins: for the tests, and for a program that asks a device before it
//! trusts it.
//!
//! Drivers are wrong now and then, in one browser only and without an error. [`small`] has one input for every
//! permutation a model can meet; a variant that misses the answer is not used.

use std::ops::Range;

use half::f16;

use crate::attend_causal::Attention;
use crate::lora_down::Down;
use crate::matmul_packed::{Form, LoraValues, NO_ADAPTER, Product, row_adapters};
use crate::packed::{Bits, embedding_row_words, packed_words};
use crate::{
    Elem, Launch, attend_causal, embed_rows, lora_down, matmul_packed, pooled_head, rms_norm, rotary, swiglu,
};

/// A dispatch, its buffers and what it must write.
#[derive(Debug, Clone)]
pub struct Case {
    /// The dispatch.
    pub launch: Launch,
    /// Buffers in order of binding, without the uniform.
    pub buffers: Vec<Buffer>,
    /// Largest difference allowed.
    pub tolerance: f32,
}

/// A buffer of a case.
#[derive(Debug, Clone)]
pub enum Buffer {
    /// What is read.
    Input(Vec<u8>),
    /// What must be written.
    Output {
        /// The twin's answer.
        expected: Vec<f32>,
        /// Number type in the buffer.
        elem: Elem,
    },
}

impl Buffer {
    /// Bytes to begin with; an output is filled with something no answer can be.
    #[must_use]
    pub fn initial(&self) -> Vec<u8> {
        match self {
            Self::Input(bytes) => bytes.clone(),
            Self::Output { expected, elem } => floats(&vec![f32::NAN; expected.len()], *elem),
        }
    }
}

/// Largest difference of numbers near 1 between a device and a twin.
#[must_use]
pub fn tolerance(elem: Elem) -> f32 {
    match elem {
        // Sums in another order, and a device's exp and inverse square root, good to some units in the last place.
        Elem::F32 => 1e-4,
        // Eleven bits of what is stored, and of what a tile holds.
        Elem::F16 => 1e-2,
    }
}

/// Bytes of numbers in this type, a whole number of words.
#[must_use]
pub fn floats(values: &[f32], elem: Elem) -> Vec<u8> {
    let mut bytes: Vec<u8> = match elem {
        Elem::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Elem::F16 => values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
    };
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Numbers out of the bytes of a buffer.
#[must_use]
pub fn read_floats(bytes: &[u8], elem: Elem) -> Vec<f32> {
    match elem {
        Elem::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Elem::F16 => bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
    }
}

/// Where `actual` is furthest from `expected`, if that is further than the tolerance or not a number.
///
/// # Errors
/// The place and both numbers.
pub fn compare(expected: &[f32], actual: &[f32], tolerance: f32) -> Result<f32, String> {
    let mut worst = 0.0_f32;
    for (i, (e, a)) in expected.iter().zip(actual).enumerate() {
        let difference = (e - a).abs();
        if difference.is_nan() || difference > tolerance {
            return Err(format!(
                "[{i}] is {a}, its twin's is {e}: {difference:e} apart, {tolerance:e} allowed"
            ));
        }
        worst = worst.max(difference);
    }
    Ok(worst)
}

/// One case for every permutation a model can meet, small enough for any device.
#[must_use]
pub fn small(elem: Elem) -> Vec<Case> {
    let mut cases = Vec::new();
    // The kernels of programs have no halves.
    let ways: &[bool] = if elem == Elem::F32 { &[false, true] } else { &[false] };
    for bits in [Bits::Int4, Bits::Int8] {
        for inner in [96, 37] {
            for rank in [None, Some(8)] {
                let of = |rows, cols, form, in_software| {
                    matmul(Product { rows, cols, inner, bits, elem, form, rank, in_software }, 1)
                };
                for in_software in ways.iter().copied() {
                    cases.push(of(70, 69, Form::Plain, in_software));
                    cases.push(of(70, 69, Form::Residual, in_software));
                    cases.push(of(65, 45, Form::Swiglu, in_software));
                    cases.push(of(65, 199, Form::Qkv([64, 128]), in_software));
                }
                cases.push(of(3, 69, Form::Plain, false));
                cases.push(of(3, 69, Form::Residual, false));
            }
        }
    }
    for inner in [64, 31] {
        for norm_eps in [None, Some(1e-5)] {
            cases.push(down(Down { rows: 13, cols: 24, inner, stacks: 3, elem, norm_eps }, 5));
        }
        cases.push(norm(5, inner, elem, 6));
        cases.push(head(3, 5, inner, elem, 8));
    }
    cases.push(turn([2, 3, 5, 6], elem, 9));
    cases.push(turn_both([2, 6, 5, 6], 2, elem, 13));
    cases.push(gated(517, elem, 10));
    cases.push(embedded(7, 44, elem, 11));
    for width in [48, 6] {
        for in_software in ways.iter().copied() {
            cases.push(attention([2, 4, 2], 21, 26, width, elem, in_software, 12));
        }
    }
    cases
}

/// Numbers that look random and are the same everywhere: splitmix64.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn word(&mut self) -> u32 {
        u32::try_from(self.bits() >> 32).expect("32 bits are left")
    }

    fn below(&mut self, end: u32) -> u32 {
        self.word() % end
    }

    /// `count` numbers in ±`most`, as `elem` rounds them, none near zero by chance of being left out.
    fn floats(&mut self, count: usize, most: f32, elem: Elem) -> Vec<f32> {
        (0..count)
            .map(|_| {
                #[expect(clippy::cast_precision_loss, reason = "any number in the range will do")]
                let unit = self.word() as f32 / u32::MAX as f32 * 2.0 - 1.0;
                rounded(unit * most, elem)
            })
            .collect()
    }

    fn scale(&mut self, most: f32) -> u32 {
        u32::from(f16::from_f32(most * (0.5 + 0.5 * self.floats(1, 1.0, Elem::F32)[0].abs())).to_bits())
    }

    /// Cosines and sines of angles, each `[T, E]`.
    fn tables(&mut self, [_, _, t, e]: [usize; 4], elem: Elem) -> [Vec<f32>; 2] {
        let angles = self.floats(t * e, 3.0, Elem::F32);
        let of: [fn(f32) -> f32; 2] = [f32::cos, f32::sin];
        of.map(|of| angles.iter().map(|angle| rounded(of(*angle), elem)).collect())
    }

    /// Heads that lie behind their tokens in memory, their strides, and what turning makes of them.
    fn turned(
        &mut self,
        [b, h, t, e]: [usize; 4],
        cos: &[f32],
        sin: &[f32],
        elem: Elem,
    ) -> (Vec<f32>, [usize; 4], Vec<f32>) {
        let x = self.floats(b * h * t * e, 1.0, elem);
        let strides = [t * h * e, e, h * e, 1];
        let turned = rotary::twin([b, h, t, e], strides, &x, cos, sin);
        (x, strides, turned)
    }

    /// Codes and scales of blocks; values are at most `most`.
    fn packed(&mut self, bits: Bits, shape: [usize; 2], most: f32) -> Vec<u32> {
        let mut words = Vec::with_capacity(packed_words(bits, shape));
        while words.len() < packed_words(bits, shape) {
            for _ in 0..64 * bits.words_a_row() {
                words.push(match bits {
                    // Nibbles from 1 to 15.
                    Bits::Int4 => (0..8).fold(0, |word, _| (word << 4) | (1 + self.below(15))),
                    Bits::Int8 => self.int8(),
                });
            }
            let largest = if bits == Bits::Int4 { 7.0 } else { 127.0 };
            for _ in 0..32 {
                words.push(self.scale(most / largest) | (self.scale(most / largest) << 16));
            }
        }
        words
    }

    /// Four codes from -127 to 127.
    fn int8(&mut self) -> u32 {
        (0..4).fold(0, |word, _| (word << 8) | ((self.below(255) + 129) & 255))
    }
}

fn rounded(value: f32, elem: Elem) -> f32 {
    match elem {
        Elem::F32 => value,
        Elem::F16 => f16::from_f32(value).to_f32(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes of tests")]
fn per_root(n: usize) -> f32 {
    1.5 / (n as f32).sqrt()
}

fn input(values: &[f32], elem: Elem) -> Buffer {
    Buffer::Input(floats(values, elem))
}

fn words(words: &[u32]) -> Buffer {
    Buffer::Input(words.iter().flat_map(|word| word.to_le_bytes()).collect())
}

/// A product, with rows of three adapters and of none if it has deltas.
#[must_use]
pub fn matmul(product: Product, seed: u64) -> Case {
    let mut random = Random(seed);
    let Product { rows, cols, inner, bits, elem, form, rank, .. } = product;
    let x = random.floats(rows * inner, 1.0, elem);
    let matrices = match form {
        Form::Plain | Form::Residual => vec![cols],
        Form::Swiglu => vec![cols, cols],
        Form::Qkv([second, third]) => vec![second, third - second, cols - third],
    };
    let matrices: Vec<Vec<u32>> =
        matrices.into_iter().map(|rows| random.packed(bits, [rows, inner], per_root(inner))).collect();
    let mut buffers = vec![input(&x, elem)];
    buffers.extend(matrices.iter().map(|matrix| words(matrix)));
    let values = rank.map(|rank| {
        let z = random.floats(rows * rank * form.matrices(), 1.0, elem);
        let b_rows = if form == Form::Swiglu { 2 * cols } else { cols };
        (z, random.floats(3 * b_rows * rank, per_root(rank), elem), adapters_of(rows))
    });
    if let Some((z, b, adapters)) = &values {
        buffers.extend([input(z, elem), input(b, elem), words(&row_adapters(adapters))]);
    }
    let lora = values.as_ref().map(|(z, b, row_adapters)| LoraValues { z, b, row_adapters });
    let residual = random.floats(rows * cols, 1.0, elem);
    if form == Form::Residual {
        buffers.push(input(&residual, elem));
    }
    let matrices: Vec<&[u32]> = matrices.iter().map(Vec::as_slice).collect();
    let expected = matmul_packed::twin(&product, &x, &matrices, lora, &residual);
    buffers.push(Buffer::Output { expected, elem });
    Case { launch: product.launch(), buffers, tolerance: tolerance(elem) }
}

/// Runs of 27 rows under adapters 0, 2, none and 1: tiles with one, several and no adapter.
fn adapters_of(rows: usize) -> Vec<u32> {
    (0..rows).map(|row| [0, 2, NO_ADAPTER, 1][row / 27 % 4]).collect()
}

/// The first half of LoRA deltas.
#[must_use]
pub fn down(down: Down, seed: u64) -> Case {
    let mut random = Random(seed);
    let Down { rows, cols, inner, stacks, elem, norm_eps } = down;
    let x = random.floats(rows * inner, 1.0, elem);
    let mut a = random.floats(stacks * cols * down.a_stride(), per_root(inner), elem);
    for row in a.chunks_exact_mut(down.a_stride()) {
        row[inner..].fill(0.0);
    }
    let adapters: Vec<u32> = adapters_of(rows * 9).into_iter().step_by(9).collect();
    let z = |x: &[f32]| Buffer::Output { expected: lora_down::twin(&down, x, &a, &adapters), elem };
    let buffers = match norm_eps {
        None => vec![input(&x, elem), input(&a, elem), words(&adapters), z(&x)],
        Some(eps) => {
            let gain = random.floats(inner, 1.0, elem);
            let normed = rms_norm::twin(&x, &gain, eps);
            let z = z(&normed);
            let normed = Buffer::Output { expected: normed, elem };
            vec![input(&x, elem), input(&gain, elem), input(&a, elem), words(&adapters), normed, z]
        }
    };
    Case { launch: down.launch(), buffers, tolerance: tolerance(elem) }
}

/// A norm.
#[must_use]
pub fn norm(rows: usize, inner: usize, elem: Elem, seed: u64) -> Case {
    let mut random = Random(seed);
    let x = random.floats(rows * inner, 1.0, elem);
    let gain = random.floats(inner, 1.0, elem);
    let expected = rms_norm::twin(&x, &gain, 1e-5);
    let buffers = vec![input(&x, elem), input(&gain, elem), Buffer::Output { expected, elem }];
    Case { launch: rms_norm::launch(rows, inner, 1e-5, elem), buffers, tolerance: tolerance(elem) }
}

/// Rotary positions of heads that lie behind their tokens in memory.
#[must_use]
pub fn turn(dims: [usize; 4], elem: Elem, seed: u64) -> Case {
    let mut random = Random(seed);
    let [cos, sin] = random.tables(dims, elem);
    let (x, strides, expected) = random.turned(dims, &cos, &sin, elem);
    let buffers =
        vec![input(&x, elem), input(&cos, elem), input(&sin, elem), Buffer::Output { expected, elem }];
    Case { launch: rotary::launch(dims, strides, elem), buffers, tolerance: tolerance(elem) }
}

/// Rotary positions of queries and keys.
#[must_use]
pub fn turn_both(dims: [usize; 4], kv_heads: usize, elem: Elem, seed: u64) -> Case {
    let mut random = Random(seed);
    let [b, _, t, e] = dims;
    let [cos, sin] = random.tables(dims, elem);
    let (q, strides, turned_q) = random.turned(dims, &cos, &sin, elem);
    let (k, kv_strides, turned_k) = random.turned([b, kv_heads, t, e], &cos, &sin, elem);
    let [q, k, cos, sin] = [q, k, cos, sin].map(|values| input(&values, elem));
    let [turned_q, turned_k] = [turned_q, turned_k].map(|expected| Buffer::Output { expected, elem });
    Case {
        launch: rotary::launch_both(dims, strides, kv_heads, kv_strides, elem),
        buffers: vec![q, k, cos, sin, turned_q, turned_k],
        tolerance: tolerance(elem),
    }
}

/// `silu(gate)·up`.
#[must_use]
pub fn gated(len: usize, elem: Elem, seed: u64) -> Case {
    let mut random = Random(seed);
    let (gate, up) = (random.floats(len, 4.0, elem), random.floats(len, 1.0, elem));
    let expected = swiglu::twin(&gate, &up);
    let buffers = vec![input(&gate, elem), input(&up, elem), Buffer::Output { expected, elem }];
    Case { launch: swiglu::launch(len, elem), buffers, tolerance: tolerance(elem) }
}

/// Rows of a table that is one shard.
#[must_use]
pub fn embedded(tokens: usize, inner: usize, elem: Elem, seed: u64) -> Case {
    let mut random = Random(seed);
    let rows = 19;
    let mut table = Vec::with_capacity(rows * embedding_row_words(inner));
    for _ in 0..rows {
        table.extend((0..inner / 4).map(|_| random.int8()));
        for _ in inner / 4..embedding_row_words(inner) {
            table.push(random.scale(1.0 / 127.0) | (random.scale(1.0 / 127.0) << 16));
        }
    }
    let ids: Vec<u32> = (0..tokens).map(|_| random.below(19)).collect();
    let expected = embed_rows::twin(&ids, &table, inner);
    let shard: Range<usize> = 0..rows;
    let buffers = vec![words(&ids), words(&table), Buffer::Output { expected, elem }];
    Case { launch: embed_rows::launch(tokens, inner, &shard, elem), buffers, tolerance: tolerance(elem) }
}

/// Norm and heads of two tasks.
#[must_use]
pub fn head(notes: usize, labels: usize, inner: usize, elem: Elem, seed: u64) -> Case {
    let mut random = Random(seed);
    let x = random.floats(4 * notes * inner, 1.0, elem);
    let gain = random.floats(inner, 1.0, elem);
    let heads = random.floats(2 * labels * inner, per_root(inner), elem);
    let notes_up = u32::try_from(notes).expect("a few notes");
    let places: Vec<[u32; 2]> = (0..notes_up).map(|note| [note * 3 + 1, note % 2]).collect();
    let expected = pooled_head::twin(&x, &gain, &heads, &places, labels, 1e-5);
    let buffers = vec![
        input(&x, elem),
        input(&gain, elem),
        input(&heads, elem),
        words(places.as_flattened()),
        Buffer::Output { expected, elem: Elem::F32 },
    ];
    Case {
        launch: pooled_head::launch(notes, labels, inner, 1e-5, elem),
        buffers,
        tolerance: tolerance(elem),
    }
}

/// Attention over keys of which some precede the queries; all three lie as a projection writes them.
#[must_use]
pub fn attention(
    [notes, heads, kv_heads]: [usize; 3],
    tokens: usize,
    keys: usize,
    width: usize,
    elem: Elem,
    in_software: bool,
    seed: u64,
) -> Case {
    let mut random = Random(seed);
    let q = random.floats(notes * tokens * heads * width, 2.0, elem);
    let k = random.floats(notes * keys * kv_heads * width, 2.0, elem);
    let v = random.floats(notes * keys * kv_heads * width, 1.0, elem);
    let kv_strides = [keys * kv_heads * width, width, kv_heads * width];
    let shape = Attention {
        notes,
        heads,
        kv_heads,
        tokens,
        keys,
        width,
        q_strides: [tokens * heads * width, width, heads * width],
        k_strides: kv_strides,
        v_strides: kv_strides,
        elem,
        in_software,
    };
    let expected = attend_causal::twin(&shape, &q, &k, &v);
    let buffers = vec![input(&q, elem), input(&k, elem), input(&v, elem), Buffer::Output { expected, elem }];
    Case { launch: shape.launch(), buffers, tolerance: tolerance(elem) }
}
