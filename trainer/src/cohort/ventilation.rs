//! Time on the ventilator.

use super::random::Chance;

/// How an episode ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EpisodeEnd {
    /// The tube is taken out.
    Extubated,
    /// The patient pulls it.
    SelfExtubated,
    /// Weaned over a tracheostomy: no extubation is charted.
    Weaned,
    /// Death.
    Died,
}

/// An unbroken stretch of mechanical ventilation, in hours from admission.
#[derive(Debug, Clone, Copy)]
pub(super) struct Episode {
    pub(super) start: f64,
    pub(super) end: f64,
    pub(super) how: EpisodeEnd,
}

impl Episode {
    /// Ventilation from `start` to `end`; a failed extubation may cut it in two.
    pub(super) fn course(
        start: f64,
        end: f64,
        room: f64,
        until_death: bool,
        chance: &mut Chance,
    ) -> Vec<Self> {
        let hours = end - start;
        let tracheostomy = hours > 220.0 && chance.happens(0.65);
        let how = if until_death {
            EpisodeEnd::Died
        } else if tracheostomy {
            EpisodeEnd::Weaned
        } else if chance.happens(0.04) {
            EpisodeEnd::SelfExtubated
        } else {
            EpisodeEnd::Extubated
        };
        if hours > 48.0 && room > 60.0 && chance.happens(0.14) {
            let pause = chance.uniform(9.0, 24.0).min(hours * 0.3);
            let failed = start + chance.uniform(0.3, 0.6) * (hours - pause);
            let first = Self { start, end: failed, how: EpisodeEnd::Extubated };
            return vec![first, Self { start: failed + pause, end, how }];
        }
        vec![Self { start, end, how }]
    }

    /// Its length.
    pub(super) fn hours(&self) -> f64 {
        self.end - self.start
    }
}
