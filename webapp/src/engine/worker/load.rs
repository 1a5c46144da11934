//! A bundle from its source into the store: manifest first, then the shards that are missing, several at a time.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;

use clinlora_webapp::engine::download::{Begin, Download, Next};
use clinlora_webapp::engine::ledger::Entry;
use clinlora_webapp::engine::protocol::{Event, Failure};
use clinlora_webapp::engine::shards::{Plan, Shard};

use super::host::{Stop, now_ms, send, together};
use super::source::{MANIFEST, Source};
use super::store::{Store, StoreFile, space};

/// Shards fetched side by side: enough to fill a line, few enough for any server.
const LANES: usize = 5;

/// No manifest is larger: that of a 7B bundle has some hundred kilobytes, most of it labels.
const MANIFEST_BYTES: usize = 64 << 20;

/// Time between two messages about progress.
const REPORT_MS: f64 = 100.0;

/// Bytes read back at once, to be hashed.
const HASHED_BYTES: usize = 1 << 20;

/// One request's dealings with store and source.
pub(crate) struct Loader<'a> {
    pub(crate) store: &'a Store,
    pub(crate) source: &'a Source,
    pub(crate) stop: &'a Stop,
    /// The request, for its progress.
    pub(crate) id: u64,
}

impl Loader<'_> {
    /// The bytes of the manifest at the source.
    pub(crate) async fn manifest(&self) -> Result<Vec<u8>, Failure> {
        const WAITS_MS: [u32; 3] = [500, 1000, 2000];
        let mut waits = WAITS_MS.into_iter();
        loop {
            let failure = match self.manifest_once().await {
                Ok(Some(bytes)) => return Ok(bytes),
                Ok(None) => Failure::Unreachable {
                    address: self.source.address(""),
                    reason: "the server does not answer as one should".to_owned(),
                },
                Err(failure @ Failure::Unreachable { .. }) => failure,
                Err(failure) => return Err(failure),
            };
            match waits.next() {
                Some(wait_ms) => self.stop.pause(wait_ms).await?,
                None => return Err(failure),
            }
        }
    }

    async fn manifest_once(&self) -> Result<Option<Vec<u8>>, Failure> {
        let answer = self.source.get(MANIFEST, 0, self.stop).await?;
        match answer.status {
            200 => {}
            status @ (401 | 403 | 404 | 410 | 451) => {
                return Err(Failure::Missing { path: MANIFEST.to_owned(), status });
            }
            _ => return Ok(None),
        }
        let mut bytes = Vec::new();
        let piece = |piece: &[u8]| {
            bytes.extend_from_slice(piece);
            Ok(bytes.len() <= MANIFEST_BYTES)
        };
        answer.read(self.stop, piece).await?;
        if bytes.len() > MANIFEST_BYTES {
            return Err(Failure::Manifest { reason: format!("{MANIFEST} is larger than any manifest") });
        }
        Ok(Some(bytes))
    }

    /// Sees to it that every shard is whole in the store, and opens them in the order given.
    pub(crate) async fn shards(&self, shards: &[Shard]) -> Result<Vec<StoreFile>, Failure> {
        self.drop_what_is_gone(shards).await?;
        let plan = Plan::new(shards, &self.store.ledger());
        let mut partial = 0;
        for shard in &plan.missing {
            partial += self.store.shard_bytes(&shard.sha256).await;
        }
        space().await?.admit(plan.needed_bytes(partial))?;
        let progress = Progress::new(self.id, &plan);
        if !plan.missing.is_empty() {
            progress.report();
        }
        let result = self.fetch_all(plan.missing.clone(), &progress).await;
        if let Err(Failure::Quota { .. }) = result {
            let needed_bytes = plan.total_bytes.saturating_sub(progress.received_bytes.get());
            let free = space().await?.free_bytes();
            // A browser may name the same large quota to every page, so as not to tell them apart, and keep a smaller one.
            let available_bytes = if free < needed_bytes { free } else { 0 };
            return Err(Failure::Quota { needed_bytes, available_bytes });
        }
        result?;
        let mut files = Vec::with_capacity(shards.len());
        for shard in shards {
            let gone = || Failure::NoStore { reason: "the browser has cleared its storage".to_owned() };
            files.push(self.store.whole_shard(shard).await.ok_or_else(gone)?);
        }
        Ok(files)
    }

    /// The ledger may speak of files the browser or the user has cleared.
    async fn drop_what_is_gone(&self, shards: &[Shard]) -> Result<(), Failure> {
        for shard in shards {
            let is_finished = self.store.ledger().is_finished(&shard.sha256);
            if is_finished && self.store.whole_shard(shard).await.is_none() {
                self.store.remove_shard(&shard.sha256).await?;
            }
        }
        Ok(())
    }

    async fn fetch_all(&self, missing: Vec<Shard>, progress: &Progress) -> Result<(), Failure> {
        let queue = RefCell::new(missing.into_iter());
        let first_failure = RefCell::new(None);
        let lane = || async {
            loop {
                let next = queue.borrow_mut().next();
                let Some(shard) = next else { break };
                if let Err(failure) = self.fetch(shard, progress).await {
                    first_failure.borrow_mut().get_or_insert(failure);
                    // The request has failed: what the other lanes have stored is kept, but they need not go on.
                    self.stop.stop();
                    break;
                }
            }
        };
        let lanes = (0..LANES).map(|_| Box::pin(lane()) as Pin<Box<dyn Future<Output = ()>>>);
        together(lanes.collect()).await;
        progress.report();
        first_failure.into_inner().map_or(Ok(()), Err)
    }

    /// Fetches one shard, from where an earlier attempt ended.
    async fn fetch(&self, shard: Shard, progress: &Progress) -> Result<(), Failure> {
        let file = self.store.shard(&shard.sha256).await?;
        let entry = Entry::Finished { sha256: shard.sha256.clone(), bytes: shard.bytes };
        let mut download = Download::new(shard);
        self.take_up(&file, &mut download, progress).await?;
        let mut is_retrying = false;
        let mut unreachable = None;
        loop {
            let next = if download.is_complete() {
                download.end()
            } else {
                match self.ask(&file, &mut download, progress).await {
                    Ok(next) => next,
                    Err(failure @ Failure::Unreachable { .. }) => {
                        unreachable = Some(failure);
                        download.end()
                    }
                    Err(failure) => return Err(failure),
                }
            };
            if download.received() == 0 {
                progress.take_back(file.size().unwrap_or(0));
                truncate(&file)?;
            }
            if std::mem::replace(&mut is_retrying, matches!(next, Next::Retry { .. })) != is_retrying {
                let change = if is_retrying { 1 } else { -1 };
                progress.retrying.set(progress.retrying.get().saturating_add_signed(change));
            }
            match next {
                Next::Finished => break,
                Next::Retry { wait_ms } => self.stop.pause(wait_ms).await?,
                Next::GiveUp(cut @ Failure::Cut { .. }) => return Err(unreachable.unwrap_or(cut)),
                Next::GiveUp(failure) => return Err(failure),
            }
        }
        file.flush()?;
        self.store.record(&entry)
    }

    /// Hashes what an earlier attempt has stored.
    async fn take_up(
        &self,
        file: &StoreFile,
        download: &mut Download,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let stored = file.size().map_err(|_| Failure::NoStore { reason: "a file has no size".to_owned() })?;
        if stored > download.shard().bytes {
            return truncate(file);
        }
        let mut buffer = vec![0; HASHED_BYTES];
        while download.received() < stored {
            self.stop.check()?;
            let rest = usize::try_from(stored - download.received()).unwrap_or(usize::MAX);
            let piece = &mut buffer[..rest.min(HASHED_BYTES)];
            file.read(piece, download.received())?;
            progress.received(piece.len());
            // It cannot be more than the shard has: checked above.
            let _ = download.take(piece);
        }
        Ok(())
    }

    /// Asks once for what is missing of a shard.
    async fn ask(
        &self,
        file: &StoreFile,
        download: &mut Download,
        progress: &Progress,
    ) -> Result<Next, Failure> {
        let path = download.shard().path.clone();
        let answer = self.source.get(&path, download.received(), self.stop).await?;
        match download.answer(answer.status, answer.content_range.as_deref())? {
            Begin::Continue => {}
            Begin::Restart => {
                progress.take_back(file.size().unwrap_or(0));
                truncate(file)?;
            }
            Begin::AskAgain => return Ok(download.end()),
        }
        let mut is_too_long = false;
        let take = |piece: &[u8]| {
            let offset = download.received();
            if !download.take(piece) {
                is_too_long = true;
                return Ok(false);
            }
            file.write(piece, offset)?;
            progress.received(piece.len());
            progress.fetched(piece.len());
            Ok(true)
        };
        answer.read(self.stop, take).await?;
        Ok(if is_too_long { download.wrong() } else { download.end() })
    }
}

