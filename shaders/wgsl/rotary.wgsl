// y = x·cos + rotate_half(x)·sin: rotary positions in the layout of Hugging Face checkpoints.
//
// x may have any strides, so heads need not be moved in memory first; y is contiguous [B, H, T, E]. With BOTH the queries
// and keys of a layer, which differ in heads and strides alone.
//
// Dispatch: x = min(ceil(B·H·T·E/2 / 64), 65535), y for the rest; H of both together with BOTH.
#if F16
enable f16;
#endif

struct Params {
    heads: u32,    // H
    tokens: u32,   // T
    half: u32,     // E/2
    pairs: u32,    // B·H·T·E/2
    stride_b: u32, // strides of x, in elements
    stride_h: u32,
    stride_t: u32,
    stride_e: u32,
#if BOTH
    heads_2: u32,
    pairs_2: u32,
    stride_2_b: u32,
    stride_2_h: u32,
    stride_2_t: u32,
    stride_2_e: u32,
#endif
}

@group(0) @binding({next}) var<storage, read> x: array<{elem}>; // [B, H, T, E], strided
#if BOTH
@group(0) @binding({next}) var<storage, read> x_2: array<{elem}>; // [B, H of the second, T, E], strided
#endif
@group(0) @binding({next}) var<storage, read> cosine: array<{elem}>; // [T, E]
@group(0) @binding({next}) var<storage, read> sine: array<{elem}>; // [T, E]
@group(0) @binding({next}) var<storage, read_write> y: array<{elem}>; // [B, H, T, E]
#if BOTH
@group(0) @binding({next}) var<storage, read_write> y_2: array<{elem}>; // [B, H of the second, T, E]
#endif
@group(0) @binding({next}) var<uniform> p: Params;

const WG_SIZE = 64u;

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let pair = (tile.y * 65535u + tile.x) * WG_SIZE + thread;
    if (pair < p.pairs) {
        let at = place(pair, p.heads, vec4<u32>(p.stride_b, p.stride_h, p.stride_t, p.stride_e));
        let turned = turn(f32(x[at.first]), f32(x[at.first + p.half * p.stride_e]), at.angle);
        y[at.to] = {elem}(turned.x);
        y[at.to + p.half] = {elem}(turned.y);
    }
#if BOTH
    if (pair >= p.pairs && pair - p.pairs < p.pairs_2) {
        let at = place(pair - p.pairs, p.heads_2, vec4<u32>(p.stride_2_b, p.stride_2_h, p.stride_2_t, p.stride_2_e));
        let turned = turn(f32(x_2[at.first]), f32(x_2[at.first + p.half * p.stride_2_e]), at.angle);
        y_2[at.to] = {elem}(turned.x);
        y_2[at.to + p.half] = {elem}(turned.y);
    }
#endif
}

// Where the first element of a pair is read and where it is written, and its angle.
struct Place {
    first: u32,
    to: u32,
    angle: u32,
}

fn place(pair: u32, heads: u32, stride: vec4<u32>) -> Place {
    let e = pair % p.half;
    let row = pair / p.half;
    let t = row % p.tokens;
    let h = (row / p.tokens) % heads;
    let first = (row / p.tokens / heads) * stride.x + h * stride.y + t * stride.z + e * stride.w;
    return Place(first, row * 2u * p.half + e, t * 2u * p.half + e);
}

fn turn(first: f32, second: f32, angle: u32) -> vec2<f32> {
    return vec2<f32>(
        first * f32(cosine[angle]) - second * f32(sine[angle]),
        second * f32(cosine[angle + p.half]) + first * f32(sine[angle + p.half]),
    );
}
