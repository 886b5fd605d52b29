//! Requests that are answered after their handlers have ended.

use std::time::Duration;

use antiphon::config::ReplierSettings;
use antiphon::replier::{AnswerError, Answerer, ReplyAddress, ReplyHandle, ReplyPolicy, State};
use antiphon::{Code, Outcome, Replier, Router, Status};
use tokio::sync::mpsc;

use super::Say;
use crate::support::asking::requester;
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::records::{committed, ends};
use crate::support::replying::{Running, run};
use crate::support::waiting::{bounded, eventually};

type Handles = mpsc::UnboundedSender<(String, ReplyHandle<String>)>;

async fn keep(
    Say(what): Say,
    handle: ReplyHandle<String>,
    State(handles): State<Handles>,
) -> Result<(), Status> {
    if what == "no" {
        return Err(Status::not_found("no"));
    }
    handles.send((what, handle)).map_err(|_| Status::internal("the test has ended"))
}

/// A replier with a place for one handler at a time.
async fn replier(broker: &antiphon_testkit::TestBroker, handles: Handles) -> Running {
    let one = ReplierSettings { concurrency: 1, ..ReplierSettings::default() };
    let router = Router::new().handle_deferred(keep).with_state(handles);
    run(Replier::builder(settings(broker)).settings(one).group("repliers").service(router)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_come_later_from_elsewhere_and_in_any_order() {
    let broker = embedded(1);
    let (tell, mut handles) = mpsc::unbounded_channel();
    let replier = replier(&broker, tell).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let calls: Vec<_> =
        (0..4).map(|number| requester.call(Say(number.to_string())).send()).collect();
    let mut kept = Vec::new();
    for _ in 0..4 {
        kept.push(bounded("the handler ran", handles.recv()).await.unwrap());
    }
    kept.sort_by(|one, other| one.0.cmp(&other.0));
    let metrics = replier.metrics.clone();
    eventually("all wait", || metrics.deferred.get() == 4 && metrics.running.get() == 0).await;
    assert_eq!(committed(&broker, "repliers", QUOTES), [0]);
    let (_, dropped) = kept.remove(0);
    drop(dropped);
    let (_, failed) = kept.remove(0);
    failed.fail(Status::not_found("nothing")).unwrap();
    let thread = std::thread::spawn(move || {
        for (what, handle) in kept.into_iter().rev() {
            handle.reply(what.repeat(3)).unwrap();
        }
    });
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.map_err(|error| error.status().map(Status::code)));
    }
    thread.join().unwrap();
    let expected =
        [Err(Some(Code::Internal)), Err(Some(Code::NotFound)), Ok("222".into()), Ok("333".into())];
    assert_eq!(answers, expected);
    let error = requester.call(Say("no".into())).await.unwrap_err();
    assert_eq!(error.status().unwrap(), &Status::not_found("no"));
    let said = metrics.handler("say");
    assert_eq!((said.ok.get(), said.error.get(), metrics.deferred.get()), (2, 3, 0));
    replier.stop().await.unwrap();
    assert_eq!(committed(&broker, "repliers", QUOTES), [5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handle_comes_too_late_after_the_deadline_or_a_cancellation() {
    let broker = embedded(1);
    let (tell, mut handles) = mpsc::unbounded_channel();
    let replier = replier(&broker, tell).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    // Long enough for the handler to run.
    let call = requester.call(Say("late".into())).timeout(Duration::from_secs(10)).send();
    let (_, mut handle) = bounded("the handler ran", handles.recv()).await.unwrap();
    bounded("the deadline passes", handle.ended()).await;
    assert!(!handle.is_wanted());
    assert!(handle.reply("late".into()).is_err());
    call.await.unwrap_err();
    let said = replier.metrics.handler("say");
    eventually("it is counted", || said.timed_out.get() == 1).await;
    assert_eq!(said.ok.get(), 0);

    let call = requester.call(Say("never mind".into())).cancellable(true).send();
    let (_, mut handle) = bounded("the handler ran", handles.recv()).await.unwrap();
    drop(call);
    bounded("the request is cancelled", handle.ended()).await;
    eventually("it is counted", || said.cancelled.get() == 1).await;
    assert!(handle.detach().is_err());
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_handed_over_and_answered_when_its_replier_is_gone() {
    let broker = embedded(2);
    let (tell, mut handles) = mpsc::unbounded_channel();
    let replier = replier(&broker, tell).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let call = requester.call(Say("hand over".into())).key("k").partition(0).send();
    let (_, handle) = bounded("the handler ran", handles.recv()).await.unwrap();
    let text = serde_json::to_string(&handle.address()).unwrap();
    handle.detach().unwrap();
    replier.stop().await.unwrap();
    assert_eq!(committed(&broker, "repliers", QUOTES)[0], 1, "it counts as complete");

    let address: ReplyAddress = serde_json::from_str(&text).unwrap();
    let stranger = ReplyPolicy::new(&["orders".into()], &["*".into()]).unwrap();
    let stranger = Answerer::new(&settings(&broker), stranger).unwrap();
    let refused = stranger.fail(&address, Status::internal("")).await.unwrap_err();
    assert!(matches!(refused, AnswerError::RequestTopic(_)), "{refused}");
    assert_eq!(refused.outcome(), Outcome::NotSent);
    assert_eq!(ends(&broker, REPLIES).iter().sum::<i64>(), 0);

    let policy = ReplyPolicy::new(&[QUOTES.into()], &[]).unwrap();
    let answerer = Answerer::new(&settings(&broker), policy).unwrap();
    let reply = "from afar".to_owned();
    let sent = answerer.reply::<Say>(&address, &reply);
    bounded("the answer is acknowledged", sent).await.unwrap();
    assert_eq!(call.await.unwrap(), "from afar");
}
