//! WGSL kernels of the packed model, each with a plain-Rust twin: inference in a browser, or on native wgpu.
//!
//! Reading order: [`packed`] is how weights lie in memory, [`matmul_packed`] the product that takes nearly all the time,
//! [`lora_down`] the first half of a stack of adapters, and the rest is small. Each module has the name of the file in
//! `wgsl/` it goes with, whose head gives equation, layout and dispatch rule, and offers `launch`, what a dispatch is
//! made of, and `twin`, the same numbers in plain Rust. [`cases`] are fixed small inputs with the answers of the twins:
//! what a program asks a device before it trusts it.
//!
//! `build.rs` expands every permutation (see [`template`]), validates it with naga, reads its bindings and holds it to the
//! limits every WebGPU adapter has: 8 storage buffers, 256 invocations, 16 KiB of workgroup memory. The crate knows
//! nothing of Burn or wgpu.

pub mod attend_causal;
pub mod cases;
pub mod embed_rows;
pub mod lora_down;
pub mod matmul_direct;
pub mod matmul_packed;
pub mod matmul_rows;
pub mod packed;
pub mod pooled_head;
pub mod rms_norm;
pub mod rotary;
pub mod swiglu;
pub mod template;

/// One permutation of a shader.
#[derive(Debug, PartialEq, Eq)]
pub struct Shader {
    /// Its file, then its flags: `matmul_packed.int4.f32.lora`.
    pub name: &'static str,
    flags: &'static [&'static str],
    /// Invocations of a workgroup, in each dimension.
    pub workgroup: [u32; 3],
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Its buffers in order of binding; the last is the uniform with the parameters.
    pub bindings: &'static [Binding],
    /// Whether it needs the feature `shader-f16`.
    pub needs_f16: bool,
}

/// A buffer of a shader.
#[derive(Debug, PartialEq, Eq)]
pub struct Binding {
    /// Its name in the source.
    pub name: &'static str,
    /// What the shader does with it.
    pub access: Access,
}

/// What a shader does with a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads from storage.
    Read,
    /// Writes to storage.
    ReadWrite,
    /// Reads parameters.
    Uniform,
}

/// Every permutation, validated.
pub static SHADERS: &[Shader] = include!(concat!(env!("OUT_DIR"), "/table.rs"));

/// The files they are expanded from.
static TEXTS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/texts.rs"));

fn text(stem: &str) -> Option<String> {
    TEXTS.iter().find(|(name, _)| *name == stem).map(|(_, text)| (*text).to_owned())
}

impl Shader {
    /// The permutation of `stem` with these flags, in the order of `build.rs`; empty flags are skipped.
    ///
    /// # Panics
    /// If there is none: a caller asks for what it was built with.
    #[must_use]
    pub fn find(stem: &str, flags: &[&str]) -> &'static Self {
        let named = |shader: &&Self| {
            let mut parts = shader.name.split('.');
            let mut wanted = flags.iter().filter(|flag| !flag.is_empty());
            parts.next() == Some(stem)
                && parts.by_ref().all(|part| wanted.next() == Some(&part))
                && wanted.next().is_none()
        };
        SHADERS.iter().find(named).unwrap_or_else(|| panic!("no shader {stem} with {flags:?}"))
    }

    /// WGSL; the entry point is `main`, and inputs are bound `read`.
    ///
    /// # Panics
    /// Never: `build.rs` has expanded the same.
    #[must_use]
    pub fn source(&self) -> String {
        let stem = self.name.split('.').next().unwrap_or_default();
        let expanded = text(stem).and_then(|text| {
            template::expand(&text, &template::Definitions::of(self.flags), &self::text).ok()
        });
        expanded.unwrap_or_else(|| panic!("{} was expanded when this was built", self.name))
    }

    /// The source for a device that lays several tensors into one buffer: there a buffer that is read in one place and
    /// written in another must be bound for writing everywhere.
    #[must_use]
    pub fn source_for_shared_buffers(&self) -> String {
        self.source().replace("var<storage, read>", "var<storage, read_write>")
    }
}

/// Number type of activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elem {
    /// 32 bits.
    F32,
    /// 16 bits; sums stay f32.
    F16,
}

impl Elem {
    pub(crate) fn flag(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }
}

pub(crate) fn vec_flag(is_vec: bool) -> &'static str {
    if is_vec { "vec" } else { "" }
}

/// What one dispatch is made of, beside its buffers.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// The shader.
    pub shader: &'static Shader,
    /// The uniform, in words; a multiple of four of them.
    pub params: Vec<u32>,
    /// Workgroups in each dimension.
    pub groups: [u32; 3],
}

/// Most workgroups in one dimension that every adapter takes.
const MOST_GROUPS: u32 = 65_535;

/// A count of workgroups over two dimensions, as kernels that count in one line take it.
pub(crate) fn line(groups: u32) -> [u32; 3] {
    [groups.min(MOST_GROUPS), groups.div_ceil(MOST_GROUPS), 1]
}

#[cfg(test)]
mod tests {
    use super::{Access, SHADERS, Shader};

    #[test]
    fn every_file_has_permutations_and_each_ends_with_its_parameters() {
        let mut stems: Vec<&str> =
            SHADERS.iter().filter_map(|shader| shader.name.split('.').next()).collect();
        stems.dedup();
        assert_eq!(stems.len(), 11);
        for shader in SHADERS {
            assert_eq!(shader.bindings.last().unwrap().access, Access::Uniform, "{}", shader.name);
            assert_eq!(shader.source().contains("enable f16"), shader.needs_f16, "{}", shader.name);
        }
    }

    #[test]
    fn a_shader_is_found_by_its_flags() {
        assert_eq!(Shader::find("lora_down", &["f32", "", ""]).name, "lora_down.f32");
        assert_eq!(Shader::find("lora_down", &["f16", "norm", "vec"]).name, "lora_down.f16.norm.vec");
        let source = Shader::find("rotary", &["f32"]).source_for_shared_buffers();
        assert!(!source.contains("storage, read>") && source.contains("uniform"));
    }
}
