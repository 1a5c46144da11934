//! Memory of loading: a checkpoint is read tensor by tensor, so its size is needed once and not twice.
//!
//! A suite of its own, with one test: its allocator counts the bytes of the whole process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::{DType, Device};
use clinlora::folders::base::sources;
use clinlora_core::config::LlamaConfig;
use clinlora_core::model::head::CausalLm;
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
