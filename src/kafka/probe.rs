//! Asks the brokers, in a steady rhythm, whether they are there: a node that has nothing to say would not notice that they are not.

use super::client::{self, BrokerState, ClientCallbacks};
use crate::config::KafkaSettings;
use rdkafka::admin::AdminClient;
use rdkafka::error::KafkaError;
use std::sync::Arc;
use std::time::Duration;

/// The client that asks.
#[derive(Clone)]
pub struct Probe {
    client: Arc<AdminClient<ClientCallbacks>>,
    state: BrokerState,
    limit: Duration,
}

impl Probe {
    /// A client of its own.
    ///
    /// # Errors
    /// A setting that librdkafka does not take.
    pub fn new(settings: &KafkaSettings, state: &BrokerState) -> Result<Self, KafkaError> {
        let client = client::config(settings, "probe")?.create_with_context(ClientCallbacks(state.clone()))?;
        Ok(Self { client: Arc::new(client), state: state.clone(), limit: Duration::from_millis(settings.request_timeout_ms) })
    }

    /// Whether they answer within the limit; what is known of them is brought up to date.
    pub async fn look(&self) -> bool {
        let (client, limit) = (self.client.clone(), self.limit);
        // The question waits on its thread.
        let asking = tokio::task::spawn_blocking(move || client.inner().fetch_metadata(Some("__ordermill_probe"), limit).map(drop));
        match asking.await {
            Ok(Ok(())) => {
                self.state.answered();
                true
            }
            Ok(Err(error)) => {
                self.state.away(&error.to_string());
                false
            }
            Err(_) => false,
        }
    }
}
