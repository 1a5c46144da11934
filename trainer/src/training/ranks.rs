//! Several processes that train one adapter together: data parallelism through MPI, one process ("rank") a GPU.
//!
//! Each rank holds the whole base, takes every so-manyth micro-batch of an update and hands in its gradients, which are
//! summed over all ranks; only what is trained travels, a few megabytes for a LoRA. A micro-batch draws its dropout from its
//! own number, and the sum is the same everywhere, so all ranks make the same step and `n` ranks make that of one with `n`
//! times as many accumulation steps, or, but for dropout, with `n` times the batch, to rounding. Rank 0 alone writes.
//!
//! Built with the feature `mpi` the program joins whoever `mpirun` or `srun` started beside it. Without, it is alone.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use burn::tensor::{DType, Device, Tensor, TensorData};
use clinlora_core::params::{Walk, for_each_param};

use super::step::full_name;
use crate::console;
use crate::error::{Error, Result};

/// A process's place among those it trains with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ranks {
    /// From 0.
    rank: usize,
    /// How many there are.
    pub(crate) size: usize,
    /// Place among those on this machine, from 0.
    local: usize,
}

static OF_PROCESS: OnceLock<Ranks> = OnceLock::new();

impl Ranks {
    /// A process that trains by itself.
    pub(crate) const ALONE: Self = Self { rank: 0, size: 1, local: 0 };

    /// Whether this one writes and speaks for all.
    pub(crate) fn leads(self) -> bool {
        self.rank == 0
    }

    /// Whether micro-batch `place` of an update is this rank's.
    pub(crate) fn takes(self, place: usize) -> bool {
        place % self.size == self.rank
    }

    /// Waits until every rank is here.
    pub(crate) fn barrier(self) -> Result<()> {
        self.largest(0).map(|_| ())
    }

    /// The largest of what the ranks give.
    pub(crate) fn largest(self, value: i32) -> Result<i32> {
        if self.size == 1 { Ok(value) } else { engine::largest(value) }
    }

    /// Sums loss and gradients over the ranks, in the model's order: every trained tensor with a mark that says whether
    /// anyone has a gradient of it, since one without is left alone.
    pub(crate) fn sum(
        self,
        model: &mut dyn Walk,
        loss: Tensor<1>,
        mut gradients: BTreeMap<String, Tensor<1>>,
        device: &Device,
    ) -> Result<(Tensor<1>, BTreeMap<String, Tensor<1>>)> {
        if self.size == 1 {
            return Ok((loss, gradients));
        }
        let plain = device.clone().inner();
        let mut places = Vec::new();
        let mut parts = vec![loss.cast(DType::F32)];
        for_each_param(model, |owner, name, param| {
            if !param.is_trainable() {
                return;
            }
            let name = full_name(owner, name);
            let count: usize = param.shape().iter().product();
            let own = gradients.remove(&name);
            let dtype = own.as_ref().map_or_else(|| param.flat().dtype(), Tensor::dtype);
            parts.push(Tensor::full([1], if own.is_some() { 1.0 } else { 0.0 }, (&plain, DType::F32)));
            let none = || Tensor::zeros([count], (&plain, DType::F32));
            parts.push(own.map_or_else(none, |gradient| gradient.cast(DType::F32)));
            places.push((name, count, dtype));
        });
        let values = Tensor::cat(parts, 0).into_data_as::<f32>();
        let mut values = values.as_slice::<f32>().expect("asked for as f32").to_vec();
        engine::sum(&mut values)?;
        let count = values.len();
        let all = Tensor::<1>::from_data(TensorData::new(values.clone(), [count]), (&plain, DType::F32));
        let mut start = 1;
        let mut summed = BTreeMap::new();
        for (name, count, dtype) in places {
            if values[start] > 0.0 {
                summed.insert(name, all.clone().narrow(0, start + 1, count).cast(dtype));
            }
            start += 1 + count;
        }
        Ok((all.narrow(0, 0, 1), summed))
    }
}

/// Joins the processes this one was started with; may be called again.
///
/// # Errors
/// [`Error::Input`] for one of several in a program built without MPI; [`Error::Ranks`] for what MPI says.
pub(crate) fn join() -> Result<Ranks> {
    if let Some(ranks) = OF_PROCESS.get() {
        return Ok(*ranks);
    }
    let ranks = engine::join()?;
    if ranks.size > 1 {
        if ranks.leads() {
            console::note(format_args!("{} processes train together", ranks.size));
        } else {
            console::be_quiet();
        }
    }
    Ok(*OF_PROCESS.get_or_init(|| ranks))
}

