//! Opening a bundle: its manifest, its base, the device, the shards, and then the model.

use clinlora_core::weights::bundle::{Bundle, Manifest};
use clinlora_webapp::engine::choice::choose;
use clinlora_webapp::engine::ledger::Entry;
use clinlora_webapp::engine::protocol::{Address, CpuReason, DeviceWish, Event, Failure};
use clinlora_webapp::engine::shards::{Plan, Shard};
use web_sys::File;

use super::device;
use super::host::{Stop, send};
use super::load::Loader;
use super::model::{Loaded, Parts, StoredPart};
use super::requests::{owned_manifests, stored_bundle, sweep};
use super::source::Source;
use super::store::Store;

/// A request to open a bundle.
pub(crate) struct Opening<'a> {
    pub(crate) id: u64,
    pub(crate) stop: &'a Stop,
    /// Ask the address again although its bundle is stored.
    pub(crate) refresh: bool,
}

/// A manifest and where its shards are to be had.
struct Found {
    source: Source,
    manifest_sha256: String,
    bundle: Bundle,
}

impl Opening<'_> {
    pub(crate) async fn open(
        &self,
        address: &Address,
        base: Option<String>,
        files: Vec<(String, File)>,
        wish: DeviceWish,
    ) -> Result<Loaded, Failure> {
        let store = Store::open(self.stop, || send(self.id, Event::WaitingForOtherTab)).await?;
        let found = self.find(&store, Source::new(address, files)?).await?;
        let base = match found.bundle.manifest().base {
            Some(_) => None,
            None => Some(self.base(&store, &found.bundle, base).await?),
        };
        let bytes = bytes_of(&found.bundle) + base.as_ref().map_or(0, |base| bytes_of(&base.bundle));
        let owner = base.as_ref().map_or(&found.bundle, |base| &base.bundle);
        let handles = match wish {
            DeviceWish::Cpu => Err(CpuReason::Asked),
            _ => device::find().await,
        };
        // Before anything is fetched: what cannot run here need not be loaded.
        let place = choose(wish, &device::found(&handles), bytes, largest_tensor(owner.manifest()))?;
        self.stop.check()?;
        let base = match base {
            Some(base) => Some(self.fetch(&store, base).await?),
            None => None,
        };
        let adapters = self.fetch(&store, found).await?;
        drop(store);
        let parts = Parts { base, bundle: adapters, bytes };
        Loaded::load(parts, place, handles, wish, self.id).await
    }

    /// The manifest at a source: the stored one if the whole bundle is stored, else what the source gives now.
    async fn find(&self, store: &Store, source: Source) -> Result<Found, Failure> {
        if !self.refresh
            && let Source::Server { manifest } = &source
        {
            let known = store.ledger().manifest(manifest).map(str::to_owned);
            if let Some(manifest_sha256) = known
                && let Some(bundle) = stored_bundle(store, &manifest_sha256).await
                && Plan::new(&files_of(&bundle), &store.ledger()).missing.is_empty()
            {
                return Ok(Found { source, manifest_sha256, bundle });
            }
        }
        let loader = Loader { store, source: &source, stop: self.stop, id: self.id };
        let bytes = loader.manifest().await?;
        let bundle = Bundle::parse(&bytes).map_err(|e| Failure::Manifest { reason: e.to_string() })?;
        let manifest_sha256 = store.put_manifest(&bytes).await?;
        let address = source.address(&manifest_sha256);
        let before = store.ledger().manifest(&address).map(str::to_owned);
        if before.as_ref() != Some(&manifest_sha256) {
            store.forget(&address).await?;
            store.record(&Entry::Opened { address, manifest: manifest_sha256.clone() })?;
            if before.is_some() {
                sweep(store).await?;
            }
        }
        Ok(Found { source, manifest_sha256, bundle })
    }

    /// The base of a bundle of adapters: at the address given, or among what is stored.
    async fn base(
        &self,
        store: &Store,
        adapters: &Bundle,
        address: Option<String>,
    ) -> Result<Found, Failure> {
        let expected = &adapters.manifest().base_sha256;
        let refuse = |found: String| Failure::OtherBase { expected: expected.clone(), found };
        if let Some(address) = address {
            let base = self.find(store, Source::new(&Address::Url(address), Vec::new())?).await?;
            let hash = base.bundle.manifest().base_hash().unwrap_or_default();
            return if hash == *expected { base_alone(base) } else { Err(refuse(hash)) };
        }
        for (address, manifest_sha256) in owned_manifests(store) {
            if let Some(bundle) = stored_bundle(store, &manifest_sha256).await
                && bundle.manifest().base_hash().as_ref() == Some(expected)
            {
                let source = match address.starts_with("files:") {
                    true => Source::new(&Address::Files, Vec::new())?,
                    false => Source::new(&Address::Url(address), Vec::new())?,
                };
                return base_alone(Found { source, manifest_sha256, bundle });
            }
        }
        Err(refuse(String::new()))
    }

    async fn fetch(&self, store: &Store, found: Found) -> Result<StoredPart, Failure> {
        let loader = Loader { store, source: &found.source, stop: self.stop, id: self.id };
        let files = loader.shards(&files_of(&found.bundle)).await?;
        Ok(StoredPart { manifest_sha256: found.manifest_sha256, bundle: found.bundle, files })
    }
}

/// A bundle without the adapters and tasks it may have on its base, and without their shards, which follow those of the base.
fn base_alone(found: Found) -> Result<Found, Failure> {
    let mut manifest = found.bundle.manifest().clone();
    manifest.adapters.clear();
    manifest.tasks.clear();
    let shards =
        manifest.tensors().flat_map(|tensor| &tensor.segments).map(|segment| segment.shard + 1).max();
    manifest.shards.truncate(shards.unwrap_or(0));
    let bundle = manifest.to_json().and_then(|json| Bundle::parse(&json));
    let bundle = bundle.map_err(|e| Failure::Manifest { reason: e.to_string() })?;
    Ok(Found { bundle, ..found })
}

/// The files a bundle consists of beside its manifest: shards in order, and then the tokenizer of a base.
pub(crate) fn files_of(bundle: &Bundle) -> Vec<Shard> {
    let manifest = bundle.manifest();
    let tokenizer = manifest.base.iter().map(|base| &base.tokenizer);
    let files = manifest.shards.iter().chain(tokenizer);
    files
        .map(|file| Shard { path: file.file.clone(), bytes: file.bytes, sha256: file.sha256.clone() })
        .collect()
}

fn bytes_of(bundle: &Bundle) -> u64 {
    files_of(bundle).iter().map(|file| file.bytes).sum()
}

/// Bytes of the largest tensor that a device must hold in one binding: all but the embedding, which stays in the store.
fn largest_tensor(manifest: &Manifest) -> u64 {
    let on_device =
        manifest.tensors().filter(|tensor| tensor.name != clinlora_core::weights::bundle::EMBEDDING);
    let sizes = on_device.map(|tensor| tensor.segments.iter().map(|segment| segment.bytes).sum());
    sizes.max().unwrap_or(0)
}
