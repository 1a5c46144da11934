//! The layout of packed weights, and reading it in plain Rust.
//!
//! A matrix `[N, K]` is padded to multiples of 64 and 32 and cut into blocks of 64 rows by 32 columns, block (i, g) at
//! index `i·(K/32) + g`. Everything is one flat array of little-endian words of 32 bits:
//!
//! ```text
//! int4, 288 words a block: | 64 rows × 4 words | 32 words of scales |     int8, 544 words: | 64 rows × 8 words | 32 words |
//!
//! word w of a row, int4:  byte j = code[8w + j] + 8 in the low nibble, code[8w + 4 + j] + 8 in the high nibble, j < 4
//! word w of a row, int8:  byte j = code[4w + j], two's complement
//! word s of the scales:   f16 scale of row 2s in the low half, of row 2s + 1 in the high half
//! ```
//!
//! A value is `code · scale`: symmetric codes, -7 to 7 or -127 to 127, with one scale for 32 neighbours of a row. Padding
//! holds codes of zero. A row of an int8 embedding table is `K/4` words of codes, then `ceil(K/32 / 2)` words of scales.

use half::f16;

/// Bits of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bits {
    /// Codes from -7 to 7.
    Int4,
    /// Codes from -127 to 127.
    Int8,
}

impl Bits {
    /// Words of codes in a row of a block.
    #[must_use]
    pub fn words_a_row(self) -> usize {
        match self {
            Self::Int4 => 4,
            Self::Int8 => 8,
        }
    }

    /// Words of a block.
    #[must_use]
    pub fn block_words(self) -> usize {
        64 * self.words_a_row() + 32
    }

    pub(crate) fn flag(self) -> &'static str {
        match self {
            Self::Int4 => "int4",
            Self::Int8 => "int8",
        }
    }
}

/// Words of a packed matrix of this shape.
#[must_use]
pub fn packed_words(bits: Bits, [rows, cols]: [usize; 2]) -> usize {
    rows.div_ceil(64) * cols.div_ceil(32) * bits.block_words()
}

/// Values of a packed matrix, `[N, K]` row-major without the padding.
///
/// # Panics
/// If `words` are not those of such a matrix.
#[must_use]
pub fn unpacked(bits: Bits, words: &[u32], [rows, cols]: [usize; 2]) -> Vec<f32> {
    assert_eq!(words.len(), packed_words(bits, [rows, cols]), "words of a packed [{rows}, {cols}]");
    let blocks_k = cols.div_ceil(32);
    let mut values = Vec::with_capacity(rows * cols);
    for row in 0..rows {
        for col in 0..cols {
            let block = &words[((row / 64) * blocks_k + col / 32) * bits.block_words()..];
            let (row_in, col_in) = (row % 64, col % 32);
            let scale = half_of(block[64 * bits.words_a_row() + row_in / 2], row_in);
            let code = match bits {
                Bits::Int4 => {
                    let byte = block[row_in * 4 + col_in / 8].to_le_bytes()[col_in % 4];
                    f32::from(if col_in % 8 < 4 { byte & 15 } else { byte >> 4 }) - 8.0
                }
                Bits::Int8 => {
                    f32::from(block[row_in * 8 + col_in / 4].to_le_bytes()[col_in % 4].cast_signed())
                }
            };
            values.push(code * scale);
        }
    }
    values
}

/// Words of an embedding row, `K` a multiple of 4.
#[must_use]
pub fn embedding_row_words(cols: usize) -> usize {
    cols / 4 + cols.div_ceil(32).div_ceil(2)
}

/// The low half of a word for an even index, the high half for an odd one.
pub(crate) fn half_of(word: u32, index: usize) -> f32 {
    let [a, b, c, d] = word.to_le_bytes();
    f16::from_le_bytes(if index.is_multiple_of(2) { [a, b] } else { [c, d] }).to_f32()
}