/// Which of this machine's GPUs is this process's, if there are `count`.
#[cfg(feature = "cuda")]
pub(crate) fn own_gpu(count: usize) -> usize {
    OF_PROCESS.get().map_or(0, |ranks| ranks.local) % count.max(1)
}

/// Ends the part of this process among the ranks, before it exits. One that failed takes the others with it, since they would
/// wait for it forever; an interruption is agreed upon, and everyone ends by itself.
pub fn leave(outcome: &Result<()>) {
    let Some(ranks) = OF_PROCESS.get().filter(|ranks| ranks.size > 1) else {
        engine::leave(None);
        return;
    };
    match outcome {
        Ok(()) | Err(Error::Interrupted { .. }) => engine::leave(None),
        Err(error) => {
            let (rank, size) = (ranks.rank, ranks.size);
            console::error(format_args!("error: process {rank} of {size}: {error}; the others are ended"));
            engine::leave(Some(i32::from(error.exit_code())));
        }
    }
}

#[cfg(not(feature = "mpi"))]
mod engine {
    //! No MPI: one process, and a refusal to be one of several that would all do the same.

    use super::Ranks;
    use crate::error::{Error, Result};

    /// What Open MPI, MPICH, Intel MPI and SLURM with `--mpi` tell a process they start.
    const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS"];

    pub(super) fn join() -> Result<Ranks> {
        refuse(SIZES.iter().filter_map(|name| std::env::var(name).ok()?.parse().ok()).max())?;
        Ok(Ranks::ALONE)
    }

