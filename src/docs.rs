//! The pages in `docs/`, so that the Rust code in them is compiled with the tests.

macro_rules! pages {
    ($($name:ident: $path:literal,)+) => {
        $(#[doc = include_str!(concat!("../docs/", $path))]
        struct $name;)+
    };
}

pages! {
    Asking: "asking.md",
    Blocking: "blocking.md",
    CallbacksQueuesPolling: "callbacks-queues-polling.md",
    Cancellation: "cancellation.md",
    Dedupe: "dedupe.md",
    Encryption: "encryption.md",
    Failures: "failures.md",
    Groups: "groups.md",
    Handlers: "handlers.md",
    Lanes: "lanes.md",
    LargePayloads: "large-payloads.md",
    Limits: "limits.md",
    Retries: "retries.md",
    Routing: "routing.md",
    ScatterGather: "scatter-gather.md",
    Security: "security.md",
    Signatures: "signatures.md",
    StartingAndClosing: "starting-and-closing.md",
    Streams: "streams.md",
    Transactions: "transactions.md",
}

#[cfg(feature = "store")]
pages! {
    Tickets: "tickets.md",
}
