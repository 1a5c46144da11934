//! The store: the origin's private file system, where a bundle's shards lie under their hashes.
//!
//! ```text
//! clinlora/ledger            what is whole (see `ledger.rs`)
//! clinlora/manifests/HASH    manifests as they came
//! clinlora/shards/HASH       shards, whole or as far as they came
//! ```
//!
//! One tab at a time: whoever opens the store holds a Web Lock until it is closed, and the browser gives the lock back
//! when a worker dies. A loaded model keeps its shards open for reading; several tabs may, where the browser knows
//! read-only handles, and none can delete what another reads.

use std::cell::{Ref, RefCell};

use clinlora_webapp::engine::ledger::{Entry, Ledger, hex};
use clinlora_webapp::engine::protocol::Failure;
use clinlora_webapp::engine::shards::{Shard, Space};
use js_sys::{Function, Object, Promise, Reflect};
use sha2::{Digest, Sha256};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{
    FileSystemDirectoryHandle, FileSystemGetDirectoryOptions, FileSystemGetFileOptions,
    FileSystemReadWriteOptions, FileSystemRemoveOptions, FileSystemSyncAccessHandle, StorageEstimate,
};

use super::host::{Stop, is_called, pause, scope, words};

/// Name of the folder and of the lock.
const NAME: &str = "clinlora";

/// The opened store.
pub(crate) struct Store {
    manifests: FileSystemDirectoryHandle,
    shards: FileSystemDirectoryHandle,
    ledger: RefCell<Ledger>,
    log: StoreFile,
    _lock: Lock,
}

impl Store {
    /// Waits for the lock, calling `on_wait` once if another tab has it, and reads the ledger.
    pub(crate) async fn open(stop: &Stop, on_wait: impl FnOnce()) -> Result<Self, Failure> {
        let lock = Lock::take(stop, on_wait).await?;
        let root = root().await?;
        let root = folder(&root, NAME).await.map_err(no_store)?;
        let manifests = folder(&root, "manifests").await.map_err(no_store)?;
        let shards = folder(&root, "shards").await.map_err(no_store)?;
        let log = StoreFile::open(&root, "ledger", Mode::Write).await.map_err(no_store)?;
        let (ledger, whole) = Ledger::read(&log.read_all().map_err(no_store)?);
        log.truncate(whole as u64).map_err(no_store)?;
        Ok(Self { manifests, shards, ledger: RefCell::new(ledger), log, _lock: lock })
    }

    /// The ledger; to be let go of before anything is awaited.
    pub(crate) fn ledger(&self) -> Ref<'_, Ledger> {
        self.ledger.borrow()
    }

    /// Appends to the ledger; what the entry speaks of must be flushed before.
    pub(crate) fn record(&self, entry: &Entry) -> Result<(), Failure> {
        let end = self.log.size().map_err(no_store)?;
        self.log.write(&entry.line(), end)?;
        self.log.flush()?;
        self.ledger.borrow_mut().apply(entry);
        Ok(())
    }

    /// The file of a shard, created empty if it is not there.
    pub(crate) async fn shard(&self, sha256: &str) -> Result<StoreFile, Failure> {
        StoreFile::open(&self.shards, sha256, Mode::Write).await.map_err(no_store)
    }

    /// The file of a shard that the ledger calls whole; `None` if it is gone or has another size, as when the browser has
    /// cleared part of the store.
    pub(crate) async fn whole_shard(&self, shard: &Shard) -> Option<StoreFile> {
        if !self.ledger().is_finished(&shard.sha256) {
            return None;
        }
        let file = StoreFile::open(&self.shards, &shard.sha256, Mode::Read).await.ok()?;
        (file.size().ok()? == shard.bytes).then_some(file)
    }

    /// Bytes stored of a shard, finished or not; 0 if there are none.
    pub(crate) async fn shard_bytes(&self, sha256: &str) -> u64 {
        match StoreFile::open(&self.shards, sha256, Mode::Read).await {
            Ok(file) => file.size().unwrap_or(0),
            Err(_) => 0,
        }
    }

    /// Names of all shard files, finished or not.
    pub(crate) async fn shard_names(&self) -> Result<Vec<String>, Failure> {
        let keys = self.shards.keys();
        let mut names = Vec::new();
        loop {
            let step = keys.next().map_err(no_store)?.await.map_err(no_store)?;
            let field = |name: &str| Reflect::get(&step, &name.into()).unwrap_or(JsValue::UNDEFINED);
            if field("done").is_truthy() {
                return Ok(names);
            }
            names.extend(field("value").as_string());
        }
    }

    pub(crate) async fn remove_shard(&self, sha256: &str) -> Result<(), Failure> {
        if self.ledger().is_finished(sha256) {
            self.record(&Entry::Removed { sha256: sha256.to_owned() })?;
        }
        remove(&self.shards, sha256).await.map_err(no_store)
    }

    /// A stored manifest, if it is there and is what its name says.
    pub(crate) async fn manifest(&self, sha256: &str) -> Option<Vec<u8>> {
        let file = StoreFile::open(&self.manifests, sha256, Mode::Read).await.ok()?;
        let bytes = file.read_all().ok()?;
        (hex(&Sha256::digest(&bytes)) == sha256).then_some(bytes)
    }

    /// Stores a manifest and returns its hash.
    pub(crate) async fn put_manifest(&self, bytes: &[u8]) -> Result<String, Failure> {
        let sha256 = hex(&Sha256::digest(bytes));
        let file = StoreFile::open(&self.manifests, &sha256, Mode::Write).await.map_err(no_store)?;
        file.truncate(0).map_err(no_store)?;
        file.write(bytes, 0)?;
        file.flush()?;
        Ok(sha256)
    }

    /// Forgets an address, and its manifest if no other address has the same.
    pub(crate) async fn forget(&self, address: &str) -> Result<(), Failure> {
        let manifest = self.ledger().manifest(address).map(str::to_owned);
        let Some(manifest) = manifest else { return Ok(()) };
        self.record(&Entry::Forgotten { address: address.to_owned() })?;
        let is_last = self.ledger().manifests().all(|(_, other)| other != manifest);
        if is_last {
            remove(&self.manifests, &manifest).await.map_err(no_store)?;
        }
        Ok(())
    }
}

