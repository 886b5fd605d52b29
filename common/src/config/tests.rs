//! Layers, mistakes in each kind of layer, ranges, and the files in `config/`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn from_variables(pairs: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    Layers::new().load_from(&variables(pairs))
}

fn from_file(text: &str) -> Result<Settings, ConfigError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("given.toml");
    std::fs::write(&path, text).expect("the folder is writable");
    Layers::new().file(path).load_from(&BTreeMap::new())
}

fn message(result: Result<Settings, ConfigError>) -> String {
    result.expect_err("a mistake").to_string()
}

/// Asserts that a message has all these parts.
fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

#[test]
fn without_layers_there_are_the_defaults() {
    let others = [("PATH", "/bin"), ("ANTIPHON_KAFKA_LIBS", "x")];
    assert_eq!(from_variables(&others).expect("the defaults"), Settings::default());
}

#[test]
fn each_layer_wins_over_those_before_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [first, second] = ["first.toml", "second.toml"].map(|name| folder.path().join(name));
    let text = "[kafka]\nbootstrap = 'a:1'\n[kafka.properties]\n'client.id' = 'a'\n'linger.ms' = 1\n\
                [replier]\nconcurrency = 1\ngroup = 'a'";
    std::fs::write(&first, text).expect("the folder is writable");
    let text = "[kafka.properties]\n'linger.ms' = 2\n[replier]\nconcurrency = 2\ngroup = 'b'";
    std::fs::write(&second, text).expect("the folder is writable");
    let settings = Layers::new()
        .file(first)
        .file(second)
        .load_from(&variables(&[("ANTIPHON__REPLIER__GROUP", "c")]))
        .expect("three good layers");
    assert_eq!(settings.kafka.bootstrap, "a:1");
    assert_eq!(settings.kafka.properties["client.id"], "a");
    assert_eq!(settings.kafka.properties["linger.ms"], "2");
    assert_eq!(settings.replier.concurrency, 2);
    assert_eq!(settings.replier.group, "c");
    assert_eq!(settings.replier.drain_ms, Settings::default().replier.drain_ms);
}

#[test]
fn variables_set_strings_numbers_switches_and_lists() {
    let settings = from_variables(&[
        ("ANTIPHON__KAFKA__BOOTSTRAP", "a:1,b:2"),
        ("ANTIPHON__KAFKA__PRESET", "throughput"),
        ("ANTIPHON__REPLIER__GROUP", "007"),
        ("ANTIPHON__REPLIER__ALLOW_REPLY_TO", "quotes.*, orders.replies,"),
        ("ANTIPHON__REPLIER__CONCURRENCY", " 8 "),
        ("ANTIPHON__REPLIER__TRANSACTIONS__ENABLED", "true"),
        ("ANTIPHON__REQUESTER__REPLY_PARTITION", "3"),
    ])
    .expect("good variables");
    assert_eq!(settings.kafka.bootstrap, "a:1,b:2");
    assert_eq!(settings.kafka.preset, Preset::Throughput);
    assert_eq!(settings.replier.group, "007");
    assert_eq!(settings.replier.allow_reply_to, ["quotes.*", "orders.replies"]);
    assert_eq!(settings.replier.concurrency, 8);
    assert!(settings.replier.transactions.enabled);
    assert_eq!(settings.requester.reply_partition, ReplyPartition::Fixed(3));
    from_variables(&[("ANTIPHON__REPLIER__TRANSACTIONS__ENABLED", "yes")])
        .expect_err("neither true nor false");

    let one = from_variables(&[("ANTIPHON__REPLIER__ALLOW_REPLY_TO", "7")]).expect("a list");
    assert_eq!(one.replier.allow_reply_to, ["7"]);
    let none = from_variables(&[("ANTIPHON__REPLIER__ALLOW_REPLY_TO", "")]).expect("a list");
    assert!(none.replier.allow_reply_to.is_empty());
}

#[test]
fn properties_in_variables_are_taken_word_for_word() {
    for value in ["1", "0123", "1.0", "1e3", "TRUE", "a,b", " x ", "", "nan", "é"] {
        let name = "ANTIPHON__KAFKA__PROPERTIES__SASL_PASSWORD";
        let settings = from_variables(&[(name, value)]).expect("any text is a value");
        let expected = BTreeMap::from([("sasl.password".to_owned(), value.to_owned())]);
        assert_eq!(settings.kafka.properties, expected);
    }
}

#[test]
fn names_of_properties_in_variables() {
    for (name, property) in [
        ("SSL_CA_LOCATION", "ssl.ca.location"),
        ("ssl.ca.location", "ssl.ca.location"),
        ("LOG_LEVEL", "log_level"),
        ("SASL_OAUTHBEARER_ASSERTION_FILE", "sasl.oauthbearer.assertion.file"),
    ] {
        let name = format!("ANTIPHON__KAFKA__PROPERTIES__{name}");
        let settings = from_variables(&[(&name, "v")]).expect("a property");
        assert_eq!(settings.kafka.properties.keys().collect::<Vec<_>>(), [property]);
    }
    for name in ["", "SASL__PASSWORD", "_SASL", "SASL_", "_FILE"] {
        let name = format!("ANTIPHON__KAFKA__PROPERTIES__{name}");
        says(&message(from_variables(&[(&name, "v")])), &[&name, "names no client property"]);
    }
}

