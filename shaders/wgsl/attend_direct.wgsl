// The attention of `attend_causal.wgsl` without workgroup memory: for adapters that are programs, as `matmul_direct.wgsl` is.
//
// An invocation owns eight queries of one head and 64 columns of their result. It takes four keys at a time: scores, then
// the running maxima and sums, then the values, each read once for the eight.
//
// Dispatch: x = ceil(T / 64), y = H * ceil(E / 64), z = B. E is at most 128.
#include heads

const WG_SIZE = 8u;
const LEAST = -3.0e38;

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let first = (tile.x * WG_SIZE + t) * 8u;
    if (first >= p.tokens) { return; }
    let head = tile.y % p.heads;
    let c4 = tile.y / p.heads * 16u; // first column of the result, in fours
    let note = tile.z;
    let k4s = (p.width + 3u) / 4u;
    let q_from = note * p.q_b + head * p.q_h;
    let k_from = note * p.k_b + (head / p.group) * p.k_h;
    let v_from = note * p.v_b + (head / p.group) * p.v_h;
    let before = p.keys - p.tokens; // keys every query sees
#for i 8
    let q_{i} = q_from + min(first + {i}u, p.tokens - 1u) * p.q_t;
    var most_{i} = LEAST;
    var sum_{i} = 0.0;
#for e 16
    var o{i}_{e} = vec4<f32>(0.0);
#endfor
#endfor

    let seen = min(before + first + 8u, p.keys); // by the last of the eight queries
    for (var key_0 = 0u; key_0 < seen; key_0 += 4u) {
#for j 4
        let key_{j} = min(key_0 + {j}u, p.keys - 1u);
#endfor
#for i 8
        var s{i} = vec4<f32>(0.0);
#endfor
        for (var e4 = 0u; e4 < k4s; e4++) {
#for j 4
            let k{j} = k_at(k_from + key_{j} * p.k_t, e4);
#endfor
#for i 8
            {
                let four = q_at(q_{i}, e4);
                s{i} += vec4<f32>(dot(four, k0), dot(four, k1), dot(four, k2), dot(four, k3));
            }
#endfor
        }
#for i 8
        // The last query sees every key, those before it one less each; a key beyond the last stands for none.
        let is_seen_{i} = vec4<u32>(key_0, key_0 + 1u, key_0 + 2u, key_0 + 3u) <= vec4<u32>(min(before + first + {i}u, p.keys - 1u));
        s{i} = select(vec4<f32>(LEAST), s{i} * p.scale, is_seen_{i});
        let top_{i} = max(max(s{i}.x, s{i}.y), max(s{i}.z, s{i}.w));
        if (top_{i} > most_{i}) {
            let fade = exp(most_{i} - top_{i});
            most_{i} = top_{i};
            sum_{i} *= fade;
#for e 16
            o{i}_{e} *= fade;
#endfor
        }
        let w{i} = exp(s{i} - most_{i});
        sum_{i} += w{i}.x + w{i}.y + w{i}.z + w{i}.w;
#endfor
#for e 16
        if (c4 + {e}u < k4s) {
#for j 4
            let v{j} = v_at(v_from + key_{j} * p.v_t, c4 + {e}u);
#endfor
#for i 8
            o{i}_{e} += w{i}.x * v0 + w{i}.y * v1 + w{i}.z * v2 + w{i}.w * v3;
#endfor
        }
#endfor
    }

#for i 8
    if (first + {i}u < p.tokens) {
        let share = 1.0 / sum_{i};
        let to = ((note * p.tokens + first + {i}u) * p.heads + head) * p.width;
#for e 16
        {
            let e = (c4 + {e}u) * 4u;
            let four = o{i}_{e} * share;
            if (e < p.width) { y[to + e] = four.x; }
            if (e + 1u < p.width) { y[to + e + 1u] = four.y; }
            if (e + 2u < p.width) { y[to + e + 2u] = four.z; }
            if (e + 3u < p.width) { y[to + e + 3u] = four.w; }
        }
#endfor
    }
#endfor
}
