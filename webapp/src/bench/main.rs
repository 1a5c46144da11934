//! The engine alone, for measuring: token ids in JavaScript in, logits in JavaScript out. `cargo xtask bench web` builds and
//! drives it; the page does not link it.

#[cfg(target_arch = "wasm32")]
#[expect(unreachable_pub, reason = "what JavaScript calls is public to it")]
mod engine;

#[cfg(target_arch = "wasm32")]
fn main() {
    clinlora_webapp::engine::constructors::run_constructors();
}

/// It runs in a browser only; a native build exists so that the workspace compiles as one.
#[cfg(not(target_arch = "wasm32"))]
fn main() {}
