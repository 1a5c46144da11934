//! Tensors out of safetensors bytes: one file, or the shards of an index.

use ::safetensors::tensor::{Metadata, TensorInfo};
use ::safetensors::{Dtype, SafeTensors};

use super::source::{StoredDtype, StoredTensor, TensorSource};
use crate::error::Error;

/// One safetensors file in memory, or mapped into it; `B` owns the bytes.
pub struct SafetensorsFile<B> {
    name: String,
    bytes: B,
    data_start: usize,
    metadata: Metadata,
}

impl<B: AsRef<[u8]>> SafetensorsFile<B> {
    /// Reads and checks the header: lengths, dtypes, and that the tensors cover the data without gap or overlap.
    ///
    /// # Errors
    /// [`Error::Container`] naming the file and the defect.
    pub fn open(name: impl Into<String>, bytes: B) -> Result<Self, Error> {
        let name = name.into();
        let refuse = |reason: String| Error::Container { what: name.clone(), reason };
        // Deserialising checks that the tensors end where the data does; read_metadata alone does not.
        SafeTensors::deserialize(bytes.as_ref())
            .map_err(|e| refuse(format!("not a whole safetensors file ({e}); fetch it again")))?;
        let (header, metadata) = SafeTensors::read_metadata(bytes.as_ref())
            .map_err(|e| refuse(format!("damaged safetensors header ({e})")))?;
        Ok(Self { name, data_start: header + size_of::<u64>(), bytes, metadata })
    }

    /// The free-form strings of the header.
    #[must_use]
    pub fn metadata(&self) -> Option<&std::collections::HashMap<String, String>> {
        self.metadata.metadata().as_ref()
    }

    fn stored(&self, name: &str, info: &TensorInfo) -> StoredTensor {
        StoredTensor { name: name.to_owned(), shape: info.shape.clone() }
    }
}

impl<B: AsRef<[u8]>> TensorSource for SafetensorsFile<B> {
    fn what(&self) -> &str {
        &self.name
    }

    fn tensors(&self) -> Vec<StoredTensor> {
        self.metadata.tensors().into_iter().map(|(name, info)| self.stored(&name, info)).collect()
    }

    fn read(&self, name: &str) -> Result<(StoredDtype, Vec<u8>), Error> {
        let refuse = |reason: String| Error::Container { what: self.name.clone(), reason };
        let info = self.metadata.info(name).ok_or_else(|| refuse(format!("no tensor {name}")))?;
        let dtype = match info.dtype {
            Dtype::F32 => StoredDtype::F32,
            Dtype::F16 => StoredDtype::F16,
            Dtype::BF16 => StoredDtype::Bf16,
            Dtype::F64 => StoredDtype::F64,
            other => {
                return Err(refuse(format!(
                    "tensor {name} is stored as {other:?}; F32, F16, BF16 and F64 are read"
                )));
            }
        };
        let (start, end) = info.data_offsets;
        Ok((dtype, self.bytes.as_ref()[self.data_start + start..self.data_start + end].to_vec()))
    }
}
