//! What handlers take besides their request: the trait of it, and how many they may take.

mod given;
mod state;

use antiphon_common::Status;

use crate::handlers::context::{Context, RawRequest};

pub use given::{Key, Payload, RequestId};
pub use state::{Extension, State};
pub(crate) use state::{Extensions, Needs as StateNeeds, States};

/// What a handler can take as an argument behind its request.
///
/// | argument | what it is |
/// |---|---|
/// | [`Context`] | all of what follows, and where the request came from |
/// | [`Key`], `Option<Key>` | the key of the request; without `Option`, a request that has none is refused |
/// | [`Headers`](antiphon_common::wire::Headers) | the headers that are not the protocol's |
/// | [`State<T>`] | what [`Router::with_state`](crate::Router::with_state) was given |
/// | [`Extension<T>`] | what a layer has put into the context |
/// | [`Deadline`](antiphon_common::Deadline) | when the handler has to end |
/// | `Option<Deadline>` | when the caller stops waiting, if it said so |
/// | [`Payload`] | the bytes of the request |
/// | [`RawRequest`] | the same with endpoint and content type |
/// | [`RequestId`] | the correlation id |
/// | [`CancellationToken`](tokio_util::sync::CancellationToken) | is cancelled when the caller gives up |
///
/// Applications write their own:
///
/// ```
/// use antiphon_common::{Code, Status};
/// use antiphon_replier::{Extract, Parts};
///
/// struct Tenant(String);
///
/// impl Extract for Tenant {
///     fn extract(parts: &Parts) -> Result<Self, Status> {
///         let name = parts.context().headers().get("tenant");
///         let name = name.and_then(|name| std::str::from_utf8(name).ok());
///         let name = name.ok_or(Status::new(Code::Unauthenticated, "the header `tenant` is missing"))?;
///         Ok(Self(name.to_owned()))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}` as an argument",
    label = "not an extractor",
    note = "behind its request, a handler takes `Context`, `Key`, `Headers`, `State<T>`, `Deadline`, `Payload`, and other types that implement `Extract`"
)]
pub trait Extract: Sized + Send {
    /// Takes the argument out of a request.
    ///
    /// # Errors
    /// The status that the caller gets instead of an answer; the handler does not run.
    fn extract(parts: &Parts) -> Result<Self, Status>;

    /// Says which states it needs, so that a replier without one of them does not start. An
    /// extractor that is made of others asks those.
    fn needs(needs: &mut Needs) {
        let _ = needs;
    }
}

/// A request that arguments are taken from.
#[derive(Debug)]
pub struct Parts {
    pub(crate) request: RawRequest,
    pub(crate) context: Context,
    pub(crate) states: States,
}

/// The states that a handler needs.
pub type Needs = StateNeeds;

impl Parts {
    /// The request in bytes.
    #[must_use]
    pub fn request(&self) -> &RawRequest {
        &self.request
    }

    /// Where it came from and what came with it.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The state of this type, if there is one.
    #[must_use]
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.states.get()
    }
}

/// Invokes a macro for all numbers of arguments that a handler may have behind its request.
macro_rules! for_all_arguments {
    ($make:ident) => {
        $make!();
        $make!(E1);
        $make!(E1, E2);
        $make!(E1, E2, E3);
        $make!(E1, E2, E3, E4);
    };
}

pub(crate) use for_all_arguments;
