//! Which shards a bundle needs, which are here, and whether the rest fits.

use std::collections::BTreeMap;

use super::ledger::Ledger;
use super::protocol::Failure;

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its path from the manifest.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its hash in lower-case hex: also its name in the store, so bundles that share a base share its shards.
    pub sha256: String,
}

/// What has to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Shards that are not whole yet, each once, in the order of the manifest.
    pub missing: Vec<Shard>,
    /// Size of all shards, each counted once.
    pub total_bytes: u64,
    /// Size of those that are whole.
    pub present_bytes: u64,
}

impl Plan {
    /// Compares what `shards` asks for with what the store holds.
    #[must_use]
    pub fn new(shards: &[Shard], ledger: &Ledger) -> Self {
        let mut distinct = BTreeMap::new();
        let (mut missing, mut total_bytes, mut present_bytes) = (Vec::new(), 0, 0);
        for shard in shards {
            if distinct.insert(&shard.sha256, ()).is_some() {
                continue;
            }
            total_bytes += shard.bytes;
            if ledger.is_finished(&shard.sha256) {
                present_bytes += shard.bytes;
            } else {
                missing.push(shard.clone());
            }
        }
        Self { missing, total_bytes, present_bytes }
    }

    /// Bytes still to come, of which `partial` are already stored in unfinished shards.
    #[must_use]
    pub fn needed_bytes(&self, partial: u64) -> u64 {
        (self.total_bytes - self.present_bytes).saturating_sub(partial)
    }
}

/// What the browser says of its storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What this page may store in all.
    pub quota_bytes: u64,
    /// What it stores.
    pub used_bytes: u64,
}

/// Bytes kept free for the ledger, the manifests and the browser's own books.
const SPARE_BYTES: u64 = 1 << 20;

impl Space {
    /// What may still be stored, as far as the browser tells.
    #[must_use]
    pub fn free_bytes(self) -> u64 {
        self.quota_bytes.saturating_sub(self.used_bytes)
    }

    /// Whether `needed` more bytes fit.
    ///
    /// # Errors
    /// [`Failure::Quota`] with the sizes.
    pub fn admit(self, needed: u64) -> Result<(), Failure> {
        let available = self.free_bytes();
        // What is complete needs no space, however full the store is.
        if needed > 0 && needed.saturating_add(SPARE_BYTES) > available {
            return Err(Failure::Quota { needed_bytes: needed, available_bytes: available });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::Entry;
    use super::*;

    fn shard(name: &str, bytes: u64) -> Shard {
        Shard { path: format!("{name}.bin"), bytes, sha256: name.to_owned() }
    }

    #[test]
    fn only_what_is_not_here_is_fetched_and_each_once() {
        let mut ledger = Ledger::default();
        ledger.apply(&Entry::Finished { sha256: "b".into(), bytes: 20 });
        let shards = [shard("a", 10), shard("b", 20), shard("c", 30), shard("a", 10)];
        let plan = Plan::new(&shards, &ledger);
        assert_eq!(plan.missing, [shard("a", 10), shard("c", 30)]);
        assert_eq!((plan.total_bytes, plan.present_bytes), (60, 20));
        assert_eq!((plan.needed_bytes(0), plan.needed_bytes(15)), (40, 25));
    }

    #[test]
    fn a_full_store_is_said_before_fetching_unless_nothing_is_missing() {
        let space = Space { quota_bytes: 10 << 20, used_bytes: 8 << 20 };
        assert_eq!(space.admit(1 << 20), Ok(()));
        let refused = space.admit(2 << 20);
        assert_eq!(refused, Err(Failure::Quota { needed_bytes: 2 << 20, available_bytes: 2 << 20 }));
        assert_eq!(Space { quota_bytes: 1, used_bytes: 5 }.admit(0), Ok(()));
    }
}