fn truncate(file: &StoreFile) -> Result<(), Failure> {
    file.truncate(0).map_err(|_| Failure::NoStore { reason: "a file cannot be emptied".to_owned() })
}

/// What the page is told while shards arrive.
struct Progress {
    id: u64,
    total_bytes: u64,
    received_bytes: Cell<u64>,
    fetched_bytes: Cell<u64>,
    retrying: Cell<u32>,
    reported_ms: Cell<f64>,
}

impl Progress {
    fn new(id: u64, plan: &Plan) -> Self {
        Self {
            id,
            total_bytes: plan.total_bytes,
            received_bytes: Cell::new(plan.present_bytes),
            fetched_bytes: Cell::new(0),
            retrying: Cell::new(0),
            reported_ms: Cell::new(now_ms()),
        }
    }

    fn received(&self, bytes: usize) {
        self.received_bytes.set(self.received_bytes.get() + bytes as u64);
        if now_ms() - self.reported_ms.get() >= REPORT_MS {
            self.report();
        }
    }

    fn fetched(&self, bytes: usize) {
        self.fetched_bytes.set(self.fetched_bytes.get() + bytes as u64);
    }

    fn take_back(&self, bytes: u64) {
        self.received_bytes.set(self.received_bytes.get().saturating_sub(bytes));
    }

    fn report(&self) {
        self.reported_ms.set(now_ms());
        let event = Event::Fetching {
            received_bytes: self.received_bytes.get(),
            total_bytes: self.total_bytes,
            fetched_bytes: self.fetched_bytes.get(),
            retrying: self.retrying.get(),
        };
        send(self.id, event);
    }
}
