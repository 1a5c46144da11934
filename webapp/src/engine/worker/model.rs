//! A loaded bundle: the engine of `core` on a device, watched while it works.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;

use burn::tensor::{Device, Tensor};
use clinlora_core::Error;
use clinlora_core::engine::{Adapters, Engine, Loader, Padding};
use clinlora_core::explain::visible;
use clinlora_core::tokenizer::Tokenizer;
use clinlora_core::weights::bundle::{Bundle, ShardSource};
use clinlora_webapp::engine::choice::{Found, choose};
use clinlora_webapp::engine::protocol::{
    AdapterChoice, CpuReason, DeviceWish, Event, Failure, Opened, Outcome, Place,
};
use serde_json::Value;

use super::device::{self, Gpu, Handles, Trouble};
use super::host::{Stop, now_ms, pause, send, within};
use super::store::StoreFile;

/// A bundle whose files are whole, verified and open: shards in order, and then the tokenizer of a base.
pub(crate) struct StoredPart {
    pub(crate) manifest_sha256: String,
    pub(crate) bundle: Bundle,
    pub(crate) files: Vec<StoreFile>,
}

impl StoredPart {
    /// Bytes of its shards, read when they are asked for and kept by nobody.
    fn shards(self: &Rc<Self>) -> Box<dyn ShardSource> {
        Box::new(StoredShards(self.clone()))
    }

    fn tokenizer(&self) -> Result<Tokenizer, Failure> {
        let base = self.bundle.manifest().base.as_ref();
        let (Some(base), Some(file)) = (base, self.files.last()) else { return Err(Failure::NothingLoaded) };
        let size = usize::try_from(base.tokenizer.bytes).expect("a manifest limits its files");
        let mut bytes = vec![0; size];
        file.read(&mut bytes, 0)?;
        let is_model = base.tokenizer.file.ends_with(".model");
        let read = if is_model { Tokenizer::from_sentencepiece } else { Tokenizer::from_json };
        read(&bytes).map_err(|e| refuse(&e))
    }
}

struct StoredShards(Rc<StoredPart>);

impl ShardSource for StoredShards {
    fn read(&self, shard: usize, offset: u64, into: &mut [u8]) -> Result<(), Error> {
        let what = || format!("shard {shard}");
        let Some(file) = self.0.files.get(shard) else {
            return Err(Error::Container { what: what(), reason: "there is none".to_owned() });
        };
        file.read(into, offset).map_err(|e| Error::Container { what: what(), reason: e.message() })
    }
}

/// What a model is loaded from: a bundle, and its base where that is another.
pub(crate) struct Parts {
    pub(crate) base: Option<StoredPart>,
    pub(crate) bundle: StoredPart,
    /// Size of all files.
    pub(crate) bytes: u64,
}

/// Where a model is.
pub(crate) enum Compute {
    Cpu { reason: CpuReason },
    Gpu { gpu: Gpu, place: Place },
}

impl Compute {
    /// The device that was chosen, from the handles that were found, if it computes what it should: a GPU that does not is
    /// left for the CPU.
    pub(crate) async fn new(
        place: Place,
        handles: Result<Handles, CpuReason>,
        parts: &Sources,
    ) -> Result<Self, Failure> {
        let (mut adapter, handles) = match (place, handles) {
            (Place::Cpu { reason }, _) | (_, Err(reason)) => return Ok(Self::Cpu { reason }),
            (Place::Gpu { adapter }, Ok(handles)) => (adapter, handles),
        };
        let gpu = Gpu::new(handles).map_err(|reason| Failure::DeviceLost { reason })?;
        let base = parts.owner().bundle.manifest().base.as_ref().ok_or(Failure::NothingLoaded)?;
        let tried = gpu.try_kernels(base, &adapter).await;
        let refused = match tried {
            Ok(refused) => refused,
            Err(reason) => {
                gpu.destroy();
                choose(DeviceWish::Automatic, &Found::Nothing(reason), parts.bytes, 0)?;
                return Ok(Self::Cpu { reason });
            }
        };
        adapter.refused_kernels = refused;
        let compute = Self::Gpu { gpu, place: Place::Gpu { adapter } };
        compute.check(parts.bytes)?;
        Ok(compute)
    }

