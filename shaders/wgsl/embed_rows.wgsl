// y = rows of an int8 embedding table, by token id. A table larger than a binding comes in shards of rows: each dispatch
// writes the tokens that lie in its shard, and all of them together write every token.
//
// A row of the table is K/4 words of four codes and then ceil(K/32 / 2) words of f16 scales, one for 32 elements.
//
// Dispatch: x = min(ceil(M·K/4 / 64), 65535), y for the rest.
#if F16
enable f16;
#endif

struct Params {
    tokens: u32,    // M
    inner: u32,     // K, a multiple of 4
    row_words: u32, // words of a row
    first: u32,     // first row of this shard
    rows: u32,      // rows of this shard
    spare_1: u32,
    spare_2: u32,
    spare_3: u32,
}

@group(0) @binding(0) var<storage, read> ids: array<u32>; // [M]
@group(0) @binding(1) var<storage, read> table: array<u32>; // [rows, row_words]
@group(0) @binding(2) var<storage, read_write> y: array<vec4<{elem}>>; // [M, K/4]
@group(0) @binding(3) var<uniform> p: Params;

const WG_SIZE = 64u;

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let at = (tile.y * 65535u + tile.x) * WG_SIZE + t;
    let words = p.inner / 4u;
    if (at >= p.tokens * words) { return; }
    let row = ids[at / words] - p.first; // an id below the shard wraps to a row far above it
    if (row >= p.rows) { return; }
    let word = at % words;
    let group = word / 8u;
    let pair = unpack2x16float(table[row * p.row_words + words + group / 2u]);
    let scale = select(pair.x, pair.y, (group & 1u) == 1u);
    let w = bitcast<i32>(table[row * p.row_words + word]);
    let codes = vec4<i32>((w << 24u) >> 24u, (w << 16u) >> 24u, (w << 8u) >> 24u, w >> 24u);
    y[at] = vec4<{elem}>(vec4<f32>(codes) * scale);
}
