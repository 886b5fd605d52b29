//! Round trips, payloads that are refused, and that a schema is resolved once.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};

use apache_avro::AvroSchemaComponent;
use apache_avro::schema::{Name, NamespaceRef};
use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, AvroSchema)]
struct Order {
    id: i64,
    price: f64,
    paid: bool,
    side: Side,
    note: Option<String>,
    lines: Vec<Line>,
    best: Option<Line>,
    labels: HashMap<String, i32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, AvroSchema)]
struct Line {
    article: String,
    count: i32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, AvroSchema)]
enum Side {
    Buy,
    Sell,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(repr = "union_of_records")]
enum Event {
    Ping,
    Moved { x: i32, y: i32 },
    Named(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, AvroSchema)]
struct Tree {
    left: Option<Box<Tree>>,
    leaves: Vec<Tree>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, AvroSchema)]
struct Ticks {
    ticks: Vec<()>,
}

fn order() -> Order {
    let line = |article: &str, count| Line { article: article.to_owned(), count };
    Order {
        id: i64::MIN,
        price: -0.5,
        paid: true,
        side: Side::Sell,
        note: Some("é".to_owned()),
        lines: vec![line("a", 1), line("", i32::MAX)],
        best: Some(line("b", -1)),
        labels: HashMap::from([("x".to_owned(), 1), ("y".to_owned(), 2)]),
    }
}

fn encoded<T>(value: &T) -> Vec<u8>
where
    Avro: Codec<T>,
{
    let mut payload = Vec::new();
    Avro::encode(value, &mut payload).expect("the value has a form in Avro");
    payload
}

fn decoded<T>(payload: &[u8]) -> Result<T, CodecError>
where
    Avro: Codec<T>,
{
    Avro::decode(payload)
}

fn refusal<T: Debug>(payload: &[u8]) -> String
where
    Avro: Codec<T>,
{
    decoded::<T>(payload).expect_err("a malformed payload").to_string()
}

fn returns<T: Debug + PartialEq>(value: &T)
where
    Avro: Codec<T>,
{
    assert_eq!(&decoded::<T>(&encoded(value)).expect("decodes"), value);
}

#[test]
fn nested_optional_and_enum_types_return() {
    returns(&order());
    returns(&Order { note: None, best: None, lines: Vec::new(), ..order() });
    returns(&Event::Ping);
    returns(&Event::Moved { x: 1, y: -1 });
    returns(&Event::Named("n".to_owned()));
    returns(&vec![Some(1_i32), None]);
    returns(&"text".to_owned());
}

#[test]
fn encode_appends() {
    let mut payload = b"before".to_vec();
    Avro::encode(&Line { article: "a".to_owned(), count: 1 }, &mut payload).expect("encodes");
    assert_eq!(payload, b"before\x02a\x02");
}

#[test]
fn trailing_bytes_are_refused() {
    let mut payload = encoded(&order());
    payload.push(0);
    let error = refusal::<Order>(&payload);
    assert!(error.contains("ends 1 bytes before the payload"), "{error}");
}

