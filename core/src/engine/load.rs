//! Putting a bundle on a device, one layer a step: no weight is held twice.

use burn::module::Param;
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::{Engine, LoadedTask, Padding};
use crate::config::LlamaConfig;
use crate::error::Error;
use crate::linear::Base;
use crate::model::llama::Construction;
use crate::params::for_each_site;
use crate::peft::lora::Lora;
use crate::peft::part::Membership;
use crate::quant::{Bits, Packed};
use crate::weights::bundle::{Adapter, Bundle, BundleTask, BundleTensor, EMBEDDING, Format, ShardSource};
use crate::weights::{Init, Weights};

/// How far loading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loading {
    /// Bytes on the device.
    pub done: u64,
    /// Bytes there will be.
    pub total: u64,
}

impl Loading {
    /// Whether nothing is left to read but adapters and heads.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done == self.total
    }
}

/// A base being put on a device.
pub struct Loader {
    bundle: Bundle,
    config: LlamaConfig,
    source: Box<dyn ShardSource>,
    device: Device,
    padding: Padding,
    construction: Construction,
    loaded: Loading,
}

impl Loader {
    /// Begins with a bundle whose shards have been verified.
    ///
    /// # Errors
    /// [`Error::Bundle`] if it holds no base.
    pub fn new(
        bundle: Bundle,
        source: Box<dyn ShardSource>,
        padding: Padding,
        device: &Device,
    ) -> Result<Self, Error> {
        let (Some(config), Some(base)) = (bundle.config().cloned(), &bundle.manifest().base) else {
            let reason =
                "it holds adapters for a base that is not in it; load that base first, then add this one";
            return Err(Error::Bundle { reason: reason.to_owned() });
        };
        let on_device = base.tensors.iter().filter(|tensor| tensor.format != Format::Int8Rows);
        let total = on_device.flat_map(|tensor| &tensor.segments).map(|segment| segment.bytes).sum();
        let mut weights = BundleWeights::new(&bundle, source.as_ref(), device);
        let construction = Construction::begin(&config, &mut weights);
        let loaded = Loading { done: 0, total };
        Ok(Self { bundle, config, source, device: device.clone(), padding, construction, loaded })
    }

    /// Loads the next layer; the last step loads what remains. Further steps do nothing.
    ///
    /// # Errors
    /// [`Error::Container`] if the source fails, [`Error::NotFinite`] for a damaged tensor. The loader is then of no use.
    pub fn step(&mut self) -> Result<Loading, Error> {
        let mut weights = BundleWeights::new(&self.bundle, self.source.as_ref(), &self.device);
        let was_layer = self.construction.add_layer(&mut weights);
        self.loaded.done += weights.finish()?;
        if !was_layer {
            self.loaded.done = self.loaded.total; // the final norm is read with `finish`
        }
        Ok(self.loaded)
    }

    /// Ends with adapters and heads.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn finish(mut self) -> Result<Engine, Error> {
        while !self.step()?.is_done() {}
        let Self { bundle, config, source, device, padding, construction, .. } = self;
        let mut weights = BundleWeights::new(&bundle, source.as_ref(), &device);
        let model = construction.finish(&mut weights);
        weights.finish()?;
        let tensors = bundle.manifest().base.iter().flat_map(|base| &base.tensors);
        let embedding = tensors.clone().find(|tensor| tensor.name == EMBEDDING).cloned();
        let all: Vec<&Adapter> = bundle.manifest().adapters.iter().collect();
        let additions = Additions::read(&all, &bundle.manifest().tasks, source.as_ref(), &device)?;
        let mut engine = Engine {
            model,
            config,
            base_sha256: bundle.manifest().base_sha256.clone(),
            embedding: embedding.expect("a bundle's base was checked to have every tensor"),
            source,
            tasks: Vec::new(),
            adapters: Vec::new(),
            padding,
            device,
            routing: Vec::new(),
        };
        engine.apply(additions);
        Ok(engine)
    }
}

impl Engine {
    /// Loads a whole bundle, telling `progress` after each layer.
    ///
    /// # Errors
    /// As [`Loader`].
    pub fn load(
        bundle: Bundle,
        source: Box<dyn ShardSource>,
        padding: Padding,
        device: &Device,
        mut progress: impl FnMut(Loading),
    ) -> Result<Self, Error> {
        let mut loader = Loader::new(bundle, source, padding, device)?;
        loop {
            let loading = loader.step()?;
            progress(loading);
            if loading.is_done() {
                return loader.finish();
            }
        }
    }

    /// Adds the adapters and tasks of a bundle for this base; an adapter that is loaded already is not loaded again.
    ///
    /// # Errors
    /// [`Error::Bundle`] for another base, or a name that is taken; [`Error::Tensors`] for what does not fit the base;
    /// [`Error::Container`] and [`Error::NotFinite`] for what cannot be read. Nothing is added then.
    pub fn add(&mut self, bundle: &Bundle, source: &dyn ShardSource) -> Result<(), Error> {
        let manifest = bundle.manifest();
        let refuse = |reason: String| Err(Error::Bundle { reason });
        if manifest.base_sha256 != self.base_sha256 {
            return refuse(format!(
                "its adapters are for the base {}, and loaded is {}; they would give numbers without meaning",
                short(&manifest.base_sha256),
                short(&self.base_sha256)
            ));
        }
        bundle.check_fits(&self.config)?;
        if let Some(task) = manifest.tasks.iter().find(|task| self.task(&task.name).is_ok()) {
            return refuse(format!("a task {} is loaded already", task.name));
        }
        let known = |name: &str| self.adapters.iter().find(|(loaded, _)| loaded == name);
        let mut fresh = Vec::new();
        for adapter in &manifest.adapters {
            match known(&adapter.name) {
                None => fresh.push(adapter),
                Some((_, sha256)) if *sha256 == adapter.sha256 => {}
                Some(_) => return refuse(format!("another adapter {} is loaded already", adapter.name)),
            }
        }
        let additions = Additions::read(&fresh, &manifest.tasks, source, &self.device)?;
        self.apply(additions);
        Ok(())
    }

