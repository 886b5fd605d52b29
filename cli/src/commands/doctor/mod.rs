//! `antiphon doctor`: checks all that a request topic needs, and says what to do about the rest.

mod acls;
mod answers;
mod check;
mod cluster;
mod group;
mod properties;
mod topics;

use std::time::Duration;

use clap::Args;

use self::acls::Principals;
use self::check::{Check, Level};
use self::cluster::Found;
use self::topics::Names;
use crate::exit::{Failure, NOT_SENT, USAGE};
use crate::options::{Connection, duration};
use crate::output::print_line;

const EXIT_CODES: &str =
    "Exit codes: 0 nothing has failed, 1 something has, 2 no broker can be reached.";

/// Checks all that a request topic needs: brokers, topics, their configurations, repliers.
///
/// Retry topics, dead letters, dedupe and transactions are looked at as the configuration has them
/// (--config, or the environment). Nothing is changed; the repliers are sent a ping through each
/// partition.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Doctor {
    /// The request topic.
    topic: String,
    /// The topic that replies come to [default: <TOPIC>.replies].
    #[arg(long, value_name = "TOPIC")]
    reply_topic: Option<String>,
    /// The consumer group of the repliers [default: the topic's name].
    #[arg(long)]
    group: Option<String>,
    /// Check that so many requesters have a reply partition each.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=10_000))]
    requesters: Option<i32>,
    /// How long a partition may take to answer the ping.
    #[arg(long, value_parser = duration, default_value = "2s")]
    timeout: Duration,
    /// Send no ping: to repliers other than Antiphon's it looks like a request.
    #[arg(long)]
    no_ping: bool,
    /// Print a JSON object for each check.
    #[arg(long)]
    json: bool,
    /// Check nothing, but print the least rights that requesters and repliers need, as command
    /// lines of Kafka's kafka-acls.sh.
    #[arg(long, conflicts_with_all = ["json", "requesters"])]
    acls: bool,
    /// With --acls: who the requesters are.
    #[arg(long, value_name = "PRINCIPAL", default_value = "User:requester")]
    requester_principal: String,
    /// With --acls: who the repliers are.
    #[arg(long, value_name = "PRINCIPAL", default_value = "User:replier")]
    replier_principal: String,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(doctor: &Doctor) -> Result<(), Failure> {
    let settings = doctor.connection.settings()?;
    let names = Names::of(&settings, &doctor.topic, doctor.reply_topic.as_deref());
    let configured = Some(settings.replier.group.as_str()).filter(|group| !group.is_empty());
    let group = doctor.group.as_deref().or(configured).unwrap_or(&doctor.topic);
    if doctor.acls {
        let principals = Principals {
            requester: doctor.requester_principal.clone(),
            replier: doctor.replier_principal.clone(),
        };
        let lines = acls::lines(&settings, &names, group, &principals);
        lines.iter().for_each(|line| print_line(line));
        return Ok(());
    }

    let mut report = Report { json: doctor.json, failed: false };
    let all: Vec<String> = names.all().into_iter().map(|(_, name)| name.to_owned()).collect();
    let cluster = match cluster::look(&settings.kafka, &all).await {
        Ok(cluster) => cluster,
        Err(why) => {
            let bootstrap = &settings.kafka.bootstrap;
            let fix = "see whether they run, and whether -b and the properties of the connection \
                       (security.protocol, sasl.*, ssl.*) are those that they expect";
            report.take(&[Check::failure(format!("brokers at {bootstrap}"), why, fix)]);
            return Err(Failure::said(NOT_SENT));
        }
    };
    report.take(&[Check::ok("brokers", format!("{} can be reached", cluster.brokers))]);
    report.take(&topics::shapes(&cluster, &names, &settings));
    if let Some(wanted) = doctor.requesters {
        report.take(topics::requesters(&cluster, &names, wanted).as_slice());
    }
    let there = |name: &str| match cluster.topics.get(name) {
        Some(Found::There(shape)) => Some(shape.partitions),
        _ => None,
    };
    let existing: Vec<&str> =
        all.iter().map(|name| &**name).filter(|name| there(name).is_some()).collect();
    if !existing.is_empty() {
        let configs = cluster::configs(&settings.kafka, &existing).await;
        report.take(&properties::check(&configs, &cluster, &names, &settings));
    }
    if let Some(partitions) = there(&names.request) {
        report.take(&group::check(&settings.kafka, group, &names.request, partitions).await);
        if !doctor.no_ping && there(&names.reply).is_some() {
            report.take(&answers::check(&settings, &names, doctor.timeout).await);
        }
    }
    if report.failed { Err(Failure::said(USAGE)) } else { Ok(()) }
}

/// Checks as they come: each is printed before the next is made.
struct Report {
    json: bool,
    failed: bool,
}

impl Report {
    fn take(&mut self, checks: &[Check]) {
        for check in checks {
            print_line(&if self.json { check.line().to_string() } else { check.text() });
            self.failed |= check.level == Level::Failure;
        }
    }
}
