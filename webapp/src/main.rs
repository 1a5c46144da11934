//! The page.

#[cfg(target_arch = "wasm32")]
mod app;

#[cfg(target_arch = "wasm32")]
fn main() {
    app::mount();
}

/// The page runs in a browser only; a native build exists so that the workspace compiles as one.
#[cfg(not(target_arch = "wasm32"))]
fn main() {}
