//! The first half of a LoRA delta, each row with its own adapter, of `x` or of its norm: see `wgsl/lora_down.wgsl`.

use crate::matmul_packed::{NO_ADAPTER, word};
use crate::{Elem, Launch, Shader, vec_flag};

/// Shape of a product with stacked `A`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Down {
    /// M.
    pub rows: usize,
    /// C, a multiple of 8: the ranks of all projections that share `x`.
    pub cols: usize,
    /// K.
    pub inner: usize,
    /// S, the number of adapters.
    pub stacks: usize,
    /// Number type of all of it.
    pub elem: Elem,
    /// What is added to the mean of the squares, if it is the norm of `x` that is multiplied.
    pub norm_eps: Option<f32>,
}

impl Down {
    /// The dispatch.
    ///
    /// # Panics
    /// If C is no multiple of 8.
    #[must_use]
    pub fn launch(&self) -> Launch {
        assert!(self.cols.is_multiple_of(8), "{} columns are padded to a multiple of 8", self.cols);
        let vec = vec_flag(self.inner.is_multiple_of(4));
        let norm = if self.norm_eps.is_some() { "norm" } else { "" };
        let mut params: Vec<u32> = [self.rows, self.cols, self.inner, self.stacks].map(word).into();
        params.extend(self.norm_eps.iter().flat_map(|eps| [eps.to_bits(), 0]));
        Launch {
            shader: Shader::find("lora_down", &[self.elem.flag(), norm, vec]),
            params,
            groups: [word(self.cols / 8), word(self.rows.div_ceil(8)), 1],
        }
    }

    /// Length of a row of `A`: K, padded to a multiple of 4.
    #[must_use]
    pub fn a_stride(&self) -> usize {
        self.inner.next_multiple_of(4)
    }
}

/// What the kernel computes, `[M, C]`, of `x` `[M, K]`, or the norm of it, and `a` `[S, C, a_stride]`.
#[must_use]
pub fn twin(down: &Down, x: &[f32], a: &[f32], row_adapters: &[u32]) -> Vec<f32> {
    let (inner, stride) = (down.inner, down.a_stride());
    let value = |m: usize, c: usize| -> f32 {
        let adapter = row_adapters[m];
        if adapter == NO_ADAPTER {
            return 0.0;
        }
        let a = &a[(adapter as usize * down.cols + c) * stride..][..inner];
        x[m * inner..][..inner].iter().zip(a).map(|(x, a)| x * a).sum()
    };
    (0..down.rows).flat_map(|m| (0..down.cols).map(move |c| (m, c))).map(|(m, c)| value(m, c)).collect()
}
