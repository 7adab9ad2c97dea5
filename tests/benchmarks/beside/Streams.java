import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** The common task on Kafka Streams: arguments are the servers, the topic, how many records it holds, a folder and the guarantee. */
public final class Streams {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final AtomicLong RECORDS = new AtomicLong();
    private static final AtomicLong BOUNCED = new AtomicLong();
    private static final AtomicLong BEGAN = new AtomicLong();
    private static final CountDownLatch DONE = new CountDownLatch(1);

    private static final class Paths implements Processor<byte[], byte[], Void, Void> {
        private final long total;
        private KeyValueStore<byte[], byte[]> store;

        Paths(long total) {
            this.total = total;
        }

        @Override
        public void init(ProcessorContext<Void, Void> context) {
            store = context.getStateStore("paths");
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            BEGAN.compareAndSet(0, System.nanoTime());
            try {
                JsonNode fact = JSON.readTree(record.value());
                JsonNode place = fact.path("data").path("department");
                String type = fact.path("type").asText();
                boolean moves = type.equals("parcours.case.worked.v1") || type.equals("parcours.contact.handled.v1");
                if (fact.path("specversion").asText().equals("1.0") && moves && place.isTextual()) {
                    byte[] before = store.get(record.key());
                    ObjectNode cases = before == null ? JSON.createObjectNode() : (ObjectNode) JSON.readTree(before);
                    String name = fact.path("data").path("case").asText();
                    ArrayNode path = (ArrayNode) cases.get(name);
                    if (path == null) {
                        path = cases.putArray(name).add(place.asText()).add(0);
                    } else if (!path.get(0).asText().equals(place.asText())) {
                        int hops = path.get(1).asInt() + 1;
                        path.removeAll().add(place.asText()).add(hops);
                        if (hops == 4) {
                            BOUNCED.incrementAndGet();
                        }
                    }
                    store.put(record.key(), JSON.writeValueAsBytes(cases));
                }
            } catch (java.io.IOException wrong) {
                throw new IllegalStateException(wrong);
            }
            if (RECORDS.incrementAndGet() == total) {
                DONE.countDown();
            }
        }
    }

    public static void main(String[] said) throws Exception {
        Properties wanted = new Properties();
        wanted.put(StreamsConfig.APPLICATION_ID_CONFIG, "beside-" + System.nanoTime());
        wanted.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, said[0]);
        wanted.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, said[4]);
        wanted.put(StreamsConfig.STATE_DIR_CONFIG, said[3]);
        wanted.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        wanted.put("consumer.auto.offset.reset", "earliest");
        long total = Long.parseLong(said[2]);
        Topology topology = new Topology();
        topology.addSource("facts", Serdes.ByteArray().deserializer(), Serdes.ByteArray().deserializer(), said[1]);
        topology.addProcessor("path", () -> new Paths(total), "facts");
        topology.addStateStore(
            Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("paths"), Serdes.ByteArray(), Serdes.ByteArray()), "path");
        KafkaStreams streams = new KafkaStreams(topology, wanted);
        streams.start();
        DONE.await();
        streams.close(); // commits what is left
        double seconds = (System.nanoTime() - BEGAN.get()) / 1e9;
        System.out.printf(
            java.util.Locale.ROOT, "{\"records\":%d,\"seconds\":%.3f,\"bounced\":%d}%n", RECORDS.get(), seconds, BOUNCED.get());
        System.exit(0);
    }
}
