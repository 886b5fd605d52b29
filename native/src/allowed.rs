//! Whether a client may read a topic or a group, as the brokers say: to be asked while it may not,
//! since a client that was refused once hears nothing when the right is given back.

use std::ffi::{CString, c_char};
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka_sys as sys;
use sys::rd_kafka_AclOperation_t as Operation;
use sys::rd_kafka_resp_err_t as Code;

use crate::rights::{ask, c_string};

/// Whether this client may read the records of a topic. Blocks for at most a second more than
/// `timeout`.
///
/// # Errors
/// In words, if the brokers do not say.
pub fn may_read_topic<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<bool, String> {
    let name = c_string(topic)?;
    let event = ask(client, timeout, |options, queue| {
        let mut names: [*const c_char; 1] = [name.as_ptr()];
        // SAFETY: all handles are alive; the collection copies the name, and the call the
        // collection, which is made and freed here. The options are the caller's own.
        unsafe {
            let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1);
            with_operations(options);
            sys::rd_kafka_DescribeTopics(client.native_ptr(), topics, options, queue);
            sys::rd_kafka_TopicCollection_destroy(topics);
        }
    })?;
    // SAFETY: the event is alive, and what is asked of it belongs to it. `count` is set before the
    // array is read.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event.0);
        if result.is_null() {
            return Err("the answer is not one to DescribeTopics".to_owned());
        }
        let mut count = 0;
        let found = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if count == 0 {
            return Err("the answer names no topic".to_owned());
        }
        let code = sys::rd_kafka_error_code(sys::rd_kafka_TopicDescription_error(*found));
        let mut known = 0;
        let operations = sys::rd_kafka_TopicDescription_authorized_operations(*found, &mut known);
        Ok(code != Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
            && has_read(operations, known))
    }
}

/// Whether this client may be a member of a group. Of a group of the newer protocol (KIP-848) the
/// brokers tell only whether it may be seen, which comes with the right to be a member. Blocks for
/// at most a second more than `timeout`.
///
/// # Errors
/// In words, if the brokers do not say.
pub fn may_read_group<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    timeout: Duration,
) -> Result<bool, String> {
    let name: CString = c_string(group)?;
    let event = ask(client, timeout, |options, queue| {
        let mut names: [*const c_char; 1] = [name.as_ptr()];
        // SAFETY: all handles are alive; the call copies the name. The options are the caller's own.
        unsafe {
            with_operations(options);
            let names = names.as_mut_ptr();
            sys::rd_kafka_DescribeConsumerGroups(client.native_ptr(), names, 1, options, queue);
        }
    })?;
    // SAFETY: the event is alive, and what is asked of it belongs to it. `count` is set before the
    // array is read.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event.0);
        if result.is_null() {
            return Err("the answer is not one to DescribeConsumerGroups".to_owned());
        }
        let mut count = 0;
        let found = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
        if count == 0 {
            return Err("the answer names no group".to_owned());
        }
        let code = sys::rd_kafka_error_code(sys::rd_kafka_ConsumerGroupDescription_error(*found));
        let mut known = 0;
        let operations =
            sys::rd_kafka_ConsumerGroupDescription_authorized_operations(*found, &mut known);
        match code {
            Code::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED => Ok(false),
            Code::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(has_read(operations, known)),
            code if (code as i32) < 0 => Err("the coordinator did not answer".to_owned()),
            // It may be seen, and is just not there, or of another kind.
            _ => Ok(true),
        }
    }
}

/// # Safety
/// The options are alive and nobody else uses them.
unsafe fn with_operations(options: *const sys::rd_kafka_AdminOptions_t) {
    // SAFETY: by the caller's promise; a null error is nothing to free.
    unsafe {
        let error =
            sys::rd_kafka_AdminOptions_set_include_authorized_operations(options.cast_mut(), 1);
        if !error.is_null() {
            sys::rd_kafka_error_destroy(error);
        }
    }
}

/// Whether reading is among what may be done. Brokers that do not say forbid nothing.
///
/// # Safety
/// `operations` is null or has `count` elements.
unsafe fn has_read(operations: *const Operation, count: usize) -> bool {
    if operations.is_null() {
        return true;
    }
    // SAFETY: by the caller's promise.
    let operations = unsafe { std::slice::from_raw_parts(operations, count) };
    operations.contains(&Operation::RD_KAFKA_ACL_OPERATION_READ)
}
