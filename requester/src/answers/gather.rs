//! Scatter-gather: one question, the answers of several.

use std::fmt;
use std::time::Instant;

use antiphon_common::kafka::look_up;
use futures::future::{BoxFuture, ready};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};

use super::finish::{Collect, Finish};
use super::pieces::Anonymous;
use crate::call::{Ask, CallBuilder, CallError, CallErrorKind, Failure, Name, Prepared};

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// Whoever serves a topic.
    Topic(Name),
    /// Whoever serves a partition of the request topic.
    Partition(i32),
    /// One of several repliers that all get the same request; they have no names.
    Replier(usize),
}

/// What one target answered.
#[derive(Debug)]
pub struct Answer<T> {
    /// Who was asked.
    pub target: Target,
    /// What it answered, or why there is no answer.
    pub result: Result<T, CallError>,
}

/// The answers that came in time.
#[derive(Debug)]
pub struct Gathered<T> {
    /// The answers, good and bad.
    pub answers: Vec<Answer<T>>,
    /// Who has not answered: by the deadline, or before enough others had.
    pub missing: Vec<Target>,
    /// Whether what was asked for has come.
    pub complete: bool,
}

/// A question to several that is not sent yet. Awaiting it sends it.
#[must_use = "nothing is sent before it is awaited"]
pub struct Gather<'r, A: Ask> {
    call: CallBuilder<'r, A>,
    targets: Targets,
    finish: Finish,
    enough: Option<Enough<A::Answer>>,
}

enum Targets {
    Topics(Vec<Name>),
    Partitions,
    Repliers(usize),
}

/// Room is made for all answers at once.
const MAX_REPLIERS: usize = 10_000;

/// Looks at the good answers so far.
type Enough<T> = Box<dyn FnMut(&[&T]) -> bool + Send>;

impl<'r, A: Ask> CallBuilder<'r, A> {
    /// Sends the request to several topics, once each. Retries and hedges are for each by itself.
    pub fn scatter<N: Into<Name>>(self, topics: impl IntoIterator<Item = N>) -> Gather<'r, A> {
        Gather::new(self, Targets::Topics(topics.into_iter().map(Into::into).collect()))
    }

    /// Sends the request to every partition of its topic, once each. Retries and hedges are for
    /// each by itself.
    pub fn scatter_partitions(self) -> Gather<'r, A> {
        Gather::new(self, Targets::Partitions)
    }

    /// Sends the request once, and takes the replies of `repliers` repliers, each of a consumer
    /// group of its own: at most 10,000. Retries and hedges do not apply, and it does not wait for
    /// room.
    pub fn gather(self, repliers: usize) -> Gather<'r, A> {
        Gather::new(self, Targets::Repliers(repliers))
    }
}

impl<'r, A: Ask> Gather<'r, A> {
    fn new(call: CallBuilder<'r, A>, targets: Targets) -> Self {
        Self { call, targets, finish: Finish::All, enough: None }
    }

    /// How many answers to wait for; [`Finish::All`] unless it is said otherwise.
    pub fn finish(mut self, finish: Finish) -> Self {
        self.finish = finish;
        self
    }

    /// Stops waiting as soon as the good answers so far are enough.
    pub fn until(mut self, enough: impl FnMut(&[&A::Answer]) -> bool + Send + 'static) -> Self {
        self.enough = Some(Box::new(enough));
        self
    }

    /// Sends what can be sent at once; what it returns does the rest.
    fn begin(self) -> BoxFuture<'r, Result<Gathered<A::Answer>, CallError>> {
        let Self { call, targets, finish, enough } = self;
        let (started, topic, session) = (Instant::now(), call.topic_of(), call.session);
        let deadline = call.deadline_from(started);
        let failed = move |failure| CallError::new(failure, topic, None, started.elapsed());
        let known = match &targets {
            Targets::Topics(topics) => topics.len(),
            Targets::Repliers(count) => *count,
            Targets::Partitions => usize::MAX,
        };
        let too_many = matches!(targets, Targets::Repliers(count) if count > MAX_REPLIERS);
        let checked = match too_many {
            true => Err(format!("repliers: {known} are too many; name at most {MAX_REPLIERS}")),
            false => finish.check(known),
        };
        if let Err(what) = checked {
            return ready(Err(failed(Failure::not_sent(CallErrorKind::Invalid(what))))).boxed();
        }
        if let Targets::Repliers(count) = targets {
            return match Anonymous::send(&call, count) {
                Ok(replies) => anonymous(replies, count, finish, enough).map(Ok).boxed(),
                Err(error) => ready(Err(error)).boxed(),
            };
        }
        let (mut prepared, plan) = match call.prepare_plan() {
            Ok(prepared) => prepared,
            Err(failure) => return ready(Err(failed(failure))).boxed(),
        };
        // One deadline for all that follows, looking the partitions up included.
        prepared.options.deadline = Some(deadline);
        Box::pin(async move {
            let targets: Vec<Target> = match targets {
                Targets::Topics(topics) => topics.into_iter().map(Target::Topic).collect(),
                _ => {
                    let topic = prepared.topic.as_str();
                    match look_up(&session.kafka, topic, deadline.remaining()).await {
                        Ok(count) => (0..count).map(Target::Partition).collect(),
                        Err(error) => {
                            let kind = CallErrorKind::RequestTopic(error);
                            return Err(failed(Failure::not_sent(kind)));
                        }
                    }
                }
            };
            if let Err(what) = finish.check(targets.len()) {
                return Err(failed(Failure::not_sent(CallErrorKind::Invalid(what))));
            }
            let mut running: FuturesUnordered<_> = targets
                .iter()
                .map(|target| session.ask(aimed(&prepared, target), plan.clone(), A::decode))
                .enumerate()
                .map(|(index, call)| call.map(move |result| (index, result)))
                .collect();
            let mut gathering = Gathering::new(targets, finish, enough);
            while let Some((index, result)) = running.next().await {
                if gathering.take(Some(index), result) {
                    break;
                }
            }
            Ok(gathering.end())
        })
    }
}

