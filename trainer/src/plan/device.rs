//! What a device has and does: memory, processor time.

use burn::tensor::Device;

use crate::error::{Error, Result};

/// Name of the device in results.
pub(crate) fn describe(device: &Device) -> String {
    let threads = rayon::current_num_threads();
    if is_processor(device) { format!("cpu x{threads}") } else { format!("{:?}", device.as_dispatch()) }
}

/// Whether `device` computes in this process's own memory.
#[cfg(feature = "cpu")]
pub(crate) fn is_processor(device: &Device) -> bool {
    *device == Device::flex()
}

/// Whether `device` computes in this process's own memory.
#[cfg(not(feature = "cpu"))]
pub(crate) fn is_processor(_: &Device) -> bool {
    false
}

/// Waits until everything asked of `device` is done.
pub(crate) fn sync(device: &Device) -> Result<()> {
    device.sync().map_err(|e| Error::Device(e.to_string()))
}

/// Begins a new measurement of [`peak_bytes`] and returns the bytes held now, where the system can say so.
pub(crate) fn reset_peak(device: &Device) -> Option<u64> {
    if !is_processor(device) {
        device.memory_cleanup();
        return device.memory_pool_usage().map(|usage| usage.bytes_reserved);
    }
    give_back_freed();
    // "5" makes the kernel forget the peak; where it may not be written the peak is that of the whole process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    status_bytes("VmRSS:")
}

/// Largest memory held since [`reset_peak`]: of this process, or what the runtime of another device has reserved.
pub(crate) fn peak_bytes(device: &Device) -> Option<u64> {
    if is_processor(device) {
        return status_bytes("VmHWM:");
    }
    device.memory_pool_usage().map(|usage| usage.bytes_reserved)
}

/// Memory a process may still take, where the system or the driver says it.
pub(crate) fn available_bytes(device: &Device) -> Option<u64> {
    Some(memory_bytes(device)?.0)
}

/// Free and all memory, in bytes, where the system or the driver says it.
pub(crate) fn memory_bytes(device: &Device) -> Option<(u64, u64)> {
    #[cfg(feature = "cuda")]
    if let Some(index) = crate::device::cuda_index(device) {
        return clinlora_core::kernels::cublas::memory_bytes(index).ok();
    }
    if !is_processor(device) {
        return None;
    }
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    Some((kib_of(&text, "MemAvailable:")?, kib_of(&text, "MemTotal:")?))
}

/// Memory held now: by this process, or by the runtime of another device.
pub(crate) fn held_bytes(device: &Device) -> Option<u64> {
    if is_processor(device) {
        return status_bytes("VmRSS:");
    }
    device.memory_pool_usage().map(|usage| usage.bytes_reserved)
}

fn status_bytes(key: &str) -> Option<u64> {
    kib_of(&std::fs::read_to_string("/proc/self/status").ok()?, key)
}

/// The value of a line `KEY   123 kB`, in bytes.
fn kib_of(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Returns freed memory to the system, so that a measurement does not count it.
fn give_back_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call takes no pointer, and may be made at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Processor seconds of this process so far, all threads together.
#[cfg(unix)]
pub(crate) fn processor_seconds() -> Option<f64> {
    // SAFETY: `rusage` is a struct of numbers, for which all zero bits are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is valid for writing for the length of the call.
    let status = unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    #[expect(clippy::cast_precision_loss, reason = "seconds and microseconds of a process")]
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    (status == 0).then(|| seconds(usage.ru_utime) + seconds(usage.ru_stime))
}

/// Processor seconds of this process so far: unknown here.
#[cfg(not(unix))]
pub(crate) fn processor_seconds() -> Option<f64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read_in_bytes() {
        let text = "Name:\tclinlora\nVmHWM:\t  123 kB\nVmRSS:\t    7 kB\n";
        assert_eq!(kib_of(text, "VmHWM:"), Some(123 * 1024));
        assert_eq!(kib_of(text, "VmRSS:"), Some(7 * 1024));
        assert_eq!(kib_of(text, "VmSwap:"), None);
    }

    #[test]
    #[cfg(unix)]
    fn processor_time_passes() {
        let before = processor_seconds().expect("a unix system says");
        let mut sum = 0u64;
        while processor_seconds().expect("a unix system says") == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(processor_seconds().expect("a unix system says") > before);
    }
}
