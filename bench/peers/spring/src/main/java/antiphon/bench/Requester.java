package antiphon.bench;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.UUID;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;

import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.listener.ContainerProperties;
import org.springframework.kafka.listener.KafkaMessageListenerContainer;
import org.springframework.kafka.requestreply.ReplyingKafkaTemplate;

import tools.jackson.databind.JsonNode;
import tools.jackson.databind.ObjectMapper;

/** A {@code ReplyingKafkaTemplate} that measures what standard input orders. */
final class Requester {

    private static final Duration LONGEST = Duration.ofSeconds(60);

    private final Role role;
    private final byte[] payload;
    private final ReplyingKafkaTemplate<byte[], byte[], byte[]> template;

    private Requester(Role role) {
        this.role = role;
        this.payload = new byte[role.payload()];
        java.util.Arrays.fill(payload, (byte) 'x');
        var properties = role.consumer();
        properties.put(ConsumerConfig.GROUP_ID_CONFIG, "spring-requester-" + UUID.randomUUID());
        var container = new KafkaMessageListenerContainer<byte[], byte[]>(
                new DefaultKafkaConsumerFactory<>(properties), new ContainerProperties(role.replyTopic()));
        this.template = new ReplyingKafkaTemplate<>(new DefaultKafkaProducerFactory<>(role.producer()), container);
        template.setDefaultReplyTimeout(LONGEST);
        template.afterPropertiesSet();
        template.start();
    }

    static void run(Role role) throws Exception {
        var requester = new Requester(role);
        if (!requester.template.waitForAssignment(LONGEST)) {
            throw new IllegalStateException("no partition of " + role.replyTopic() + " was assigned");
        }
        System.out.println("ready");
        var json = new ObjectMapper();
        var input = new BufferedReader(new InputStreamReader(System.in));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            System.out.println(requester.measure(json.readTree(line)));
        }
    }

    /** One thread sends; replies come on the container's. */
    private String measure(JsonNode order) throws InterruptedException {
        int inFlight = order.get("in_flight").intValue();
        int requests = order.get("requests").intValue();
        JsonNode rate = order.get("rate");
        double perSecond = rate == null || rate.isNull() ? 0 : rate.doubleValue();
        long[] micros = new long[requests];
        var ended = new AtomicInteger();
        var failed = new AtomicInteger();
        var room = new Semaphore(inFlight);
        long cpu = cpuMicros();
        long started = System.nanoTime();
        for (int number = 0; number < requests; number++) {
            long due = perSecond > 0 ? started + (long) (number * 1e9 / perSecond) : 0;
            for (long early = due - System.nanoTime(); perSecond > 0 && early > 0; early = due - System.nanoTime()) {
                LockSupport.parkNanos(early);
            }
            room.acquire();
            long from = perSecond > 0 ? due : System.nanoTime();
            template.sendAndReceive(new ProducerRecord<>(role.topic(), payload)).whenComplete((reply, error) -> {
                if (error == null) {
                    micros[ended.getAndIncrement()] = (System.nanoTime() - from) / 1000;
                } else {
                    failed.incrementAndGet();
                }
                room.release();
            });
        }
        room.acquire(inFlight);
        double seconds = (System.nanoTime() - started) / 1e9;
        return figures(micros, ended.get(), failed.get(), seconds, cpuMicros() - cpu);
    }

    private static String figures(long[] micros, int answered, int failed, double seconds, long cpu) {
        java.util.Arrays.sort(micros, 0, answered);
        java.util.function.DoubleFunction<Long> at = quantile ->
                answered == 0 ? 0 : micros[Math.min(answered - 1, (int) Math.ceil(quantile * answered) - 1)];
        return ("{\"requests\":%d,\"errors\":%d,\"seconds\":%s,\"cpu_us\":%d,\"min_us\":%d,\"p50_us\":%d,"
                + "\"p90_us\":%d,\"p99_us\":%d,\"p999_us\":%d,\"max_us\":%d}").formatted(
                answered + failed, failed, Double.toString(seconds), cpu, at.apply(1e-9), at.apply(0.5), at.apply(0.9),
                at.apply(0.99), at.apply(0.999), at.apply(1.0));
    }

    /** User and system time of this process. */
    private static long cpuMicros() {
        var bean = (com.sun.management.OperatingSystemMXBean)
                java.lang.management.ManagementFactory.getOperatingSystemMXBean();
        return bean.getProcessCpuTime() / 1000;
    }
}
