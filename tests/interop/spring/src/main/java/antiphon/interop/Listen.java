package antiphon.interop;

import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;

import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.env.Environment;
import org.springframework.core.env.MapPropertySource;
import org.springframework.kafka.annotation.EnableKafka;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.config.ConcurrentKafkaListenerContainerFactory;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.listener.ConsumerAwareRebalanceListener;
import org.springframework.messaging.handler.annotation.SendTo;

/** A Spring replier: answers every request as its headers ask, and prints what the request looked like. */
final class Listen {

    private Listen() {
    }

    static int run(List<String> args) throws Exception {
        if (args.size() != 3) {
            throw new IllegalArgumentException("listen takes 3 arguments, not " + args.size());
        }
        try (var context = new AnnotationConfigApplicationContext()) {
            context.getEnvironment().getPropertySources().addFirst(new MapPropertySource("arguments", Map.of(
                    "bootstrap", args.get(0), "topic", args.get(1), "group", args.get(2))));
            context.register(Replier.class);
            context.refresh();
            Watch.awaitStdinClosed();
            Watch.endAfter(Duration.ofSeconds(10), "listen: stopping the containers");
        }
        return 0;
    }

    /** The textbook listener: the reply topic, the correlation id and the key are Spring's business alone. */
    @Configuration
    @EnableKafka
    static class Replier {

        @KafkaListener(topics = "${topic}", groupId = "${group}")
        @SendTo
        String heard(String payload) {
            return "heard:" + payload;
        }

        @Bean
        DefaultKafkaProducerFactory<String, String> producers(
                Environment arguments) {
            return new DefaultKafkaProducerFactory<>(Map.of(
                    ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, arguments.getRequiredProperty("bootstrap"),
                    // A reply to a partition that does not exist would otherwise block the listener for a minute.
                    ProducerConfig.MAX_BLOCK_MS_CONFIG, 5000,
                    ProducerConfig.KEY_SERIALIZER_CLASS_CONFIG, StringSerializer.class,
                    ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG, StringSerializer.class));
        }

        @Bean
        ConcurrentKafkaListenerContainerFactory<String, String> kafkaListenerContainerFactory(
                Environment arguments,
                DefaultKafkaProducerFactory<String, String> producers) {
            var factory = new ConcurrentKafkaListenerContainerFactory<String, String>();
            factory.setConsumerFactory(new DefaultKafkaConsumerFactory<>(Map.of(
                    ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, arguments.getRequiredProperty("bootstrap"),
                    ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest",
                    ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, StringDeserializer.class,
                    ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, StringDeserializer.class)));
            factory.setReplyTemplate(new KafkaTemplate<>(producers));
            // The interceptor sees the record before any header is mapped to a Java type.
            factory.setRecordInterceptor((record, consumer) -> {
                Line.print(Line.request(record));
                return record;
            });
            factory.getContainerProperties().setConsumerRebalanceListener(new Announcer());
            return factory;
        }
    }

    /** Says once on standard output that requests can be answered from now on. */
    private static final class Announcer implements ConsumerAwareRebalanceListener {

        private boolean announced;

        @Override
        public void onPartitionsAssigned(Consumer<?, ?> consumer, Collection<TopicPartition> partitions) {
            if (!announced && !partitions.isEmpty()) {
                announced = true;
                Line.print("READY");
            }
        }
    }
}
