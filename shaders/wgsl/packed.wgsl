// Shared: reading packed weights, laid out as `shaders/src/packed.rs` says.
//
// A matrix [N, K] is N/64 by K/32 blocks. A block holds the codes of 64 rows and then 32 words of 64 f16 scales, two to a
// word. An int4 word carries elements 8w+j in the low nibble of byte j and 8w+4+j in its high nibble, as code + 8; an
// int8 word carries four codes in two's complement.

#if INT4
const WORDS_A_ROW = 4u;
#else
const WORDS_A_ROW = 8u;
#endif
const BLOCK_WORDS = 64u * WORDS_A_ROW + 32u;

// A word of the matrix `part` of those that share x.
fn word_at(part: u32, at: u32) -> u32 {
#if QKV
    if (part == 1u) { return w1[at]; }
    if (part == 2u) { return w2[at]; }
#endif
#if SWIGLU
    if (part == 1u) { return w1[at]; }
#endif
    return w[at];
}

// Scale of row `row` (0 to 63) of the block that begins at word `block`.
fn scale_at(part: u32, block: u32, row: u32) -> f32 {
    let pair = unpack2x16float(word_at(part, block + 64u * WORDS_A_ROW + (row >> 1u)));
    return select(pair.x, pair.y, (row & 1u) == 1u);
}

#if INT4
// Elements 8w to 8w+3 of an int4 word, without their scale.
fn codes_low(word: u32) -> vec4<f32> {
    return vec4<f32>(vec4<u32>(word & 15u, (word >> 8u) & 15u, (word >> 16u) & 15u, (word >> 24u) & 15u)) - 8.0;
}

// Elements 8w+4 to 8w+7 of an int4 word, without their scale.
fn codes_high(word: u32) -> vec4<f32> {
    return codes_low(word >> 4u);
}
#else
// The four elements of an int8 word, without their scale.
fn codes(word: u32) -> vec4<f32> {
    let w = bitcast<i32>(word);
    return vec4<f32>(vec4<i32>((w << 24u) >> 24u, (w << 16u) >> 24u, (w << 8u) >> 24u, w >> 24u));
}
#endif
