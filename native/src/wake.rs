//! Being told when a consumer has something to be read.

use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka_sys as sys;

/// Called on a thread of librdkafka's.
type Wake = Box<dyn Fn() + Send + Sync>;

/// Has somebody told, until this is dropped, whenever a consumer has something to be read after it had
/// nothing.
///
/// (librdkafka's `rd_kafka_queue_cb_event_enable` on the queue of `rd_kafka_queue_get_consumer`.)
pub struct OnReadable<C: ConsumerContext + 'static> {
    queue: *mut sys::rd_kafka_queue_t,
    /// What the callback is given points to, so it is boxed once more.
    wake: Box<Wake>,
    /// Lives at least as long as its queue is held here.
    _consumer: Arc<BaseConsumer<C>>,
}

impl<C: ConsumerContext + 'static> OnReadable<C> {
    /// Calls `wake` each time that `consumer` has something. It is called on a thread of
    /// librdkafka's that holds a lock, so it must be quick and must not use the consumer. What there is
    /// already is not told.
    pub fn new(consumer: Arc<BaseConsumer<C>>, wake: impl Fn() + Send + Sync + 'static) -> Self {
        let wake: Box<Wake> = Box::new(Box::new(wake));
        let opaque = std::ptr::from_ref::<Wake>(&wake).cast_mut().cast::<c_void>();
        // SAFETY: the client handle lives as long as `consumer`, of which this holds a part, and the
        // queue is ours until it is given back. `opaque` points to a closure that may be called on any
        // thread, and that lives until the callback has been taken away.
        let queue = unsafe {
            let queue = sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr());
            sys::rd_kafka_queue_cb_event_enable(queue, Some(tell), opaque);
            queue
        };
        Self { queue, wake, _consumer: consumer }
    }

    /// Whether there is anything now, be it a record or what else a poll takes care of.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        // SAFETY: the queue is ours until this is dropped, and has a lock of its own.
        unsafe { sys::rd_kafka_queue_length(self.queue) > 0 }
    }
}

// SAFETY: the queue has a lock of its own and may be used on any thread, the closure may be called and
// dropped on any, and so may the consumer.
unsafe impl<C: ConsumerContext + 'static> Send for OnReadable<C> {}

impl<C: ConsumerContext + 'static> Drop for OnReadable<C> {
    fn drop(&mut self) {
        // SAFETY: the queue is ours and given back once. Taking the callback away needs the lock under
        // which it is called, so it is not running any more when the closure is dropped.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue, None, std::ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue);
        }
    }
}

impl<C: ConsumerContext + 'static> fmt::Debug for OnReadable<C> {
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
