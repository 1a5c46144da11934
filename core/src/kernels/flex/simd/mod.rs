//! Bodies for WebAssembly, written in its vectors of 128 bits: there Burn's products run without any.
//!
//! Reading order: [`integer`] multiplies with packed weights, which is nearly all the work of a pass; [`float`] is the small
//! product that [`attention`] and LoRA deltas are made of. Natively the same sources run on the plain-Rust vectors of
//! `lanes`, in tests alone.

pub(super) mod attention;
pub(super) mod float;
pub(super) mod integer;
mod lanes;

/// Columns of an output tile: two vectors.
const OCTET: usize = 8;

/// Rows of an output tile: with two vectors each, their sums and what is multiplied fit into 16 registers.
const TILE_ROWS: usize = 4;
