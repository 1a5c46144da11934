// Shared: queries, keys and values of attention, at any strides but over E.

struct Params {
    tokens: u32,   // T
    keys: u32,     // S, at least T
    width: u32,    // E, at most 128
    heads: u32,    // H
    group: u32,    // query heads that share a key/value head
    scale: f32,    // 1 / sqrt(E)
    q_b: u32, q_h: u32, q_t: u32, // strides, in elements
    k_b: u32, k_h: u32, k_t: u32,
    v_b: u32, v_h: u32, v_t: u32,
    spare: u32,
}

#if VEC
@group(0) @binding(0) var<storage, read> q: array<vec4<{elem}>>; // [B, H, T, E/4], strided
@group(0) @binding(1) var<storage, read> k: array<vec4<{elem}>>; // [B, H/group, S, E/4], strided
@group(0) @binding(2) var<storage, read> v: array<vec4<{elem}>>; // [B, H/group, S, E/4], strided
#else
@group(0) @binding(0) var<storage, read> q: array<{elem}>; // [B, H, T, E], strided
@group(0) @binding(1) var<storage, read> k: array<{elem}>; // [B, H/group, S, E], strided
@group(0) @binding(2) var<storage, read> v: array<{elem}>; // [B, H/group, S, E], strided
#endif
@group(0) @binding(3) var<storage, read_write> y: array<{elem}>; // [B, T, H, E]
@group(0) @binding(4) var<uniform> p: Params;

fn q_at(at: u32, e4: u32) -> vec4<f32> {
#if VEC
    return vec4<f32>(q[at / 4u + e4]);
#else
    let e = 4u * e4;
    let last = p.width - 1u;
    let four = vec4<f32>(f32(q[at + e]), f32(q[at + min(e + 1u, last)]), f32(q[at + min(e + 2u, last)]), f32(q[at + min(e + 3u, last)]));
    return select(vec4<f32>(0.0), four, vec4<u32>(e, e + 1u, e + 2u, e + 3u) < vec4<u32>(p.width));
#endif
}

// Beyond E a key is multiplied by the zeros of q, and a value is not written: what they read there is of no matter.
fn k_at(at: u32, e4: u32) -> vec4<f32> {
#if VEC
    return vec4<f32>(k[at / 4u + e4]);
#else
    let e = 4u * e4;
    let last = p.width - 1u;
    return vec4<f32>(f32(k[at + e]), f32(k[at + min(e + 1u, last)]), f32(k[at + min(e + 2u, last)]), f32(k[at + min(e + 3u, last)]));
#endif
}

fn v_at(at: u32, e4: u32) -> vec4<f32> {
#if VEC
    return vec4<f32>(v[at / 4u + e4]);
#else
    let e = 4u * e4;
    let last = p.width - 1u;
    return vec4<f32>(f32(v[at + e]), f32(v[at + min(e + 1u, last)]), f32(v[at + min(e + 2u, last)]), f32(v[at + min(e + 3u, last)]));
#endif
}