    pub(super) fn refuse(started: Option<usize>) -> Result<()> {
        match started {
            Some(size) if size > 1 => Err(Error::Input(format!(
                "started as one of {size} processes, by a program built without mpi; build it with --features mpi"
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn largest(value: i32) -> Result<i32> {
        Ok(value)
    }

    pub(super) fn sum(_: &mut [f32]) -> Result<()> {
        Ok(())
    }

    pub(super) fn leave(_: Option<i32>) {}
}

#[cfg(feature = "mpi")]
mod engine {
    //! The few calls of MPI that are needed, on everyone at once.

    use std::ffi::c_int;
    use std::ptr::null_mut;
    use std::time::{Duration, Instant};

    use mpi_sys as mpi;

    use super::Ranks;
    use crate::console;
    use crate::error::{Error, Result};
    use crate::training::interrupt;

    /// How long an answer is waited for after a signal: `mpirun` sends SIGTERM when a process has died, and SIGKILL a
    /// second later.
    const AFTER_SIGNAL: Duration = Duration::from_millis(700);

    /// Values of one call; MPI counts in `int`.
    const AT_ONCE: usize = 1 << 28;

    /// What a launcher tells a process it starts.
    const LAUNCHERS: [&str; 5] =
        ["OMPI_COMM_WORLD_SIZE", "PMI_RANK", "PMIX_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"];

    fn check(what: &str, code: c_int) -> Result<()> {
        match code {
            0 => Ok(()),
            code => Err(Error::Ranks(format!("{what} failed with MPI's error {code}"))),
        }
    }

    pub(super) fn join() -> Result<Ranks> {
        // By itself MPI would start a helper for one process; that one needs none.
        if !LAUNCHERS.iter().any(|name| std::env::var_os(name).is_some()) {
            return Ok(Ranks::ALONE);
        }
        let (mut provided, mut rank, mut size, mut local) = (0, 0, 0, 0);
        // SAFETY: called once, before any other call of MPI; every pointer is to a value of its own that lives on; the
        // constants are MPI's own, set when its library was loaded.
        unsafe {
            let wanted = mpi::RSMPI_THREAD_FUNNELED;
            check(
                "MPI_Init_thread",
                mpi::MPI_Init_thread(null_mut(), null_mut(), wanted, &raw mut provided),
            )?;
            let world = mpi::RSMPI_COMM_WORLD;
            check("MPI_Comm_set_errhandler", mpi::MPI_Comm_set_errhandler(world, mpi::RSMPI_ERRORS_RETURN))?;
            check("MPI_Comm_rank", mpi::MPI_Comm_rank(world, &raw mut rank))?;
            check("MPI_Comm_size", mpi::MPI_Comm_size(world, &raw mut size))?;
            let mut here = mpi::RSMPI_COMM_NULL;
            let shared = mpi::RSMPI_COMM_TYPE_SHARED;
            let split = mpi::MPI_Comm_split_type(world, shared, rank, mpi::RSMPI_INFO_NULL, &raw mut here);
            check("MPI_Comm_split_type", split)?;
            check("MPI_Comm_rank", mpi::MPI_Comm_rank(here, &raw mut local))?;
            check("MPI_Comm_free", mpi::MPI_Comm_free(&raw mut here))?;
        }
        let count = |value: c_int| usize::try_from(value).unwrap_or(0);
        Ok(Ranks { rank: count(rank), size: count(size).max(1), local: count(local) })
    }

    pub(super) fn largest(value: i32) -> Result<i32> {
        let mut values = [value];
        // SAFETY: the datatype and the operation are MPI's own.
        let (of, by) = unsafe { (mpi::RSMPI_INT32_T, mpi::RSMPI_MAX) };
        all_reduce(&mut values, of, by)?;
        Ok(values[0])
    }

    pub(super) fn sum(values: &mut [f32]) -> Result<()> {
        // SAFETY: as above.
        let (of, by) = unsafe { (mpi::RSMPI_FLOAT, mpi::RSMPI_SUM) };
        values.chunks_mut(AT_ONCE).try_for_each(|part| all_reduce(part, of, by))
    }

    fn all_reduce<T: Copy>(values: &mut [T], of: mpi::MPI_Datatype, by: mpi::MPI_Op) -> Result<()> {
        let given = values.to_vec();
        let count = c_int::try_from(values.len()).expect("at most as many as fit one call");
        // SAFETY: the request is written by the call below before it is read.
        let mut request = unsafe { mpi::RSMPI_REQUEST_NULL };
        // SAFETY: both buffers hold `count` values of the datatype and live until the request is done: this function
        // returns only then, or ends the process.
        unsafe {
            let (from, to) = (given.as_ptr().cast(), values.as_mut_ptr().cast());
            let world = mpi::RSMPI_COMM_WORLD;
            check("MPI_Iallreduce", mpi::MPI_Iallreduce(from, to, count, of, by, world, &raw mut request))?;
        }
        let mut signalled: Option<Instant> = None;
        loop {
            let mut is_done = 0;
            // SAFETY: the request is the one above.
            let code = unsafe { mpi::MPI_Test(&raw mut request, &raw mut is_done, mpi::RSMPI_STATUS_IGNORE) };
            if let Err(error) = check("MPI_Allreduce", code) {
                end(&error.to_string());
            }
            if is_done != 0 {
                return Ok(());
            }
            if interrupt::requested().is_some()
                && signalled.get_or_insert_with(Instant::now).elapsed() > AFTER_SIGNAL
            {
                end("a signal came and another process no longer answers");
            }
            std::thread::yield_now();
        }
    }

    /// A process that was lost cannot be waited for, nor the buffers MPI still holds be given up: this one ends.
    fn end(what: &str) -> ! {
        console::error(format_args!(
            "error: {what}; a process of this run has died. The last checkpoint is whole: continue with --resume"
        ));
        std::process::exit(1)
    }

    pub(super) fn leave(code: Option<i32>) {
        let (mut begun, mut ended) = (0, 0);
        // SAFETY: both may be asked at any time; the world is used only between beginning and end.
        unsafe {
            mpi::MPI_Initialized(&raw mut begun);
            mpi::MPI_Finalized(&raw mut ended);
            if begun == 0 || ended != 0 {
                return;
            }
            match code {
                Some(code) => mpi::MPI_Abort(mpi::RSMPI_COMM_WORLD, code),
                None => mpi::MPI_Finalize(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn micro_batches_are_shared_out_and_none_twice() {
        for size in 1..4 {
            let ranks = (0..size).map(|rank| Ranks { rank, size, local: rank });
            for place in 0..7 {
                assert_eq!(ranks.clone().filter(|ranks| ranks.takes(place)).count(), 1, "{place} of {size}");
            }
        }
        assert!(Ranks::ALONE.leads() && Ranks::ALONE.takes(5));
    }

    #[test]
    #[cfg(not(feature = "mpi"))]
    fn one_of_several_without_mpi_is_refused() {
        assert!(engine::refuse(None).is_ok() && engine::refuse(Some(1)).is_ok());
        let refusal = engine::refuse(Some(2)).unwrap_err();
        assert_eq!(refusal.exit_code(), 2);
        assert!(refusal.to_string().contains("--features mpi"), "{refusal}");
    }
}
