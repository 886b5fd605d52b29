package antiphon.interop;

import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;

import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;
import tools.jackson.databind.json.JsonMapper;

/** One line of standard output: a record as JSON, its headers byte for byte in hexadecimal. */
final class Line {

    private static final JsonMapper JSON = JsonMapper.builder().build();

    private Line() {
    }

    static String reply(int i, String request, ConsumerRecord<String, String> reply) {
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("i", i);
        fields.put("request", request);
        fields.put("reply", reply.value());
        return json(fields, reply);
    }

    static String request(ConsumerRecord<String, String> request) {
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("request", request.value());
        return json(fields, request);
    }

    /** Writes a whole line at once, so that the harness never reads half of one. */
    static synchronized void print(String line) {
        System.out.println(line);
        System.out.flush();
    }

    private static String json(Map<String, Object> fields, ConsumerRecord<String, String> record) {
        fields.put("key", record.key());
        fields.put("partition", record.partition());
        fields.put("headers", headers(record));
        return JSON.writeValueAsString(fields);
    }

    /** A name that came twice keeps both values, with a comma between, so that no test overlooks it. */
    private static Map<String, String> headers(ConsumerRecord<String, String> record) {
        Map<String, String> headers = new LinkedHashMap<>();
        for (Header header : record.headers()) {
            byte[] value = header.value() == null ? new byte[0] : header.value();
            headers.merge(header.key(), HexFormat.of().formatHex(value), (first, second) -> first + "," + second);
        }
        return headers;
    }
}
