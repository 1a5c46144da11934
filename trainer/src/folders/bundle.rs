//! A bundle's folder: `manifest.json`, `tokenizer.json` and shards, read through memory maps once their hashes are right.

use std::fs::File;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clinlora_core::Error as CoreError;
use clinlora_core::engine::{Adapters, Engine, Padding};
use clinlora_core::tokenizer::Tokenizer;
use clinlora_core::weights::bundle::{Bundle, ShardSource};
use memmap2::Mmap;

use crate::dataset::Sample;
use crate::error::{AtPath, Error, Result};
use crate::files;
use crate::training::objective::in_batches;

/// Our file in a bundle's folder.
pub(crate) const MANIFEST: &str = "manifest.json";

/// A folder whose files have all been verified.
pub(crate) struct BundleFolder {
    pub(crate) path: PathBuf,
    pub(crate) bundle: Bundle,
    /// Absent where the base is elsewhere.
    pub(crate) tokenizer: Option<Tokenizer>,
    shards: Shards,
}

/// Shards of a folder in the manifest's order.
struct Shards(Vec<Mmap>);

impl ShardSource for Shards {
    fn read(&self, shard: usize, offset: u64, into: &mut [u8]) -> std::result::Result<(), CoreError> {
        let bytes = usize::try_from(offset).ok().and_then(|start| {
            let end = start.checked_add(into.len())?;
            self.0.get(shard)?.get(start..end)
        });
        let what = format!("shard {shard}");
        let bytes =
            bytes.ok_or_else(|| CoreError::Container { what, reason: "shorter than it was".to_owned() })?;
        into.copy_from_slice(bytes);
        Ok(())
    }
}

impl BundleFolder {
    /// Reads the manifest and hashes every file it names.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            return Err(Error::Input(format!("{}: not a folder; give a bundle's folder", path.display())));
        }
        let manifest_path = path.join(MANIFEST);
        let bundle = Bundle::parse(&files::read(&manifest_path)?).at(&manifest_path)?;
        let mut shards = Vec::new();
        for (place, shard) in bundle.manifest().shards.iter().enumerate() {
            let path = path.join(&shard.file);
            let file = File::open(&path).at(&path)?;
            // SAFETY: as for a checkpoint's files: the map is read-only, and nothing is written from it.
            let map = unsafe { Mmap::map(&file) }.at(&path)?;
            bundle.manifest().verify_shard(place, &map).at(&path)?;
            shards.push(map);
        }
        let tokenizer = match &bundle.manifest().base {
            Some(base) => {
                let path = path.join(&base.tokenizer.file);
                let bytes = files::read(&path)?;
                base.tokenizer.verify(&bytes).at(&path)?;
                Some(Tokenizer::from_json(&bytes).at(&path)?)
            }
            None => None,
        };
        Ok(Self { path: path.to_owned(), bundle, tokenizer, shards: Shards(shards) })
    }

    /// Loads base, adapters and tasks, with the tokenizer beside them.
    pub(crate) fn engine(self, device: &Device) -> Result<(Engine, Tokenizer)> {
        let Self { path, bundle, tokenizer, shards } = self;
        let engine = Engine::load(bundle, Box::new(shards), Padding::Longest, device, |_| {}).at(&path)?;
        let tokenizer =
            tokenizer.ok_or_else(|| Error::Input(format!("{}: holds no base", path.display())))?;
        Ok((engine, tokenizer))
    }

    /// Adds adapters and tasks to an engine that runs their base.
    pub(crate) fn add_to(&self, engine: &mut Engine) -> Result<()> {
        engine.add(&self.bundle, &self.shards).at(&self.path)
    }
}

/// Logits of every sample in its own order, a row over the labels each. Notes are run longest first in batches of like length.
pub(crate) fn logits(
    engine: &mut Engine,
    samples: &[Sample],
    task: &str,
    adapters: Adapters,
    mut progress: impl FnMut(usize),
) -> Result<Vec<Vec<f32>>> {
    let mut rows: Vec<Vec<f32>> = vec![Vec::new(); samples.len()];
    let mut done = 0;
    in_batches(samples, |places, notes| {
        let ids: Vec<&[u32]> = notes.iter().map(|note| note.ids.as_slice()).collect();
        let logits = engine.run(&ids, &[task], adapters).map_err(|e| Error::Input(e.to_string()))?;
        let values = logits.values.clone().into_data_as::<f32>();
        let parts = logits.split(values.as_slice::<f32>().expect("asked for as f32"));
        let of_task = parts.into_iter().next().map(|(_, rows)| rows).unwrap_or_default();
        for (place, row) in places.iter().zip(of_task) {
            rows[*place] = row;
        }
        done += notes.len();
        progress(done);
        Ok(())
    })?;
    Ok(rows)
}
