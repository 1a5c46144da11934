//! The same product on adapters that are processors: see `wgsl/matmul_bands.wgsl`. Its twin is that of
//! [`matmul_packed`](crate::matmul_packed).

pub use crate::matmul_packed::twin;

use crate::matmul_packed::{Product, word};
use crate::{Launch, Shader};

pub(crate) fn launch(product: &Product) -> Launch {
    let width = if product.is_swiglu { 64 } else { 128 };
    Launch {
        shader: Shader::find("matmul_bands", &product.flags()),
        params: product.params(),
        groups: [word(product.cols.div_ceil(width)), word(product.rows.div_ceil(16)), 1],
    }
}
