//! The same product for few rows: see `wgsl/matmul_rows.wgsl`. Its twin is that of [`matmul_packed`](crate::matmul_packed).

pub use crate::matmul_packed::twin;

use crate::matmul_packed::{Product, word};
use crate::{Launch, Shader, vec_flag};

pub(crate) fn launch(product: &Product) -> Launch {
    let lora = if product.lora.is_some() { "lora" } else { "" };
    let flags = [product.bits.flag(), product.elem.flag(), lora, vec_flag(product.inner.is_multiple_of(4))];
    Launch {
        shader: Shader::find("matmul_rows", &flags),
        params: product.params(),
        groups: [word(product.cols.div_ceil(64)), word(product.rows.div_ceil(4)), 1],
    }
}
