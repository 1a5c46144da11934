//! Where a bundle is computed: on the GPU, or on the CPU where there is none worth using.

use super::protocol::{Adapter, CpuReason, DeviceWish, Failure, Place};

/// The largest bundle the CPU is asked to run: beyond it a note takes minutes.
pub const CPU_BUNDLE_BYTES: u64 = 60_000_000;

/// What asking the browser for a GPU gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// An adapter answered.
    Adapter(Adapter),
    /// None, and why.
    Nothing(CpuReason),
}

/// Decides for a bundle of `bundle_bytes`, whose largest tensor has `largest_tensor_bytes`.
///
/// A software adapter computes on the same cores as the CPU path, through more layers: it is used only where asked for,
/// or where the bundle is too large for the CPU path.
///
/// # Errors
/// [`Failure::NoGpu`] for a bundle too large for the CPU, [`Failure::TooLarge`] for one the GPU cannot hold.
pub fn choose(
    wish: DeviceWish,
    found: &Found,
    bundle_bytes: u64,
    largest_tensor_bytes: u64,
) -> Result<Place, Failure> {
    let cpu = |reason: CpuReason| {
        if bundle_bytes <= CPU_BUNDLE_BYTES {
            return Ok(Place::Cpu { reason });
        }
        Err(Failure::NoGpu { reason, bundle_bytes, cpu_limit_bytes: CPU_BUNDLE_BYTES })
    };
    let adapter = match (wish, found) {
        (DeviceWish::Cpu, _) => return cpu(CpuReason::Asked),
        (_, Found::Nothing(reason)) => return cpu(*reason),
        (_, Found::Adapter(adapter)) => adapter,
    };
    let is_small = bundle_bytes <= CPU_BUNDLE_BYTES;
    if wish == DeviceWish::Automatic && adapter.is_software && is_small {
        return Ok(Place::Cpu { reason: CpuReason::SoftwareAdapter });
    }
    if largest_tensor_bytes > adapter.binding_bytes {
        return Err(Failure::TooLarge {
            needed_bytes: largest_tensor_bytes,
            limit_bytes: adapter.binding_bytes,
        });
    }
    Ok(Place::Gpu { adapter: adapter.clone() })
}

/// Decides from the answers of kernels that were tried on fixed inputs, each with whether it was right: the names of those
/// not to be used.
///
/// # Errors
/// [`CpuReason::WrongAnswers`] where most are wrong: then no number of this GPU is worth anything.
pub fn trust(answers: &[(&str, bool)]) -> Result<Vec<String>, CpuReason> {
    let wrong = answers.iter().filter(|(_, is_right)| !is_right).map(|(name, _)| (*name).to_owned());
    let refused: Vec<String> = wrong.collect();
    if 2 * refused.len() > answers.len() { Err(CpuReason::WrongAnswers) } else { Ok(refused) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(is_software: bool) -> Adapter {
        let name = "test".to_owned();
        Adapter {
            name,
            is_software,
            has_f16: false,
            binding_bytes: 128 << 20,
            buffer_bytes: 256 << 20,
            refused_kernels: Vec::new(),
        }
    }

    fn place(wish: DeviceWish, found: &Found, bundle_bytes: u64) -> Result<Place, Failure> {
        choose(wish, found, bundle_bytes, 1 << 20)
    }

    #[test]
    fn a_real_gpu_runs_everything() {
        let found = Found::Adapter(adapter(false));
        for bytes in [1, 4_000_000_000] {
            let expected = Place::Gpu { adapter: adapter(false) };
            assert_eq!(place(DeviceWish::Automatic, &found, bytes), Ok(expected));
        }
    }

    #[test]
    fn a_software_adapter_is_for_what_the_cpu_cannot_hold_or_when_asked() {
        let found = Found::Adapter(adapter(true));
        let cpu = Place::Cpu { reason: CpuReason::SoftwareAdapter };
        let gpu = Place::Gpu { adapter: adapter(true) };
        assert_eq!(place(DeviceWish::Automatic, &found, CPU_BUNDLE_BYTES), Ok(cpu));
        assert_eq!(place(DeviceWish::Automatic, &found, CPU_BUNDLE_BYTES + 1), Ok(gpu.clone()));
        assert_eq!(place(DeviceWish::Gpu, &found, 1), Ok(gpu));
    }

    #[test]
    fn without_a_gpu_small_bundles_run_and_large_ones_say_why_not() {
        for reason in [CpuReason::NoWebGpu, CpuReason::NoAdapter, CpuReason::AdapterTimedOut] {
            let found = Found::Nothing(reason);
            assert_eq!(place(DeviceWish::Gpu, &found, 1), Ok(Place::Cpu { reason }));
            let refused = place(DeviceWish::Automatic, &found, CPU_BUNDLE_BYTES + 1);
            assert!(matches!(refused, Err(Failure::NoGpu { reason: why, .. }) if why == reason));
        }
    }

    #[test]
    fn a_tensor_beyond_the_binding_limit_is_refused_with_both_sizes() {
        let found = Found::Adapter(adapter(false));
        let refused = choose(DeviceWish::Gpu, &found, 1 << 30, (128 << 20) + 1);
        let expected = Failure::TooLarge { needed_bytes: (128 << 20) + 1, limit_bytes: 128 << 20 };
        assert_eq!(refused, Err(expected));
    }

    #[test]
    fn a_kernel_that_errs_is_left_out_and_a_gpu_that_mostly_errs_too() {
        assert_eq!(trust(&[]), Ok(vec![]));
        assert_eq!(trust(&[("a", true), ("b", false), ("c", true)]), Ok(vec!["b".to_owned()]));
        assert_eq!(trust(&[("a", false), ("b", false), ("c", true)]), Err(CpuReason::WrongAnswers));
    }
}
