//! Rows of an int8 embedding table: see `wgsl/embed_rows.wgsl`.

use std::ops::Range;

use crate::matmul_packed::word;
use crate::packed::{embedding_row_words, half_of};
use crate::{Elem, Launch, Shader, line};

/// The dispatch that writes, of `tokens` tokens, those whose ids lie in `rows`: one for each shard of the table.
///
/// # Panics
/// If `inner` is no multiple of 4.
#[must_use]
pub fn launch(tokens: usize, inner: usize, rows: &Range<usize>, elem: Elem) -> Launch {
    assert!(inner.is_multiple_of(4), "an embedding of {inner} columns has no whole words");
    let row_words = embedding_row_words(inner);
    Launch {
        shader: Shader::find("embed_rows", &[elem.flag()]),
        params: [tokens, inner, row_words, rows.start, rows.len(), 0, 0, 0].map(word).into(),
        groups: line(word((tokens * inner / 4).div_ceil(64))),
    }
}

/// What all dispatches together compute, `[M, K]`, of the whole table.
#[must_use]
pub fn twin(ids: &[u32], table: &[u32], inner: usize) -> Vec<f32> {
    let row_words = embedding_row_words(inner);
    let mut y = Vec::with_capacity(ids.len() * inner);
    for id in ids {
        let row = &table[*id as usize * row_words..][..row_words];
        for k in 0..inner {
            let code = row[k / 4].to_le_bytes()[k % 4].cast_signed();
            y.push(f32::from(code) * half_of(row[inner / 4 + k / 64], k / 32));
        }
    }
    y
}
