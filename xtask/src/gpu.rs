//! What can be tested of the trainer's GPUs where there is none. `cargo xtask gpu` runs the kernels and every method's gradients
//! on a software Vulkan device, against the processor's. For `cargo xtask cuda`, `tests/cuda/` stands where the driver and cuBLASLt
//! would, under the real compiler: every kernel of a training step is compiled for a Hopper and none is run, and products through
//! cuBLASLt are computed on the host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::page::target;
use crate::setup;
use crate::shell::{cargo, root, run};

/// The program as it is built for GPUs, and the tests of its kernels, from one build of Burn.
const WHAT: [&str; 7] = [
    "--release",
    "--package",
    "clinlora",
    "--package",
    "clinlora-core",
    "--features",
    "clinlora/wgpu,clinlora/cuda",
];

pub(crate) fn software() -> Result<(), String> {
    setup::vulkan()?;
    run(cargo().arg("test").args(WHAT).args(["--lib", "kernels"]))?;
    run(cargo().arg("build").args(WHAT).args(["--bin", "clinlora"]))?;
    // The second is of whole vectors.
    for [batch, seq] in [["3", "9"], ["2", "16"]] {
        run(program().args(["bench", "gradients", "--device", "wgpu", "--batch", batch, "--seq", seq]))?;
    }
    Ok(())
}

pub(crate) fn cuda() -> Result<(), String> {
    let cuda = StandIn::build()?;
    run(cargo().arg("test").args(WHAT).args([
        "--config",
        &cuda.runner(),
        "--lib",
        "cublas",
        "--",
        "--ignored",
    ]))?;
    run(cargo().arg("build").args(WHAT).args(["--bin", "clinlora"]))?;
    for dtype in ["bf16", "f32"] {
        let train = ["bench", "train", "--device", "cuda", "--preset", "tiny", "--batch", "3", "--seq", "16"];
        run(cuda.over(program().args(train).args(["--steps", "1", "--warmup", "1", "--dtype", dtype])))?;
        cuda.say_what_was_compiled()?;
    }
    cuda.runs_every_method()?;
    cuda.assembles_every_kernel()
}

fn program() -> Command {
    Command::new(target().join("release/clinlora"))
}

/// NVIDIA's compiler over what stands for its driver.
struct StandIn {
    compiler: PathBuf,
    libraries: PathBuf,
    report: PathBuf,
    /// Where kernels are written as the compiler has left them.
    kernels: PathBuf,
}

impl StandIn {
    fn build() -> Result<Self, String> {
        let compiler = setup::cuda_compiler()?;
        let libraries = target().join("cuda-stand-in");
        fs::create_dir_all(&libraries).map_err(|e| format!("{}: {e}", libraries.display()))?;
        for (source, library) in [("driver.c", "libcuda.so"), ("cublaslt.c", "libcublasLt.so")] {
            run(Command::new("cc")
                .args(["-O2", "-shared", "-fPIC", "-I"])
                .arg(compiler.join("include"))
                .arg("-o")
                .arg(libraries.join(library))
                .arg(root().join("tests/cuda").join(source)))?;
        }
        let driver = libraries.join("libcuda.so.1");
        fs::copy(libraries.join("libcuda.so"), &driver).map_err(|e| format!("{}: {e}", driver.display()))?;
        let (report, kernels, cache) =
            (libraries.join("report.txt"), libraries.join("kernels"), libraries.join("cache"));
        // What was compiled before would not be compiled now.
        for folder in [&kernels, &cache] {
            if folder.exists() {
                fs::remove_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
            }
        }
        Ok(Self { compiler, libraries, report, kernels })
    }

    /// What has a program find them.
    fn environment(&self) -> [(&'static str, String); 5] {
        let text = |path: &Path| path.display().to_string();
        // A toolkit's libraries are in `lib64`, those of the Python packages in `lib`.
        let libraries = [self.libraries.clone(), self.compiler.join("lib"), self.compiler.join("lib64")];
        [
            ("LD_LIBRARY_PATH", libraries.map(|path| text(&path)).join(":")),
            ("CUDA_PATH", text(&self.compiler)),
            ("XDG_CACHE_HOME", text(&self.libraries.join("cache"))),
            ("CUBECL_CUDA_DUMP_PTX", text(&self.kernels)),
            ("STAND_IN_REPORT", text(&self.report)),
        ]
    }

    fn over<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(self.environment())
    }

    /// A setting of Cargo's: in its own environment a `CUDA_PATH` would have Burn compiled anew.
    fn runner(&self) -> String {
        let variables = self.environment().map(|(name, value)| format!("{:?}", format!("{name}={value}")));
        format!("target.'cfg(all())'.runner = [\"env\", {}]", variables.join(", "))
    }

    fn say_what_was_compiled(&self) -> Result<(), String> {
        let report =
            fs::read_to_string(&self.report).map_err(|e| format!("{}: {e}", self.report.display()))?;
        eprint!("{report}");
        Ok(())
    }

    /// Every method's step reaches its end; its gradients are noughts, since no kernel has run, so they must be found wrong.
    fn runs_every_method(&self) -> Result<(), String> {
        let mut command = program();
        self.over(command.args(["bench", "gradients", "--device", "cuda", "--batch", "3", "--seq", "9"]));
        eprintln!("+ {command:?}");
        let output = command.output().map_err(|e| e.to_string())?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        let cases = stdout.matches("\"method\":").count();
        // Six methods on a LLaMA, two on a BERT; those that train the base in f32 alone.
        if output.status.code() != Some(1) || cases != 14 || !stdout.contains("\"agrees\":false") {
            return Err(format!(
                "{cases} of 14 cases\n{stdout}\n{}",
                String::from_utf8_lossy(&output.stderr)
            ));
        }
        self.say_what_was_compiled()
    }

    /// What a driver does when it loads a kernel.
    fn assembles_every_kernel(&self) -> Result<(), String> {
        let ptxas = self.compiler.join("bin/ptxas");
        let folder = fs::read_dir(&self.kernels).map_err(|e| format!("{}: {e}", self.kernels.display()))?;
        let kernels: Vec<PathBuf> = folder.flatten().map(|entry| entry.path()).collect();
        if kernels.is_empty() {
            return Err(format!("{}: no kernels", self.kernels.display()));
        }
        for kernel in &kernels {
            let assembled = Command::new(&ptxas)
                .args(["--gpu-name", "sm_90a", "--output-file", "/dev/null"])
                .arg(kernel)
                .output()
                .map_err(|e| format!("{}: {e}", ptxas.display()))?;
            if !assembled.status.success() {
                return Err(format!("{}: {}", kernel.display(), String::from_utf8_lossy(&assembled.stderr)));
            }
        }
        eprintln!("{} kernels assembled", kernels.len());
        Ok(())
    }
}
