//! Asks the members who belongs to the cluster.

use std::time::Duration;

use openraft::type_config::TypeConfigExt;

use crate::replica::Types;
use crate::server::peer::connecting::connections::Connections;

/// The least time between two questions to the members about who belongs to the cluster.
const ASK_PAUSE: Duration = Duration::from_secs(1);
/// The longest time between these questions, reached while the answers bring no news.
const ASK_PAUSE_MAX: Duration = Duration::from_secs(60);

impl<T: Types> Connections<T> {
    /// Whenever a node calls that is no member as far as this node knows, asks the members and the nodes at the addresses
    /// `join` who belongs to the cluster: the caller may have been added while this node was away. Does not end.
    pub async fn keep_asking(self, join: Vec<String>) {
        let mut pause = ASK_PAUSE;
        loop {
            self.members().unknown().await;
            let known = self.members().addresses();
            let mut news = false;
            for addr in known.iter().chain(&join) {
                if let Ok(answer) = self.hello(addr).await
                    && answer.cluster_id.is_some()
                    && answer.cluster_id == self.cluster_id()
                {
                    news |= self.members().hear(&answer.membership);
                }
            }
            if news {
                pause = ASK_PAUSE;
            }
            T::sleep(pause).await;
            if !news {
                pause = (pause * 2).min(ASK_PAUSE_MAX);
            }
        }
    }
}
