package antiphon.bench;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** What one process is to be, from its arguments: {@code CONTENDER --bootstrap B --topic T --payload N --acks A}. */
record Role(String contender, String bootstrap, String topic, int payload, String acks) {

    static Role parse(List<String> args) {
        Map<String, String> options = new HashMap<>();
        for (int i = 1; i + 1 < args.size(); i += 2) {
            options.put(args.get(i), args.get(i + 1));
        }
        return new Role(args.get(0), options.get("--bootstrap"), options.get("--topic"),
                Integer.parseInt(options.get("--payload")), options.get("--acks"));
    }

    String replyTopic() {
        return topic + ".replies";
    }

    /** The client's defaults, but for what the contender's name says and what all contenders share. */
    Map<String, Object> producer() {
        Map<String, Object> properties = new HashMap<>(Map.of(
                ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap,
                ProducerConfig.ACKS_CONFIG, acks,
                ProducerConfig.MAX_REQUEST_SIZE_CONFIG, 2_000_000,
                ProducerConfig.KEY_SERIALIZER_CLASS_CONFIG, ByteArraySerializer.class,
                ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG, ByteArraySerializer.class));
        // Idempotence is on by default, and asks for acks=all.
        if (!acks.equals("all")) {
            properties.put(ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, false);
        }
        switch (contender) {
            case "spring-linger-0" -> properties.put(ProducerConfig.LINGER_MS_CONFIG, 0);
            case "spring-linger-1" -> properties.put(ProducerConfig.LINGER_MS_CONFIG, 1);
            case "spring" -> { }
            default -> throw new IllegalArgumentException("unknown contender " + contender);
        }
        return properties;
    }

    Map<String, Object> consumer() {
        return new HashMap<>(Map.of(
                ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap,
                ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest",
                ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class,
                ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class));
    }
}
