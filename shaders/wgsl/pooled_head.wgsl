// logits = rms_norm(x of a note's last token)·Wᵀ, each note with the head of its own task.
//
// The norm costs no pass of its own: its gain is applied on the way, and its divisor, a sum of squares gathered in the
// same loop, at the end. Eight labels of eight notes for each workgroup of 64, as in `lora_down.wgsl`.
//
// Dispatch: x = ceil(L / 8), y = ceil(B / 8).
#if F16
enable f16;
#endif

struct Params {
    notes: u32,  // B
    labels: u32, // L
    inner: u32,  // K
    eps: f32,
}

#if VEC
@group(0) @binding(0) var<storage, read> x: array<vec4<{elem}>>; // [M, K/4]
@group(0) @binding(1) var<storage, read> gain: array<vec4<{elem}>>; // [K/4]
@group(0) @binding(2) var<storage, read> head: array<vec4<{elem}>>; // [heads, L, K/4]
#else
@group(0) @binding(0) var<storage, read> x: array<{elem}>; // [M, K]
@group(0) @binding(1) var<storage, read> gain: array<{elem}>; // [K]
@group(0) @binding(2) var<storage, read> head: array<{elem}>; // [heads, L, K]
#endif
@group(0) @binding(3) var<storage, read> places: array<u32>; // [B, 2] row of x, head
@group(0) @binding(4) var<storage, read_write> logits: array<f32>; // [B, L]
@group(0) @binding(5) var<uniform> p: Params;

const WG_SIZE = 64u;

var<workgroup> sh_sums: array<f32, 512>; // [8 labels, 8 notes, 8 slices]
var<workgroup> sh_squares: array<f32, 64>; // [8 notes, 8 slices]

#include rows

fn gain_at(k4: u32) -> vec4<f32> {
#if VEC
    return vec4<f32>(gain[k4]);
#else
    let k = 4u * k4;
    let last = p.inner - 1u;
    return vec4<f32>(f32(gain[k]), f32(gain[min(k + 1u, last)]), f32(gain[min(k + 2u, last)]), f32(gain[min(k + 3u, last)]));
#endif
}

fn head_at(row: u32, k4: u32) -> vec4<f32> {
#if VEC
    return vec4<f32>(head[row * (p.inner / 4u) + k4]);
#else
    // What is read beyond K meets a zero of x.
    let at = row * p.inner;
    let k = 4u * k4;
    let last = p.inner - 1u;
    return vec4<f32>(
        f32(head[at + k]), f32(head[at + min(k + 1u, last)]), f32(head[at + min(k + 2u, last)]), f32(head[at + min(k + 3u, last)]));
#endif
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let slice = t & 7u;
    let note = tile.y * 8u + (t >> 3u);
    let live_row = min(note, p.notes - 1u);
    let row = places[2u * live_row];
    let first = places[2u * live_row + 1u] * p.labels;
    let k4s = (p.inner + 3u) / 4u;
    var squares = 0.0;
#for j 8
    var c{j} = 0.0;
    let label_{j} = first + min(tile.x * 8u + {j}u, p.labels - 1u);
#endfor
    for (var k4 = slice; k4 < k4s; k4 += 8u) {
        let four = x_at(row, k4);
        let scaled = four * gain_at(k4);
        squares += dot(four, four);
#for j 8
        c{j} += dot(scaled, head_at(label_{j}, k4));
#endfor
    }
    sh_squares[t] = squares;
#for j 8
    sh_sums[{j}u * 64u + t] = c{j};
#endfor
    workgroupBarrier();
    let at = t & 56u;
    var sum = 0.0;
    var square = 0.0;
#for j 8
    sum += sh_sums[slice * 64u + at + {j}u];
    square += sh_squares[at + {j}u];
#endfor
    let label = tile.x * 8u + slice;
    if (note < p.notes && label < p.labels) {
        logits[note * p.labels + label] = sum * inverseSqrt(square / f32(p.inner) + p.eps);
    }
}
