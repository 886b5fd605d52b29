//! Tickets as text: they come back as they were, and nothing else is taken.

use antiphon_common::{CorrelationId, InstanceId};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

use super::{ReplyStart, RequestPosition, Ticket, TicketError, TicketKey};

fn ticket(starts: Vec<(i32, i64)>) -> Result<Ticket, TicketError> {
    Ticket::new(
        CorrelationId::new(InstanceId::from_bits(7), 9),
        RequestPosition { topic: "quotes".to_owned(), partition: 3, offset: 17 },
        "quotes.replies",
        starts.into_iter().map(ReplyStart::from).collect(),
        1_700_000_000_000,
    )
}

fn key(byte: u8) -> TicketKey {
    TicketKey::new(&[byte; TicketKey::LEAST]).expect("long enough")
}

fn text_of(json: &str) -> String {
    format!("antiphon1.{}", URL_SAFE_NO_PAD.encode(json))
}

prop_compose! {
    fn any_ticket()(
        instance: u64,
        call: u64,
        topic in "[a-zA-Z0-9_-]{1,249}",
        replies in "[a-zA-Z0-9_-]{1,249}",
        partition in 0..i32::MAX,
        offset in 0..i64::MAX,
        starts in prop::collection::btree_map(0..i32::MAX, 0..i64::MAX, 1..1024),
        deadline: u64,
    ) -> Ticket {
        let id = CorrelationId::new(InstanceId::from_bits(instance), call);
        let request = RequestPosition { topic, partition, offset };
        let starts = starts.into_iter().map(ReplyStart::from).collect();
        Ticket::new(id, request, replies, starts, deadline).expect("all in range")
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_ticket_comes_back_as_it_was(ticket in any_ticket(), sealed: bool) {
        let ticket = if sealed { key(1).seal(ticket) } else { ticket };
        let text = ticket.to_string();
        prop_assert!(text.len() <= 64 * 1024, "{} bytes", text.len());
        prop_assert_eq!(&text.parse::<Ticket>().expect("a ticket"), &ticket);
        let json = serde_json::to_string(&ticket).expect("a JSON text");
        prop_assert_eq!(serde_json::from_str::<Ticket>(&json).expect("a ticket"), ticket);
    }

    #[test]
    fn arbitrary_text_never_panics(text in ".{0,200}") {
        prop_assert!(text.parse::<Ticket>().is_err());
    }

    #[test]
    fn arbitrary_contents_never_panic(json in "(\\{\"id\":\")?.{0,200}") {
        prop_assert!(text_of(&json).parse::<Ticket>().is_err());
    }
}

#[test]
fn any_flipped_bit_is_refused_under_a_key() {
    let text = key(1).seal(ticket(vec![(0, 5), (1, 8)]).expect("a ticket")).to_string();
    for (at, bit) in (0..text.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1 << bit;
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        assert!(Ticket::open(&changed, Some(&key(1))).is_err(), "bit {bit} of byte {at}");
    }
    assert!(Ticket::open(&text, Some(&key(1))).is_ok());
}

#[test]
fn a_key_refuses_what_it_has_not_sealed() {
    let plain = ticket(vec![(0, 5)]).expect("a ticket");
    let sealed = key(1).seal(plain.clone()).to_string();
    let open = |text: &str, key: &TicketKey| Ticket::open(text, Some(key)).map(drop);
    assert_eq!(open(&plain.to_string(), &key(1)), Err(TicketError::Unsealed));
    assert_eq!(open(&sealed, &key(2)), Err(TicketError::WrongSeal));
    assert_eq!(open(&sealed, &key(1)), Ok(()));
    assert!(Ticket::open(&sealed, None).is_ok());
    assert_eq!(key(2).check(&key(2).seal(sealed.parse().expect("a ticket"))), Ok(()));
}

#[test]
fn a_ticket_out_of_bounds_is_refused_by_its_field() {
    let field = |error: TicketError| match error {
        TicketError::Field { field, .. } => field,
        other => panic!("{other}"),
    };
    let refused = |starts| field(ticket(starts).expect_err("out of bounds"));
    assert_eq!(refused(vec![]), "list of reply partitions");
    assert_eq!(refused(vec![(1, 1), (1, 2)]), "list of reply partitions");
    assert_eq!(refused((0..1025).map(|p| (p, 0)).collect()), "list of reply partitions");
    assert_eq!(refused(vec![(-1, 1)]), "reply partition");
    assert_eq!(refused(vec![(1, -1)]), "start offset");
    assert!(ticket((0..1024).map(|p| (p, i64::MAX)).collect()).is_ok());

    let good = r#"{"id":"00000000-0000-8007-8000-000000000009","request":["quotes",3,17],"#;
    let parse = |rest: &str| text_of(&format!("{good}{rest}")).parse::<Ticket>();
    let rest = r#""replies":"r","starts":[[0,5]],"deadline":1}"#;
    assert!(parse(rest).is_ok(), "{:?}", parse(rest));
    for name in ["", ".", "..", "a b", "a/b", &"a".repeat(250)] {
        let rest = rest.replace("\"r\"", &format!("\"{name}\""));
        assert_eq!(field(parse(&rest).expect_err(name)), "reply topic", "{name}");
    }
    // Spaces, another order or another field would make a second text of the same ticket.
    for changed in [
        rest.replace("[[0,5]]", "[[0, 5]]"),
        rest.replace("[[0,5]]", "[[1,5],[0,5]]"),
        rest.replace("1}", "1,\"more\":2}"),
        rest.replace("1}", "-1}"),
    ] {
        assert!(matches!(parse(&changed), Err(TicketError::Contents(_))), "{changed}");
    }
    let long = text_of(&"x".repeat(64 * 1024)).parse::<Ticket>();
    assert!(matches!(long, Err(TicketError::TooLong { .. })));
    assert_eq!("antiphon2.e30".parse::<Ticket>(), Err(TicketError::Prefix));
    assert_eq!("antiphon1.e30.AA".parse::<Ticket>(), Err(TicketError::Encoding { part: "seal" }));
}

#[test]
fn an_error_forges_no_line_of_a_log() {
    let text = text_of(r#"{"b\n\u001b[31mERROR forged":1}"#);
    let error = text.parse::<Ticket>().expect_err("no such field").to_string();
    assert!(error.contains("ERROR forged") && !error.chars().any(char::is_control), "{error:?}");
}

#[test]
fn debug_shows_neither_key_nor_seal() {
    assert_eq!(format!("{:?}", key(0xAB)), "TicketKey");
    let sealed = key(0xAB).seal(ticket(vec![(0, 5)]).expect("a ticket"));
    let text = sealed.to_string();
    let seal = text.rsplit('.').next().expect("a seal");
    assert!(!format!("{sealed:?}").contains(seal));
}
