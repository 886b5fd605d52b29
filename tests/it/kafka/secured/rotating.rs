//! A password is changed at the brokers and in its file, and running clients take it up.

use std::fs;

use antiphon::requester::RawRequest;
use antiphon_testkit::Scram;

use super::{PASSWORD, TOPIC, both, call, let_in, sasl, secured};
use crate::support::waiting::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn running_clients_take_up_a_new_password() {
    // Connections end soon, so that new ones need the new password.
    let kafka = secured();
    kafka.set_password("samuel", Scram::Sha512, Some(PASSWORD)).unwrap();
    let_in(&kafka, "samuel");
    let file = kafka.folder().join("password");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let settings = sasl(&kafka, "SCRAM-SHA-512")
        .property("sasl.username", "samuel")
        .password_file(file.to_string_lossy());
    let (replier, requester) = both(&settings).await;
    call(&requester).await;

    kafka.set_password("samuel", Scram::Sha512, Some("a-new-one")).unwrap();
    // All connections are lost: the old password is of no use any more.
    kafka.broker().restart(1).unwrap();
    let ask =
        || requester.ask(RawRequest::new(TOPIC, "?")).timeout(std::time::Duration::from_secs(2));
    let failed = ask().await;
    assert!(failed.is_err(), "nobody gets in with the old password");
    fs::write(&file, "a-new-one\n").unwrap();
    let again = tokio::spawn(async move {
        while requester.ask(RawRequest::new(TOPIC, "?")).await.is_err() {}
        requester
    });
    let begun = std::time::Instant::now();
    let requester =
        crate::support::waiting::bounded("calls go through again", again).await.unwrap();
    println!("calls went through again after {:?}", begun.elapsed());
    call(&requester).await;
    eventually("the replier is at work", || replier.metrics.assigned_partitions.get() == 1).await;
    replier.stop().await.unwrap();
}
