//! Every state of the model's panel by a parameter of the address, `?state=quota`: for tests and for those who write the
//! texts. Builds with debug assertions alone have it.

use clinlora_webapp::engine::protocol::{CpuReason, Failure};

use super::state::Phase;

/// States by name.
pub(crate) fn phase(name: &str) -> Option<Phase> {
    let megabyte = 1_000_000;
    let no_gpu = |reason| {
        Phase::Failed(Failure::NoGpu {
            reason,
            bundle_bytes: 3_600 * megabyte,
            cpu_limit_bytes: 60 * megabyte,
        })
    };
    let reason = || "pretended".to_owned();
    let path = || "base-00002.bin".to_owned();
    Some(match name {
        "looking" => Phase::Looking,
        "offered" => Phase::Offered { bytes: 3_600 * megabyte, present_bytes: 1_200 * megabyte },
        "nothing" => Phase::NothingOffered,
        "waiting" => Phase::WaitingForOtherTab,
        "fetching" => Phase::Fetching {
            received_bytes: 1_200 * megabyte,
            total_bytes: 3_600 * megabyte,
            bytes_per_second: Some(11.5e6),
            retrying: 1,
        },
        "paused" => Phase::Paused { received_bytes: 1_200 * megabyte, total_bytes: 3_600 * megabyte },
        "loading" => Phase::Loading { loaded_bytes: 900 * megabyte, total_bytes: 3_600 * megabyte },
        "recovering" => Phase::Recovering { reason: reason() },
        "no-webgpu" => no_gpu(CpuReason::NoWebGpu),
        "no-adapter" => no_gpu(CpuReason::NoAdapter),
        "hanging-adapter" => no_gpu(CpuReason::AdapterTimedOut),
        "no-device" => no_gpu(CpuReason::NoDevice),
        "too-large" => {
            Phase::Failed(Failure::TooLarge { needed_bytes: 180 * megabyte, limit_bytes: 128 << 20 })
        }
        "out-of-memory" => {
            Phase::Failed(Failure::OutOfMemory { bundle_bytes: 3_600 * megabyte, reason: reason() })
        }
        "device-lost" => Phase::Failed(Failure::DeviceLost { reason: reason() }),
        "damaged" => Phase::Failed(Failure::Damaged { path: path() }),
        "missing" => Phase::Failed(Failure::Missing { path: path(), status: 404 }),
        "cut" => Phase::Failed(Failure::Cut {
            path: path(),
            received_bytes: 9 * megabyte,
            shard_bytes: 16 * megabyte,
        }),
        "not-a-bundle" => Phase::Failed(Failure::Manifest { reason: reason() }),
        "other-base" => {
            Phase::Failed(Failure::OtherBase { expected: "a1".to_owned(), found: "b2".to_owned() })
        }
        "quota" => {
            Phase::Failed(Failure::Quota { needed_bytes: 3_600 * megabyte, available_bytes: 900 * megabyte })
        }
        "no-store" => Phase::Failed(Failure::NoStore { reason: reason() }),
        "offline" => Phase::Failed(Failure::Unreachable { address: "bundle/".to_owned(), reason: reason() }),
        "updated" => Phase::Failed(Failure::BadMessage { reason: reason() }),
        "crashed" => Phase::Failed(Failure::Crashed { reason: reason() }),
        _ => return None,
    })
}