#[test]
fn every_truncation_is_refused() {
    let payload = encoded(&order());
    for end in 0..payload.len() {
        assert!(decoded::<Order>(&payload[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn lengths_are_believed_only_within_the_payload() {
    // A string of 2^40 bytes, and one of -1 byte.
    let long = [0x80, 0x80, 0x80, 0x80, 0x80, 0x40];
    assert!(refusal::<String>(&long).contains("ends inside a value"));
    assert!(refusal::<String>(&[0x01]).contains("a length is negative"));
    // An array of i64::MIN items, with a size, and then nothing.
    let mut block = [0xff; 10];
    block[9] = 0x01;
    assert!(refusal::<Vec<String>>(&[&block[..], &[0x02]].concat()).contains("ends inside"));
    assert!(refusal::<String>(&[0xff; 11]).contains("64 bits"));
    assert!(refusal::<Option<i32>>(&[0x06]).contains("no branch 3"));
}

#[test]
fn blocks_with_a_size_are_read() {
    // Two items in a block of two bytes, one in a plain block, the end.
    let payload = [0x03, 0x04, 0x02, 0x04, 0x02, 0x06, 0x00];
    assert_eq!(decoded::<Vec<i32>>(&payload).expect("decodes"), [1, 2, 3]);
}

fn tree(depth: usize) -> Tree {
    let leaf = Tree { left: None, leaves: Vec::new() };
    (1..depth).fold(leaf, |inner, _| Tree { left: Some(Box::new(inner)), leaves: Vec::new() })
}

#[test]
fn nesting_is_bounded_before_the_stack_is() {
    // The innermost tree has an array, which is a level of its own.
    returns(&tree(127));
    let error = refusal::<Tree>(&encoded(&tree(128)));
    assert!(error.contains("more than 128 levels"), "{error}");
    let error = refusal::<Tree>(&vec![0x02; 1_000_000]);
    assert!(error.contains("more than 128 levels"), "{error}");
}

#[test]
fn items_without_bytes_are_bounded() {
    returns(&Ticks { ticks: vec![(); 65_536] });
    let error = refusal::<Ticks>(&encoded(&Ticks { ticks: vec![(); 65_537] }));
    assert!(error.contains("more than 65536 items"), "{error}");
    // 2^62 items in nine bytes.
    let payload = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0x00];
    let error = refusal::<Ticks>(&payload);
    assert!(error.contains("more than 65536 items"), "{error}");
}

#[test]
fn the_allocation_limit_is_set() {
    returns(&1_i32);
    assert_eq!(apache_avro::util::max_allocation_bytes(1), MAX_ALLOCATION);
}

/// How often the schema of [`Counted`] was asked for.
static DERIVED: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Counted(i64);

impl AvroSchemaComponent for Counted {
    fn get_schema_in_ctxt(_: &mut HashSet<Name>, _: NamespaceRef<'_>) -> Schema {
        DERIVED.fetch_add(1, Ordering::SeqCst);
        Schema::Long
    }
}

#[test]
fn a_schema_is_resolved_once_however_many_threads_need_it() {
    let start = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                (0..100).for_each(|step| returns(&Counted(number * 100 + step)));
            });
        }
    });
    assert_eq!(DERIVED.load(Ordering::SeqCst), 1);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unresolvable;

impl AvroSchemaComponent for Unresolvable {
    fn get_schema_in_ctxt(_: &mut HashSet<Name>, _: NamespaceRef<'_>) -> Schema {
        Schema::Ref { name: Name::new("nowhere.Defined").expect("a legal name") }
    }
}

#[test]
fn a_schema_that_cannot_be_resolved_is_an_error_each_time() {
    for _ in 0..2 {
        let error = refusal::<Unresolvable>(&[]);
        assert!(error.contains("cannot be resolved"), "{error}");
        assert!(Avro::encode(&Unresolvable, &mut Vec::new()).is_err());
    }
}

/// Decodes to whatever it may, and demands that what decodes also returns.
fn survives<T: Debug + PartialEq>(payload: &[u8])
where
    Avro: Codec<T>,
{
    if let (Ok(value), Ok(twin)) = (decoded::<T>(payload), decoded::<T>(payload)) {
        let again = decoded::<T>(&encoded(&value)).expect("decodes");
        // A value with a NaN in it does not even equal its twin.
        if value == twin {
            assert_eq!(again, value);
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(payload in prop::collection::vec(any::<u8>(), 0..256)) {
        survives::<Order>(&payload);
        survives::<Event>(&payload);
        survives::<Tree>(&payload);
        survives::<Ticks>(&payload);
        survives::<HashMap<String, Vec<Option<Line>>>>(&payload);
    }

    #[test]
    fn mutated_payloads_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut payload = encoded(&order());
        for (place, byte) in changes {
            let place = place.index(payload.len());
            payload[place] = byte;
        }
        survives::<Order>(&payload);
        payload.truncate(cut.index(payload.len()));
        survives::<Order>(&payload);
    }
}
