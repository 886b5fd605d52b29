//! The pages: metrics, liveness and readiness.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};

use crate::Health;

/// The pages of a process, for GET and HEAD.
pub(crate) fn router(registry: Registry, health: Health) -> Router {
    let probes =
        Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(health);
    Router::new()
        .route("/metrics", get(metrics))
        .with_state(registry)
        .merge(probes)
        .fallback(|| async { (StatusCode::NOT_FOUND, "there are /metrics, /livez and /readyz\n") })
}

async fn metrics(State(registry): State<Registry>) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => ([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            let reason = format!("the metrics have no text form: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, reason).into_response()
        }
    }
}

async fn livez(State(health): State<Health>) -> Response {
    probe(health.not_live(), "live\n")
}

async fn readyz(State(health): State<Health>) -> Response {
    probe(health.not_ready(), "ready\n")
}

fn probe(fault: Option<String>, good: &'static str) -> Response {
    match fault {
        None => good.into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}
