//! WGSL kernels, each with a plain-Rust twin.
