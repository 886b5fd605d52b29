//! The one crate with `unsafe` code: what librdkafka offers and the rdkafka crate does not.
//!
//! Everything here is a thin, safe wrapper around one or two C calls. Each block says why it is
//! sound. All other crates of the workspace forbid `unsafe`.

pub mod allowed;
pub mod rights;
pub mod topics;
pub mod wake;

use std::ffi::{CStr, CString, c_char, c_void};
use std::marker::PhantomData;
use std::ptr;

use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka_sys as sys;

/// The headers of one record, with keys as bytes.
///
/// The rdkafka crate panics on a header key that is not UTF-8, and anyone who may write to a topic
/// may write such a key, so headers that arrive from the wire are read through this type only.
/// librdkafka hands keys out as C strings: a key that contains NUL appears cut at the NUL.
#[derive(Debug)]
pub struct RawHeaders<'a> {
    block: *const sys::rd_kafka_headers_t,
    len: usize,
    next: usize,
    record: PhantomData<&'a ()>,
}

/// The header block of a record could not be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MalformedHeaders;

/// Reads the header block of `message`.
///
/// # Errors
/// [`MalformedHeaders`] if librdkafka cannot parse the block.
pub fn headers<'a>(message: &'a BorrowedMessage<'_>) -> Result<RawHeaders<'a>, MalformedHeaders> {
    let mut block = ptr::null_mut();
    // SAFETY: `message.ptr()` is valid for as long as `message` is borrowed, and `block` is a
    // valid place to write a pointer to. The block belongs to the message and lives as long.
    let code = unsafe { sys::rd_kafka_message_headers(message.ptr(), &mut block) };
    let len = match code {
        // SAFETY: on success librdkafka has set `block` to a header list.
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => unsafe {
            sys::rd_kafka_header_cnt(block)
        },
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__NOENT => 0,
        _ => return Err(MalformedHeaders),
    };
    Ok(RawHeaders { block, len, next: 0, record: PhantomData })
}

impl RawHeaders<'_> {
    /// The number of headers on the record, read or not.
    #[must_use]
    pub fn count(&self) -> usize {
        self.len
    }
}

impl<'a> Iterator for RawHeaders<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.len {
            return None;
        }
        let mut name: *const c_char = ptr::null();
        let mut value: *const c_void = ptr::null();
        let mut size = 0;
        // SAFETY: `block` is a live header list (`next < len` implies it is not null), and the
        // three out-pointers are valid for writes.
        let code = unsafe {
            sys::rd_kafka_header_get_all(self.block, self.next, &mut name, &mut value, &mut size)
        };
        self.next += 1;
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
            return None;
        }
        // SAFETY: librdkafka terminates every key with NUL and keeps it as long as the message,
        // which `'a` borrows.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes();
        let value = if value.is_null() {
            None
        } else {
            // SAFETY: `value` points to `size` bytes that live as long as the message.
            Some(unsafe { std::slice::from_raw_parts(value.cast::<u8>(), size) })
        };
        Some((name, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.len - self.next;
        (left, Some(left))
    }
}

/// The name of the topic that a record is in. It is one that this client asked for; to compare it with
/// that, it need not be looked through for UTF-8.
#[must_use]
pub fn topic<'a>(message: &'a BorrowedMessage<'_>) -> &'a [u8] {
    // SAFETY: `message.ptr()` is valid for as long as `message` is borrowed, and so is the topic that it
    // refers to, with its name, which is a C string.
    unsafe { CStr::from_ptr(sys::rd_kafka_topic_name((*message.ptr()).rkt)) }.to_bytes()
}

/// What a failed delivery left behind in the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// The record was never written: sending it again cannot duplicate it.
    NotPersisted,
    /// The record may have been written, and its acknowledgement lost.
    PossiblyPersisted,
    /// The record was written.
    Persisted,
}

/// Says whether the record of a delivery report is in the topic.
#[must_use]
pub fn persistence(message: &BorrowedMessage<'_>) -> Persistence {
    // SAFETY: `message.ptr()` is valid for as long as `message` is borrowed.
    match unsafe { sys::rd_kafka_message_status(message.ptr()) } {
        sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED => Persistence::NotPersisted,
        sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED => {
            Persistence::PossiblyPersisted
        }
        sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_PERSISTED => Persistence::Persisted,
    }
}

/// The metadata of each element of a list, in order. It is empty where there is none.
///
/// The rdkafka crate panics on metadata that is not UTF-8, and whoever may commit for a group may
/// commit such metadata, so that of committed offsets is read through this only.
#[must_use]
pub fn metadata(list: &TopicPartitionList) -> Vec<&[u8]> {
    // SAFETY: `ptr` is the live list of `list`, which nobody changes while it is borrowed.
    let list = unsafe { &*list.ptr() };
    let elements = match usize::try_from(list.cnt) {
        // SAFETY: librdkafka keeps `cnt` elements at `elems`.
        Ok(count) if count > 0 => unsafe { std::slice::from_raw_parts(list.elems, count) },
        _ => &[],
    };
    let metadata = |element: &sys::rd_kafka_topic_partition_t| {
        if element.metadata.is_null() {
            return &[][..];
        }
        // SAFETY: `metadata` points to `metadata_size` bytes that live as long as the list.
        unsafe { std::slice::from_raw_parts(element.metadata.cast::<u8>(), element.metadata_size) }
    };
    elements.iter().map(metadata).collect()
}

