//! The vectors: those of WebAssembly, or, for tests on other machines, the same operations in plain Rust.

#[cfg(target_arch = "wasm32")]
pub(super) use core::arch::wasm32::{
    f32x4_abs, f32x4_add, f32x4_convert_i32x4, f32x4_max, f32x4_mul, f32x4_nearest, f32x4_splat, i8x16_splat,
    i8x16_sub, i16x8_extend_high_i8x16, i16x8_extend_low_i8x16, i16x8_narrow_i32x4, i32x4_add,
    i32x4_dot_i16x8, i32x4_shuffle, i32x4_splat, i32x4_trunc_sat_f32x4, u8x16_shr, v128, v128_and, v128_load,
    v128_load32_splat, v128_store,
};
#[cfg(not(target_arch = "wasm32"))]
pub(super) use plain::*;

use super::OCTET;

/// Eight numbers out of two vectors.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
pub(super) fn floats(vectors: [v128; 2]) -> [f32; OCTET] {
    let mut out = [0.0_f32; OCTET];
    // SAFETY: eight numbers are two vectors.
    unsafe {
        v128_store(out.as_mut_ptr().cast(), vectors[0]);
        v128_store(out.as_mut_ptr().add(4).cast(), vectors[1]);
    }
    out
}

/// The largest of four numbers; NaN if one is.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
pub(super) fn largest(vector: v128) -> f32 {
    let vector = f32x4_max(vector, i32x4_shuffle::<2, 3, 0, 1>(vector, vector));
    floats([f32x4_max(vector, i32x4_shuffle::<1, 0, 3, 2>(vector, vector)); 2])[0]
}

#[cfg(not(target_arch = "wasm32"))]
mod plain {
    //! One loop for each operation.

    #[expect(non_camel_case_types, reason = "the name it has in WebAssembly")]
    #[derive(Clone, Copy)]
    pub(in super::super) struct v128([u8; 16]);

    impl v128 {
        fn bytes(self) -> [i8; 16] {
            self.0.map(u8::cast_signed)
        }

        fn halves(self) -> [i16; 8] {
            std::array::from_fn(|i| i16::from_le_bytes([self.0[2 * i], self.0[2 * i + 1]]))
        }

        fn words(self) -> [i32; 4] {
            std::array::from_fn(|i| i32::from_le_bytes(std::array::from_fn(|j| self.0[4 * i + j])))
        }

        fn floats(self) -> [f32; 4] {
            self.words().map(|word| f32::from_bits(word.cast_unsigned()))
        }
    }

    fn of_halves(halves: [i16; 8]) -> v128 {
        v128(std::array::from_fn(|i| halves[i / 2].to_le_bytes()[i % 2]))
    }

    fn of_words(words: [i32; 4]) -> v128 {
        v128(std::array::from_fn(|i| words[i / 4].to_le_bytes()[i % 4]))
    }

    fn of_floats(floats: [f32; 4]) -> v128 {
        of_words(floats.map(|x| x.to_bits().cast_signed()))
    }

    fn both(a: v128, b: v128, f: impl Fn(f32, f32) -> f32) -> v128 {
        let (a, b) = (a.floats(), b.floats());
        of_floats(std::array::from_fn(|i| f(a[i], b[i])))
    }

    pub(in super::super) fn f32x4_abs(a: v128) -> v128 {
        of_floats(a.floats().map(f32::abs))
    }

    pub(in super::super) fn f32x4_add(a: v128, b: v128) -> v128 {
        both(a, b, |a, b| a + b)
    }

    pub(in super::super) fn f32x4_mul(a: v128, b: v128) -> v128 {
        both(a, b, |a, b| a * b)
    }

    pub(in super::super) fn f32x4_max(a: v128, b: v128) -> v128 {
        both(a, b, |a, b| if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) })
    }

    pub(in super::super) fn f32x4_nearest(a: v128) -> v128 {
        of_floats(a.floats().map(f32::round_ties_even))
    }

    pub(in super::super) fn f32x4_splat(a: f32) -> v128 {
        of_floats([a; 4])
    }

    pub(in super::super) fn f32x4_convert_i32x4(a: v128) -> v128 {
        #[expect(clippy::cast_precision_loss, reason = "what the instruction does")]
        of_floats(a.words().map(|a| a as f32))
    }

    pub(in super::super) fn i32x4_trunc_sat_f32x4(a: v128) -> v128 {
        #[expect(clippy::cast_possible_truncation, reason = "what the instruction does")]
        of_words(a.floats().map(|a| a as i32))
    }

    pub(in super::super) fn i32x4_splat(a: i32) -> v128 {
        of_words([a; 4])
    }

    pub(in super::super) fn i32x4_add(a: v128, b: v128) -> v128 {
        let (a, b) = (a.words(), b.words());
        of_words(std::array::from_fn(|i| a[i].wrapping_add(b[i])))
    }

    pub(in super::super) fn i32x4_dot_i16x8(a: v128, b: v128) -> v128 {
        let (a, b) = (a.halves().map(i32::from), b.halves().map(i32::from));
        of_words(std::array::from_fn(|i| (a[2 * i] * b[2 * i]).wrapping_add(a[2 * i + 1] * b[2 * i + 1])))
    }

    pub(in super::super) fn i32x4_shuffle<const I: usize, const J: usize, const K: usize, const L: usize>(
        a: v128,
        b: v128,
    ) -> v128 {
        let all = [a.words(), b.words()].concat();
        of_words([all[I], all[J], all[K], all[L]])
    }

    pub(in super::super) fn i16x8_extend_low_i8x16(a: v128) -> v128 {
        of_halves(std::array::from_fn(|i| i16::from(a.bytes()[i])))
    }

    pub(in super::super) fn i16x8_extend_high_i8x16(a: v128) -> v128 {
        of_halves(std::array::from_fn(|i| i16::from(a.bytes()[8 + i])))
    }

    pub(in super::super) fn i16x8_narrow_i32x4(a: v128, b: v128) -> v128 {
        let narrow = |x: i32| i16::try_from(x.clamp(-32768, 32767)).expect("it has been clamped");
        let all = [a.words(), b.words()].concat();
        of_halves(std::array::from_fn(|i| narrow(all[i])))
    }

    pub(in super::super) fn i8x16_splat(a: i8) -> v128 {
        v128([a.cast_unsigned(); 16])
    }

    pub(in super::super) fn i8x16_sub(a: v128, b: v128) -> v128 {
        v128(std::array::from_fn(|i| a.0[i].wrapping_sub(b.0[i])))
    }

    pub(in super::super) fn u8x16_shr(a: v128, by: u32) -> v128 {
        v128(a.0.map(|a| a >> by))
    }

    pub(in super::super) fn v128_and(a: v128, b: v128) -> v128 {
        v128(std::array::from_fn(|i| a.0[i] & b.0[i]))
    }

    /// # Safety
    /// 16 bytes can be read at `from`.
    pub(in super::super) unsafe fn v128_load(from: *const v128) -> v128 {
        // SAFETY: the caller's.
        unsafe { from.read_unaligned() }
    }

    /// # Safety
    /// 4 bytes can be read at `from`.
    pub(in super::super) unsafe fn v128_load32_splat(from: *const u32) -> v128 {
        // SAFETY: the caller's.
        i32x4_splat(unsafe { from.read_unaligned() }.cast_signed())
    }

    /// # Safety
    /// 16 bytes can be written at `to`.
    pub(in super::super) unsafe fn v128_store(to: *mut v128, a: v128) {
        // SAFETY: the caller's.
        unsafe { to.write_unaligned(a) }
    }
}
