//! Who works on what.
//!
//! A process holds a lock on a file of its own for the trial it works on, `trials/0007.lock`, for as long as it does. So a
//! trial that began, did not end, and whose lock is free has lost its process, whichever host that was on and however it
//! ended; the next process that looks takes the trial up. No clocks are compared, and no process number taken for another's.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::journal::{Header, Journal, Line, now};
use super::sampler::propose;
use super::space::{Point, Space};
use super::study::{State, Study};
use crate::error::{AtPath, Error, Result};

/// Processes that may be lost on a trial without an epoch between before it is given up: what kills the fifth would kill
/// the sixth.
const MOST_LOSSES: usize = 5;

/// A search several processes may share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) folder: PathBuf,
    pub(crate) space: Space,
    pub(crate) header: Header,
    /// Trials in all.
    pub(crate) wanted: usize,
}

/// What there is to do.
#[derive(Debug)]
pub(crate) enum Next {
    /// This.
    Run(Claim),
    /// As many trials have begun as are wanted; so many of them run elsewhere.
    Enough { elsewhere: usize },
    /// Every point of the grid has been tried; as above.
    Exhausted { elsewhere: usize },
}

/// The right to work on a trial; ends with this value or the process.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) number: usize,
    pub(crate) point: Point,
    pub(crate) expected_improvement: Option<f64>,
    /// Another process began it.
    pub(crate) is_taken_up: bool,
    _lock: File,
}

impl Shared {
    /// The run folder of a trial.
    pub(crate) fn run_folder(&self, number: usize) -> PathBuf {
        trials(&self.folder).join(format!("{number:04}"))
    }

    /// The trials so far.
    pub(crate) fn study(&self) -> Result<Study> {
        Ok(self.open()?.1)
    }

    fn open(&self) -> Result<(Journal, Study)> {
        let journal = Journal::open(&self.folder)?;
        journal.check(&self.header)?;
        let study = Study::replay(&self.space, &journal)?;
        Ok((journal, study))
    }

    /// Takes up a trial that lost its process, or else proposes the next.
    pub(crate) fn next(&self) -> Result<Next> {
        let (mut journal, mut study) = self.open()?;
        for trial in study.trials.iter_mut().filter(|trial| trial.state == State::Running) {
            let Some(lock) = self.try_lock(trial.number)? else {
                continue;
            };
            if trial.losses >= MOST_LOSSES {
                let reason = format!("{MOST_LOSSES} processes were lost on it");
                journal.add(Line::Failed { trial: trial.number, reason: reason.clone(), time: now() })?;
                trial.state = State::Failed { reason };
                self.unlock(trial.number)?;
                continue;
            }
            journal.add(Line::Resumed {
                trial: trial.number,
                host: host(),
                pid: std::process::id(),
                time: now(),
            })?;
            return Ok(Next::Run(Claim {
                number: trial.number,
                point: trial.point.clone(),
                expected_improvement: trial.expected_improvement,
                is_taken_up: true,
                _lock: lock,
            }));
        }
        self.propose(&mut journal, study)
    }

    fn propose(&self, journal: &mut Journal, mut study: Study) -> Result<Next> {
        let Header { sampler, metric, seed, .. } = self.header;
        loop {
            let number = study.trials.len() + 1;
            if number > self.wanted {
                return Ok(Next::Enough { elsewhere: study.running() });
            }
            let history = study.history(metric, sampler);
            let Some(proposal) = propose(sampler, &self.space, &history, seed, number) else {
                return Ok(Next::Exhausted { elsewhere: study.running() });
            };
            let lock = self.try_lock(number)?.ok_or_else(|| {
                let path = self.lock_path(number);
                Error::Input(format!("{}: is locked, though trial {number} has not begun", path.display()))
            })?;
            let started = Line::Started {
                trial: number,
                values: self.space.values(&proposal.point),
                expected_improvement: proposal.expected_improvement,
                host: host(),
                pid: std::process::id(),
                time: now(),
            };
            let same = study.trials.iter().find_map(|trial| match trial.state {
                State::Finished { value, same_as } if trial.point == proposal.point => {
                    Some((same_as.unwrap_or(trial.number), value))
                }
                _ => None,
            });
            study.apply(&self.space, &started).expect("it is the next trial, of a point of the space");
            journal.add(started)?;
            let Some((same_as, value)) = same else {
                return Ok(Next::Run(Claim {
                    number,
                    point: proposal.point,
                    expected_improvement: proposal.expected_improvement,
                    is_taken_up: false,
                    _lock: lock,
                }));
            };
            // Trained again with the same seed it would come to the same figure.
            let finished = Line::Finished { trial: number, value, same_as: Some(same_as), time: now() };
            study.apply(&self.space, &finished).expect("it runs");
            journal.add(finished)?;
            self.unlock(number)?;
        }
    }

