//! The same product for few rows: see `wgsl/matmul_rows.wgsl`. Its twin is that of [`matmul_packed`](crate::matmul_packed).

pub use crate::matmul_packed::twin;

use crate::matmul_packed::{Product, word};
use crate::{Launch, Shader};

pub(crate) fn launch(product: &Product) -> Launch {
    let flags = product.flags(); // of one matrix
    Launch {
        shader: Shader::find("matmul_rows", &flags),
        params: product.params(),
        groups: [word(product.cols.div_ceil(64)), word(product.rows.div_ceil(4)), 1],
    }
}
