//! Which queued request runs next: order by key or partition, fairness, priorities. It knows
//! nothing of threads or records.

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::Arc;

use antiphon_common::config::Lane;

/// One start in so many goes to the class of priority that has not had any for the longest time.
const TURN: u64 = 16;

/// What the order of a request depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meta<'a> {
    pub(crate) topic: &'a Arc<str>,
    pub(crate) partition: i32,
    pub(crate) key: Option<&'a [u8]>,
    /// The number of its endpoint, an index of the priorities that the schedule was made with.
    pub(crate) endpoint: usize,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    endpoint: usize,
    partition: usize,
    chain: Option<u64>,
}

/// A place that a request has been given. It must be handed back by [`Schedule::done`].
#[derive(Debug)]
pub(crate) struct Token {
    endpoint: usize,
    partition: usize,
    chain: Option<u64>,
}

impl Token {
    /// The number of the request's endpoint.
    pub(crate) fn endpoint(&self) -> usize {
        self.endpoint
    }
}

/// Queued requests, and the places that they run in.
///
/// Requests that may start stand in one queue for each endpoint and partition. Turns go round the
/// endpoints of a class of priority, and for each endpoint round its partitions. Requests that wait
/// for another of their key or partition stand in its chain instead, from which the next one comes
/// when the last is done. Everything is O(1), except that endpoints which must not start more are
/// stepped over, and there are only as many of them as the program has registered.
#[derive(Debug)]
pub(crate) struct Schedule<T> {
    order: Lane,
    concurrency: usize,
    /// The most places that one endpoint may hold.
    endpoint_cap: usize,
    /// The most places that one partition may hold.
    partition_cap: usize,
    running: usize,
    starts: u64,
    /// By priority, the highest first.
    classes: Vec<Class>,
    endpoints: Vec<Endpoint<T>>,
    partitions: Partitions,
    /// Those that have a request which may start or runs. Two keys whose hashes are the same share
    /// a chain: they wait for each other in vain, and both are in order.
    chains: HashMap<(usize, u64), VecDeque<Queued<T>>, BuildHasherDefault<Mixer>>,
    hasher: RandomState,
    closed: bool,
}

#[derive(Debug)]
struct Class {
    /// Endpoints that have something ready.
    ring: VecDeque<usize>,
    last_start: u64,
}

#[derive(Debug)]
struct Endpoint<T> {
    class: usize,
    running: usize,
    /// Partitions that have something ready for this endpoint.
    ring: VecDeque<usize>,
    /// By partition. A queue that is empty stays, with its room: the next run of requests needs it.
    ready: Vec<VecDeque<Ready<T>>>,
}

#[derive(Debug)]
struct Queued<T> {
    item: T,
    endpoint: usize,
}

#[derive(Debug)]
struct Ready<T> {
    item: T,
    chain: Option<u64>,
}

impl<T> Schedule<T> {
    /// A schedule for endpoints of these priorities. The last is for requests that have no
    /// endpoint; it shares no places with the others, since those requests are refused at once.
    pub(crate) fn new(order: Lane, concurrency: usize, priorities: &[u8]) -> Self {
        let mut distinct = priorities.to_vec();
        distinct.sort_unstable_by(|a, b| b.cmp(a));
        distinct.dedup();
        let class_of = |priority| distinct.iter().position(|known| *known == priority);
        let endpoints = priorities.iter().map(|priority| Endpoint {
            class: class_of(*priority).unwrap_or_default(),
            running: 0,
            ring: VecDeque::new(),
            ready: Vec::new(),
        });
        let classes = distinct.iter().map(|_| Class { ring: VecDeque::new(), last_start: 0 });
        Self {
            order,
            concurrency,
            endpoint_cap: cap(concurrency, priorities.len().saturating_sub(1)),
            partition_cap: concurrency,
            running: 0,
            starts: 0,
            endpoints: endpoints.collect(),
            classes: classes.collect(),
            partitions: Partitions::default(),
            chains: HashMap::default(),
            hasher: RandomState::new(),
            closed: false,
        }
    }

