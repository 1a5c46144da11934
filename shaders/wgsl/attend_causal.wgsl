// Causal attention with grouped queries: y = softmax(q·kᵀ / √E)·v over the keys a token may see.
//
// Flash attention (Dao et al. 2022, arXiv 2205.14135): keys come in tiles of 32, and running maxima and sums of f32
// stand in for the rows of scores. Padding stands to the right, so the causal mask hides it too. Keys may outnumber
// queries: the last query sees all of them. Sixteen queries of one head for each workgroup of 64. Scores: thread
// (key, half) takes one key against eight queries. Sums: thread (query, lane) owns every fourth vector of its query.
// q, k and v may have any strides but over E; y is contiguous [B, T, H, E], as the next projection reads it.
//
// Dispatch: x = ceil(T / 16), y = H, z = B. E is at most 128.
#if F16
enable f16;
#endif

#include heads

const WG_SIZE = 64u;
const LEAST = -3.0e38;

var<workgroup> sh_q: array<vec4<f32>, 512>; // [32, 16]: four neighbours of E, then a query
var<workgroup> sh_p: array<f32, 544>; // [16, 34]: a query, then a key; two columns keep the banks apart
var<workgroup> sh_max: array<f32, 16>;
var<workgroup> sh_sum: array<f32, 16>;
var<workgroup> sh_fade: array<f32, 16>; // what the sums so far are multiplied by

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let first = tile.x * 16u;
    let head = tile.y;
    let note = tile.z;
    let k4s = (p.width + 3u) / 4u;
    let q_from = note * p.q_b + head * p.q_h;
    let k_from = note * p.k_b + (head / p.group) * p.k_h;
    let v_from = note * p.v_b + (head / p.group) * p.v_h;
    let before = p.keys - p.tokens; // keys every query sees
    for (var i = t; i < k4s * 16u; i += WG_SIZE) {
        let query = min(first + (i & 15u), p.tokens - 1u);
        sh_q[i] = q_at(q_from + query * p.q_t, i >> 4u) * p.scale;
    }
    if (t < 16u) {
        sh_max[t] = LEAST;
        sh_sum[t] = 0.0;
    }
    workgroupBarrier();
    // Scores: one key, eight queries.
    let key_in = t & 31u;
    let half = (t >> 5u) * 8u;
    // Sums: one query, every fourth vector.
    let query_in = t >> 2u;
    let lane = t & 3u;
#for i 8
    var o{i} = vec4<f32>(0.0);
#endfor
    let seen = min(before + first + 16u, p.keys); // by the last query of the tile
    for (var key_0 = 0u; key_0 < seen; key_0 += 32u) {
        let key = min(key_0 + key_in, p.keys - 1u);
#for i 8
        var s{i} = 0.0;
#endfor
        for (var e4 = 0u; e4 < k4s; e4++) {
            let four = k_at(k_from + key * p.k_t, e4);
            let at = e4 * 16u + half;
#for i 8
            s{i} += dot(sh_q[at + {i}u], four);
#endfor
        }
#for i 8
        sh_p[(half + {i}u) * 34u + key_in] = select(LEAST, s{i}, key_0 + key_in <= before + first + half + {i}u && key_0 + key_in < p.keys);
#endfor
        workgroupBarrier();
        if (t < 16u) {
            let was = sh_max[t];
            var most = was;
            for (var i = 0u; i < 32u; i++) { most = max(most, sh_p[t * 34u + i]); }
            let fade = exp(was - most);
            var sum = sh_sum[t] * fade;
            for (var i = 0u; i < 32u; i++) {
                let e = exp(sh_p[t * 34u + i] - most);
                sh_p[t * 34u + i] = e;
                sum += e;
            }
            sh_max[t] = most;
            sh_sum[t] = sum;
            sh_fade[t] = fade;
        }
        workgroupBarrier();
        let fade = sh_fade[query_in];
#for i 8
        o{i} *= fade;
#endfor
        let count = min(32u, p.keys - key_0);
        for (var i = 0u; i < count; i++) {
            let weight = sh_p[query_in * 34u + i];
            let at = v_from + (key_0 + i) * p.v_t;
#for i 8
            if (lane + {i}u * 4u < k4s) { o{i} += weight * v_at(at, lane + {i}u * 4u); }
#endfor
        }
        workgroupBarrier();
    }
    let query = first + query_in;
    if (query >= p.tokens) { return; }
    let share = 1.0 / sh_sum[query_in];
    let to = ((note * p.tokens + query) * p.heads + head) * p.width;
#for i 8
    {
        let e = (lane + {i}u * 4u) * 4u;
        let four = o{i} * share;
        if (e < p.width) { y[to + e] = {elem}(four.x); }
        if (e + 1u < p.width) { y[to + e + 1u] = {elem}(four.y); }
        if (e + 2u < p.width) { y[to + e + 2u] = {elem}(four.z); }
        if (e + 3u < p.width) { y[to + e + 3u] = {elem}(four.w); }
    }
#endfor
}
