//! Memory of loading and of training: a checkpoint is read tensor by tensor, so its size is needed once and not twice;
//! recomputing keeps less of a step; and a long run holds no more at its end than at its beginning.
//!
//! A suite of its own, one test at a time: its allocator counts the bytes of the whole process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::{DType, Device};
use clinlora::dataset::Sample;
use clinlora::folders::base::sources;
use clinlora::recipe::Training;
use clinlora::training::adamw::AdamW;
use clinlora::training::objective::LanguageModelling;
use clinlora::training::schedule::RateFactors;
use clinlora::training::step;
use clinlora_core::config::LlamaConfig;
use clinlora_core::model::head::CausalLm;
use clinlora_core::peft::lora::LoraConfig;
use clinlora_core::peft::stack::attach;
use clinlora_core::weights::RandomWeights;
use clinlora_core::weights::checkpoint::CheckpointWeights;
use half::bf16;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// The system's allocator, counting.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator with the arguments it came with; counting touches no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::SeqCst) + layout.size();
        PEAK.fetch_max(held, Ordering::SeqCst);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::SeqCst);
        // SAFETY: `pointer` came from `alloc` above, which is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Held by the test that counts.
static COUNTED: Mutex<()> = Mutex::new(());

/// Vocabulary, width and layers such that the largest tensor is a small part of the model, as in a 7B checkpoint.
fn config() -> LlamaConfig {
    LlamaConfig::preset(2000, 256, 688, 12, 4, 4)
}

/// Writes a checkpoint of random-looking bf16 values into `folder`; returns its size and that of its largest tensor, in
/// values.
fn write_checkpoint(folder: &std::path::Path, config: &LlamaConfig) -> (usize, usize) {
    let (d, vocabulary) = (config.hidden_size, config.vocab_size);
    let mut shapes: Vec<(String, Vec<usize>)> =
        config.sites().into_iter().map(|(path, shape)| (format!("{path}.weight"), shape.to_vec())).collect();
    for name in ["model.embed_tokens.weight", "lm_head.weight"] {
        shapes.push((name.to_owned(), vec![vocabulary, d]));
    }
    let norms = (0..config.num_hidden_layers).flat_map(|i| {
        ["input_layernorm", "post_attention_layernorm"].map(|norm| format!("model.layers.{i}.{norm}.weight"))
    });
    shapes.extend(norms.chain(["model.norm.weight".to_owned()]).map(|name| (name, vec![d])));
    let size = |shape: &[usize]| shape.iter().product::<usize>();
    let largest = shapes.iter().map(|(_, shape)| size(shape)).max().expect("there are tensors");
    let total = shapes.iter().map(|(_, shape)| size(shape)).sum();
    let data: Vec<u8> = (0..largest)
        .flat_map(|i| bf16::from_f32(u16::try_from(i % 251).map_or(0.0, f32::from) / 251.0).to_le_bytes())
        .collect();
    let views = shapes.iter().map(|(name, shape)| {
        let view = TensorView::new(Dtype::BF16, shape.clone(), &data[..2 * size(shape)]);
        (name, view.expect("the bytes match the shape"))
    });
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors"))
        .expect("a checkpoint is written");
    (total, largest)
}

#[test]
fn loading_needs_the_model_once_and_a_few_copies_of_its_largest_tensor() {
    let _counted = COUNTED.lock();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = config();
    let (total, largest) = write_checkpoint(folder.path(), &config);
    assert_eq!(total, config.num_params());
    let on_disk = File::open(folder.path().join("model.safetensors")).and_then(|file| file.metadata());
    assert!(on_disk.expect("written above").len() > 2 * total as u64);

    for (dtype, bytes_per_value) in [(DType::F32, 4), (DType::BF16, 2)] {
        let device = Device::flex();
        let before = HELD.load(Ordering::SeqCst);
        PEAK.store(before, Ordering::SeqCst);
        let sources = sources(folder.path()).expect("a checkpoint folder");
        let mut weights = CheckpointWeights::new("checkpoint", sources, &device, dtype);
        let model = CausalLm::build(&config, &mut weights);
        weights.finish().expect("every tensor has its place");
        let peak = PEAK.load(Ordering::SeqCst) - before;
        let held = HELD.load(Ordering::SeqCst) - before;
        drop(model);

        let model_bytes = total * bytes_per_value;
        println!(
            "{dtype:?}: model {model_bytes} bytes, held after loading {held}, peak while loading {peak}, largest tensor {} \
             in this format",
            largest * bytes_per_value
        );
        assert!(held >= model_bytes, "the model is there: {held} of {model_bytes} bytes");
        assert!(
            held < model_bytes + model_bytes / 20,
            "only the model is held: {held} against {model_bytes}"
        );
        // Bytes as stored, values as converted, and the tensor itself, for one tensor at a time.
        let allowed = held + 3 * largest * bytes_per_value;
        assert!(peak <= allowed, "{dtype:?}: peak {peak}, {allowed} allowed");
    }
}

