//! What handlers did, as the workers told it: how often for each request, and in which order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All effects of a run. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Effects(Arc<Mutex<Vec<Effect>>>);

/// A handler that ran to its end.
#[derive(Debug, Clone)]
struct Effect {
    id: String,
    begun: i128,
    ended: i128,
}

/// What was found out of order.
#[derive(Debug, Default)]
pub(crate) struct Disorder {
    /// Handlers that began before the one before them, for the same key, had ended.
    pub(crate) overlaps: usize,
    /// Handlers that ran after one that comes behind them.
    pub(crate) swaps: usize,
}

impl Effects {
    /// Reads what follows the word in a worker's line: the id, the beginning and the end.
    pub(crate) fn note(&self, line: &str) {
        let mut words = line.split(' ');
        let id = words.next().unwrap_or_default().to_owned();
        let mut time = || words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        let (begun, ended) = (time(), time());
        self.lock().push(Effect { id, begun, ended });
    }

    pub(crate) fn total(&self) -> usize {
        self.lock().len()
    }

    /// How often the handler ran for this request.
    pub(crate) fn of(&self, id: &str) -> usize {
        self.lock().iter().filter(|effect| effect.id == id).count()
    }

    /// How many runs there were beyond the first of each request.
    pub(crate) fn repeated(&self) -> usize {
        let effects = self.lock();
        let mut seen: HashMap<&str, ()> = HashMap::with_capacity(effects.len());
        effects.iter().filter(|effect| seen.insert(&effect.id, ()).is_some()).count()
    }

    /// Checks the order of requests with the same key, whose ids are `<key>/<number>`, rising.
    pub(crate) fn disorder(&self) -> Disorder {
        let effects = self.lock();
        let mut keys: HashMap<&str, Vec<(u64, &Effect)>> = HashMap::new();
        for effect in effects.iter() {
            if let Some((key, number)) = effect.id.split_once('/') {
                let number = number.parse().unwrap_or(u64::MAX);
                keys.entry(key).or_default().push((number, effect));
            }
        }
        let mut disorder = Disorder::default();
        for runs in keys.values_mut() {
            runs.sort_by_key(|(_, effect)| effect.begun);
            for pair in runs.windows(2) {
                let ((earlier, first), (later, second)) = (pair[0], pair[1]);
                disorder.overlaps += usize::from(second.begun < first.ended);
                disorder.swaps += usize::from(later < earlier);
            }
        }
        disorder
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Effect>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