    /// Says how many partitions there are to share the places.
    pub(crate) fn set_held(&mut self, partitions: usize) {
        self.partition_cap = cap(self.concurrency, partitions);
    }

    /// Finds where a request of this kind stands. The next one that is pushed is to be that request.
    pub(crate) fn find(&mut self, meta: Meta<'_>) -> Standing {
        let partition = self.partitions.enter(meta.topic, meta.partition);
        let chain = match self.order {
            Lane::Unordered => None,
            Lane::ByKey => meta.key.map(|key| self.hasher.hash_one(key)),
            Lane::ByPartition => Some(0),
        };
        Standing { endpoint: meta.endpoint, partition, chain }
    }

    /// Queues a request. Those of one partition must come in the order of their offsets.
    pub(crate) fn push(&mut self, standing: Standing, item: T) {
        if self.closed {
            return;
        }
        let Standing { endpoint, partition, chain } = standing;
        let queued = Queued { item, endpoint };
        if let Some(chain) = chain {
            match self.chains.entry((partition, chain)) {
                Entry::Occupied(mut waiting) => return waiting.get_mut().push_back(queued),
                Entry::Vacant(none) => _ = none.insert(VecDeque::new()),
            }
        }
        self.make_ready(partition, chain, queued);
    }

    /// The request to start now, if there is a place for any.
    pub(crate) fn next(&mut self) -> Option<(T, Token)> {
        if self.running >= self.concurrency {
            return None;
        }
        let class = self.choose_class()?;
        let endpoint = *self.classes[class].ring.front()?;
        let chosen = &mut self.endpoints[endpoint];
        let partition = chosen.ring.pop_front()?;
        let queue = chosen.ready.get_mut(partition)?;
        let Ready { item, chain } = queue.pop_front()?;
        if !queue.is_empty() {
            chosen.ring.push_back(partition);
        }
        chosen.running += 1;
        let class = &mut self.classes[class];
        class.ring.pop_front();
        if !chosen.ring.is_empty() {
            class.ring.push_back(endpoint);
        }
        self.starts += 1;
        class.last_start = self.starts;
        self.running += 1;
        self.partitions.start(partition);
        Some((item, Token { endpoint, partition, chain }))
    }

    /// The request that was given this place has ended.
    #[expect(clippy::needless_pass_by_value, reason = "a place is handed back once")]
    pub(crate) fn done(&mut self, token: Token) {
        let Token { endpoint, partition, chain } = token;
        self.running -= 1;
        if self.closed {
            return;
        }
        self.endpoints[endpoint].running -= 1;
        if let Some(chain) = chain
            && let Entry::Occupied(mut waiting) = self.chains.entry((partition, chain))
        {
            match waiting.get_mut().pop_front() {
                Some(queued) => self.make_ready(partition, Some(chain), queued),
                None => _ = waiting.remove(),
            }
        }
        self.partitions.leave(partition);
    }

    /// Takes all out that is queued. From here on nothing starts.
    pub(crate) fn close(&mut self) -> Vec<T> {
        self.closed = true;
        for class in &mut self.classes {
            class.ring.clear();
        }
        let ready = self.endpoints.iter_mut().flat_map(|endpoint| {
            endpoint.ring.clear();
            endpoint.ready.drain(..).flatten().map(|ready| ready.item)
        });
        let chained = self.chains.drain().flat_map(|(_, chain)| chain).map(|queued| queued.item);
        ready.chain(chained).collect()
    }

    fn make_ready(&mut self, partition: usize, chain: Option<u64>, queued: Queued<T>) {
        let Queued { item, endpoint } = queued;
        let to = &mut self.endpoints[endpoint];
        if to.ring.is_empty() {
            self.classes[to.class].ring.push_back(endpoint);
        }
        if to.ready.len() <= partition {
            to.ready.resize_with(partition + 1, VecDeque::new);
        }
        let queue = &mut to.ready[partition];
        if queue.is_empty() {
            to.ring.push_back(partition);
        }
        queue.push_back(Ready { item, chain });
    }