    fn device(&self) -> Device {
        match self {
            Self::Cpu { .. } => Device::flex(),
            Self::Gpu { gpu, .. } => gpu.device.clone(),
        }
    }

    fn place(&self) -> Place {
        match self {
            Self::Cpu { reason } => Place::Cpu { reason: *reason },
            Self::Gpu { place, .. } => place.clone(),
        }
    }

    /// Fails if something has gone wrong on the device.
    fn check(&self, bundle_bytes: u64) -> Result<(), Failure> {
        let Self::Gpu { gpu, .. } = self else { return Ok(()) };
        match gpu.trouble() {
            None => Ok(()),
            Some(Trouble::OutOfMemory(reason)) => Err(Failure::OutOfMemory { bundle_bytes, reason }),
            // A refused command leaves numbers nobody should see; another device may take it.
            Some(Trouble::Lost(reason) | Trouble::Refused(reason)) => Err(Failure::DeviceLost { reason }),
        }
    }

    /// Reads from the device, looking now and then whether it is still there.
    async fn read<const D: usize>(&self, tensor: Tensor<D>, bundle_bytes: u64) -> Result<Vec<f32>, Failure> {
        const LOOK_MS: u32 = 250;
        let mut data = pin!(tensor.into_data_async());
        let data = loop {
            match within(LOOK_MS, data.as_mut()).await {
                Some(data) => break data,
                None => self.check(bundle_bytes)?,
            }
        };
        if data.is_err() {
            // The browser tells why after it has refused.
            pause(50).await;
        }
        self.check(bundle_bytes)?;
        let data = data.map_err(|e| Failure::DeviceLost { reason: e.to_string() })?;
        Ok(data.convert::<f32>().try_into_vec::<f32>().expect("converted to f32"))
    }
}

/// A model ready to predict.
pub(crate) struct Loaded {
    parts: Rc<Sources>,
    compute: Compute,
    wish: DeviceWish,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) engine: RefCell<Engine>,
    /// Rows times layers of the last slice.
    slice_rows: Cell<usize>,
}

/// [`Parts`] that can be loaded again.
pub(crate) struct Sources {
    base: Option<Rc<StoredPart>>,
    bundle: Rc<StoredPart>,
    bytes: u64,
}

impl Sources {
    /// The part with the base.
    fn owner(&self) -> &Rc<StoredPart> {
        self.base.as_ref().unwrap_or(&self.bundle)
    }
}

/// A request to predict.
pub(crate) struct Wanted<'a> {
    pub(crate) id: u64,
    pub(crate) note: String,
    pub(crate) tasks: Vec<String>,
    pub(crate) adapters: AdapterChoice,
    pub(crate) max_tokens: Option<usize>,
    pub(crate) stop: &'a Stop,
    pub(crate) started_ms: f64,
}

impl Loaded {
    /// Puts the base on the device that was chosen, then adapters and heads.
    pub(crate) async fn load(
        parts: Parts,
        place: Place,
        handles: Result<Handles, CpuReason>,
        wish: DeviceWish,
        id: u64,
    ) -> Result<Self, Failure> {
        let Parts { base, bundle, bytes } = parts;
        let parts = Rc::new(Sources { base: base.map(Rc::new), bundle: Rc::new(bundle), bytes });
        let compute = Compute::new(place, handles, &parts).await?;
        Self::put(parts, compute, wish, id).await
    }

    async fn put(parts: Rc<Sources>, compute: Compute, wish: DeviceWish, id: u64) -> Result<Self, Failure> {
        let bytes = parts.bytes;
        let owner = parts.owner();
        let device = compute.device();
        let padding = match compute {
            Compute::Cpu { .. } => Padding::Longest,
            Compute::Gpu { .. } => Padding::Buckets,
        };
        let load = |e: Error| compute.check(bytes).err().unwrap_or_else(|| refuse(&e));
        let mut loader = Loader::new(owner.bundle.clone(), owner.shards(), padding, &device).map_err(load)?;
        loop {
            let loading = loader.step().map_err(load)?;
            send(id, Event::Loading { loaded_bytes: loading.done, total_bytes: loading.total });
            // What was handed over must have arrived before more is read: that bounds the memory in between.
            compute.read(Tensor::<1>::zeros([1], &device), bytes).await?;
            if loading.is_done() {
                break;
            }
        }
        let mut engine = loader.finish().map_err(load)?;
        if parts.base.is_some() {
            engine.add(&parts.bundle.bundle, parts.bundle.shards().as_ref()).map_err(load)?;
        }
        compute.read(Tensor::<1>::zeros([1], &device), bytes).await?;
        let tokenizer = owner.tokenizer()?;
        let (engine, slice_rows) = (RefCell::new(engine), Cell::new(1));
        Ok(Self { parts, compute, wish, tokenizer, engine, slice_rows })
    }

