package com.acme.pay;

import com.fasterxml.jackson.databind.JavaType;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.type.TypeFactory;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.listener.ContainerProperties;
import org.springframework.kafka.listener.ConcurrentMessageListenerContainer;
import org.springframework.kafka.listener.DefaultErrorHandler;
import org.springframework.kafka.listener.MessageListener;
import org.springframework.kafka.support.serializer.ErrorHandlingDeserializer;
import org.springframework.kafka.support.serializer.JsonDeserializer;
import org.springframework.kafka.support.serializer.JsonSerializer;

/**
 * A payment service with spring-kafka in its default settings: it reads ordermill's topics by a type-mapping method, and answers on
 * payment-events with JsonSerializer, which names the class in __TypeId__. It charges up to 500 and declines more.
 *
 * <p>Arguments: BROKERS TOPIC_PREFIX [GROUP]. What it reads is printed: read TOPIC TYPE ORDER. It keeps nothing: with a new group at
 * each start it reads all again, and answers as before.
 */
public final class Payments {
    private static final BigDecimal LIMIT = new BigDecimal(500);

    /** What ordermill says; JsonDeserializer passes over fields that are not here. */
    public record OrderCreated(UUID orderId, BigDecimal totalAmount, UUID correlationId) {}

    public record InventoryReserved(UUID orderId) {}

    /** Where another team runs the stock, its answer counts when ordermill has accepted it. */
    public record AnswerAccepted(UUID orderId, String answer) {}

    public record PaymentProcessedEvent(
            UUID eventId, UUID orderId, UUID paymentId, BigDecimal amount, String paymentMethod, Instant timestamp, UUID correlationId) {}

    public record PaymentFailedEvent(UUID eventId, UUID orderId, String paymentId, String reason, Instant timestamp, UUID correlationId) {}

    /** The type-mapping method: ordermill names its events in ce_type, as ordermill.OrderCreated.v1. */
    public static JavaType typeOf(String topic, byte[] data, Headers headers) {
        Class<?> type =
                switch (kind(headers)) {
                    case "ordermill.OrderCreated.v1" -> OrderCreated.class;
                    case "ordermill.InventoryReserved.v1" -> InventoryReserved.class;
                    case "ordermill.AnswerAccepted.v1" -> AnswerAccepted.class;
                    default -> JsonNode.class;
                };
        return TypeFactory.defaultInstance().constructType(type);
    }

    private static String kind(Headers headers) {
        Header header = headers.lastHeader("ce_type");
        return header == null ? "-" : new String(header.value(), StandardCharsets.UTF_8);
    }

    private final Map<UUID, OrderCreated> orders = new HashMap<>();
    private final Set<UUID> reserved = new HashSet<>();
    private final Set<UUID> answered = new HashSet<>();
    private final KafkaTemplate<String, Object> template;
    private final String topic;

    private Payments(KafkaTemplate<String, Object> template, String topic) {
        this.template = template;
        this.topic = topic;
    }

    private synchronized void hear(Object event) {
        UUID id;
        if (event instanceof OrderCreated created) {
            id = created.orderId();
            orders.put(id, created);
        } else if (event instanceof InventoryReserved held) {
            id = held.orderId();
            reserved.add(id);
        } else if (event instanceof AnswerAccepted accepted && accepted.answer().equals("InventoryReserved")) {
            id = accepted.orderId();
            reserved.add(id);
        } else {
            return;
        }
        OrderCreated order = orders.get(id);
        if (order == null || !reserved.contains(id) || !answered.add(id)) {
            return;
        }
        Object answer =
                order.totalAmount().compareTo(LIMIT) <= 0
                        ? new PaymentProcessedEvent(
                                UUID.randomUUID(), id, UUID.randomUUID(), order.totalAmount(), "CREDIT_CARD", Instant.now(), order.correlationId())
                        : new PaymentFailedEvent(null, id, "pi_declined", "over the limit", Instant.now(), order.correlationId());
        template.send(topic, id.toString(), answer);
    }

    public static void main(String[] arguments) {
        String brokers = arguments[0];
        String prefix = arguments[1];
        var producers =
                new DefaultKafkaProducerFactory<String, Object>(
                        Map.of(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, brokers), new StringSerializer(), new JsonSerializer<>());
        var payments = new Payments(new KafkaTemplate<>(producers), prefix + "payment-events");
        var consumers =
                new DefaultKafkaConsumerFactory<String, Object>(
                        Map.of(
                                ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, brokers,
                                ConsumerConfig.GROUP_ID_CONFIG, prefix + (arguments.length > 2 ? arguments[2] : "spring"),
                                ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest",
                                ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, StringDeserializer.class,
                                // What is on a .DLQ may be no JSON: it becomes a null, not an endless loop.
                                ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, ErrorHandlingDeserializer.class,
                                ErrorHandlingDeserializer.VALUE_DESERIALIZER_CLASS, JsonDeserializer.class,
                                JsonDeserializer.VALUE_TYPE_METHOD, Payments.class.getName() + ".typeOf"));
        String[] topics =
                new String[] {
                    "order-events", "inventory-events", "payment-events", "notification-events", "shipping-events",
                    "order-events.DLQ", "inventory-events.DLQ", "payment-events.DLQ", "notification-events.DLQ", "shipping-events.DLQ"
                };
        for (int i = 0; i < topics.length; i++) {
            topics[i] = prefix + topics[i];
        }
        var properties = new ContainerProperties(topics);
        properties.setMessageListener(
                (MessageListener<String, Object>)
                        message -> {
                            System.out.println("read " + message.topic().substring(prefix.length()) + " " + kind(message.headers()) + " " + message.key());
                            payments.hear(message.value());
                        });
        var container = new ConcurrentMessageListenerContainer<>(consumers, properties);
        // What cannot be read, as on a .DLQ, does not come to the listener: it comes here, and is passed over.
        container.setCommonErrorHandler(
                new DefaultErrorHandler(
                        (message, error) ->
                                System.out.println(
                                        "read " + message.topic().substring(prefix.length()) + " " + kind(message.headers()) + " " + message.key())));
        container.start();
        System.out.println("ready");
    }
}