impl<'r, A: Ask> IntoFuture for Gather<'r, A> {
    type Output = Result<Gathered<A::Answer>, CallError>;
    type IntoFuture = BoxFuture<'r, Self::Output>;

    fn into_future(mut self) -> Self::IntoFuture {
        let (started, topic) = (Instant::now(), self.call.topic_of());
        let Some(token) = self.call.cancel_on.take() else { return self.begin() };
        let gathering = self.begin();
        Box::pin(async move {
            tokio::select! {
                biased;
                gathered = gathering => gathered,
                () = token.cancelled() => {
                    let cancelled = Failure::unknown(CallErrorKind::Cancelled);
                    Err(CallError::new(cancelled, topic, None, started.elapsed()))
                }
            }
        })
    }
}

/// The question, for one target.
fn aimed(prepared: &Prepared, target: &Target) -> Prepared {
    let mut aimed = prepared.clone();
    match target {
        Target::Topic(topic) => aimed.topic = topic.clone(),
        Target::Partition(partition) => aimed.options.partition = Some(*partition),
        Target::Replier(_) => {}
    }
    aimed
}

/// One request, several repliers.
async fn anonymous<T>(
    mut replies: Anonymous<T>,
    count: usize,
    finish: Finish,
    enough: Option<Enough<T>>,
) -> Gathered<T> {
    let targets = (0..count).map(Target::Replier).collect();
    let mut gathering = Gathering::new(targets, finish, enough);
    while let Some(result) = replies.next().await {
        if gathering.take(None, result) {
            break;
        }
    }
    replies.complete();
    gathering.end()
}

/// Answers as they come in.
struct Gathering<T> {
    targets: Vec<Target>,
    collect: Collect<T, CallError>,
    enough: Option<Enough<T>>,
    satisfied: bool,
}

impl<T> Gathering<T> {
    fn new(targets: Vec<Target>, finish: Finish, enough: Option<Enough<T>>) -> Self {
        let collect = Collect::new(targets.len(), finish);
        Self { targets, collect, enough, satisfied: false }
    }

    /// Takes an answer, and says whether no more is needed. One that a target did not give in time
    /// is none.
    fn take(&mut self, index: Option<usize>, result: Result<T, CallError>) -> bool {
        if matches!(&result, Err(error) if matches!(error.kind(), CallErrorKind::Timeout)) {
            return false;
        }
        let done = match index {
            Some(index) => self.collect.answered(index, result),
            None => self.collect.answered_by_another(result),
        };
        if let Some(enough) = &mut self.enough {
            let good: Vec<&T> =
                self.collect.answers().filter_map(|(_, answer)| answer.as_ref().ok()).collect();
            self.satisfied = enough(&good);
        }
        done || self.satisfied
    }

    fn end(self) -> Gathered<T> {
        let complete = self.satisfied || self.collect.is_satisfied();
        let mut gathered = Gathered { answers: Vec::new(), missing: Vec::new(), complete };
        for (target, answer) in self.targets.into_iter().zip(self.collect.into_answers()) {
            match answer {
                Some(result) => gathered.answers.push(Answer { target, result }),
                None => gathered.missing.push(target),
            }
        }
        gathered
    }
}

impl<A: Ask> fmt::Debug for Gather<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather").field("finish", &self.finish).finish_non_exhaustive()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(topic) => topic.fmt(f),
            Self::Partition(partition) => write!(f, "partition {partition}"),
            Self::Replier(number) => write!(f, "replier {number}"),
        }
    }
}
