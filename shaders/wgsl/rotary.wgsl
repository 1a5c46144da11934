// y = x·cos + rotate_half(x)·sin: rotary positions in the layout of Hugging Face checkpoints.
//
// x may have any strides, so heads need not be moved in memory first; y is contiguous [B, H, T, E].
//
// Dispatch: x = min(ceil(B·H·T·E/2 / 64), 65535), y for the rest.
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
}

@group(0) @binding(0) var<storage, read> x: array<{elem}>; // [B, H, T, E], strided
@group(0) @binding(1) var<storage, read> cosine: array<{elem}>; // [T, E]
@group(0) @binding(2) var<storage, read> sine: array<{elem}>; // [T, E]
@group(0) @binding(3) var<storage, read_write> y: array<{elem}>; // [B, H, T, E]
@group(0) @binding(4) var<uniform> p: Params;

const WG_SIZE = 64u;

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let pair = (tile.y * 65535u + tile.x) * WG_SIZE + thread;
    if (pair >= p.pairs) { return; }
    let e = pair % p.half;
    let row = pair / p.half;
    let t = row % p.tokens;
    let h = (row / p.tokens) % p.heads;
    let at = (row / p.tokens / p.heads) * p.stride_b + h * p.stride_h + t * p.stride_t + e * p.stride_e;
    let first = f32(x[at]);
    let second = f32(x[at + p.half * p.stride_e]);
    let angle = t * 2u * p.half + e;
    let to = row * 2u * p.half + e;
    y[to] = {elem}(first * f32(cosine[angle]) - second * f32(sine[angle]));
    y[to + p.half] = {elem}(second * f32(cosine[angle + p.half]) + first * f32(sine[angle + p.half]));
}