    fn apply(&mut self, additions: Additions) {
        for AdapterFactors { name, sha256, scale, sites } in additions.adapters {
            let mut membership = Membership::new(&name, self.adapters.len());
            membership.active = false; // until a task is run under it
            for (path, a, b) in sites {
                let mut lora = Some(Lora::frozen(membership.clone(), a, b, scale));
                for_each_site(&mut self.model, |site, linear| {
                    if site == path {
                        linear.deltas_mut().extend(lora.take());
                    }
                });
            }
            self.adapters.push((name, sha256));
        }
        self.tasks.extend(additions.tasks);
    }
}

/// Adapters and tasks that have been read, so that putting them on a model cannot fail.
struct Additions {
    adapters: Vec<AdapterFactors>,
    tasks: Vec<LoadedTask>,
}

struct AdapterFactors {
    name: String,
    sha256: String,
    scale: f64,
    /// Path, `A` and `B` of each layer it sits on.
    sites: Vec<(String, Tensor<2>, Tensor<2>)>,
}

impl Additions {
    fn read(
        adapters: &[&Adapter],
        tasks: &[BundleTask],
        source: &dyn ShardSource,
        device: &Device,
    ) -> Result<Self, Error> {
        let site = |adapter: &Adapter, a: &BundleTensor| {
            let path = a.name.trim_end_matches(A);
            let b = adapter.tensors.iter().find(|tensor| tensor.name.strip_suffix(B) == Some(path));
            let b = b.expect("a bundle's adapters were checked to have both factors");
            Ok((path.to_owned(), matrix(a, source, device)?, matrix(b, source, device)?))
        };
        let read = |adapter: &&Adapter| {
            let firsts = adapter.tensors.iter().filter(|tensor| tensor.name.ends_with(A));
            let sites = firsts.map(|a| site(adapter, a)).collect::<Result<Vec<_>, Error>>()?;
            let (name, sha256) = (adapter.name.clone(), adapter.sha256.clone());
            Ok(AdapterFactors { name, sha256, scale: adapter.scale, sites })
        };
        let task = |task: &BundleTask| {
            Ok(LoadedTask { task: task.clone(), head: matrix(&task.head, source, device)? })
        };
        Ok(Self {
            adapters: adapters.iter().map(read).collect::<Result<Vec<_>, Error>>()?,
            tasks: tasks.iter().map(task).collect::<Result<Vec<_>, Error>>()?,
        })
    }
}

const A: &str = ".lora_A.weight";
const B: &str = ".lora_B.weight";

/// The first figures of a hash.
fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

fn matrix(tensor: &BundleTensor, source: &dyn ShardSource, device: &Device) -> Result<Tensor<2>, Error> {
    let values = tensor.read_values(source)?;
    let shape: Vec<usize> = tensor.dims();
    Ok(Tensor::from_data(TensorData::new(values, shape), (device, DType::F32)))
}

/// [`Weights`] out of a bundle. The first problem is kept and told by [`finish`](Self::finish); until then tensors without
/// elements stand in.
struct BundleWeights<'a> {
    tensors: &'a [BundleTensor],
    source: &'a dyn ShardSource,
    device: &'a Device,
    bytes: u64,
    failure: Option<Error>,
}

impl<'a> BundleWeights<'a> {
    fn new(bundle: &'a Bundle, source: &'a dyn ShardSource, device: &'a Device) -> Self {
        let tensors = bundle.manifest().base.as_ref().map_or(&[][..], |base| &base.tensors);
        Self { tensors, source, device, bytes: 0, failure: None }
    }

    /// Bytes read, if all went well.
    fn finish(self) -> Result<u64, Error> {
        self.failure.map_or(Ok(self.bytes), Err)
    }

    fn read<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&BundleTensor, &dyn ShardSource) -> Result<T, Error>,
    ) -> Option<T> {
        let tensor = self.tensors.iter().find(|tensor| tensor.name == name);
        let tensor = tensor.expect("a bundle's base was checked to have every tensor");
        match read(tensor, self.source) {
            Ok(values) => {
                self.bytes += tensor.segments.iter().map(|segment| segment.bytes).sum::<u64>();
                Some(values)
            }
            Err(error) => {
                self.failure.get_or_insert(error);
                None
            }
        }
    }
}

impl Weights for BundleWeights<'_> {
    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D], _init: Init) -> Tensor<D> {
        let options = (self.device, DType::F32);
        match self.read(name, BundleTensor::read_values) {
            Some(values) => Tensor::from_data(TensorData::new(values, shape), options),
            None => Tensor::empty([0; D], options),
        }
    }

    fn linear(&mut self, name: &str, shape: [usize; 2], _init: Init) -> Base {
        let read = |tensor: &BundleTensor, source: &dyn ShardSource| {
            let bits = if tensor.format == Format::Int4 { Bits::Four } else { Bits::Eight };
            Ok((tensor.read_words(source)?, bits))
        };
        match self.read(name, read) {
            Some((words, bits)) => Packed::new(words, shape, bits, self.device).into(),
            None => Param::from_tensor(Tensor::<2>::empty([0; 2], (self.device, DType::F32))).into(),
        }
    }

    fn table(&mut self, _name: &str, _shape: [usize; 2], _init: Init) -> Option<Param<Tensor<2>>> {
        None // its rows are read as notes need them
    }
}
