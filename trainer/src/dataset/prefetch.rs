//! The notes of the next updates, read while the device computes: a thread of its own stays two updates ahead, so that a run
//! whose corpus lies on a slow disk waits for it once. What is waited all the same is counted.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

use super::{Sample, Samples};
use crate::error::Result;

/// Updates read ahead.
const AHEAD: usize = 2;

/// Groups of notes in the order asked for.
pub(crate) struct Prefetched {
    groups: Receiver<Result<Vec<Sample>>>,
    waited: Duration,
}

impl Prefetched {
    /// Begins to read the notes at `places`, in groups of `size`.
    pub(crate) fn begin<'scope>(
        scope: &'scope Scope<'scope, '_>,
        notes: &'scope dyn Samples,
        places: &'scope [usize],
        size: usize,
    ) -> Self {
        let (ready, groups) = sync_channel(AHEAD);
        scope.spawn(move || {
            for group in places.chunks(size) {
                let read = group.iter().map(|place| Ok(notes.sample(*place)?.into_owned())).collect();
                // Nobody listens any more: the run has stopped.
                if ready.send(read).is_err() {
                    return;
                }
            }
        });
        Self { groups, waited: Duration::ZERO }
    }

    /// The next group; none after the last.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<Sample>>> {
        let asked = Instant::now();
        let group = self.groups.recv().ok().transpose();
        self.waited += asked.elapsed();
        group
    }

    /// Time [`next`](Self::next) took since this was last asked.
    pub(crate) fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::error::Error;

    /// Notes that take a while each; the one at place 9 cannot be read.
    struct Slow {
        read: AtomicUsize,
    }

    impl Samples for Slow {
        fn count(&self) -> usize {
            10
        }

        fn sample(&self, place: usize) -> Result<Cow<'_, Sample>> {
            std::thread::sleep(Duration::from_millis(2));
            self.read.fetch_add(1, Ordering::SeqCst);
            if place == 9 {
                return Err(Error::Input("note 9 is damaged".to_owned()));
            }
            let ids = vec![u32::try_from(place).unwrap()];
            Ok(Cow::Owned(Sample { id: place.to_string(), ids, target: Vec::new() }))
        }
    }

    #[test]
    fn groups_come_in_order_and_waiting_is_counted() {
        let notes = Slow { read: AtomicUsize::new(0) };
        let places = [4, 2, 0, 8, 1];
        std::thread::scope(|scope| {
            let mut prefetched = Prefetched::begin(scope, &notes, &places, 2);
            let mut seen = Vec::new();
            while let Some(group) = prefetched.next().unwrap() {
                seen.push(group.iter().map(|note| note.ids[0]).collect::<Vec<_>>());
            }
            assert_eq!(seen, [vec![4, 2], vec![0, 8], vec![1]]);
            assert!(prefetched.take_waited() > Duration::ZERO, "the first group is waited for");
            assert_eq!(prefetched.take_waited(), Duration::ZERO);
        });
    }

    #[test]
    fn a_note_that_cannot_be_read_is_told_at_its_place_and_a_run_may_stop_early() {
        let notes = Slow { read: AtomicUsize::new(0) };
        std::thread::scope(|scope| {
            let mut prefetched = Prefetched::begin(scope, &notes, &[0, 9, 1], 1);
            assert_eq!(prefetched.next().unwrap().unwrap()[0].id, "0");
            assert!(prefetched.next().unwrap_err().to_string().contains("note 9"));
        });
        let notes = Slow { read: AtomicUsize::new(0) };
        let places = vec![0; 1000];
        std::thread::scope(|scope| {
            let mut prefetched = Prefetched::begin(scope, &notes, &places, 1);
            prefetched.next().unwrap();
        });
        assert!(notes.read.load(Ordering::SeqCst) < 20, "nothing is read for a run that has stopped");
    }
}
