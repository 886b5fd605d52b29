//! Records for topics that were looked up before.

use std::fmt;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock};

use rdkafka::error::KafkaError;
use rdkafka::message::{OwnedHeaders, ToBytes};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::util::IntoOpaque as _;
use rdkafka_sys as sys;
use sys::rd_kafka_vtype_t as vtype;

/// So many topics are remembered; records for others are sent by name. A look takes a comparison for each.
const MOST: usize = 8;
/// What the rdkafka crate sends where a record names no partition (librdkafka's `RD_KAFKA_PARTITION_UA`).
const ANY_PARTITION: i32 = -1;

/// A record was queued, or why not, with the record.
pub type Sent<'a, K, P, C> =
    Result<(), (KafkaError, BaseRecord<'a, K, P, <C as ProducerContext>::DeliveryOpaque>)>;

/// A producer that remembers the first topics that it sends to.
///
/// The rdkafka crate names the topic of each record anew, as a C string that it makes for that, and
/// librdkafka looks for the name in a list under a lock of the client. With a topic's handle
/// (`rd_kafka_topic_new`) neither is done.
pub struct Topics<C: ProducerContext + 'static> {
    known: [OnceLock<Topic>; MOST],
    /// It lives as long as the handles are held here.
    producer: Arc<BaseProducer<C>>,
}

struct Topic {
    name: Box<str>,
    handle: NonNull<sys::rd_kafka_topic_t>,
}

// SAFETY: librdkafka's topic handles are counted and locked; they may be used and given back on any thread.
unsafe impl Send for Topic {}
// SAFETY: the same.
unsafe impl Sync for Topic {}

impl<C: ProducerContext + 'static> Topics<C> {
    /// Of this producer; it knows none yet.
    #[must_use]
    pub fn of(producer: Arc<BaseProducer<C>>) -> Self {
        Self { known: [const { OnceLock::new() }; MOST], producer }
    }

    /// Queues a record, as [`BaseProducer::send`] does.
    ///
    /// # Errors
    /// As there; the record is given back.
    #[expect(clippy::result_large_err, reason = "it is that of the rdkafka crate")]
    pub fn send<'a, K, P>(
        &self,
        record: BaseRecord<'a, K, P, C::DeliveryOpaque>,
    ) -> Sent<'a, K, P, C>
    where
        K: ToBytes + ?Sized,
        P: ToBytes + ?Sized,
    {
        for slot in &self.known {
            match slot.get() {
                Some(topic) if *topic.name == *record.topic => return self.send_to(topic, record),
                Some(_) => {}
                None => {
                    let name = record.topic;
                    // By name, so that librdkafka asks at once for the leaders of a topic that it
                    // does not know, as it does then.
                    self.producer.send(record)?;
                    // Another thread may have been first, with this topic or another.
                    if let Some(topic) = self.look_up(name) {
                        let _ = slot.set(topic);
                    }
                    return Ok(());
                }
            }
        }
        self.producer.send(record)
    }

    fn look_up(&self, name: &str) -> Option<Topic> {
        let text = std::ffi::CString::new(name).ok()?;
        let client = self.producer.client().native_ptr();
        // SAFETY: the client and the name are valid during the call. Without a configuration the topic has
        // that of the client, as when it is named in a record.
        let handle = unsafe { sys::rd_kafka_topic_new(client, text.as_ptr(), ptr::null_mut()) };
        Some(Topic { name: name.into(), handle: NonNull::new(handle)? })
    }

    #[expect(clippy::result_large_err, reason = "it is that of the rdkafka crate")]
    fn send_to<'a, K, P>(
        &self,
        topic: &Topic,
        mut record: BaseRecord<'a, K, P, C::DeliveryOpaque>,
    ) -> Sent<'a, K, P, C>
    where
        K: ToBytes + ?Sized,
        P: ToBytes + ?Sized,
    {
        let (payload, payload_len) = bytes(record.payload.map(ToBytes::to_bytes));
        let (key, key_len) = bytes(record.key.map(ToBytes::to_bytes));
        let opaque = record.delivery_opaque.into_ptr();
        // A reference to borrowed headers is a pointer to the C list, and nothing else.
        let headers = record.headers.as_ref().map_or(ptr::null_mut(), |headers| {
            ptr::from_ref(headers.as_borrowed()).cast_mut().cast::<sys::rd_kafka_headers_t>()
        });
        // SAFETY: each tag is followed by what `rd_kafka_producev` reads for it, and the last one ends the
        // list. All pointers are valid during the call, which copies payload and key (`F_COPY`). The list
        // of headers is the library's if it takes the record, and stays ours if not.
        let code = unsafe {
            sys::rd_kafka_producev(
                self.producer.client().native_ptr(),
                vtype::RD_KAFKA_VTYPE_RKT,
                topic.handle.as_ptr(),
                vtype::RD_KAFKA_VTYPE_PARTITION,
                record.partition.unwrap_or(ANY_PARTITION),
                vtype::RD_KAFKA_VTYPE_MSGFLAGS,
                sys::RD_KAFKA_MSG_F_COPY,
                vtype::RD_KAFKA_VTYPE_VALUE,
                payload,
                payload_len,
                vtype::RD_KAFKA_VTYPE_KEY,
                key,
                key_len,
                vtype::RD_KAFKA_VTYPE_OPAQUE,
                opaque,
                vtype::RD_KAFKA_VTYPE_TIMESTAMP,
                record.timestamp.unwrap_or(0),
                vtype::RD_KAFKA_VTYPE_HEADERS,
                headers,
                vtype::RD_KAFKA_VTYPE_END,
            )
        };
        if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            std::mem::forget::<Option<OwnedHeaders>>(record.headers);
            return Ok(());
        }
        // SAFETY: it is what was just made of the value, and the library has not kept it.
        record.delivery_opaque = unsafe { C::DeliveryOpaque::from_ptr(opaque) };
        Err((KafkaError::MessageProduction(code.into()), record))
    }
}

fn bytes(of: Option<&[u8]>) -> (*mut std::ffi::c_void, usize) {
    of.map_or((ptr::null_mut(), 0), |bytes| (bytes.as_ptr().cast_mut().cast(), bytes.len()))
}

/// What else a producer does. Its own `send` is hidden behind the one here.
impl<C: ProducerContext + 'static> Deref for Topics<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &BaseProducer<C> {
        &self.producer
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and given back once, while the producer still lives.
        unsafe { sys::rd_kafka_topic_destroy(self.handle.as_ptr()) };
    }
}

impl<C: ProducerContext + 'static> fmt::Debug for Topics<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.known.iter().filter_map(OnceLock::get).map(|topic| &topic.name);
        f.debug_list().entries(names).finish()
    }
}
