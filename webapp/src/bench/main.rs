//! The engine alone, for measuring: token ids in JavaScript in, logits in JavaScript out. `cargo xtask bench web` builds and
//! drives it; the page does not link it.

#[cfg(target_arch = "wasm32")]
mod engine;

fn main() {}
