//! The engine alone, for measuring: token ids in JavaScript in, logits in JavaScript out. `cargo xtask bench web` builds and
//! drives it; the page does not link it.

#[cfg(target_arch = "wasm32")]
#[expect(unreachable_pub, reason = "what JavaScript calls is public to it")]
mod engine;

fn main() {}
