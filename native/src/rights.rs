//! Rights and passwords of a secured cluster, changed by its administrator: the admin calls of
//! librdkafka that the rdkafka crate does not have. They block until the brokers have answered.

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka_sys as sys;

/// A right that a principal has, or is to have, from any host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// Who, such as `User:alice`.
    pub principal: String,
    /// What may be done.
    pub operation: Operation,
    /// To what kind of thing.
    pub resource: Resource,
    /// The name of the thing.
    pub name: String,
    /// Whether the name is that of all things whose names begin with it.
    pub prefixed: bool,
}

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Read records, be a member of a group, commit offsets.
    Read,
    /// Write records, use a transactional id.
    Write,
    /// Create topics.
    Create,
    /// See that something exists.
    Describe,
}

/// What something may be done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// A topic.
    Topic,
    /// A consumer group.
    Group,
    /// A transactional id.
    TransactionalId,
}

/// How a password is proven without being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scram {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

/// Grants a right.
///
/// # Errors
/// In words, if the brokers refuse or do not answer within `timeout`.
pub fn grant<C: ClientContext>(
    client: &Client<C>,
    right: &Right,
    timeout: Duration,
) -> Result<(), String> {
    let binding = Binding::of(right, sys::rd_kafka_AclBinding_new)?;
    let mut bindings = [binding.0];
    let event = ask(client, timeout, |options, queue| {
        // SAFETY: all handles are alive; the call copies the one binding.
        unsafe {
            sys::rd_kafka_CreateAcls(client.native_ptr(), bindings.as_mut_ptr(), 1, options, queue);
        }
    })?;
    // SAFETY: the event is alive; the result and its errors belong to it. `count` is set before
    // the array is read.
    unsafe {
        let result = sys::rd_kafka_event_CreateAcls_result(event.0);
        if result.is_null() {
            return Err("the answer is not one to CreateAcls".to_owned());
        }
        let mut count = 0;
        let results = sys::rd_kafka_CreateAcls_result_acls(result, &mut count);
        (0..count).try_for_each(|at| told(sys::rd_kafka_acl_result_error(*results.add(at))))
    }
}

/// How many grants of a right the broker that answers acts by: it may hear of a change a moment after
/// that was made.
///
/// # Errors
/// In words, if the brokers refuse or do not answer within `timeout`.
pub fn grants<C: ClientContext>(
    client: &Client<C>,
    right: &Right,
    timeout: Duration,
) -> Result<usize, String> {
    let filter = Binding::of(right, sys::rd_kafka_AclBindingFilter_new)?;
    let event = ask(client, timeout, |options, queue| {
        // SAFETY: all handles are alive; the call copies the filter.
        unsafe { sys::rd_kafka_DescribeAcls(client.native_ptr(), filter.0, options, queue) };
    })?;
    // SAFETY: the event is alive; the result belongs to it, and `count` is set before it is used.
    unsafe {
        let result = sys::rd_kafka_event_DescribeAcls_result(event.0);
        if result.is_null() {
            return Err("the answer is not one to DescribeAcls".to_owned());
        }
        let mut count = 0;
        sys::rd_kafka_DescribeAcls_result_acls(result, &mut count);
        Ok(count)
    }
}

/// Takes a right back. Returns how many grants were taken back: 0 if there was no such right.
///
/// # Errors
/// In words, if the brokers refuse or do not answer within `timeout`.
pub fn revoke<C: ClientContext>(
    client: &Client<C>,
    right: &Right,
    timeout: Duration,
) -> Result<usize, String> {
    let filter = Binding::of(right, sys::rd_kafka_AclBindingFilter_new)?;
    let mut filters = [filter.0];
    let event = ask(client, timeout, |options, queue| {
        // SAFETY: all handles are alive; the call copies the one filter.
        unsafe {
            sys::rd_kafka_DeleteAcls(client.native_ptr(), filters.as_mut_ptr(), 1, options, queue);
        }
    })?;
    // SAFETY: the event is alive; the result and its parts belong to it. Each `count` is set
    // before it is used.
    unsafe {
        let result = sys::rd_kafka_event_DeleteAcls_result(event.0);
        if result.is_null() {
            return Err("the answer is not one to DeleteAcls".to_owned());
        }
        let (mut count, mut taken) = (0, 0);
        let responses = sys::rd_kafka_DeleteAcls_result_responses(result, &mut count);
        for at in 0..count {
            let response = *responses.add(at);
            told(sys::rd_kafka_DeleteAcls_result_response_error(response))?;
            let mut matching = 0;
            sys::rd_kafka_DeleteAcls_result_response_matching_acls(response, &mut matching);
            taken += matching;
        }
        Ok(taken)
    }
}

