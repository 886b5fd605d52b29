//! Which handler answers: by topic and endpoint.

use antiphon::replier::{RawReply, RawRequest};
use antiphon::requester::RawRequest as Ask;
use antiphon::{Context, Replier, Request, Requester, Router, Status};
use antiphon_testkit::TestBroker;

use crate::support::asking::{build, requester};
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::replying::{run, start};

macro_rules! endpoint {
    ($type:ident, $name:literal, $function:ident) => {
        #[derive(Request)]
        #[request(topic = "quotes", endpoint = $name, reply = Vec<u8>, codec = Raw)]
        struct $type(Vec<u8>);

        impl AsRef<[u8]> for $type {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl From<Vec<u8>> for $type {
            fn from(bytes: Vec<u8>) -> Self {
                Self(bytes)
            }
        }

        async fn $function(request: $type) -> Result<Vec<u8>, Status> {
            Ok([$name.as_bytes(), &request.0].concat())
        }
    };
}

endpoint!(Buy, "buy", buy);
endpoint!(Sell, "sell", sell);

async fn ask(requester: &Requester, topic: &'static str, endpoint: Option<&'static str>) -> String {
    let ask = Ask::new(topic, "!");
    let ask = match endpoint {
        Some(name) => ask.endpoint(name),
        None => ask,
    };
    let reply = requester.ask(ask).await.unwrap();
    String::from_utf8(reply.payload.to_vec()).unwrap()
}

fn any(topic: &str, name: &'static str) -> Router {
    with_any(Router::new(), topic, name)
}

fn with_any(router: Router, topic: &str, name: &'static str) -> Router {
    router.handle_any(topic, move |request: RawRequest, _: Context| async move {
        let endpoint = request.endpoint.unwrap_or_default();
        Ok::<_, Status>(RawReply::new(format!("{name}:{endpoint}")))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_of_one_topic_reach_their_own_handlers() {
    let broker = embedded(2);
    let router = with_any(Router::new().handle(buy).handle(sell), QUOTES, "any");
    let _replier = start(&broker, router).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    assert_eq!(requester.call(Buy(b"?".to_vec())).await.unwrap(), b"buy?");
    assert_eq!(requester.call(Sell(b"?".to_vec())).await.unwrap(), b"sell?");
    assert_eq!(ask(&requester, QUOTES, Some("sell")).await, "sell!");
    assert_eq!(ask(&requester, QUOTES, Some("hold")).await, "any:hold");
    assert_eq!(ask(&requester, QUOTES, None).await, "any:");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_endpoint_means_the_only_one_there_is() {
    let broker = embedded(1);
    let _replier = start(&broker, Router::new().handle(buy)).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    assert_eq!(ask(&requester, QUOTES, None).await, "buy!");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_replier_serves_several_topics_and_allowed_reply_topics() {
    let broker = TestBroker::mock()
        .topic("quotes", 2)
        .topic("orders", 2)
        .topic("inbox.blue", 2)
        .start()
        .unwrap();
    let router = with_any(any("quotes", "q"), "orders", "o");
    let allowed = antiphon::config::ReplierSettings {
        group: "repliers".into(),
        allow_reply_to: vec!["inbox.*".into()],
        ..Default::default()
    };
    let _replier = run(Replier::builder(settings(&broker)).settings(allowed).service(router)).await;
    let (requester, _) =
        build(Requester::builder(settings(&broker)).reply_topic("inbox.blue")).await;
    for _ in 0..3 {
        assert_eq!(ask(&requester, "quotes", Some("a")).await, "q:a");
        assert_eq!(ask(&requester, "orders", Some("b")).await, "o:b");
    }
}
