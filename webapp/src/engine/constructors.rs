//! What runs before `main`.

use std::sync::Once;

unsafe extern "C" {
    /// Made by the linker: runs the constructors of everything that is linked in.
    fn __wasm_call_ctors();
}

/// Runs them, once. A program that never calls this has them run at every call from JavaScript, since the linker takes it for
/// one that is called once and ends; Burn's kernels register hundreds, and about half of a forward pass went there.
pub fn run_constructors() {
    static RUN: Once = Once::new();
    // SAFETY: the linker defines it, and it runs once, before what the constructors set up is used.
    RUN.call_once(|| unsafe { __wasm_call_ctors() });
}
