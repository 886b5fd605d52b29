//! The paths. What a path needs is made outside its function, which does [`TIMES`] of it.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_common::config::Lane;
use antiphon_common::wire::{
    Caps, Headers, ReplyHeaders, ReplyHeadersOut, RequestHeaders, RequestHeadersOut,
};
use antiphon_common::{Clocks, CorrelationId, Deadline, InstanceId};

use crate::intake::Watermark;
use crate::lane::{Meta, Schedule};
use crate::table::{InFlight, Moment};

/// The checker divides by this.
const TIMES: u64 = 10_000;
/// Requests that are under way while others come and go.
const UNDER_WAY: i64 = 256;

/// The headers of a record as the client hands them over.
type Wire<'a> = Vec<(&'a [u8], Option<&'a [u8]>)>;

/// Walks every path.
pub(crate) fn all() {
    let mut table = InFlight::new();
    table_insert(&mut table);
    table_remove(&mut table);
    for number in 0..TIMES {
        let _ = table.insert(key(number), due(number), number);
    }
    table_expire(&mut table);
    correlation_id(InstanceId::from_bits(0x0123_4567_89ab_cdef));
    deadline(Instant::now());

    let none = Headers::new();
    let id = CorrelationId::new(InstanceId::from_bits(0x0123_4567_89ab_cdef), 7);
    request_headers_write(id, &none);
    let id = id.to_bytes();
    reply_headers_write(&id, &none);
    let request: Wire<'_> = vec![
        (b"kafka_correlationId", Some(&id)),
        (b"kafka_replyTopic", Some(b"quotes.replies")),
        (b"kafka_replyPartition", Some(&[0, 0, 0, 3])),
        (b"antiphon-deadline", Some(b"1790000000000;packed")),
        (b"antiphon-endpoint", Some(b"get-quote")),
        (b"content-type", Some(b"application/json")),
    ];
    request_headers_read(&request);
    let reply: Wire<'_> =
        vec![(b"kafka_correlationId", Some(&id)), (b"content-type", Some(b"application/json"))];
    reply_headers_read(&reply);

    let mut watermark = Watermark::default();
    for offset in 0..UNDER_WAY {
        watermark.start(offset);
    }
    watermark_start_complete(&mut watermark);
    let topic: Arc<str> = "quotes".into();
    let mut schedule = Schedule::new(Lane::ByKey, 64, &[0, 0]);
    schedule.set_held(4);
    schedule_push_next_done(&mut schedule, &topic);
}

/// Keys with their lowest bits the same, as in a shard, and otherwise spread.
fn key(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2 & !0xf
}

/// A deadline after five seconds, and each a millisecond after the one before.
fn due(number: u64) -> Moment {
    Moment(5_000_000_000 + number * 1_000_000)
}

#[inline(never)]
fn table_insert(table: &mut InFlight<u64>) {
    for number in 0..TIMES {
        let _ = black_box(table.insert(black_box(key(number)), due(number), number));
    }
}

#[inline(never)]
fn table_remove(table: &mut InFlight<u64>) {
    for number in 0..TIMES {
        black_box(table.remove(black_box(key(number))));
    }
}

#[inline(never)]
fn table_expire(table: &mut InFlight<u64>) {
    let mut now = 5_000_000_000;
    while table.len() > 0 {
        now += 10_000_000;
        while let Some(expired) = table.pop_expired(Moment(now)) {
            black_box(expired);
        }
    }
}

#[inline(never)]
fn correlation_id(instance: InstanceId) {
    for number in 0..TIMES {
        let bytes = black_box(CorrelationId::new(instance, number)).to_bytes();
        black_box(CorrelationId::from_bytes(black_box(&bytes)).map(CorrelationId::call));
    }
}

#[inline(never)]
fn deadline(now: Instant) {
    for _ in 0..TIMES {
        let deadline = Deadline::after_from(black_box(now), Duration::from_secs(5));
        let clocks = Clocks { instant: now, unix_millis: Deadline::unix_millis_now() };
        black_box(deadline.to_unix_millis_by(clocks));
        black_box(Deadline::from_wire(black_box(b"1790000000000"), Duration::from_secs(60)));
    }
}

#[inline(never)]
fn request_headers_write(correlation_id: CorrelationId, application: &Headers) {
    for _ in 0..TIMES {
        let headers = RequestHeadersOut {
            correlation_id: black_box(correlation_id),
            reply_topic: Some("quotes.replies"),
            reply_partition: Some(3),
            deadline_ms: Some(1_790_000_000_000),
            endpoint: Some("get-quote"),
            content_type: Some("application/json"),
            attempt: 1,
            idempotency_key: None,
            claim: None,
            cancellable: false,
            accepts_packed: true,
            application,
        };
        black_box(headers.write());
    }
}

#[inline(never)]
fn reply_headers_write(correlation_id: &[u8], application: &Headers) {
    for _ in 0..TIMES {
        let headers = ReplyHeadersOut {
            correlation_id: black_box(correlation_id),
            status: None,
            content_type: Some("application/json"),
            position: None,
            claim: None,
            application,
        };
        black_box(headers.write());
    }
}

#[inline(never)]
fn request_headers_read(wire: &Wire<'_>) {
    for _ in 0..TIMES {
        let read = RequestHeaders::read(black_box(wire).iter().copied(), Caps::default());
        let read = read.expect("the headers are within the caps");
        black_box((read.correlation_id().is_ok(), read.reply_topic().is_ok()));
        black_box((read.reply_partition().is_ok(), read.endpoint().is_ok()));
    }
}

#[inline(never)]
fn reply_headers_read(wire: &Wire<'_>) {
    for _ in 0..TIMES {
        let read = ReplyHeaders::read(black_box(wire).iter().copied(), Caps::default());
        let read = read.expect("the headers are within the caps");
        black_box((read.correlation_id().is_ok(), read.code()));
    }
}

/// Each offset is complete when [`UNDER_WAY`] others have started after it; every fourth is late.
#[inline(never)]
fn watermark_start_complete(watermark: &mut Watermark) {
    let times = i64::try_from(TIMES).unwrap_or(i64::MAX);
    for offset in UNDER_WAY..UNDER_WAY + times {
        watermark.start(black_box(offset));
        let done = offset - UNDER_WAY;
        if done % 4 == 3 {
            watermark.complete(done);
            watermark.complete(done - 3);
        } else if done % 4 != 0 {
            watermark.complete(done);
        }
        black_box(watermark.committable());
    }
}

#[inline(never)]
fn schedule_push_next_done(schedule: &mut Schedule<u64>, topic: &Arc<str>) {
    for number in 0..TIMES {
        let key = (number % 64).to_be_bytes();
        let meta = Meta {
            topic,
            partition: i32::from(number.to_le_bytes()[0] % 4),
            key: Some(black_box(&key)),
            endpoint: 0,
        };
        let standing = schedule.find(meta);
        schedule.push(standing, number);
        if let Some((item, token)) = schedule.next() {
            black_box(item);
            schedule.done(token);
        }
    }
}
