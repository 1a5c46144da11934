//! Where a bundle's files come from: a server, or files the user chose or dropped. Both answer alike, so both take the same
//! way into the store, and the second never touches the network.

use std::collections::BTreeMap;

use clinlora_webapp::engine::protocol::{Address, Failure};
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{File, ReadableStream, ReadableStreamDefaultReader, RequestCache, RequestInit, Response, Url};

use super::host::{Stop, is_called, scope, words};

/// A place to read a bundle from.
pub(crate) enum Source {
    /// A folder on a server, by the address of its manifest.
    Server { manifest: String },
    /// Files by their path from the manifest.
    Files { files: BTreeMap<String, File> },
}

/// The file a bundle begins with.
pub(crate) const MANIFEST: &str = "manifest.json";

impl Source {
    /// The source of an address; `files` are those that came with the message, under the paths the page gave them.
    pub(crate) fn new(address: &Address, files: Vec<(String, File)>) -> Result<Self, Failure> {
        match address {
            Address::Files => Ok(Self::Files { files: below_manifest(files) }),
            Address::Url(address) => {
                let unreachable = |reason: &str| Failure::Unreachable {
                    address: address.clone(),
                    reason: reason.to_owned(),
                };
                let is_manifest =
                    address.split(['?', '#']).next().is_some_and(|path| path.ends_with(".json"));
                let here = here();
                let folder = if is_manifest || address.ends_with('/') { "" } else { "/" };
                let absolute = Url::new_with_base(&format!("{address}{folder}"), &here)
                    .map_err(|_| unreachable("this is not an address"))?
                    .href();
                let manifest = if is_manifest { absolute } else { format!("{absolute}{MANIFEST}") };
                Ok(Self::Server { manifest })
            }
        }
    }

    /// What the ledger remembers the source by, once the hash of its manifest is known.
    pub(crate) fn address(&self, manifest_sha256: &str) -> String {
        match self {
            Self::Server { manifest } => manifest.clone(),
            Self::Files { .. } => format!("files:{manifest_sha256}"),
        }
    }

    /// Asks for a file, from byte `start` on.
    pub(crate) async fn get(&self, path: &str, start: u64, stop: &Stop) -> Result<Answer, Failure> {
        match self {
            Self::Server { manifest } => get_url(manifest, path, start, stop).await,
            Self::Files { files } => get_file(files.get(path), start),
        }
    }
}

/// Address of the worker's program, beside which relative addresses are looked for.
fn here() -> String {
    let field = |of: &JsValue, name: &str| Reflect::get(of, &name.into()).unwrap_or(JsValue::UNDEFINED);
    field(&field(&scope(), "location"), "href").as_string().unwrap_or_default()
}

/// Cuts the folder in which the manifest lies off every path.
fn below_manifest(files: Vec<(String, File)>) -> BTreeMap<String, File> {
    let manifest = files.iter().map(|(path, _)| path.as_str()).filter(|path| path.ends_with(MANIFEST));
    let shortest = manifest.min_by_key(|path| path.len()).unwrap_or(MANIFEST);
    let folder = shortest.strip_suffix(MANIFEST).unwrap_or_default().to_owned();
    let inside =
        files.into_iter().filter_map(|(path, file)| Some((path.strip_prefix(&folder)?.to_owned(), file)));
    inside.collect()
}

async fn get_url(manifest: &str, path: &str, start: u64, stop: &Stop) -> Result<Answer, Failure> {
    let address = if path == MANIFEST {
        manifest.to_owned()
    } else {
        Url::new_with_base(path, manifest).map(|url| url.href()).unwrap_or_default()
    };
    let options = RequestInit::new();
    options.set_signal(Some(&stop.signal()));
    // The store is the cache: a second copy in the browser's own would double what is kept.
    options.set_cache(RequestCache::NoStore);
    if start > 0 {
        let headers = web_sys::Headers::new().expect("an empty list of headers");
        headers.set("Range", &format!("bytes={start}-")).expect("a header that may be set");
        options.set_headers(&headers);
    }
    let response = scope().fetch_with_str_and_init(&address, &options).await;
    let response: Response = response.map_err(|e| unreachable(&address, &e, stop))?.unchecked_into();
    let content_range = response.headers().get("Content-Range").ok().flatten();
    Ok(Answer { status: response.status(), content_range, body: response.body(), address })
}

fn get_file(file: Option<&File>, start: u64) -> Result<Answer, Failure> {
    let answer = |status, content_range, body| Answer { status, content_range, body, address: String::new() };
    let Some(file) = file else { return Ok(answer(404, None, None)) };
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 bytes")]
    let rest = file.slice_with_f64(start as f64);
    let stream = rest.map(|rest| rest.stream());
    let stream = stream.map_err(|e| Failure::Unreachable { address: file.name(), reason: words(&e) })?;
    let range = (start > 0).then(|| format!("bytes {start}-"));
    Ok(answer(if start > 0 { 206 } else { 200 }, range, Some(stream)))
}

fn unreachable(address: &str, error: &JsValue, stop: &Stop) -> Failure {
    if stop.check().is_err() || is_called(error, "AbortError") {
        return Failure::Cancelled;
    }
    Failure::Unreachable { address: address.to_owned(), reason: words(error) }
}

/// The head of an answer, and its body to come.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_range: Option<String>,
    body: Option<ReadableStream>,
    address: String,
}

impl Answer {
    /// Hands every piece of the body to `take` as it comes, until `take` says no. A cut connection is an error; what was
    /// handed over before it counts.
    pub(crate) async fn read(
        self,
        stop: &Stop,
        mut take: impl FnMut(&[u8]) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let Some(body) = self.body else { return Ok(()) };
        let failed = |e: &JsValue| unreachable(&self.address, e, stop);
        let reader = ReadableStreamDefaultReader::new(&body).map_err(|e| failed(&e))?;
        loop {
            let step = reader.read().await.map_err(|e| failed(&e))?;
            let field = |name: &str| Reflect::get(&step, &name.into()).unwrap_or(JsValue::UNDEFINED);
            if field("done").is_truthy() {
                return Ok(());
            }
            let piece = field("value").unchecked_into::<Uint8Array>().to_vec();
            let goes_on = stop.check().and_then(|()| take(&piece));
            if !matches!(goes_on, Ok(true)) {
                // Whether the other side hears it does not matter.
                let _ = reader.cancel().await;
                return goes_on.map(|_| ());
            }
        }
    }
}
