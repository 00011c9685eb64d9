//! Ctrl-C as a value: heard from the moment of [`Interrupts::listen`], so that none falls between two waits.

use tokio::sync::watch;

/// The interrupts of this process since the listening began.
pub(crate) struct Interrupts(watch::Receiver<u32>);

impl Interrupts {
    /// Begins to listen; from now on an interrupt does not end the process by itself.
    pub(crate) fn listen() -> Self {
        let (count, interrupts) = watch::channel(0);
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                count.send_modify(|count| *count += 1);
            }
        });
        Self(interrupts)
    }

    /// The next one.
    pub(crate) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // The system gives no signals: then there are none to wait for.
            std::future::pending::<()>().await;
        }
    }
}