/// Sets a user's password, or drops the user if there is to be none.
///
/// # Errors
/// In words, if the brokers refuse or do not answer within `timeout`.
pub fn set_scram_password<C: ClientContext>(
    client: &Client<C>,
    user: &str,
    mechanism: Scram,
    password: Option<&str>,
    timeout: Duration,
) -> Result<(), String> {
    const ITERATIONS: i32 = 4096;
    let user = c_string(user)?;
    let mechanism = match mechanism {
        Scram::Sha256 => sys::rd_kafka_ScramMechanism_t::RD_KAFKA_SCRAM_MECHANISM_SHA_256,
        Scram::Sha512 => sys::rd_kafka_ScramMechanism_t::RD_KAFKA_SCRAM_MECHANISM_SHA_512,
    };
    // SAFETY: the user is a C string, and the password is given with its length; both are copied.
    // A null salt asks for a random one.
    let alteration = unsafe {
        match password {
            Some(password) => sys::rd_kafka_UserScramCredentialUpsertion_new(
                user.as_ptr(),
                mechanism,
                ITERATIONS,
                password.as_ptr(),
                password.len(),
                ptr::null(),
                0,
            ),
            None => sys::rd_kafka_UserScramCredentialDeletion_new(user.as_ptr(), mechanism),
        }
    };
    let mut alterations = [alteration];
    let event = ask(client, timeout, |options, queue| {
        // SAFETY: all handles are alive; the call copies the one alteration, which is then freed.
        unsafe {
            sys::rd_kafka_AlterUserScramCredentials(
                client.native_ptr(),
                alterations.as_mut_ptr(),
                1,
                options,
                queue,
            );
        }
    });
    // SAFETY: it was made above, is freed once, and nothing refers to it any more.
    unsafe { sys::rd_kafka_UserScramCredentialAlteration_destroy(alteration) };
    let event = event?;
    // SAFETY: the event is alive; the result and its errors belong to it. `count` is set before
    // the array is read.
    unsafe {
        let result = sys::rd_kafka_event_AlterUserScramCredentials_result(event.0);
        if result.is_null() {
            return Err("the answer is not one to AlterUserScramCredentials".to_owned());
        }
        let mut count = 0;
        let responses =
            sys::rd_kafka_AlterUserScramCredentials_result_responses(result, &mut count);
        (0..count).try_for_each(|at| {
            told(sys::rd_kafka_AlterUserScramCredentials_result_response_error(*responses.add(at)))
        })
    }
}

/// What makes a binding, or a filter that matches it and nothing else. A message of at most the last
/// argument's size is written to the one before it when null is returned.
type Make = unsafe extern "C" fn(
    sys::rd_kafka_ResourceType_t,
    *const c_char,
    sys::rd_kafka_ResourcePatternType_t,
    *const c_char,
    *const c_char,
    sys::rd_kafka_AclOperation_t,
    sys::rd_kafka_AclPermissionType_t,
    *mut c_char,
    usize,
) -> *mut sys::rd_kafka_AclBinding_t;

/// A binding or a filter, which are the same type. Freed when dropped.
struct Binding(*mut sys::rd_kafka_AclBinding_t);