    /// Loads the same files again on another device.
    pub(crate) async fn reload(self, id: u64) -> Result<Self, Failure> {
        let (parts, wish) = (self.parts.clone(), self.wish);
        self.end();
        let handles = device::find().await;
        let place = choose(wish, &device::found(&handles), parts.bytes, 0)?;
        let compute = Compute::new(place, handles, &parts).await?;
        Self::put(parts, compute, wish, id).await
    }

    /// Lets go of the device.
    pub(crate) fn end(self) {
        drop(self.engine);
        if let Compute::Gpu { gpu, .. } = self.compute {
            gpu.destroy();
        }
    }

    /// What the page is told.
    pub(crate) fn describe(&self) -> Opened {
        Opened {
            manifest_sha256: self.parts.bundle.manifest_sha256.clone(),
            about: about(&self.parts.bundle.bundle),
            bytes: self.parts.bytes,
            place: self.compute.place(),
        }
    }

    /// Tokens of a note, how many the tasks read at most, and up to which byte that reaches.
    pub(crate) fn count_tokens(&self, note: &str) -> Result<Event, Failure> {
        let count = self.tokenizer.encode(note, usize::MAX).map_err(|e| refuse(&e))?.len();
        let limit = self.engine.borrow().tasks().map(|task| task.max_tokens).max().unwrap_or(0);
        let read_bytes = match count <= limit {
            true => note.len(),
            false => visible(&self.tokenizer, note, limit).map_err(|e| refuse(&e))?,
        };
        Ok(Event::Tokens { count, limit, read_bytes })
    }

    /// Fails if something has gone wrong on the device.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.compute.check(self.parts.bytes)
    }

    /// Predicts, and tells each outcome as soon as it is there.
    pub(crate) async fn predict(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        self.check()?;
        let groups = self.groups(wanted)?;
        let layers = self.engine.borrow().config().num_hidden_layers;
        let total = layers * groups.len();
        for (done, (max_tokens, tasks)) in groups.into_iter().enumerate() {
            let ids = self.tokenizer.encode(&wanted.note, max_tokens).map_err(|e| refuse(&e))?;
            let names: Vec<&str> = tasks.iter().map(String::as_str).collect();
            let told = |layer: usize| send(wanted.id, Event::Step { done: done * layers + layer, total });
            let run = Run { notes: &[&ids], tasks: &names, adapters: wanted.adapters, stop: wanted.stop };
            for (task, rows) in self.run(&run, told).await? {
                let row = rows.first().expect("one note was run");
                let probabilities = self.engine.borrow().probabilities(&task, row);
                let probabilities = probabilities.map_err(|e| refuse(&e))?;
                let elapsed_ms = now_ms() - wanted.started_ms;
                let outcome = Outcome { task, probabilities, tokens_read: ids.len(), elapsed_ms };
                send(wanted.id, Event::Predicted(outcome));
            }
        }
        Ok(())
    }

    /// The tasks asked for, those that read equally many tokens together.
    fn groups(&self, wanted: &Wanted<'_>) -> Result<Vec<(usize, Vec<String>)>, Failure> {
        let engine = self.engine.borrow();
        let all = || engine.tasks().map(|task| task.name.clone()).collect();
        let names: Vec<String> = if wanted.tasks.is_empty() { all() } else { wanted.tasks.clone() };
        let mut groups: Vec<(usize, Vec<String>)> = Vec::new();
        for name in names {
            let task = engine.task(&name).map_err(|_| Failure::UnknownTask { task: name.clone() })?;
            let max_tokens = wanted.max_tokens.unwrap_or(task.max_tokens);
            match groups.iter_mut().find(|(tokens, _)| *tokens == max_tokens) {
                Some((_, group)) if group.contains(&name) => {}
                Some((_, group)) => group.push(name),
                None => groups.push((max_tokens, vec![name])),
            }
        }
        Ok(groups)
    }

    /// One pass; a row of logits for each note of each task. Layers are handed to the device in slices short enough for its
    /// watchdog and for a page that wants to stop; `told` gets how many have run.
    pub(crate) async fn run(
        &self,
        run: &Run<'_>,
        told: impl Fn(usize),
    ) -> Result<Vec<(String, Vec<Vec<f32>>)>, Failure> {
        let bytes = self.parts.bytes;
        let started = self.engine.borrow().start(run.notes, run.tasks, adapters(run.adapters));
        let mut prefill = started.map_err(|e| refuse(&e))?;
        // Rows that pass through a layer, at most: what a slice may hold shrinks with them.
        let longest = run.notes.iter().map(|note| note.len()).max().unwrap_or(1);
        let rows = longest * run.notes.len() * run.tasks.len();
        let mut slice = Slice::new((self.slice_rows.get() / rows).max(1));
        loop {
            run.stop.check()?;
            let progress = self.engine.borrow_mut().step(&mut prefill);
            if progress.is_done() {
                break;
            }
            if slice.is_full() {
                self.compute.read(prefill.fence(), bytes).await?;
                pause(0).await; // a computation on the CPU never lets messages in by itself
                slice = slice.next();
                self.slice_rows.set(slice.layers * rows);
                told(progress.done);
            }
        }
        let logits = prefill.into_logits().expect("every layer has run");
        let values = self.compute.read(logits.values.clone(), bytes).await?;
        Ok(logits.split(&values))
    }
}

