// Shared: shape and buffers of a product with packed matrices.

struct Params {
    rows: u32,      // M
    cols: u32,      // N, F with SWIGLU, all columns and their padding with QKV
    inner: u32,     // K
    blocks_k: u32,  // ceil(K / 32)
    rank: u32,      // R, a multiple of 4
    z_cols: u32,    // columns of Z: R for each projection that shares x
    segment_1: u32, // first column of the second matrix with QKV, a multiple of 64
    segment_2: u32, // first column of the third matrix
}

#if VEC
@group(0) @binding({next}) var<storage, read> x: array<vec4<{elem}>>; // [M, K/4]
#else
@group(0) @binding({next}) var<storage, read> x: array<{elem}>; // [M, K]
#endif
@group(0) @binding({next}) var<storage, read> w: array<u32>; // [N/64, K/32] blocks
#if SWIGLU
@group(0) @binding({next}) var<storage, read> w1: array<u32>; // [F/64, K/32] blocks, the up projection
#endif
#if QKV
@group(0) @binding({next}) var<storage, read> w1: array<u32>; // [N1/64, K/32] blocks
@group(0) @binding({next}) var<storage, read> w2: array<u32>; // [N2/64, K/32] blocks
#endif
#if LORA
@group(0) @binding({next}) var<storage, read> z: array<vec4<{elem}>>; // [M, z_cols/4]
@group(0) @binding({next}) var<storage, read> b: array<vec4<{elem}>>; // [S, N, R/4], scaled
@group(0) @binding({next}) var<storage, read> adapters: array<u32>; // [M] adapter of a row, then [M/64, 2] first and last of a tile
#endif
#if RESIDUAL
@group(0) @binding({next}) var<storage, read> r: array<{elem}>; // [M, cols]
#endif
@group(0) @binding({next}) var<storage, read_write> y: array<{elem}>; // [M, cols]
@group(0) @binding({next}) var<uniform> p: Params;
