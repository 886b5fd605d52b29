//! What a topic and an endpoint may be called, and the endpoint that a type's name stands for.

/// Kafka's limit on the length of a topic's name, in bytes.
const TOPIC_BYTES: usize = 249;

/// The limit on the length of an endpoint, in bytes: it is a header of every request.
const ENDPOINT_BYTES: usize = 128;

/// Says what is wrong with a topic's name, by the rules of Kafka's brokers.
pub(crate) fn check_topic(topic: &str) -> Result<(), String> {
    if topic.is_empty() {
        return Err("the topic is empty: name the topic that the requests are sent to".to_owned());
    }
    if topic == "." || topic == ".." {
        return Err(format!("a topic cannot be called `{topic}`: Kafka reserves `.` and `..`"));
    }
    let illegal = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if let Some(c) = topic.chars().find(illegal) {
        return Err(format!(
            "a topic cannot hold {c:?}: use only the characters a-z, A-Z, 0-9, `.`, `_` and `-`"
        ));
    }
    if topic.len() > TOPIC_BYTES {
        return Err(format!(
            "the topic is {} characters long: Kafka allows {TOPIC_BYTES}",
            topic.len()
        ));
    }
    Ok(())
}

/// Says what is wrong with an endpoint.
pub(crate) fn check_endpoint(endpoint: &str) -> Result<(), String> {
    if endpoint.is_empty() {
        return Err(
            "the endpoint is empty: name the handler, or leave `endpoint` out to use the type's \
             name in kebab-case"
                .to_owned(),
        );
    }
    if endpoint.len() > ENDPOINT_BYTES {
        return Err(format!(
            "the endpoint is {} bytes long: at most {ENDPOINT_BYTES} are allowed, because every \
             request carries it",
            endpoint.len()
        ));
    }
    Ok(())
}

/// A type's name in kebab-case. A run of capitals is one word, up to the last of them if a
/// lower-case letter follows; digits stay with the word before them.
pub(crate) fn kebab_case(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut kebab = String::new();
    for (i, &c) in chars.iter().enumerate() {
        if c == '_' {
            if !kebab.is_empty() && !kebab.ends_with('-') {
                kebab.push('-');
            }
            continue;
        }
        let before = i.checked_sub(1).map(|i| chars[i]);
        let ends_a_run = chars.get(i + 1).is_some_and(|next| next.is_lowercase());
        let starts_a_word =
            c.is_uppercase() && before.is_some_and(|before| !before.is_uppercase() || ends_a_run);
        if starts_a_word && !kebab.is_empty() && !kebab.ends_with('-') {
            kebab.push('-');
        }
        kebab.extend(c.to_lowercase());
    }
    kebab.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kebab_case_of_type_names() {
        for (name, kebab) in [
            ("GetQuote", "get-quote"),
            ("Ping", "ping"),
            ("HTTPGet", "http-get"),
            ("GetHTTP", "get-http"),
            ("GetV2Quote", "get-v2-quote"),
            ("ABTest", "ab-test"),
            ("X", "x"),
            ("get_quote", "get-quote"),
            ("Get_Quote_", "get-quote"),
            ("_Hidden", "hidden"),
            ("ÄrgerNis", "ärger-nis"),
        ] {
            assert_eq!(kebab_case(name), kebab, "{name}");
        }
    }

    #[test]
    fn topics_follow_the_brokers_rules() {
        for legal in ["a", "orders.v1_new-2", "...", "A", &"x".repeat(TOPIC_BYTES)] {
            assert_eq!(check_topic(legal), Ok(()), "{legal}");
        }
        for illegal in ["", ".", "..", "a b", "a/b", "preis\u{e9}", &"x".repeat(TOPIC_BYTES + 1)] {
            assert!(check_topic(illegal).is_err(), "{illegal}");
        }
    }

    #[test]
    fn endpoints_are_bounded_in_bytes() {
        assert_eq!(check_endpoint("get-quote"), Ok(()));
        assert_eq!(check_endpoint(&"x".repeat(ENDPOINT_BYTES)), Ok(()));
        assert_eq!(check_endpoint(&"é".repeat(ENDPOINT_BYTES / 2)), Ok(()));
        assert!(check_endpoint(&"é".repeat(ENDPOINT_BYTES / 2 + 1)).is_err());
        assert!(check_endpoint("").is_err());
    }
}