/// What one pass computes.
pub(crate) struct Run<'a> {
    pub(crate) notes: &'a [&'a [u32]],
    pub(crate) tasks: &'a [&'a str],
    pub(crate) adapters: AdapterChoice,
    pub(crate) stop: &'a Stop,
}

/// How many layers are handed over before the device is waited for, from how long the last ones took: of this note, or of the
/// one before, so that a model of few layers is not waited for at all.
struct Slice {
    layers: usize,
    done: usize,
    began_ms: f64,
}

impl Slice {
    fn new(layers: usize) -> Self {
        Self { layers, done: 0, began_ms: now_ms() }
    }

    /// Counts a layer; whether it was the last of the slice.
    fn is_full(&mut self) -> bool {
        self.done += 1;
        self.done >= self.layers
    }

    /// The next slice, aimed at 50 to 200 ms.
    fn next(&self) -> Self {
        Self::new(match now_ms() - self.began_ms {
            ms if ms < 50.0 => self.layers * 2,
            ms if ms > 200.0 => (self.layers / 2).max(1),
            _ => self.layers,
        })
    }
}

fn adapters(choice: AdapterChoice) -> Adapters {
    match choice {
        AdapterChoice::Off => Adapters::Off,
        AdapterChoice::Clinical => Adapters::Clinical,
        AdapterChoice::All => Adapters::All,
    }
}

/// The manifest without its tables of tensors and files.
fn about(bundle: &Bundle) -> Value {
    let mut about = serde_json::to_value(bundle.manifest()).expect("what was read can be written");
    let strip = |value: Option<&mut Value>, name: &str| {
        if let Some(Value::Object(map)) = value {
            map.remove(name);
        }
    };
    strip(Some(&mut about), "shards");
    strip(about.get_mut("base"), "tensors");
    for (list, name) in [("adapters", "tensors"), ("tasks", "head")] {
        for entry in about.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            strip(Some(entry), name);
        }
    }
    about
}

/// A failure for an error of `core`, all of which are defects of an input.
pub(crate) fn refuse(error: &Error) -> Failure {
    let reason = error.to_string();
    match error {
        Error::EmptyNote | Error::Tokenizer { .. } => Failure::Note { reason },
        Error::Container { .. } => Failure::NoStore { reason },
        _ => Failure::Manifest { reason },
    }
}