/// Notes of one length, or of many.
fn notes(count: usize, vocabulary: usize, tokens: impl Fn(usize) -> usize) -> Vec<Sample> {
    let id = |note: usize, t: usize| u32::try_from((note * 31 + t * 7) % vocabulary).expect("a token id");
    let ids = |note: usize| (0..tokens(note)).map(|t| id(note, t)).collect();
    (0..count).map(|note| Sample { id: note.to_string(), ids: ids(note), target: Vec::new() }).collect()
}

fn training(recompute: bool) -> Training {
    let table = serde_json::json!({
        "epochs": 1, "learning_rate": 3e-3, "batch_size": 8, "weight_decay": 0.01, "recompute": recompute
    });
    serde_json::from_value(table).expect("a training table")
}

fn adapted(config: &LlamaConfig, device: &Device) -> CausalLm {
    let mut model = CausalLm::build(config, &mut RandomWeights::new(1, device, DType::F32));
    let lora = LoraConfig { r: 4, alpha: 8.0, ..LoraConfig::default() };
    attach(&mut model, "clinical", lora, 2, device).expect("attaches");
    model
}

#[test]
fn recomputing_takes_less_memory_for_the_same_gradients() {
    let _counted = COUNTED.lock();
    let device = Device::flex().autodiff();
    let config = LlamaConfig::preset(300, 128, 344, 12, 4, 4);
    let mut model = adapted(&config, &device);
    let notes = notes(8, 300, |_| 64);
    let notes: Vec<&Sample> = notes.iter().collect();
    let [(whole, peak), (parts, less)] = [false, true].map(|recompute| {
        let before = HELD.load(Ordering::SeqCst);
        PEAK.store(before, Ordering::SeqCst);
        let (_, gradients) =
            step::gradients(&LanguageModelling, &mut model, &notes, &training(recompute), 1, &device)
                .expect("a step");
        let peak = PEAK.load(Ordering::SeqCst) - before;
        let gradients: Vec<Vec<f32>> =
            gradients.into_values().map(|g| g.into_data().as_slice::<f32>().expect("f32").to_vec()).collect();
        (gradients, peak)
    });
    println!("a step's peak: {peak} bytes, recomputing {less}");
    assert!(whole == parts, "the same gradients, to the bit");
    assert!(3 * less < peak, "recomputing took {less} bytes, keeping everything {peak}");
}

/// Minutes: `cargo test --profile checked -p clinlora-tests --test memory -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes"]
fn two_thousand_updates_stay_finite_and_hold_no_more_memory() {
    let _counted = COUNTED.lock();
    let device = Device::flex().autodiff();
    let config = LlamaConfig::preset(300, 48, 128, 3, 4, 2);
    let mut model = adapted(&config, &device);
    let notes = notes(64, 300, |note| 5 + note * 13 % 60);
    let mut optimizer = AdamW::default();
    let (mut begun, mut first, mut last) = ((0, 0), 0.0, 0.0);
    for update in 0..2000 {
        let chosen: Vec<&Sample> = (0..8).map(|i| &notes[(update * 8 + i * 5) % notes.len()]).collect();
        let training = training(update % 2 == 1);
        let (loss, gradients) =
            step::gradients(&LanguageModelling, &mut model, &chosen, &training, update as u64, &device)
                .expect("a step");
        let outcome = step::measure(loss, &gradients);
        assert!(outcome.loss.is_finite() && outcome.grad_norm.is_finite(), "update {update}: {outcome:?}");
        step::apply(&mut model, &mut optimizer, gradients, outcome, &training, 3e-3, &RateFactors::default());
        match update {
            0 => first = outcome.loss,
            99 => {
                let held = HELD.load(Ordering::SeqCst);
                begun = (held, PEAK.swap(held, Ordering::SeqCst));
            }
            _ => last = outcome.loss,
        }
    }
    let (held, peak) = (HELD.load(Ordering::SeqCst), PEAK.load(Ordering::SeqCst));
    println!(
        "loss {first} to {last}; after 100 updates {begun:?} bytes held and at most, after 2000 {:?}",
        (held, peak)
    );
    assert!(last < first, "it learns: {first} to {last}");
    assert!(held < begun.0 + begun.0 / 50, "held {held} bytes after 2000 updates, {} after 100", begun.0);
    assert!(peak < begun.1 + begun.1 / 20, "at most {peak} bytes, {} in the first 100 updates", begun.1);
}