    /// Notes a validation; whether the trial is now given up as hopeless, which `prune` allows.
    pub(crate) fn end_epoch(&self, number: usize, epoch: u64, value: f64, prune: bool) -> Result<bool> {
        let (mut journal, mut study) = self.open()?;
        let line = Line::Epoch { trial: number, epoch, value, time: now() };
        study.apply(&self.space, &line).map_err(|reason| self.lost(&reason))?;
        journal.add(line)?;
        let metric = self.header.metric;
        if !prune || !study.is_hopeless(metric, number, epoch) {
            return Ok(false);
        }
        let best = study.trials[number - 1].epochs.values().copied().reduce(|a, b| metric.better_of(a, b));
        journal.add(Line::Pruned { trial: number, epoch, value: best.unwrap_or(value), time: now() })?;
        Ok(true)
    }

    /// Ends a trial with its figure.
    pub(crate) fn finish(&self, claim: Claim, value: f64) -> Result<()> {
        self.end(claim, |trial| Line::Finished { trial, value, same_as: None, time: now() })
    }

    /// Ends a trial that has none.
    pub(crate) fn fail(&self, claim: Claim, reason: String) -> Result<()> {
        self.end(claim, |trial| Line::Failed { trial, reason, time: now() })
    }

    /// Leaves a trial to be taken up again.
    pub(crate) fn leave(&self, claim: Claim) -> Result<()> {
        self.end(claim, |trial| Line::Left { trial, time: now() })
    }

    /// Ends the work on a trial that the journal has as ended.
    pub(crate) fn close(&self, claim: Claim) -> Result<()> {
        let _locked = Journal::open(&self.folder)?;
        self.unlock(claim.number)
    }

    fn end(&self, claim: Claim, line: impl FnOnce(usize) -> Line) -> Result<()> {
        let (mut journal, mut study) = self.open()?;
        let line = line(claim.number);
        study.apply(&self.space, &line).map_err(|reason| self.lost(&reason))?;
        journal.add(line)?;
        self.unlock(claim.number)
    }

    fn lost(&self, reason: &str) -> Error {
        Error::Input(format!(
            "{}: the journal changed under a running trial: {reason}",
            self.folder.display()
        ))
    }

    fn lock_path(&self, number: usize) -> PathBuf {
        trials(&self.folder).join(format!("{number:04}.lock"))
    }

    /// The lock of a trial, unless a process has it. Called with the journal locked.
    fn try_lock(&self, number: usize) -> Result<Option<File>> {
        let path = self.lock_path(number);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).at(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).at(&path),
        }
    }

    /// Removes the file of a lock that is no longer needed. Called with the journal locked.
    fn unlock(&self, number: usize) -> Result<()> {
        let path = self.lock_path(number);
        std::fs::remove_file(&path).at(&path)
    }
}

/// Where run folders are.
pub(crate) fn trials(folder: &Path) -> PathBuf {
    folder.join("trials")
}

