//! Plans are monotone, bounded by what limits them, and the table in docs/scaling.md is theirs.

use clap::Parser;
use proptest::prelude::*;

use super::plan::{Cell, Limit, Plan};
use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

fn options(arguments: &[&str]) -> Options {
    Line::parse_from(std::iter::once(&"scaling").chain(arguments)).options
}

fn one(arguments: &[&str]) -> (Demand, Plan) {
    let options = options(arguments);
    options.check().expect("sensible options");
    options.plans().into_iter().next().expect("a rate")
}

#[test]
fn the_page_has_the_table_that_is_printed() {
    let page = include_str!("../../../docs/scaling.md");
    let table = page::table(&options(&[]).plans());
    assert!(page.contains(&table), "docs/scaling.md should have this table:\n{table}");
}

#[test]
fn the_page_has_the_figures_that_plans_stand_on() {
    let page = include_str!("../../../docs/scaling.md");
    let lines = [
        ("requester", measured::REQUESTER, measured::KIB_US.0),
        ("replier", measured::REPLIER, measured::KIB_US.1),
        ("broker", measured::BROKER, measured::KIB_US.2),
    ];
    for (name, line, kib) in lines {
        let row = format!("| {name} | {:.1} | {:.0} | {kib:.1} |", line.record_us, line.batch_us);
        assert!(page.contains(&row), "docs/scaling.md should have this row:\n{row}");
    }
    let replica = format!("each further replica costs the brokers {:.1} µs", measured::REPLICA_US);
    assert!(page.contains(&replica), "docs/scaling.md should say: {replica}");
}

#[test]
fn a_small_load_takes_the_fewest_that_survive_a_loss() {
    let (_, plan) = one(&["--rate", "100"]);
    let Cell { requesters, repliers, brokers, limit, .. } = plan.cell;
    assert_eq!((plan.cells, requesters, repliers, brokers), (1, 2.0, 2.0, 3.0));
    assert_eq!(limit, Limit::Replicas);
}

#[test]
fn what_limits_brokers_is_named() {
    let limit = |arguments: &[&str]| one(arguments).1.cell.limit;
    let busy = ["--rate", "1000000", "--cells", "1"];
    assert_eq!(limit(&busy), Limit::Processors);
    assert_eq!(limit(&[&busy[..], &["--broker-gbit", "0.1"]].concat()), Limit::Network);
    assert_eq!(limit(&[&busy[..], &["--broker-disk", "5"]].concat()), Limit::Disk);
    let many = ["--rate", "1000", "--cells", "1", "--requesters", "100000"];
    assert_eq!(limit(&many), Limit::Partitions);
}

#[test]
fn handlers_take_repliers() {
    let (_, light) = one(&["--rate", "100000", "--cells", "1"]);
    let (_, heavy) = one(&["--rate", "100000", "--cells", "1", "--handler-us", "1000"]);
    // 100 cores are busy with handlers, in instances of 4 of which half may be.
    assert!(heavy.cell.repliers >= 50.0, "{}", heavy.cell.repliers);
    assert!(heavy.cell.repliers > light.cell.repliers);
}

#[test]
fn nonsense_is_refused_by_name() {
    let refused =
        |arguments: &[&str]| options(arguments).check().expect_err("it is nonsense").to_string();
    assert!(refused(&["--rate", "0"]).contains("--rate"));
    assert!(refused(&["--rate", "1e12"]).contains("--rate"));
    assert!(refused(&["--utilisation", "1.5"]).contains("--utilisation"));
    assert!(refused(&["--broker-cores", "NaN"]).contains("--broker-cores"));
    assert!(refused(&["--retention=-1"]).contains("--retention"));
    assert!(refused(&["--replicas", "0"]).contains("--replicas"));
}

#[test]
fn what_is_spread_over_more_ways_comes_in_smaller_batches() {
    let (options, costs) = (options(&[]), Costs::measured());
    let with = |requesters, repliers, brokers| {
        let (demand, machines) = (options.demand(50_000.0), options.machines());
        Cell::with(requesters, repliers, brokers, &demand, &machines, &costs)
    };
    let few = with(2.0, 2.0, 3.0);
    // 50,000 × 2 ms are 100 requests: 50 by each of two requesters, 25 by each of four pairs.
    assert!((few.batches.requests - 1.0 / 50.0).abs() < 1e-9);
    assert!((few.batches.replies - 1.0 / 25.0).abs() < 1e-9);
    assert!(with(64.0, 2.0, 3.0).requester_us > few.requester_us);
    assert!(with(64.0, 2.0, 3.0).broker_us > few.broker_us);
    assert!(with(2.0, 2.0, 30.0).replier_us > few.replier_us);
    assert!((with(1e6, 1e6, 3.0).batches.replies - 1.0).abs() < 1e-9);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_machine_has_more_to_do_than_it_may(
        rate in 1.0_f64..20_000_000.0,
        payload in 0_usize..100_000,
        handler_us in 0.0_f64..1_000.0,
        replicas in 1_u8..4,
        requesters in prop::option::of(1_u32..5_000),
    ) {
        let options = Options {
            rate: vec![rate],
            payload,
            handler_us,
            replicas,
            requesters,
            ..options(&[])
        };
        let machines = options.machines();
        let (demand, plan) = options.plans().remove(0);
        let cell = &plan.cell;
        prop_assert!((cell.rate * f64::from(plan.cells) - rate).abs() <= rate * 1e-9);
        let load = |micros: f64, number: f64, cores: f64| cell.rate * micros / 1e6 / number / cores;
        let most = machines.utilisation * (1.0 + 1e-9);
        prop_assert!(load(cell.requester_us, cell.requesters, machines.instance_cores) <= most);
        prop_assert!(load(cell.replier_us, cell.repliers, machines.instance_cores) <= most);
        prop_assert!(load(cell.broker_us, cell.brokers, machines.broker_cores) <= most);
        let written = cell.rate * cell.bytes * demand.replicas / cell.brokers;
        prop_assert!(written <= machines.broker_network * most);
        prop_assert!(written <= machines.broker_disk * most);
        prop_assert!(cell.brokers >= demand.replicas);
        prop_assert!(cell.request_partitions >= cell.repliers);
        prop_assert!(cell.reply_partitions >= cell.requesters);
    }

    #[test]
    fn more_load_is_never_cheaper_in_all(rate in 1.0_f64..10_000_000.0, more in 1.1_f64..3.0) {
        let cost = |rate| {
            let options = Options { rate: vec![rate], ..options(&[]) };
            options.plans().remove(0).1.cores_busy
        };
        // Whole machines, and whole clusters, leave some play.
        prop_assert!(cost(rate * more) >= cost(rate) * 0.8);
    }
}
