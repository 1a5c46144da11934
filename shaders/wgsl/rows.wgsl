// Shared: four neighbours of a row, at any width.

fn x_at(row: u32, k4: u32) -> vec4<f32> {
#if VEC
    return vec4<f32>(x[row * (p.inner / 4u) + k4]);
#else
    let k = 4u * k4;
    let at = row * p.inner;
    let last = p.inner - 1u;
    let four = vec4<{elem}>(x[at + min(k, last)], x[at + min(k + 1u, last)], x[at + min(k + 2u, last)], x[at + min(k + 3u, last)]);
    return select(vec4<f32>(0.0), vec4<f32>(four), vec4<u32>(k, k + 1u, k + 2u, k + 3u) < vec4<u32>(p.inner));
#endif
}
