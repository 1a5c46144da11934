//! Files of named tensors, of whichever format.

use crate::error::Error;

/// Number format of a stored tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredDtype {
    /// 32-bit float.
    F32,
    /// IEEE half.
    F16,
    /// Brain float.
    Bf16,
    /// 64-bit float.
    F64,
}

/// Name and shape of a tensor in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTensor {
    /// Name in the file.
    pub name: String,
    /// Sizes of the dimensions.
    pub shape: Vec<usize>,
}

/// A file, or an archive, of named tensors.
pub trait TensorSource {
    /// How messages call it.
    fn what(&self) -> &str;
    /// Every tensor in it.
    fn tensors(&self) -> Vec<StoredTensor>;
    /// Little-endian bytes of one tensor, row-major.
    ///
    /// # Errors
    /// [`Error::Container`] if the tensor cannot be read.
    fn read(&self, name: &str) -> Result<(StoredDtype, Vec<u8>), Error>;
}
