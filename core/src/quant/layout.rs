//! Where the codes and scales of a packed matrix lie. Plain arithmetic: the reader of bundles needs no tensors.

use serde::{Deserialize, Serialize};

/// Rows of a block: rows of a matrix are padded to a multiple of this.
pub const BLOCK_ROWS: usize = 64;

/// Values that share a scale, along the input dimension, which is padded to a multiple of this.
pub const GROUP: usize = 32;

/// Words that hold the scales of a block, two a word.
pub const SCALE_WORDS: usize = BLOCK_ROWS / 2;

/// Bits of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Bits {
    /// Codes -7 to 7, eight a word.
    Four,
    /// Codes -127 to 127, four a word.
    Eight,
}

impl Bits {
    /// Largest code; the smallest is its negative.
    #[must_use]
    pub const fn largest_code(self) -> i8 {
        match self {
            Self::Four => 7,
            Self::Eight => 127,
        }
    }

    /// Words that hold one row's codes of one group.
    #[must_use]
    pub const fn code_words(self) -> usize {
        match self {
            Self::Four => GROUP / 8,
            Self::Eight => GROUP / 4,
        }
    }

    /// Words of a block: codes of 64 rows and 32 columns, then the rows' scales.
    #[must_use]
    pub const fn block_words(self) -> usize {
        BLOCK_ROWS * self.code_words() + SCALE_WORDS
    }
}

impl From<Bits> for u8 {
    fn from(bits: Bits) -> Self {
        match bits {
            Bits::Four => 4,
            Bits::Eight => 8,
        }
    }
}

impl TryFrom<u8> for Bits {
    type Error = String;

    fn try_from(bits: u8) -> Result<Self, String> {
        match bits {
            4 => Ok(Self::Four),
            8 => Ok(Self::Eight),
            _ => Err(format!("{bits} bits a weight; 4 and 8 are read")),
        }
    }
}

/// Blocks of a matrix `[d_out, d_in]`, down its rows and along its columns.
#[must_use]
pub const fn blocks([d_out, d_in]: [usize; 2]) -> [usize; 2] {
    [d_out.div_ceil(BLOCK_ROWS), d_in.div_ceil(GROUP)]
}

/// Words of a packed matrix `[d_out, d_in]`. In 64 bits: what a file states must not overflow a browser's 32.
///
/// # Panics
/// If a dimension is 2³² or more.
#[must_use]
pub fn matrix_words([d_out, d_in]: [u64; 2], bits: Bits) -> u64 {
    assert!(d_out.max(d_in) < 1 << 32, "a matrix of {d_out} by {d_in}");
    let blocks = u128::from(d_out.div_ceil(BLOCK_ROWS as u64)) * u128::from(d_in.div_ceil(GROUP as u64));
    u64::try_from(blocks * bits.block_words() as u128).unwrap_or(u64::MAX)
}

/// Words of one row of a table of `width` columns: codes of 8 bits, then a scale for each group.
///
/// # Panics
/// If `width` is 2³² or more.
#[must_use]
pub fn row_words(width: u64) -> u64 {
    assert!(width < 1 << 32, "a row of {width} values");
    let groups = width.div_ceil(GROUP as u64);
    groups * Bits::Eight.code_words() as u64 + groups.div_ceil(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_figure() {
        assert_eq!([Bits::Four.block_words(), Bits::Eight.block_words()], [288, 544]);
        assert_eq!(blocks([65, 33]), [2, 2]);
        assert_eq!(matrix_words([65, 33], Bits::Four), 4 * 288);
        assert_eq!(matrix_words([4096, 4096], Bits::Four) * 4, 64 * 128 * 1152, "4.5 bits a weight");
        // 64 columns: 16 words of codes and one of scales; 65 columns: 24 words of codes, two of scales.
        assert_eq!([row_words(64), row_words(65)], [17, 26]);
        assert_eq!(matrix_words([u64::from(u32::MAX); 2], Bits::Eight), 67_108_864 * 134_217_728 * 544);
    }
}
