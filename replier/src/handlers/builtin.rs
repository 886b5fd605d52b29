//! The endpoints that every replier has: ping, info and stats, by which services can be listed.

use std::future::ready;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use antiphon_common::config::{DedupeStore, ReplierSettings};
use antiphon_common::metrics::{HandlerMetrics, ReplierMetrics};
use antiphon_common::service::{
    self, Asked, EndpointStats, INFO, Info, PING, STATS, Settings, Stats,
};
use antiphon_common::{InstanceId, Status};
use prometheus::core::Metric;
use serde::Serialize;

use crate::handlers::context::{Context, RawReply};
use crate::handlers::handler::Erased;
use crate::handlers::quantile::quantile;
use crate::handlers::routes::Routes;

/// What a replier knows of itself.
struct Known {
    info: Info,
    started: Instant,
    metrics: ReplierMetrics,
    /// By name.
    endpoints: Vec<(String, HandlerMetrics)>,
}

/// Adds the endpoints to all topics.
pub(crate) fn add(routes: &mut Routes, settings: &ReplierSettings, metrics: &ReplierMetrics) {
    let info = info(routes, settings);
    let mut names: Vec<_> = info.topics.values().flatten().map(|end| end.name.clone()).collect();
    names.sort();
    names.dedup();
    let endpoints = names.into_iter().map(|name| {
        let handler = metrics.handler(&name);
        (name, handler)
    });
    let endpoints = endpoints.collect();
    let known =
        Arc::new(Known { info, started: Instant::now(), metrics: metrics.clone(), endpoints });
    routes.add(PING, Arc::new(|_, _| Box::pin(ready(Ok(RawReply::default())))), metrics);
    routes.add(INFO, told(&known, |known, asked| Info { asked, ..known.info.clone() }), metrics);
    routes.add(STATS, told(&known, Known::stats), metrics);
}

fn told<T: Serialize + 'static>(known: &Arc<Known>, tell: fn(&Known, Asked) -> T) -> Erased {
    let known = Arc::clone(known);
    Arc::new(move |_, context| {
        let told = json(&tell(&known, known.asked(&context)));
        Box::pin(ready(told))
    })
}

fn json(value: &impl Serialize) -> Result<RawReply, Status> {
    let json = serde_json::to_vec(value).map_err(|error| Status::internal(error.to_string()))?;
    Ok(RawReply::new(json).content_type("application/json"))
}

fn info(routes: &Routes, settings: &ReplierSettings) -> Info {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Info {
        asked: Asked { replica: format!("{:?}", InstanceId::random()), ..Asked::default() },
        version: env!("CARGO_PKG_VERSION").to_owned(),
        group: settings.group.clone(),
        instance_id: settings.instance_id.clone(),
        host: host(),
        pid: std::process::id(),
        started_unix_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        topics: routes.listed(),
        settings: Settings {
            lane: settings.lane,
            concurrency: settings.concurrency,
            max_outstanding: settings.max_outstanding,
            max_outstanding_bytes: settings.max_outstanding_bytes,
            handler_timeout_ms: settings.handler_timeout_ms,
            max_deadline_ms: settings.max_deadline_ms,
            drain_ms: settings.drain_ms,
            max_reply_bytes: settings.max_reply_bytes,
            attempts: settings.retry.attempts,
            dead_letters: settings.dead_letter.enabled,
            dedupe: DedupeStore::clone(&settings.dedupe.store),
            transactions: settings.transactions.enabled,
        },
    }
}

impl Known {
    fn asked(&self, context: &Context) -> Asked {
        Asked {
            replica: self.info.asked.replica.clone(),
            topic: context.topic().to_owned(),
            partition: context.partition(),
        }
    }

    fn stats(&self, asked: Asked) -> Stats {
        let Self { started, metrics, endpoints, .. } = self;
        let endpoints = endpoints.iter().map(|(name, handler)| (name.clone(), counted(handler)));
        Stats {
            asked,
            uptime_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            running: (metrics.running.get() - 1).max(0),
            outstanding: metrics.outstanding.get(),
            deferred: metrics.deferred.get(),
            assigned_partitions: metrics.assigned_partitions.get(),
            commit_lag: metrics.commit_lag.get(),
            expired: metrics.expired.get(),
            endpoints: endpoints.collect(),
        }
    }
}

fn counted(handler: &HandlerMetrics) -> service::EndpointStats {
    let metric = handler.seconds.metric();
    let histogram = metric.get_histogram();
    let millis = |q| {
        let buckets = histogram.get_bucket().iter();
        let buckets = buckets.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
        quantile(q, histogram.get_sample_count(), buckets).map(|seconds| seconds * 1e3)
    };
    EndpointStats {
        ok: handler.ok.get(),
        error: handler.error.get(),
        panicked: handler.panicked.get(),
        timed_out: handler.timed_out.get(),
        cancelled: handler.cancelled.get(),
        p50_ms: millis(0.5),
        p99_ms: millis(0.99),
    }
}

/// The name of this machine: in containers a variable has it, on Linux a file.
fn host() -> String {
    let variable = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let file = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    variable.or_else(file).unwrap_or_default().trim().to_owned()
}
