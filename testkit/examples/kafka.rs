//! Keeps real Apache Kafka up on this machine until standard input ends:
//! `cargo run -p antiphon-testkit --example kafka -- [BROKERS] [benchmark]`.

use antiphon_testkit::TestBroker;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let brokers = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(1);
    let mut builder = TestBroker::kafka().brokers(brokers);
    if arguments.iter().any(|argument| argument == "benchmark") {
        builder = builder.benchmark();
    }
    let broker = builder.start()?;
    println!("{}", broker.bootstrap());
    eprintln!("{brokers} brokers are up; end standard input (Ctrl-D) to stop them");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}
