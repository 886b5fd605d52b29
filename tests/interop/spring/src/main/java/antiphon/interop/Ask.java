package antiphon.interop;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.listener.ContainerProperties;
import org.springframework.kafka.listener.KafkaMessageListenerContainer;
import org.springframework.kafka.requestreply.ReplyingKafkaTemplate;
import org.springframework.kafka.requestreply.RequestReplyFuture;
import org.springframework.kafka.support.TopicPartitionOffset;

/** A Spring requester: sends every request at once, then prints the replies in the order of the requests. */
final class Ask {

    private final AskOptions options;
    private final long deadline;

    private Ask(AskOptions options) {
        this.options = options;
        this.deadline = System.nanoTime() + options.timeout().toNanos();
    }

    static int run(AskOptions options) throws Exception {
        Watch.endWhenStdinCloses();
        // Every wait below ends at the deadline by itself; this catches the one that does not.
        Watch.endAfter(options.timeout().plusSeconds(10), "ask");
        return new Ask(options).ask();
    }

    private int ask() throws Exception {
        var producers = new DefaultKafkaProducerFactory<String, String>(Map.of(
                ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, options.bootstrap(),
                ProducerConfig.MAX_BLOCK_MS_CONFIG, options.timeout().toMillis(),
                ProducerConfig.KEY_SERIALIZER_CLASS_CONFIG, StringSerializer.class,
                ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG, StringSerializer.class));
        var template = new ReplyingKafkaTemplate<String, String, String>(producers, replyContainer());
        template.setBinaryCorrelation(!options.textCorrelation());
        template.setDefaultReplyTimeout(options.timeout());
        template.afterPropertiesSet();
        template.start();
        try {
            if (!template.waitForAssignment(Duration.ofNanos(left()))) {
                System.err.println("ask: the reply container was assigned no partition of " + options.replyTopic());
                return 1;
            }
            return collect(send(template));
        } finally {
            template.stop();
            template.destroy();
            producers.destroy();
        }
    }

    private List<RequestReplyFuture<String, String, String>> send(
            ReplyingKafkaTemplate<String, String, String> template) {
        List<RequestReplyFuture<String, String, String>> futures = new ArrayList<>();
        for (int i = 0; i < options.count(); i++) {
            var request = new ProducerRecord<>(options.requestTopic(), "key-" + i, "spring-" + i);
            if (options.endpoint() != null) {
                request.headers().add("antiphon-endpoint", options.endpoint().getBytes(StandardCharsets.UTF_8));
            }
            futures.add(template.sendAndReceive(request));
        }
        return futures;
    }

    private int collect(List<RequestReplyFuture<String, String, String>> futures) throws InterruptedException {
        int failed = 0;
        for (int i = 0; i < futures.size(); i++) {
            try {
                // A failed send does not complete Spring's reply future, so it is looked at first.
                futures.get(i).getSendFuture().get(left(), TimeUnit.NANOSECONDS);
                ConsumerRecord<String, String> reply = futures.get(i).get(left(), TimeUnit.NANOSECONDS);
                Line.print(Line.reply(i, "spring-" + i, reply));
            } catch (ExecutionException e) {
                System.err.println("ask: request " + i + " failed: " + e.getCause());
                failed++;
            } catch (TimeoutException e) {
                System.err.println("ask: request " + i + " had no reply after " + options.timeout().toSeconds() + " s");
                failed++;
            }
        }
        if (failed > 0) {
            System.err.println("ask: " + failed + " of " + futures.size() + " requests were not answered");
        }
        return failed == 0 ? 0 : 1;
    }

    private long left() {
        return Math.max(0, deadline - System.nanoTime());
    }

    private KafkaMessageListenerContainer<String, String> replyContainer() {
        var consumers = new DefaultKafkaConsumerFactory<String, String>(Map.of(
                ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, options.bootstrap(),
                ConsumerConfig.GROUP_ID_CONFIG, "ask-" + UUID.randomUUID(),
                // Assigned is not yet positioned: reading from the start cannot miss an early reply.
                ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest",
                ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, StringDeserializer.class,
                ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, StringDeserializer.class));
        // Only a container with one fixed partition makes Spring send kafka_replyPartition.
        var properties = options.replyPartition() == null
                ? new ContainerProperties(options.replyTopic())
                : new ContainerProperties(new TopicPartitionOffset(options.replyTopic(), options.replyPartition()));
        properties.setShutdownTimeout(Duration.ofSeconds(5).toMillis());
        return new KafkaMessageListenerContainer<>(consumers, properties);
    }
}