#[test]
fn secrets_are_read_from_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("secret");
    std::fs::write(&path, " p ss\n\r\n").expect("the folder is writable");
    let path = path.to_str().expect("UTF-8");
    let name = "ANTIPHON__KAFKA__PROPERTIES__SASL_PASSWORD_FILE";
    let settings = from_variables(&[(name, path)]).expect("the file is there");
    assert_eq!(settings.kafka.properties["sasl.password"], " p ss");
    assert_eq!(settings.kafka.properties.len(), 1);

    let missing = format!("{path}.not");
    says(&message(from_variables(&[(name, &missing)])), &[name, &missing, "cannot be read"]);
    let plain = "ANTIPHON__KAFKA__PROPERTIES__SASL_PASSWORD";
    let both = message(from_variables(&[(plain, "canary"), (name, path)]));
    says(&both, &[plain, name, "`sasl.password`"]);
    assert!(!both.contains("canary"), "{both}");
}

#[test]
fn unknown_keys_name_their_origin_and_what_is_known() {
    let error = message(from_file("[replier]\nconcurency = 1"));
    says(&error, &["given.toml", "`replier.concurency`", "`replier.concurrency`"]);
    let error = message(from_file("[repliers]\nconcurrency = 1"));
    says(&error, &["given.toml", "`repliers`", "`replier`"]);
    for name in ["REPLIER__CONCURENCY", "REPLIERS__CONCURRENCY", "REPLIER__GROUP__X", "", "KAFKA"] {
        let name = format!("ANTIPHON__{name}");
        says(&message(from_variables(&[(&name, "1")])), &[&name, "unknown key", "known are"]);
    }
}

#[test]
fn wrong_types_name_the_key_and_never_a_property() {
    for (text, key) in [
        ("[replier]\nconcurrency = true", "`replier.concurrency`"),
        ("[replier]\nconcurrency = 1.5", "`replier.concurrency`"),
        ("[replier]\nconcurrency = -1", "`replier.concurrency`"),
        ("[replier]\nconcurrency = '8'", "`replier.concurrency`"),
        ("[replier]\nallow_reply_to = 'x'", "`replier.allow_reply_to`"),
        ("[replier]\nallow_reply_to = [1]", "`replier.allow_reply_to`"),
        ("[kafka]\nbootstrap = ['a:1']", "`kafka.bootstrap`"),
        ("replier = 1", "`replier`"),
        ("[kafka]\npreset = 'fast'", "`kafka.preset`"),
        ("[requester]\nreply_partition = 'all'", "`requester.reply_partition`"),
        ("[kafka.properties]\nsasl.password = 'canary'", "`kafka.properties.sasl`"),
        ("[kafka.properties]\n'sasl.password' = 4.2", "`kafka.properties.sasl.password`"),
    ] {
        let error = message(from_file(text));
        says(&error, &["given.toml", key]);
        assert!(!error.contains("canary") && !error.contains("4.2"), "{error}");
    }
    for (name, value, key) in [
        ("ANTIPHON__REPLIER__CONCURRENCY", "many", "`replier.concurrency`"),
        ("ANTIPHON__REPLIER__CONCURRENCY", "true", "`replier.concurrency`"),
        ("ANTIPHON__REPLIER__CONCURRENCY", "-1", "`replier.concurrency`"),
        ("ANTIPHON__REPLIER__CONCURRENCY", "", "`replier.concurrency`"),
        ("ANTIPHON__KAFKA__PRESET", "fast", "`kafka.preset`"),
        ("ANTIPHON__REQUESTER__REPLY_PARTITION", "-1", "`requester.reply_partition`"),
    ] {
        says(&message(from_variables(&[(name, value)])), &[name, key]);
    }
}

#[test]
fn plain_values_in_a_file_become_strings_where_strings_are_due() {
    let text = "[kafka.properties]\n'linger.ms' = 5\n'enable.idempotence' = true\n\
                [requester]\nreply_partition = 3";
    let settings = from_file(text).expect("a good file");
    assert_eq!(settings.kafka.properties["linger.ms"], "5");
    assert_eq!(settings.kafka.properties["enable.idempotence"], "true");
    assert_eq!(settings.requester.reply_partition, ReplyPartition::Fixed(3));
}