    /// The class that starts something now; what it starts is first in its rings.
    fn choose_class(&mut self) -> Option<usize> {
        if self.starts % TURN == TURN - 1 {
            let mut chosen: Option<usize> = None;
            for class in 0..self.classes.len() {
                let last = self.classes[class].last_start;
                if chosen.is_none_or(|best| last < self.classes[best].last_start)
                    && self.can_start(class)
                {
                    chosen = Some(class);
                }
            }
            return chosen;
        }
        (0..self.classes.len()).find(|class| self.can_start(*class))
    }

    /// Turns the rings of a class until what may start is first.
    fn can_start(&mut self, class: usize) -> bool {
        let ring = &mut self.classes[class].ring;
        for _ in 0..ring.len() {
            let Some(endpoint) = ring.front() else { return false };
            let endpoint = &mut self.endpoints[*endpoint];
            if endpoint.running < self.endpoint_cap {
                for _ in 0..endpoint.ring.len() {
                    let Some(partition) = endpoint.ring.front() else { break };
                    if self.partitions.running(*partition) < self.partition_cap {
                        return true;
                    }
                    endpoint.ring.rotate_left(1);
                }
            }
            ring.rotate_left(1);
        }
        false
    }
}

/// Spreads what is a hash already: chains are named by hashes of keys whose function nobody outside
/// knows, so nobody can make them collide here.
#[derive(Debug, Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn write_u64(&mut self, number: u64) {
        // An odd number without a pattern: that of Fibonacci hashing.
        self.0 = (self.0.rotate_left(32) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The most places that one of so many sharers may hold: an eighth is left to others, so that one
/// which hangs does not hold them all.
fn cap(concurrency: usize, sharers: usize) -> usize {
    match sharers {
        0 | 1 => concurrency,
        _ => concurrency.saturating_sub((concurrency / 8).max(1)).max(1),
    }
}

/// Partitions that have requests queued or running, by number. A number is used again when its
/// partition has none left, except that the one that was entered last keeps its number until another
/// is entered: under little load it has none left again and again.
#[derive(Debug, Default)]
struct Partitions {
    numbers: HashMap<(Arc<str>, i32), usize>,
    known: Vec<Partition>,
    unused: Vec<usize>,
    /// The one that was entered last: requests come in runs.
    last: Option<usize>,
}

#[derive(Debug)]
struct Partition {
    name: (Arc<str>, i32),
    running: usize,
    /// Queued ones included.
    all: usize,
}

impl Partitions {
    fn enter(&mut self, topic: &Arc<str>, partition: i32) -> usize {
        if let Some(last) = self.last
            && self.known[last].name.1 == partition
            && self.known[last].name.0 == *topic
        {
            self.known[last].all += 1;
            return last;
        }
        self.forget_last();
        let name = (Arc::clone(topic), partition);
        let number = match self.numbers.entry(name) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let entered = Partition { name: new.key().clone(), running: 0, all: 0 };
                let number = self.unused.pop().unwrap_or(self.known.len());
                match self.known.get_mut(number) {
                    Some(unused) => *unused = entered,
                    None => self.known.push(entered),
                }
                *new.insert(number)
            }
        };
        self.known[number].all += 1;
        self.last = Some(number);
        number
    }

    fn running(&self, number: usize) -> usize {
        self.known[number].running
    }

    fn start(&mut self, number: usize) {
        self.known[number].running += 1;
    }

    fn leave(&mut self, number: usize) {
        let partition = &mut self.known[number];
        partition.running -= 1;
        partition.all -= 1;
        if partition.all == 0 && self.last != Some(number) {
            self.forget(number);
        }
    }

    /// Another one is entered next.
    fn forget_last(&mut self) {
        if let Some(last) = self.last.take().filter(|last| self.known[*last].all == 0) {
            self.forget(last);
        }
    }

    fn forget(&mut self, number: usize) {
        self.numbers.remove(&self.known[number].name);
        self.unused.push(number);
    }
}

#[cfg(test)]
mod tests;
