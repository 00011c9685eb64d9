//! Names of messaging attributes. These conventions are still in development: what changes in them is changed here alone.

/// Which system.
pub const SYSTEM: &str = "messaging.system";
/// The value of [`SYSTEM`].
pub const KAFKA: &str = "kafka";
/// What is done, by name.
pub const OPERATION: &str = "messaging.operation.name";
/// What kind of operation that is.
pub const OPERATION_TYPE: &str = "messaging.operation.type";
/// Sending, as both.
pub const SEND: &str = "send";
/// Processing, as both.
pub const PROCESS: &str = "process";
/// The topic.
pub const TOPIC: &str = "messaging.destination.name";
/// The partition, as text.
pub const PARTITION: &str = "messaging.destination.partition.id";
/// The consumer group.
pub const GROUP: &str = "messaging.consumer.group.name";
/// The message's id.
pub const MESSAGE: &str = "messaging.message.id";
/// The record's key.
pub const KEY: &str = "messaging.kafka.message.key";
/// The record's offset.
pub const OFFSET: &str = "messaging.kafka.offset";
