//! What the tests share: golden files, tiny models and comparisons that say where they failed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::tensor::{DType, Device, Tensor, TensorData};
use clinlora_core::weights::checkpoint::{CheckpointWeights, TensorSource};
use clinlora_core::weights::safetensors::SafetensorsFile;
use safetensors::{Dtype, SafeTensors};

/// Worst absolute difference allowed against an f32 reference on the CPU.
pub const F32: f32 = 1e-5;

/// Folder of a golden case.
#[must_use]
pub fn golden(case: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(case)
}

/// A file or folder of real data, where the checkout has them: below `CLINLORA_SHARED`, or below `shared` beside the
/// workspace. A test that gets `None` prints that it is skipped.
#[must_use]
pub fn shared(path: &str) -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("CLINLORA_SHARED").map_or_else(beside, PathBuf::from);
    Some(folder.join(path)).filter(|path| path.exists())
}

/// One tensor of a golden file.
#[derive(Debug, Clone)]
pub struct Golden {
    /// Sizes of the dimensions.
    pub shape: Vec<usize>,
    /// Values, row-major; whole numbers too.
    pub values: Vec<f32>,
}

/// Reads every tensor of `golden.safetensors` (or another file) of a case.
///
/// # Panics
/// If the file is not there or holds another type than f32, i32 or i64.
#[must_use]
pub fn read_golden(case: &str, file: &str) -> BTreeMap<String, Golden> {
    let path = golden(case).join(file);
    parse_golden(&std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
}

/// The tensors of a golden file's bytes.
///
/// # Panics
/// As [`read_golden`].
#[must_use]
pub fn parse_golden(bytes: &[u8]) -> BTreeMap<String, Golden> {
    let tensors = SafeTensors::deserialize(bytes).expect("a golden file is whole");
    tensors
        .iter()
        .map(|(name, view)| {
            #[expect(clippy::cast_precision_loss, reason = "golden whole numbers are token ids")]
            let values = match view.dtype() {
                Dtype::F32 => view.data().chunks_exact(4).map(|b| f32::from_le_bytes(four(b))).collect(),
                Dtype::I32 => {
                    view.data().chunks_exact(4).map(|b| i32::from_le_bytes(four(b)) as f32).collect()
                }
                Dtype::I64 => view
                    .data()
                    .chunks_exact(8)
                    .map(|b| i64::from_le_bytes(b.try_into().expect("eight bytes")) as f32)
                    .collect(),
                other => panic!("{name}: unexpected type {other:?}"),
            };
            (name.to_owned(), Golden { shape: view.shape().to_vec(), values })
        })
        .collect()
}

fn four(bytes: &[u8]) -> [u8; 4] {
    bytes.try_into().expect("four bytes")
}

impl Golden {
    /// Rows of token ids, cut by the rows of `mask`.
    #[must_use]
    #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "token ids")]
    pub fn notes(&self, mask: &Self) -> Vec<Vec<u32>> {
        let tokens = self.shape[1];
        self.values
            .chunks_exact(tokens)
            .zip(mask.values.chunks_exact(tokens))
            .map(|(ids, mask)| {
                ids.iter().zip(mask).filter(|(_, m)| **m > 0.0).map(|(id, _)| *id as u32).collect()
            })
            .collect()
    }

    /// The values as a tensor.
    #[must_use]
    pub fn tensor<const D: usize>(&self, device: &Device) -> Tensor<D> {
        Tensor::from_data(TensorData::new(self.values.clone(), self.shape.clone()), (device, DType::F32))
    }
}

/// Weights of a model folder with one safetensors file.
///
/// # Panics
/// If the folder does not hold one.
#[must_use]
pub fn weights(folder: &std::path::Path, device: &Device) -> CheckpointWeights {
    let path = folder.join("model.safetensors");
    weights_from(std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())), device)
}

/// Weights out of the bytes of a safetensors file.
///
/// # Panics
/// If they are not one.
#[must_use]
pub fn weights_from(bytes: Vec<u8>, device: &Device) -> CheckpointWeights {
    let source: Box<dyn TensorSource> =
        Box::new(SafetensorsFile::open("model.safetensors", bytes).expect("a golden model is whole"));
    CheckpointWeights::new("golden", vec![source], device, DType::F32)
}

/// Fails, saying where and by how much, if a value is further than `tolerance` from what is expected.
///
/// # Panics
/// That is the failure.
pub fn assert_close(what: &str, actual: &[f32], expected: &[f32], tolerance: f32) -> f32 {
    assert_eq!(actual.len(), expected.len(), "{what}: number of values");
    let mut worst = (0, 0.0_f32);
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        let difference = (a - e).abs();
        assert!(!difference.is_nan(), "{what}[{i}]: {a} against {e}");
        if difference > worst.1 {
            worst = (i, difference);
        }
    }
    let (i, difference) = worst;
    assert!(
        difference <= tolerance,
        "{what}[{i}]: {} against {}, {difference:e} apart, {tolerance:e} allowed",
        actual[i],
        expected[i]
    );
    difference
}

/// Values of a tensor.
#[must_use]
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data_as::<f32>().as_slice::<f32>().expect("asked for as f32").to_vec()
}
