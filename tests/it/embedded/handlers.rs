//! What handlers may be and take: extractors, states and layers here; each kind of handler in a file
//! of its own.

mod blocking;
mod builtin;
mod deferred;
mod one_way;

use std::sync::Arc;

use antiphon::replier::{
    Extension, Extract, Incoming, Key, Parts, Payload, RunError, State, TraceLayer,
};
use antiphon::wire::Headers;
use antiphon::{Code, Context, Deadline, Replier, Request, Router, Status};
use futures::stream::{self, Stream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tower::{BoxError, ServiceBuilder};

use crate::support::asking::requester;
use crate::support::brokers::{REPLIES, embedded, settings};
use crate::support::replying::start;
use crate::support::waiting::bounded;

/// The question of these tests.
#[derive(Debug, Serialize, Deserialize, Request)]
#[request(topic = "quotes", endpoint = "say", reply = String)]
struct Say(String);

struct Tenant(String);

impl Extract for Tenant {
    fn extract(parts: &Parts) -> Result<Self, Status> {
        let name = parts.context().headers().get("tenant");
        let name = name.ok_or(Status::new(Code::Unauthenticated, "no tenant"))?;
        Ok(Self(String::from_utf8_lossy(name).into_owned()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_take_what_they_ask_for() {
    async fn four(
        Say(what): Say,
        Key(key): Key,
        Tenant(tenant): Tenant,
        State(prefix): State<Arc<str>>,
        deadline: Deadline,
    ) -> Result<String, Status> {
        assert!(!deadline.has_passed());
        Ok(format!("{prefix}{what} {} {tenant}", String::from_utf8_lossy(&key)))
    }
    let broker = embedded(2);
    // The state may come after the handlers that need it.
    let router = Router::new().handle(four).with_state::<Arc<str>>("> ".into());
    let _replier = start(&broker, router).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let say = || requester.call(Say("hi".into()));
    assert_eq!(say().key("k").header("tenant", "blue").await.unwrap(), "> hi k blue");
    let error = say().header("tenant", "blue").await.unwrap_err();
    assert_eq!(error.status().unwrap().code(), Code::InvalidArgument);
    let error = say().key("k").await.unwrap_err();
    assert_eq!(error.status().unwrap().code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_take_the_same() {
    fn say_all(
        Say(what): Say,
        key: Option<Key>,
        State(times): State<usize>,
        headers: Headers,
        Payload(payload): Payload,
    ) -> impl Stream<Item = Result<String, Status>> {
        let came = (key, headers, payload);
        assert_eq!(came, (None, Headers::new(), format!("\"{what}\"").into()));
        stream::iter(vec![Ok(what); times])
    }
    let broker = embedded(1);
    let _replier = start(&broker, Router::new().handle_stream(say_all).with_state(3_usize)).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let said: Vec<_> = requester.call(Say("hi".into())).stream().collect().await;
    assert_eq!(said.into_iter().map(Result::unwrap).collect::<Vec<_>>(), ["hi"; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_is_missing_is_an_error_at_the_start() {
    async fn needy(_: Say, _: State<u128>) -> Result<String, Status> {
        Ok(String::new())
    }
    let broker = embedded(1);
    let builder = Replier::builder(settings(&broker)).group("repliers");
    let ended = builder.service(Router::new().handle(needy)).run(std::future::pending()).await;
    match ended {
        Err(RunError::Setting(what)) => assert!(what.contains("State<u128>"), "{what}"),
        other => panic!("{other:?}"),
    }
}

/// Who asks, as a layer found out.
#[derive(Debug, Clone)]
struct User(String);

async fn authorize(mut incoming: Incoming) -> Result<Incoming, BoxError> {
    let user = incoming.context.headers().get("user").cloned();
    let user = user.ok_or_else(|| Status::new(Code::Unauthenticated, "who are you?"))?;
    incoming.context.insert(User(String::from_utf8_lossy(&user).into_owned()));
    Ok(incoming)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn layers_hold_back_refuse_and_hand_on() {
    /// Who has begun, and who may end.
    struct Gates {
        begun: Semaphore,
        end: Semaphore,
    }
    async fn greet(
        Say(what): Say,
        Extension(User(name)): Extension<User>,
        State(gates): State<Arc<Gates>>,
    ) -> Result<String, Status> {
        gates.begun.add_permits(1);
        gates.end.acquire().await.unwrap().forget();
        Ok(format!("{what}, {name}"))
    }
    let gates = Arc::new(Gates { begun: Semaphore::new(0), end: Semaphore::new(0) });
    let layers = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(1)
        .layer(TraceLayer::new().group("repliers"))
        .filter_async(authorize)
        .map_err(BoxError::from);
    let broker = embedded(2);
    let router = Router::new().handle(greet).layer(layers).with_state(Arc::clone(&gates));
    let replier = start(&broker, router).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let say = || requester.call(Say("hello".into()));
    let error = say().await.unwrap_err();
    assert_eq!(error.status().unwrap().code(), Code::Unauthenticated);
    assert_eq!(error.status().unwrap().message(), "who are you?");

    let first = say().header("user", "ada").send();
    bounded("the first one begins", gates.begun.acquire()).await.unwrap().forget();
    let error = say().header("user", "bob").await.unwrap_err();
    assert_eq!(error.status().unwrap().code(), Code::ResourceExhausted);
    gates.end.add_permits(1);
    assert!(first.await.is_ok_and(|said| said == "hello, ada"));
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_layer_sees_how_a_stream_is_opened_and_may_answer_by_itself() {
    fn say_twice(Say(what): Say, _: Context) -> impl Stream<Item = Result<String, Status>> {
        stream::iter([Ok(what.clone()), Ok(what)])
    }
    let broker = embedded(1);
    let refuse = ServiceBuilder::new().filter(|incoming: Incoming| {
        let is_known = incoming.context.key().is_some();
        is_known.then_some(incoming).ok_or_else(|| BoxError::from(Status::not_found("no key")))
    });
    let router = Router::new().handle_stream(say_twice).layer(refuse);
    let _replier = start(&broker, router).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let said: Vec<_> = requester.call(Say("hi".into())).key("k").stream().collect().await;
    assert_eq!(said.len(), 2);
    assert!(said.into_iter().all(|item| item.is_ok_and(|said| said == "hi")));
    let error = requester.call(Say("hi".into())).await.unwrap_err();
    assert_eq!(error.status().unwrap().code(), Code::NotFound);
}
