package antiphon.bench;

import java.util.Map;

import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.env.MapPropertySource;
import org.springframework.kafka.annotation.EnableKafka;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.config.ConcurrentKafkaListenerContainerFactory;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.messaging.handler.annotation.SendTo;

/** An {@code @SendTo} listener that echoes. */
final class Replier {

    private Replier() {
    }

    static void run(Role role) throws Exception {
        try (var context = new AnnotationConfigApplicationContext()) {
            context.getEnvironment().getPropertySources().addFirst(new MapPropertySource("arguments", Map.of(
                    "topic", role.topic(),
                    "concurrency", System.getenv().getOrDefault("SPRING_CONCURRENCY", "1"))));
            context.registerBean(Role.class, () -> role);
            context.register(Listener.class);
            context.refresh();
            System.out.println("ready");
            System.in.transferTo(java.io.OutputStream.nullOutputStream());
        }
    }

    @Configuration
    @EnableKafka
    static class Listener {

        @KafkaListener(topics = "${topic}", groupId = "${topic}", concurrency = "${concurrency}")
        @SendTo
        byte[] heard(byte[] payload) {
            return payload;
        }

        @Bean
        ConcurrentKafkaListenerContainerFactory<byte[], byte[]> kafkaListenerContainerFactory(Role role) {
            var factory = new ConcurrentKafkaListenerContainerFactory<byte[], byte[]>();
            factory.setConsumerFactory(new DefaultKafkaConsumerFactory<>(role.consumer()));
            factory.setReplyTemplate(new KafkaTemplate<>(new DefaultKafkaProducerFactory<>(role.producer())));
            return factory;
        }
    }
}
