//! `pytorch_model.bin`, zip or legacy, through a reader that interprets the pickle's data and never runs it.

use std::path::Path;

use clinlora_core::Error as CoreError;
use clinlora_core::weights::checkpoint::{StoredDtype, StoredTensor, TensorSource};
use pytorch_reader::{DType, PytorchReader};

/// One PyTorch file; tensors are read when asked for.
pub(super) struct PytorchFile {
    name: String,
    reader: PytorchReader,
}

impl PytorchFile {
    /// Reads the file's table of tensors.
    pub(super) fn open(path: &Path) -> Result<Self, CoreError> {
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let reader = PytorchReader::new(path)
            .map_err(|e| CoreError::Container { what: name.clone(), reason: e.to_string() })?;
        Ok(Self { name, reader })
    }
}

impl TensorSource for PytorchFile {
    fn what(&self) -> &str {
        &self.name
    }

    fn tensors(&self) -> Vec<StoredTensor> {
        let stored = |(name, t): (&String, &pytorch_reader::Tensor)| StoredTensor {
            name: name.clone(),
            shape: t.shape().to_vec(),
        };
        self.reader.tensors().iter().map(stored).collect()
    }

    fn read(&self, name: &str) -> Result<(StoredDtype, Vec<u8>), CoreError> {
        let refuse = |reason: String| CoreError::Container { what: self.name.clone(), reason };
        let tensor = self.reader.get(name).ok_or_else(|| refuse(format!("no tensor {name}")))?;
        let dtype = match tensor.dtype() {
            DType::F32 => StoredDtype::F32,
            DType::F16 => StoredDtype::F16,
            DType::BF16 => StoredDtype::Bf16,
            DType::F64 => StoredDtype::F64,
            other => {
                return Err(refuse(format!("tensor {name} is stored as {other:?}; only floats are read")));
            }
        };
        Ok((dtype, tensor.read().map_err(|e| refuse(e.to_string()))?))
    }
}
