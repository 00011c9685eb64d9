//! Money that was taken under a key of which the payment's row does not tell: it is given back. Nothing else that is stored tells of it, so a
//! dead letter does, from before the first call until the money is back.

use super::task::{At, GivenUp, PaymentTask};
use super::trouble::Trouble;
use crate::actors::protocol::fate::Fate;
use crate::actors::runtime::pause::pause;
use crate::db::Write;
use crate::domain::{DeadLetter, Order};
use crate::providers::ChargeKey;
use crate::saga::park::{PROVIDER, key_letter, key_settled};

impl PaymentTask {
    /// Gives back what was taken under this attempt's key, unless the stored row tells of it.
    pub(super) async fn give_back_stray(&self, order: &Order, attempt: u32) -> Result<(), GivenUp> {
        let row = self.read(|reads, id| reads.payment(id)).await?;
        if row.is_some_and(|row| row.records(attempt)) {
            return Ok(());
        }
        let key = ChargeKey { order: order.id, attempt };
        let detail = format!("{key} was charged although the payment had another outcome by then: the money is being given back");
        self.keep_stray(order, attempt, (PROVIDER, &detail, 0)).await?;
        let mut trouble = Trouble::default();
        while let Err(error) = self.call("refund", self.provider().give_back(key, order.total)).await {
            self.stumble(order, At::Stray(attempt), error, &mut trouble, None).await?;
        }
        self.store_letter(key_settled(order.id, order.shard, attempt, self.cell.node.now())).await
    }

    /// Cause, detail and tries tell a person why the money is not back yet.
    pub(super) async fn keep_stray(&self, order: &Order, attempt: u32, (cause, detail, tries): (&str, &str, u32)) -> Result<(), GivenUp> {
        let letter = key_letter(order.id, order.shard, attempt, self.cell.node.now());
        self.store_letter(letter.because(cause, detail, tries)).await
    }

    /// Stores the dead letter, again and again until it is: nobody asks for it.
    async fn store_letter(&self, letter: DeadLetter) -> Result<(), GivenUp> {
        loop {
            match self.cell.node.journal.ask(Write::AddLetter(letter.clone()), None).await {
                Ok(Fate::NotStored) => pause(self.cell.node.settings.tick_ms.max(1)).await,
                Ok(Fate::Refused(why)) => {
                    tracing::error!(order.id = %self.id, cause = %why, "a dead letter about a stray charge cannot be stored: {}", letter.detail);
                    return Ok(());
                }
                Ok(Fate::Stored(_) | Fate::Recorded | Fate::NotOurs) => return Ok(()),
                // The node is stopping.
                Err(_) => return Err(GivenUp),
            }
        }
    }
}
