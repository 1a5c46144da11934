//! Whether a device computes what the kernels' twins do, asked before the first note.

use burn::backend::DispatchDevice;
use burn::tensor::Device;
use burn_cubecl::CubeDevice;
use burn_cubecl::cubecl::client::Client;
use burn_cubecl::cubecl::server::Handle;
use burn_cubecl::tensor::CubeTensor;
use clinlora_shaders::cases::{Buffer, Case, compare, read_floats, small};
use clinlora_shaders::{Elem, Shader};

use super::{launch, refuse, takes_wgsl};

/// One shader's answer.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Name of the shader.
    pub shader: &'static str,
    /// The largest difference from its twin, or what is wrong: then the shader is not used any more.
    pub result: Result<f32, String>,
}

/// Runs small fixed inputs through the shaders that are `wanted`, and compares with the twins: a program wants those its model
/// will meet, and f16 where the device has it. A shader that misses is taken out of use, and the references run in its
/// place. No shader is checked, and none is used, on a device of another language.
pub async fn self_check(device: &Device, wanted: impl Fn(&Shader) -> bool) -> Vec<Checked> {
    let DispatchDevice::Cube(device) = device.as_dispatch() else { return Vec::new() };
    let client = device.client();
    if !takes_wgsl(&client) {
        return Vec::new();
    }
    let cases = [small(Elem::F32), small(Elem::F16)].into_iter().flatten();
    let mut answers = Vec::new();
    for case in cases.filter(|case| wanted(case.launch.shader)) {
        let shader = case.launch.shader.name;
        let result = check(&client, device, case).await;
        if result.is_err() {
            refuse(shader);
        }
        answers.push(Checked { shader, result });
    }
    answers
}

async fn check(client: &Client, device: &CubeDevice, case: Case) -> Result<f32, String> {
    let handles: Vec<Handle> =
        case.buffers.iter().map(|buffer| client.create_from_slice(&buffer.initial())).collect();
    let tensors: Vec<CubeTensor> = handles
        .iter()
        .map(|handle| {
            let bytes = usize::try_from(handle.size()).expect("a small buffer");
            let shape = burn::backend::Shape::from(vec![bytes / 4]);
            let dtype = burn::backend::DType::U32;
            CubeTensor::new_contiguous(client.clone(), device.clone(), shape, handle.clone(), dtype)
        })
        .collect();
    launch(client, case.launch, &tensors.iter().collect::<Vec<_>>());
    let mut worst = 0.0_f32;
    for (handle, buffer) in handles.into_iter().zip(&case.buffers) {
        if let Buffer::Output { expected, elem } = buffer {
            let bytes = client.read_async(vec![handle]).await.map_err(|e| format!("{e:?}"))?;
            worst = worst.max(compare(expected, &read_floats(&bytes[0], *elem), case.tolerance)?);
        }
    }
    Ok(worst)
}
