//! The page.

#[cfg(target_arch = "wasm32")]
#[expect(unreachable_pub, reason = "what leptos makes of a component is public")]
mod page;

#[cfg(target_arch = "wasm32")]
fn main() {
    page::mount();
}

/// The page runs in a browser only; a native build exists so that the workspace compiles as one.
#[cfg(not(target_arch = "wasm32"))]
fn main() {}