/// Name of this machine, for people who read the journal.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    name.or_else(|| std::env::var("HOSTNAME").ok())
        .map_or_else(|| "unknown".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::journal;
    use super::super::metric::Metric;
    use super::super::sampler::Sampler;
    use super::*;

    /// A search of four points in a folder of its own.
    fn shared(sampler: Sampler, wanted: usize) -> (tempfile::TempDir, Shared) {
        let folder = tempfile::tempdir().unwrap();
        let space = Space::read(Path::new("space"), "a = [1, 2]\nb = [1, 2]", &[]).unwrap();
        let header = Header::new(sampler, Metric::Auroc, 3, space.describe(), "seed = 3\n".to_owned());
        journal::begin(folder.path(), header.clone()).unwrap();
        std::fs::create_dir(trials(folder.path())).unwrap();
        let search = Shared { folder: folder.path().to_owned(), space, header, wanted };
        (folder, search)
    }

    fn claim(search: &Shared) -> Claim {
        match search.next().unwrap() {
            Next::Run(claim) => claim,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_trial_whose_process_is_gone_is_taken_up_and_no_other() {
        let (_folder, search) = shared(Sampler::Gp, 3);
        let (first, second) = (claim(&search), claim(&search));
        assert_eq!((first.number, second.number), (1, 2));
        assert_ne!(first.point, second.point);
        let point = first.point.clone();
        drop(first); // as the kernel drops it with the process
        let again = claim(&search);
        assert_eq!((again.number, again.is_taken_up, again.point.clone()), (1, true, point));
        let third = claim(&search);
        assert_eq!((third.number, third.is_taken_up), (3, false));
        assert!(matches!(search.next().unwrap(), Next::Enough { elsewhere: 3 }));
        search.finish(again, 0.7).unwrap();
        search.leave(third).unwrap();
        assert_eq!(claim(&search).number, 3, "left in order, it is taken up too");
        search.fail(second, "diverged".to_owned()).unwrap();
        let study = search.study().unwrap();
        assert_eq!(study.trials[0].state, State::Finished { value: 0.7, same_as: None });
        assert_eq!(study.best(Metric::Auroc).unwrap().0.number, 1);
        let history = study.history(Metric::Auroc, Sampler::Gp);
        assert_eq!((history.observed.len(), history.failed.len(), history.pending.len()), (1, 1, 1));
    }

    #[test]
    fn a_trial_that_loses_every_process_is_given_up_unless_it_gets_on() {
        let (_folder, search) = shared(Sampler::Random, 1);
        for _ in 0..MOST_LOSSES - 1 {
            drop(claim(&search));
        }
        let claimed = claim(&search);
        search.end_epoch(claimed.number, 1, 0.5, true).unwrap();
        drop(claimed);
        for _ in 0..MOST_LOSSES - 1 {
            drop(claim(&search));
        }
        assert!(matches!(search.next().unwrap(), Next::Enough { elsewhere: 0 }));
        let State::Failed { reason } = &search.study().unwrap().trials[0].state else { panic!("it failed") };
        assert_eq!(reason, "5 processes were lost on it");
    }

    #[test]
    fn a_grid_ends_once_every_point_is_tried() {
        let (_folder, search) = shared(Sampler::Gp, 9);
        for value in [0.6, 0.7, 0.8, 0.5] {
            search.finish(claim(&search), value).unwrap();
        }
        assert!(matches!(search.next().unwrap(), Next::Exhausted { elsewhere: 0 }));
    }

    #[test]
    fn a_repeat_has_the_figure_of_the_first() {
        let (_folder, search) = shared(Sampler::WandbCompat, 12);
        let mut trained = 0;
        while let Next::Run(claim) = search.next().unwrap() {
            trained += 1;
            let value = 0.5 + 0.1 * search.space.grid_place(&claim.point) as f64;
            search.finish(claim, value).unwrap();
        }
        let study = search.study().unwrap();
        assert_eq!(study.trials.len(), 12);
        assert!(trained <= 4, "there are four points, and {trained} were trained");
        for trial in &study.trials {
            let State::Finished { value, .. } = trial.state else { panic!("{trial:?}") };
            assert_eq!(value, 0.5 + 0.1 * search.space.grid_place(&trial.point) as f64);
        }
    }

    #[test]
    fn a_journal_that_contradicts_itself_is_refused_with_its_line() {
        let (folder, search) = shared(Sampler::Gp, 3);
        search.finish(claim(&search), 0.7).unwrap();
        let line = Line::Epoch { trial: 1, epoch: 2, value: 0.7, time: now() };
        Journal::open(folder.path()).unwrap().add(line).unwrap();
        let error = search.next().expect_err("trial 1 has ended").to_string();
        assert!(error.contains("journal.jsonl:4: is damaged: trial 1 is not running there"), "{error}");
    }
}