/// Deletes the store as a whole, whatever its state.
pub(crate) async fn delete_everything(stop: &Stop, on_wait: impl FnOnce()) -> Result<(), Failure> {
    let _lock = Lock::take(stop, on_wait).await?;
    remove(&root().await?, NAME).await.map_err(no_store)
}

/// What the browser says of its storage.
pub(crate) async fn space() -> Result<Space, Failure> {
    let estimate = scope().navigator().storage().estimate().map_err(no_store)?.await.map_err(no_store)?;
    let estimate: StorageEstimate = estimate.unchecked_into();
    Ok(Space {
        quota_bytes: whole(estimate.get_quota().unwrap_or(0.0)),
        used_bytes: whole(estimate.get_usage().unwrap_or(0.0)),
    })
}

async fn root() -> Result<FileSystemDirectoryHandle, Failure> {
    let root = scope().navigator().storage().get_directory().await.map_err(no_store)?;
    Ok(root.unchecked_into())
}

async fn folder(
    parent: &FileSystemDirectoryHandle,
    name: &str,
) -> Result<FileSystemDirectoryHandle, JsValue> {
    let options = FileSystemGetDirectoryOptions::new();
    options.set_create(true);
    Ok(parent.get_directory_handle_with_options(name, &options).await?.unchecked_into())
}

async fn remove(parent: &FileSystemDirectoryHandle, name: &str) -> Result<(), JsValue> {
    let options = FileSystemRemoveOptions::new();
    options.set_recursive(true);
    match parent.remove_entry_with_options(name, &options).await {
        Err(error) if !is_called(&error, "NotFoundError") => Err(error),
        _ => Ok(()),
    }
}

fn no_store(error: JsValue) -> Failure {
    if is_called(&error, "QuotaExceededError") {
        return Failure::Quota { needed_bytes: 1, available_bytes: 0 };
    }
    Failure::NoStore { reason: words(&error) }
}

/// What a file of the store is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Reading what is there; others may read it too.
    Read,
    /// Writing by this worker alone; created if it is not there.
    Write,
}

/// An open file of the store; closed when dropped.
pub(crate) struct StoreFile {
    handle: FileSystemSyncAccessHandle,
}

#[wasm_bindgen]
extern "C" {
    type ModalFile;

    /// With a mode, which not every browser knows and `web-sys` has behind a flag: one that does not opens exclusively.
    #[wasm_bindgen(method, js_name = createSyncAccessHandle)]
    fn create_handle(this: &ModalFile, options: &Object) -> Promise;
}