impl Binding {
    fn of(right: &Right, make: Make) -> Result<Self, String> {
        use sys::rd_kafka_AclOperation_t as Op;
        use sys::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW as ALLOW;
        use sys::rd_kafka_ResourcePatternType_t as Pattern;
        use sys::rd_kafka_ResourceType_t as Kind;
        let (name, principal) = (c_string(&right.name)?, c_string(&right.principal)?);
        let resource = match right.resource {
            Resource::Topic => Kind::RD_KAFKA_RESOURCE_TOPIC,
            Resource::Group => Kind::RD_KAFKA_RESOURCE_GROUP,
            Resource::TransactionalId => Kind::RD_KAFKA_RESOURCE_TRANSACTIONAL_ID,
        };
        let pattern = match right.prefixed {
            true => Pattern::RD_KAFKA_RESOURCE_PATTERN_PREFIXED,
            false => Pattern::RD_KAFKA_RESOURCE_PATTERN_LITERAL,
        };
        let operation = match right.operation {
            Operation::Read => Op::RD_KAFKA_ACL_OPERATION_READ,
            Operation::Write => Op::RD_KAFKA_ACL_OPERATION_WRITE,
            Operation::Create => Op::RD_KAFKA_ACL_OPERATION_CREATE,
            Operation::Describe => Op::RD_KAFKA_ACL_OPERATION_DESCRIBE,
        };
        let mut error = [0; 256];
        let (text, size) = (error.as_mut_ptr(), error.len());
        // SAFETY: the names are C strings that live through the call, which copies them, and `text` has
        // `size` bytes.
        let made = unsafe {
            make(
                resource,
                name.as_ptr(),
                pattern,
                principal.as_ptr(),
                c"*".as_ptr(),
                operation,
                ALLOW,
                text,
                size,
            )
        };
        if made.is_null() {
            // SAFETY: on failure librdkafka has written a C string of at most that size.
            return Err(unsafe { CStr::from_ptr(error.as_ptr()) }.to_string_lossy().into_owned());
        }
        Ok(Self(made))
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        // SAFETY: it was made by librdkafka, which copies what it is given, and is freed once.
        unsafe { sys::rd_kafka_AclBinding_destroy(self.0) };
    }
}

/// The answer to an admin call. Freed when dropped, and all that belongs to it.
pub(crate) struct Event(pub(crate) *mut sys::rd_kafka_event_t);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: it was taken from a queue, and is freed once.
        unsafe { sys::rd_kafka_event_destroy(self.0) };
    }
}

/// Sends an admin call and waits for its answer.
pub(crate) fn ask<C: ClientContext>(
    client: &Client<C>,
    timeout: Duration,
    send: impl FnOnce(*const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
) -> Result<Event, String> {
    let wait = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let rk = client.native_ptr();
    // SAFETY: `rk` is a live client handle while `client` is borrowed. Options and queue are made
    // here, are alive during `send`, and are freed once; librdkafka keeps a reference of its own to
    // the queue until it has answered. A null error buffer of size 0 asks for no text.
    let event = unsafe {
        let options =
            sys::rd_kafka_AdminOptions_new(rk, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_ANY);
        sys::rd_kafka_AdminOptions_set_request_timeout(options, wait, ptr::null_mut(), 0);
        let queue = sys::rd_kafka_queue_new(rk);
        send(options, queue);
        // A second more, so that the call's own time-out is told.
        let event = sys::rd_kafka_queue_poll(queue, wait.saturating_add(1000));
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        event
    };
    if event.is_null() {
        return Err("no answer in time".to_owned());
    }
    let event = Event(event);
    // SAFETY: the event is alive, and so is its text.
    unsafe {
        match sys::rd_kafka_event_error(event.0) {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(event),
            _ => Err(CStr::from_ptr(sys::rd_kafka_event_error_string(event.0))
                .to_string_lossy()
                .into_owned()),
        }
    }
}

/// # Safety
/// `error` is null or a live error.
unsafe fn told(error: *const sys::rd_kafka_error_t) -> Result<(), String> {
    // SAFETY: by the caller's promise; both calls take null, for which the code is "no error".
    unsafe {
        match sys::rd_kafka_error_code(error) {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            _ => Err(CStr::from_ptr(sys::rd_kafka_error_string(error))
                .to_string_lossy()
                .into_owned()),
        }
    }
}

pub(crate) fn c_string(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| format!("{text:?} contains NUL"))
}
