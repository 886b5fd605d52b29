//! Being told when a client has something to be looked at.

use std::any::Any;
use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};
use rdkafka_sys as sys;

/// Called on a thread of librdkafka's.
type Wake = Box<dyn Fn() + Send + Sync>;

/// Has somebody told, until this is dropped, whenever a client has something for its next poll after it
/// had nothing.
///
/// (librdkafka's `rd_kafka_queue_cb_event_enable` on the queue that the client's polls look at.)
pub struct OnReadable {
    queue: *mut sys::rd_kafka_queue_t,
    /// What the callback is given points to, so it is boxed once more.
    wake: Box<Wake>,
    /// The client lives at least as long as its queue is held here.
    _client: Box<dyn Any + Send>,
}

impl OnReadable {
    /// Calls `wake` each time that `consumer` has something. It is called on a thread of
    /// librdkafka's that holds a lock, so it must be quick and must not use the consumer. What there is
    /// already is not told.
    pub fn of_consumer<C: ConsumerContext + 'static>(
        consumer: Arc<BaseConsumer<C>>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        // SAFETY: the client handle lives as long as `consumer`, of which a part is kept.
        let queue = unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        Self::of(queue, Box::new(consumer), Box::new(wake))
    }

    /// The same for what a producer has: reports of deliveries, statistics, errors and lines of the log.
    pub fn of_producer<C: ProducerContext + 'static>(
        producer: Arc<BaseProducer<C>>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        // SAFETY: as above.
        let queue = unsafe { sys::rd_kafka_queue_get_main(producer.client().native_ptr()) };
        Self::of(queue, Box::new(producer), Box::new(wake))
    }

    /// Takes over a queue of that client.
    fn of(queue: *mut sys::rd_kafka_queue_t, client: Box<dyn Any + Send>, wake: Wake) -> Self {
        let wake = Box::new(wake);
        let opaque = std::ptr::from_ref::<Wake>(&wake).cast_mut().cast::<c_void>();
        // SAFETY: the queue is ours until it is given back. `opaque` points to a closure that may be
        // called on any thread, and that lives until the callback has been taken away.
        unsafe { sys::rd_kafka_queue_cb_event_enable(queue, Some(tell), opaque) };
        Self { queue, wake, _client: client }
    }

    /// Whether there is anything now that a poll would take care of.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        // SAFETY: the queue is ours until this is dropped, and has a lock of its own.
        unsafe { sys::rd_kafka_queue_length(self.queue) > 0 }
    }
}

// SAFETY: the queue has a lock of its own and may be used on any thread, the closure may be called and
// dropped on any, and so may the client.
unsafe impl Send for OnReadable {}

impl Drop for OnReadable {
    fn drop(&mut self) {
        // SAFETY: the queue is ours and given back once. Taking the callback away needs the lock under
        // which it is called, so it is not running any more when the closure is dropped.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue, None, std::ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue);
        }
    }
}

impl fmt::Debug for OnReadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnReadable").field("wake", &std::ptr::from_ref(&*self.wake)).finish()
    }
}

/// A panic must not reach the C code, and ends the process there; so `wake` is not to panic.
unsafe extern "C" fn tell(_: *mut sys::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: it is what `OnReadable::new` gave, and lives until this is not called any more.
    let wake = unsafe { &*opaque.cast::<Wake>() };
    wake();
}
