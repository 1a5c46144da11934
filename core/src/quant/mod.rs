//! Packed weights: int4 and int8, symmetric, one f16 scale for each 32 values along the input dimension.
//!
//! A matrix is `[N = d_out, K = d_in]`, `N` padded to a multiple of 64 and `K` to one of 32, with code 0 and scale 0. Its
//! blocks lie one after the other, along `K` first, each a run of 32-bit words:
//!
//! ```text
//!          K: group 0   group 1                 block (i, g) at word (i·K/32 + g) · 288 (int4) or · 544 (int8)
//!         ┌──────────┬──────────┬──              ┌───────────┬───────────┬───┬────────────┬────────────────────┐
//!  rows   │  block   │  block   │                │ row 0     │ row 1     │ … │ row 63     │ 64 scales, f16     │
//!  0..64  │   0, 0   │   0, 1   │                │ 4 words   │ 4 words   │   │ 4 words    │ 32 words           │ int4
//!         ├──────────┼──────────┼──              │ 8 words   │ 8 words   │   │ 8 words    │ 32 words           │ int8
//!  rows   │   1, 0   │   1, 1   │                └───────────┴───────────┴───┴────────────┴────────────────────┘
//!  64..   │          │          │                 scales: low half of word n is row 2n, high half row 2n + 1
//!
//!  int4, word w of a row    byte 0     byte 1     byte 2     byte 3          int8, word w of a row
//!                          ┌────┬────┬────┬────┬────┬────┬────┬────┐        ┌────────┬────────┬────────┬────────┐
//!   element within group   │8w+4│8w  │8w+5│8w+1│8w+6│8w+2│8w+7│8w+3│        │ 4w     │ 4w + 1 │ 4w + 2 │ 4w + 3 │
//!                          └────┴────┴────┴────┴────┴────┴────┴────┘        └────────┴────────┴────────┴────────┘
//!                           high low  high low  high low  high low           two's complement
//!                           code + 8, so 1 to 15 (padding 8)
//! ```
//!
//! So `w & 0x0f0f0f0f` and `(w >> 4) & 0x0f0f0f0f` are four codes of a dot product each. A value is `code · scale`. The
//! scale is near `max|w| / 7` (int4) or `max|w| / 127` (int8); codes are rounded by the scale that is stored, so
//! `|w - code·scale| <= scale / 2`, and weights that lie on such a grid already come back exactly. Where a layer's inputs
//! are known ([`Moments`]), codes and scales are those with the least error of its outputs instead.
//!
//! A table that is read row by row (the token embedding) is always int8, row-major: `K/4` words of codes as above, then
//! `⌈K/64⌉` words of scales, low half first. Whole rows can be fetched from it.

mod group;
mod layout;
mod moments;
pub(crate) mod pack;
mod packed;
mod stripe;

pub use self::layout::{BLOCK_ROWS, Bits, GROUP, SCALE_WORDS, blocks, matrix_words, row_words};
pub use self::moments::Moments;
pub use self::pack::{pack, pack_for, pack_rows, product, scales_are_sound, unpack, unpack_row};
pub use self::packed::Packed;
pub use self::stripe::add_stripe;