#[test]
fn files_that_are_missing_or_malformed() {
    let missing = Layers::new().file("nowhere/at/all.toml").load_from(&BTreeMap::new());
    says(&message(missing), &["cannot read the file nowhere/at/all.toml"]);
    let error = message(from_file("[kafka.properties]\n\n'sasl.password' = canary"));
    says(&error, &["given.toml", "not TOML", "line 3"]);
    assert!(!error.contains("canary"), "{error}");
}

#[test]
fn values_out_of_range_name_the_key_the_value_and_the_range() {
    for (key, value, allowed) in [
        ("kafka.bootstrap", "''", "host:port"),
        ("kafka.bootstrap", "'a:1,,b:2'", "host:port"),
        ("requester.timeout_ms", "0", "from 1 to 86400000"),
        ("requester.timeout_ms", "86400001", "from 1 to 86400000"),
        ("requester.start_timeout_ms", "0", "from 1 to 86400000"),
        ("requester.max_in_flight", "0", "1 or more"),
        ("requester.max_in_flight_bytes", "999999", "1000000 or more"),
        ("requester.max_request_bytes", "0", "from 1 to 1000000000"),
        ("replier.concurrency", "0", "1 or more"),
        ("replier.max_outstanding", "255", "256 or more"),
        ("replier.handler_timeout_ms", "0", "from 1 to 86400000"),
        ("replier.max_deadline_ms", "86400001", "from 1 to 86400000"),
        ("replier.drain_ms", "0", "from 1 to 86400000"),
        ("replier.commit_interval_ms", "0", "from 1 to 86400000"),
        ("replier.max_reply_bytes", "1000000001", "from 1 to 1000000000"),
        ("replier.stream_window", "0", "from 1 to 100000"),
    ] {
        let error = message(from_file(&format!("{key} = {value}")));
        says(&error, &[&format!("`{key}`"), value.trim_matches('\''), allowed]);
    }
    let mut settings = Settings::default();
    settings.requester.reply_partition = ReplyPartition::Fixed(-1);
    assert!(settings.validate().is_err());
    for limit in ["1", "86400000"] {
        from_file(&format!("requester.timeout_ms = {limit}")).expect("the ends are allowed");
    }
}

#[test]
fn only_our_variables_must_be_text() {
    let name = |name: &str| OsString::from(name);
    let good = [(name("PATH"), name("x")), (name("ANTIPHON__REPLIER__GROUP"), name("g"))];
    let found = environment::of_this_process(good.into_iter()).expect("all is text");
    assert_eq!(found, variables(&[("ANTIPHON__REPLIER__GROUP", "g")]));

    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStringExt;
        let bytes = || OsString::from_vec(vec![0xff]);
        let others = [(name("OTHER"), bytes()), (bytes(), bytes())];
        assert!(environment::of_this_process(others.into_iter()).expect("not ours").is_empty());
        let ours = [(name("ANTIPHON__REPLIER__GROUP"), bytes())];
        let error = environment::of_this_process(ours.into_iter()).expect_err("not text");
        says(&error.to_string(), &["ANTIPHON__REPLIER__GROUP", "not UTF-8"]);
    }
}

proptest! {
    #[test]
    fn no_variable_panics(name in "ANTIPHON__[A-Z_]{0,30}", value: String) {
        let _ = from_variables(&[(&name, &value)]);
    }

    #[test]
    fn no_file_panics(text in "[a-z.=\\[\\]'0-9\n ]{0,60}") {
        if let Ok(values) = text.parse::<toml::Table>() {
            let _ = keys::fit(values, &keys::known(), "a file");
        }
    }
}

fn shipped(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "config", name].iter().collect()
}

fn from_shipped(name: &str) -> Settings {
    let settings = Layers::new().file(shipped(name)).load_from(&BTreeMap::new());
    let settings = settings.expect("a file that we ship");
    for client in [settings.kafka.producer(&[]), settings.kafka.consumer(&[])] {
        client.create_native_config().expect("librdkafka knows these properties");
    }
    settings
}

#[test]
fn the_default_file_has_every_key_at_its_default() {
    let text = std::fs::read_to_string(shipped("default.toml")).expect("the file is there");
    assert_eq!(text.parse::<toml::Table>().expect("TOML"), keys::known());
    assert_eq!(from_shipped("default.toml"), Settings::default());
    let lines: Vec<&str> = text.lines().collect();
    let is_key = |line: &str| !line.starts_with('#') && line.contains(" = ");
    for pair in lines.windows(2).filter(|pair| is_key(pair[1])) {
        assert!(pair[0].starts_with("# "), "no comment above: {}", pair[1]);
    }
}

#[test]
fn the_other_files_do_what_their_names_say() {
    let dev = from_shipped("dev.toml");
    assert!(dev.kafka.bootstrap.starts_with("127.0.0.1:"));
    assert!(dev.requester.timeout_ms < Settings::default().requester.timeout_ms);
    assert_eq!(from_shipped("production-latency.toml").kafka.preset, Preset::Latency);
    assert_eq!(from_shipped("production-throughput.toml").kafka.preset, Preset::Throughput);
}
