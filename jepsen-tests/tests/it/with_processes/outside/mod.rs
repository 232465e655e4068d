//! Faults that users of such systems have met, each by its smallest input against real processes: what could end a
//! node, stall it, fill it or mislead a client.

mod credentials;
mod links;
mod reload;
mod watches;
