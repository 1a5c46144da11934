//! Bodies for GPUs. None is written yet: the references run, fused by Burn where it is built to.

use burn::backend::Cube;
use burn_cubecl::CubeBackend;

use super::{FusedGradients, FusedOps};

impl FusedOps for CubeBackend {}

/// `Cube` is the backend itself, or with the feature `fusion` its fused form.
impl FusedGradients for Cube {}
