//! The same product for adapters that are programs: see `wgsl/matmul_direct.wgsl`. Its twin is that of
//! [`matmul_packed`](crate::matmul_packed).

pub use crate::matmul_packed::twin;

use crate::matmul_packed::{Form, Product, word};
use crate::{Launch, Shader};

pub(crate) fn launch(product: &Product) -> Launch {
    let width = if product.form == Form::Swiglu { 32 } else { 64 };
    Launch {
        shader: Shader::find("matmul_direct", &product.flags()),
        params: product.params(),
        groups: [word(product.cols.div_ceil(width)), word(product.rows.div_ceil(64)), 1],
    }
}
