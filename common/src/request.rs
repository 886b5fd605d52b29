//! The typed contract: a request type names its topic, its endpoint, its reply and its codec.

use crate::codec::Codec;

/// A question with a known kind of answer.
///
/// Usually derived:
///
/// ```
/// # extern crate antiphon_common as antiphon;
/// # use antiphon_derive::Request;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Quote { price: f64 }
/// #[derive(Serialize, Deserialize, Request)]
/// #[request(topic = "quotes", endpoint = "get-quote", reply = Quote, codec = Json)]
/// struct GetQuote { symbol: String }
/// ```
///
/// which is short for:
///
/// ```
/// use antiphon_common::{Json, Request};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct GetQuote { symbol: String }
///
/// #[derive(Serialize, Deserialize)]
/// struct Quote { price: f64 }
///
/// impl Request for GetQuote {
///     type Reply = Quote;
///     type Codec = Json;
///     const TOPIC: &'static str = "quotes";
///     const ENDPOINT: &'static str = "get-quote";
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a request",
    label = "this type does not implement `Request`",
    note = "derive it: `#[derive(Request)] #[request(topic = \"…\", endpoint = \"…\", reply = …)]`"
)]
pub trait Request: Sized + Send + 'static {
    /// What a replier answers.
    type Reply: Send + 'static;
    /// How both payloads become bytes.
    type Codec: Codec<Self> + Codec<Self::Reply>;
    /// The request topic.
    const TOPIC: &'static str;
    /// The endpoint, which selects the handler among those that serve the topic.
    const ENDPOINT: &'static str;
}