impl StoreFile {
    async fn open(folder: &FileSystemDirectoryHandle, name: &str, mode: Mode) -> Result<Self, JsValue> {
        let options = FileSystemGetFileOptions::new();
        options.set_create(mode == Mode::Write);
        let file: ModalFile = folder.get_file_handle_with_options(name, &options).await?.unchecked_into();
        let options = Object::new();
        let wanted = if mode == Mode::Read { "read-only" } else { "readwrite" };
        Reflect::set(&options, &"mode".into(), &wanted.into())?;
        // A worker that has just died may still hold the file for a moment.
        const TRIES: u32 = 20;
        let mut tries = 0;
        loop {
            match file.create_handle(&options).await {
                Ok(handle) => return Ok(Self { handle: handle.unchecked_into() }),
                Err(error) if tries < TRIES && is_called(&error, "NoModificationAllowedError") => {
                    tries += 1;
                    pause(100).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn size(&self) -> Result<u64, JsValue> {
        self.handle.get_size().map(whole)
    }

    pub(crate) fn truncate(&self, bytes: u64) -> Result<(), JsValue> {
        self.handle.truncate_with_f64(number(bytes))
    }

    /// Fills `buffer` from `offset` on.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), Failure> {
        let options = FileSystemReadWriteOptions::new();
        options.set_at(number(offset));
        let read = self.handle.read_with_u8_array_and_options(buffer, &options).map_err(no_store)?;
        if whole(read) == buffer.len() as u64 {
            return Ok(());
        }
        Err(Failure::NoStore { reason: "a stored file has become shorter".to_owned() })
    }

    fn read_all(&self) -> Result<Vec<u8>, JsValue> {
        let mut bytes = vec![0; usize::try_from(self.size()?).map_err(|_| JsValue::NULL)?];
        let options = FileSystemReadWriteOptions::new();
        options.set_at(0.0);
        let read = self.handle.read_with_u8_array_and_options(&mut bytes, &options)?;
        bytes.truncate(usize::try_from(whole(read)).map_err(|_| JsValue::NULL)?);
        Ok(bytes)
    }

    /// Writes all of `bytes` at `offset`.
    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Failure> {
        let options = FileSystemReadWriteOptions::new();
        options.set_at(number(offset));
        let full = || Failure::Quota { needed_bytes: bytes.len() as u64, available_bytes: 0 };
        match self.handle.write_with_u8_array_and_options(bytes, &options) {
            Ok(written) if whole(written) == bytes.len() as u64 => Ok(()),
            Ok(_) => Err(full()),
            Err(error) if is_called(&error, "QuotaExceededError") => Err(full()),
            Err(error) => Err(no_store(error)),
        }
    }

    pub(crate) fn flush(&self) -> Result<(), Failure> {
        self.handle.flush().map_err(no_store)
    }
}

impl Drop for StoreFile {
    fn drop(&mut self) {
        self.handle.close();
    }
}

/// Sizes in JavaScript are doubles; those of files are exact far beyond any disk.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size is a whole number")]
fn whole(size: f64) -> u64 {
    size as u64
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 bytes")]
fn number(size: u64) -> f64 {
    size as f64
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = ["navigator", "locks"], js_name = request, catch)]
    fn request_lock(name: &str, options: &Object, granted: &Function) -> Result<Promise, JsValue>;
}

/// The right to use the store; given back when dropped.
struct Lock {
    release: Function,
}

impl Lock {
    async fn take(stop: &Stop, on_wait: impl FnOnce()) -> Result<Self, Failure> {
        if let Some(lock) = Self::request(None).await.map_err(no_store)? {
            return Ok(lock);
        }
        on_wait();
        let lock = Self::request(Some(stop)).await;
        stop.check()?;
        let refused = || Failure::NoStore { reason: "the lock of the store was refused".to_owned() };
        lock.map_err(no_store)?.ok_or_else(refused)
    }

    /// The lock: at once or not at all, or when it is free unless `stop` comes first.
    async fn request(stop: Option<&Stop>) -> Result<Option<Self>, JsValue> {
        let options = Object::new();
        match stop {
            Some(stop) => Reflect::set(&options, &"signal".into(), &stop.signal())?,
            None => Reflect::set(&options, &"ifAvailable".into(), &true.into())?,
        };
        // The browser holds the lock until the promise that the callback returns is resolved.
        let mut release = None;
        let held = Promise::new(&mut |resolve, _| release = Some(resolve));
        let release = release.expect("a promise calls its function at once");
        let answered = Promise::new(&mut |resolve, reject| {
            let held = held.clone();
            let granted = Closure::once_into_js(move |lock: JsValue| -> JsValue {
                let is_granted = !lock.is_null();
                let _ = resolve.call1(&JsValue::NULL, &is_granted.into());
                if is_granted { held.into() } else { JsValue::UNDEFINED }
            });
            match request_lock(NAME, &options, granted.unchecked_ref()) {
                // Rejected where the wait is ended by `stop`, or the origin may not store.
                Ok(ended) => spawn_local(async move {
                    if let Err(error) = ended.await {
                        let _ = reject.call1(&JsValue::NULL, &error);
                    }
                }),
                Err(error) => drop(reject.call1(&JsValue::NULL, &error)),
            }
        });
        let is_granted = answered.await?.is_truthy();
        Ok(is_granted.then_some(Self { release }))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.release.call0(&JsValue::NULL);
    }
}
