//! Every shader on a Vulkan device, Mesa's lavapipe where there is no GPU, against its twin. Without a device these tests
//! fail: a suite that skips its subject passes for years.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod gpu;

use clinlora_shaders::attend_causal::MOST_WIDTH;
use clinlora_shaders::cases::{self, Case};
use clinlora_shaders::lora_down::Down;
use clinlora_shaders::matmul_packed::{Form, Product};
use clinlora_shaders::packed::Bits;
use clinlora_shaders::{Elem, SHADERS};
use gpu::Gpu;

/// Runs the cases and prints the largest difference of each shader.
fn check(gpu: &Gpu, cases: Vec<Case>) -> Vec<&'static str> {
    let mut names = Vec::new();
    for case in cases {
        let name = case.launch.shader.name;
        match gpu.check(&case) {
            Ok(worst) => println!("{name:45} {worst:.1e} of {:.0e}", case.tolerance),
            Err(wrong) => panic!("{name}, parameters {:?}: {wrong}", case.launch.params),
        }
        names.push(name);
    }
    names
}

#[test]
fn every_permutation_passes_the_check_a_program_starts_with() {
    let gpu = Gpu::new();
    let mut names = check(&gpu, cases::small(Elem::F32));
    names.extend(check(&gpu, cases::small(Elem::F16)));
    let missed: Vec<_> =
        SHADERS.iter().map(|shader| shader.name).filter(|name| !names.contains(name)).collect();
    assert!(missed.is_empty(), "never run: {missed:?}");
}

#[test]
fn products_equal_their_twins_at_any_size() {
    let gpu = Gpu::new();
    let mut cases = Vec::new();
    let mut seed = 100;
    for (rows, cols, inner) in
        [(1, 1, 1), (31, 33, 32), (64, 64, 64), (65, 131, 97), (9, 257, 288), (129, 67, 31)]
    {
        for (bits, elem) in [(Bits::Int4, Elem::F32), (Bits::Int8, Elem::F32), (Bits::Int4, Elem::F16)] {
            for form in [Form::Plain, Form::Residual, Form::Swiglu, Form::Qkv([64, 192])] {
                for rank in [None, Some(4), Some(20)] {
                    // Three matrices side by side are wider than two of them.
                    let cols = if form.matrices() == 3 { cols + 192 } else { cols };
                    // Two odd sizes of those that are long to compile.
                    let is_long = elem == Elem::F16 || rank == Some(4) || ![9, 65].contains(&rows);
                    let ways: &[bool] = if is_long { &[false] } else { &[false, true] };
                    for in_software in ways.iter().copied() {
                        seed += 1;
                        let product = Product { rows, cols, inner, bits, elem, form, rank, in_software };
                        cases.push(cases::matmul(product, seed));
                    }
                }
            }
        }
    }
    check(&gpu, cases);
}

#[test]
fn the_other_kernels_equal_their_twins_at_any_size() {
    let gpu = Gpu::new();
    let mut cases = Vec::new();
    for elem in [Elem::F32, Elem::F16] {
        let ways: &[bool] = if elem == Elem::F32 { &[false, true] } else { &[false] };
        for (rows, inner) in [(1, 1), (33, 31), (257, 64), (3, 1757)] {
            for norm_eps in [None, Some(1e-5)] {
                cases.push(cases::down(Down { rows, cols: 24, inner, stacks: 3, elem, norm_eps }, 1));
            }
            cases.push(cases::norm(rows, inner, elem, 2));
            cases.push(cases::head(rows, 711, inner, elem, 4));
            cases.push(cases::gated(rows * inner, elem, 5));
            cases.push(cases::embedded(rows, inner.next_multiple_of(4), elem, 6));
            cases.push(cases::turn([2, 3, rows, 2 * inner], elem, 7));
            cases.push(cases::turn_both([2, 6, rows, 2 * inner.min(64)], 3, elem, 3));
        }
        for (tokens, keys, width) in
            [(1, 1, 2), (16, 16, 64), (31, 31, 7), (67, 70, 48), (33, 97, MOST_WIDTH)]
        {
            for in_software in ways.iter().copied() {
                cases.push(cases::attention([2, 6, 2], tokens, keys, width, elem, in_software, 8));
                cases.push(cases::attention([1, 3, 3], tokens, keys, width, elem, in_software, 9));
            }
        }
    }
    check(&gpu, cases);
}

#[test]
fn a_wrong_answer_is_noticed() {
    let gpu = Gpu::new();
    let mut case = cases::gated(100, Elem::F32, 1);
    if let Some(cases::Buffer::Output { expected, .. }) = case.buffers.last_mut() {
        expected[57] += 0.01;
    }
    assert!(gpu.check(&case).unwrap_err().starts_with("[57]"));
}

/// `cargo test -p clinlora-shaders --profile checked -- --ignored --nocapture speed` prints times, and how many times as long as the
/// plain dense product of the same multiply-adds each packed one takes. The environment chooses the Vulkan driver.
#[test]
#[ignore = "prints figures; needs a quiet machine"]
fn speed_beside_the_plain_product() {
    let gpu = Gpu::new();
    for [rows, cols, inner] in [[128, 288, 288], [128, 768, 288], [128, 288, 768], [512, 768, 288]] {
        let plain = gpu.time_plain([rows, cols, inner], 5);
        let gflops = 2e-9 * f64::from(rows * cols * inner) / plain.as_secs_f64();
        println!("[{rows}, {cols}, {inner}]: plain {plain:.1?}, {gflops:.2} GFLOP/s");
        for bits in [Bits::Int4, Bits::Int8] {
            for elem in [Elem::F32, Elem::F16] {
                for rank in [None, Some(16)] {
                    if elem == Elem::F16 && !gpu.has_f16() {
                        continue;
                    }
                    let [rows, cols, inner] = [rows, cols, inner].map(|size| size as usize);
                    for in_software in [false, true] {
                        let form = Form::Plain;
                        let product = Product { rows, cols, inner, bits, elem, form, rank, in_software };
                        let case = cases::matmul(product, 1);
                        let time = gpu.time(&case, 5);
                        let ratio = time.as_secs_f64() / plain.as_secs_f64();
                        println!("    {:40} {time:.1?}, {ratio:.2} of plain", case.launch.shader.name);
                    }
                }
            }
        }
    }
}
