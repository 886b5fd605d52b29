//! The producers of one pace, which differ in how long their records wait for others.

use rdkafka::producer::ProducerContext;

use super::made::{Made, Maker};
use super::pace::{LINGERS, Pace};

pub(super) struct Current<C: ProducerContext + 'static> {
    pub(super) pace: Pace,
    /// Sends at once.
    pub(super) prompt: Made<C>,
    /// The same with the other lingers; made when they are first of use.
    pub(super) gathering: [Gathering<C>; LINGERS.len() - 1],
    /// Which of [`LINGERS`] is in use: one that is made.
    pub(super) linger: usize,
}

/// A producer whose records wait for each other.
pub(super) enum Gathering<C: ProducerContext + 'static> {
    /// Nobody has asked for it.
    Unasked,
    /// It is being made, or could not be, or is not wanted.
    Absent,
    Made(Made<C>),
}

impl<C: ProducerContext + 'static> Current<C> {
    pub(super) fn begin(pace: Pace, prompt: Made<C>, maker: &Maker<C>) -> Self {
        let gathers = maker.kafka.gathers();
        let none = || if gathers { Gathering::Unasked } else { Gathering::Absent };
        Self { pace, prompt, gathering: std::array::from_fn(|_| none()), linger: 0 }
    }

    pub(super) fn in_use(&self) -> &Made<C> {
        self.made(self.linger).unwrap_or(&self.prompt)
    }

    /// The producer with one of [`LINGERS`], if it is made.
    pub(super) fn made(&self, linger: usize) -> Option<&Made<C>> {
        match linger.checked_sub(1) {
            None => Some(&self.prompt),
            Some(at) => self.gathering.get(at).and_then(Gathering::made),
        }
    }

    pub(super) fn gathering(&mut self, linger: usize) -> Option<&mut Gathering<C>> {
        self.gathering.get_mut(linger.checked_sub(1)?)
    }

    /// The longest linger up to the wanted one of which there is a producer, or is to be one.
    pub(super) fn best(&self, wanted: usize) -> usize {
        let mut known = self.gathering.iter().take(wanted);
        let last = known.rposition(|gathering| !matches!(gathering, Gathering::Absent));
        last.map_or(0, |at| at + 1)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Made<C>> {
        std::iter::once(&self.prompt).chain(self.gathering.iter().filter_map(Gathering::made))
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Made<C>> {
        let gathering = self.gathering.iter_mut().filter_map(|gathering| match gathering {
            Gathering::Made(made) => Some(made),
            Gathering::Unasked | Gathering::Absent => None,
        });
        std::iter::once(&mut self.prompt).chain(gathering)
    }
}

impl<C: ProducerContext + 'static> Gathering<C> {
    fn made(&self) -> Option<&Made<C>> {
        match self {
            Self::Made(made) => Some(made),
            Self::Unasked | Self::Absent => None,
        }
    }
}
