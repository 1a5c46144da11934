//! What can be opened, before anything is fetched: a bundle that is stored, or the size of one that a server has.

use clinlora_webapp::engine::protocol::{Address, Stored};
use leptos::prelude::*;
use serde::Deserialize;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Response, Url};

use super::state::{Page, Phase};

/// The part of a manifest that tells its size.
#[derive(Deserialize)]
struct Sizes {
    shards: Vec<Size>,
    base: Option<BaseSizes>,
}

#[derive(Deserialize)]
struct BaseSizes {
    tokenizer: Size,
}

#[derive(Deserialize)]
struct Size {
    bytes: u64,
}

impl Page {
    /// Opens the bundle of the source if it is stored; otherwise says how large it is, and waits to be told.
    pub(crate) fn look(self) {
        self.phase.set(Phase::Looking);
        self.look_at_storage_then(move || {
            leptos::task::spawn_local(async move {
                let address = self.source.with_untracked(|source| source.address.clone());
                let manifest = manifest_address(&address);
                let stored =
                    self.stored.with_untracked(|stored| find(stored.as_ref()?.bundles.as_slice(), &manifest));
                match stored {
                    Some(stored) if stored.present_bytes == stored.bytes => {
                        self.open(Address::Url(address), &[]);
                    }
                    stored => {
                        let present_bytes = stored.map_or(0, |stored| stored.present_bytes);
                        self.phase.set(match size_of(&manifest).await {
                            Some(bytes) => Phase::Offered { bytes, present_bytes },
                            None => Phase::NothingOffered,
                        });
                    }
                }
            });
        });
    }
}

impl Page {
    /// Deletes what is stored of the bundle of the source, and nothing else.
    pub(crate) fn delete_source(self) {
        let address = self.source.with_untracked(|source| source.address.clone());
        self.delete(Some(manifest_address(&address)));
    }
}

fn find(stored: &[Stored], manifest: &str) -> Option<Stored> {
    stored.iter().find(|stored| stored.address == manifest).cloned()
}

/// Absolute address of the manifest of a bundle, as the worker keeps it.
fn manifest_address(address: &str) -> String {
    let is_manifest = address.split(['?', '#']).next().is_some_and(|path| path.ends_with(".json"));
    let folder = if is_manifest || address.ends_with('/') { "" } else { "/" };
    let here = window().location().href().unwrap_or_default();
    let absolute =
        Url::new_with_base(&format!("{address}{folder}"), &here).and_then(|folder| match is_manifest {
            true => Ok(folder),
            false => Url::new_with_base("manifest.json", &folder.href()),
        });
    absolute.map_or_else(|_| address.to_owned(), |url| url.href())
}

/// Bytes of a bundle's files; none if it cannot be had.
async fn size_of(manifest: &str) -> Option<u64> {
    let response: Response = JsFuture::from(window().fetch_with_str(manifest)).await.ok()?.unchecked_into();
    if !response.ok() {
        return None;
    }
    let text = JsFuture::from(response.text().ok()?).await.ok()?.as_string()?;
    let sizes: Sizes = serde_json::from_str(&text).ok()?;
    let tokenizer = sizes.base.map_or(0, |base| base.tokenizer.bytes);
    Some(sizes.shards.iter().map(|shard| shard.bytes).sum::<u64>() + tokenizer)
}