/// Commits offsets with their metadata. The commit callback of the consumer's context is told the
/// result by a later poll, as it is of the commits that the client makes by itself; of those made
/// by the rdkafka crate's asynchronous commit it is told nothing.
///
/// # Errors
/// If the consumer is in no group.
pub fn commit<C: ClientContext>(client: &Client<C>, list: &TopicPartitionList) -> KafkaResult<()> {
    // SAFETY: `native_ptr` is a live client handle while `client` is borrowed, and so is the list.
    // Given a queue, the call copies the list, keeps the queue alive until it has the answer, and
    // returns at once; our own reference to the queue is given back.
    let code = unsafe {
        let queue = sys::rd_kafka_queue_get_main(client.native_ptr());
        let code = sys::rd_kafka_commit_queue(
            client.native_ptr(),
            list.ptr(),
            queue,
            None,
            ptr::null_mut(),
        );
        sys::rd_kafka_queue_destroy(queue);
        code
    };
    match code {
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(KafkaError::ConsumerCommit(code.into())),
    }
}

/// The first offset that a partition still has, as the last fetch of this client said; `None` if
/// there was none yet.
pub fn log_start<C: ClientContext>(client: &Client<C>, topic: &str, partition: i32) -> Option<i64> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: `native_ptr` is a live client handle while `client` is borrowed, the name is a C
    // string, and both out-pointers are valid for writes. The call only reads what is cached.
    let code = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            client.native_ptr(),
            topic.as_ptr(),
            partition,
            &mut low,
            &mut high,
        )
    };
    (code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && low >= 0).then_some(low)
}

/// Makes the groups of an embedded broker quick, in milliseconds: `rebalance_delay` is how long a
/// new group of the classic protocol waits for more members (3 s by default), `heartbeat` how
/// often members of the newer protocol (KIP-848) hear of changes (3 s by default).
///
/// `client` is one that was created with `test.mock.num.brokers`. Returns `false`, and does
/// nothing, if it has no embedded broker.
pub fn set_mock_group_delays<C: ClientContext>(
    client: &Client<C>,
    rebalance_delay: i32,
    heartbeat: i32,
) -> bool {
    // SAFETY: `native_ptr` is a live client handle while `client` is borrowed.
    let cluster = unsafe { sys::rd_kafka_handle_mock_cluster(client.native_ptr()) };
    if cluster.is_null() {
        return false;
    }
    // SAFETY: `cluster` is the client's own mock cluster, which lives as long as the client; both
    // calls change a setting of it under its own lock.
    unsafe {
        sys::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, rebalance_delay);
        sys::rd_kafka_mock_set_group_consumer_heartbeat_interval_ms(cluster, heartbeat);
    }
    true
}

/// Gives a client another user name and password (SASL PLAIN and SCRAM). Connections that exist
/// stay; the next ones use these.
///
/// # Errors
/// In words, if either contains NUL, or librdkafka refuses them.
pub fn set_sasl_credentials<C: ClientContext>(
    client: &Client<C>,
    user: &str,
    password: &str,
) -> Result<(), String> {
    let user = CString::new(user).map_err(|_| "the user name contains NUL".to_owned())?;
    let password = CString::new(password).map_err(|_| "the password contains NUL".to_owned())?;
    // SAFETY: `native_ptr` is a live client handle while `client` is borrowed; the call copies both
    // C strings, under a lock of its own. An error is ours to free, which happens once.
    unsafe {
        let error = sys::rd_kafka_sasl_set_credentials(
            client.native_ptr(),
            user.as_ptr(),
            password.as_ptr(),
        );
        if error.is_null() {
            return Ok(());
        }
        let text = CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned();
        sys::rd_kafka_error_destroy(error);
        Err(text)
    }
}

/// Gives a client a token (SASL OAUTHBEARER) of `principal`, which ends at `expires_ms`, in
/// milliseconds of the Unix epoch.
///
/// # Errors
/// In words, if librdkafka refuses it: the client does not use OAUTHBEARER, or the token is over or
/// has a wrong form. The text does not contain the token.
pub fn set_oauth_token<C: ClientContext>(
    client: &Client<C>,
    token: &str,
    expires_ms: i64,
    principal: &str,
) -> Result<(), String> {
    let token = CString::new(token).map_err(|_| "the token contains NUL".to_owned())?;
    let principal = CString::new(principal).map_err(|_| "the principal contains NUL".to_owned())?;
    let mut error = [0 as c_char; 256];
    // SAFETY: `native_ptr` is a live client handle while `client` is borrowed; the call copies both
    // C strings, takes no extensions, and writes a C string of at most the given size.
    let code = unsafe {
        sys::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            token.as_ptr(),
            expires_ms,
            principal.as_ptr(),
            ptr::null_mut(),
            0,
            error.as_mut_ptr(),
            error.len(),
        )
    };
    if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // SAFETY: on failure librdkafka has written a C string; the buffer began as an empty one.
    Err(unsafe { CStr::from_ptr(error.as_ptr()) }.to_string_lossy().into_owned())
}
