//! The `Request` derive of Antiphon: it writes the impl of the trait `Request` for a type, from
//! the attribute `#[request(…)]`. Use it through the facade crate, as `antiphon::Request`.
//!
//! | module | what it holds |
//! |---|---|
//! | `attribute` | reads `#[request(…)]`, and reports every mistake in it at its place |
//! | `names` | what a topic and an endpoint may be called, and the default endpoint |
//! | `expand` | the impl that comes out |

mod attribute;
mod expand;
mod names;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements the trait `Request` for a struct or an enum.
///
/// ```
/// # // A stand-in for the facade crate, which cannot be a dependency of its own derive's tests.
/// # mod antiphon {
/// #     pub use antiphon_derive::Request;
/// #     pub trait Request { type Reply; type Codec; const TOPIC: &'static str; const ENDPOINT: &'static str; }
/// #     pub struct Json;
/// # }
/// use antiphon::Request;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Request)]
/// #[request(topic = "quotes", reply = Quote)]
/// # #[request(crate = crate::antiphon)]
/// struct GetQuote {
///     symbol: String,
/// }
///
/// #[derive(Serialize, Deserialize)]
/// struct Quote {
///     price: f64,
/// }
///
/// # fn main() {
/// assert_eq!(GetQuote::TOPIC, "quotes");
/// assert_eq!(GetQuote::ENDPOINT, "get-quote");
/// # }
/// ```
///
/// | key | meaning |
/// |---|---|
/// | `topic = "…"` | required: the request topic, 1 to 249 of the characters `a-z A-Z 0-9 . _ -`, and neither `.` nor `..` |
/// | `reply = Type` | required: what a replier answers |
/// | `endpoint = "…"` | selects the handler among those that serve the topic, 1 to 128 bytes; by default the type's name in kebab-case, so `GetQuote` is served by `get-quote` |
/// | `codec = Type` | how both payloads become bytes: `Json` (the default), `Raw` or `Avro` (with the feature `avro`), or any type that implements `Codec` |
/// | `crate = path` | where Antiphon is, if it was renamed or is re-exported by another crate; by default `::antiphon` |
///
/// `Json`, `Raw` and `Avro` always mean Antiphon's own, imported or not. A type of yours that has
/// one of these names is written with a path: `codec = self::Json`.
///
/// The keys may be spread over several `#[request(…)]` attributes. Mistakes are compile errors at
/// the place of the mistake. A generic type is refused: a request type stands for one topic and
/// one endpoint, so implement the trait by hand for each type that has its own.
#[proc_macro_derive(Request, attributes(request))]
pub fn derive_request(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::request(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
