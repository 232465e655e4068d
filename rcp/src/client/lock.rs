//! Locks: a guard that holds a lock for as long as it lives, and says when the lock is lost.

mod keeper;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use super::{Client, Error};
use crate::Code;
use crate::message::locks::{LockAcquire, LockHeld, LockRelease, WAIT_MS};
use crate::message::meta::{Fence, Meta};
use keeper::{LockKeeper, LockState, held_until};

/// The time for which a lock is asked for, if the caller does not say.
const TTL_DEFAULT: Duration = Duration::from_secs(30);
/// The pause before a release is tried again whose outcome is unknown.
const RELEASE_PAUSE: Duration = Duration::from_millis(100);

impl Client {
    /// A lock, to be acquired: `client.lock("billing").wait(Duration::from_secs(60)).acquire().await?`.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use rstmdb_rcp::client::{Client, Error};
    /// use rstmdb_rcp::message::instance::ApplyEvent;
    /// use rstmdb_rcp::message::meta::Meta;
    ///
    /// # async fn bill(client: Client) -> Result<(), Error> {
    /// let lock = client.lock("billing").wait(Duration::from_secs(60)).acquire().await?;
    /// let pay = ApplyEvent {
    ///     instance_id: "order-1".into(),
    ///     event: "PAY".into(),
    ///     // The cluster refuses the write if the lock is lost by then.
    ///     meta: Meta::default().fence(lock.fence()?),
    ///     ..ApplyEvent::default()
    /// };
    /// client.apply_event(&pay).await?;
    /// lock.release().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn lock(&self, name: impl Into<String>) -> LockRequest<'_> {
        LockRequest {
            client: self,
            name: name.into(),
            owner: None,
            ttl: TTL_DEFAULT,
            wait: Duration::ZERO,
            meta: Meta::default(),
        }
    }
}

/// A lock that is not acquired yet.
#[derive(Debug, Clone)]
#[must_use = "a lock is asked for by `acquire`"]
pub struct LockRequest<'c> {
    client: &'c Client,
    name: String,
    owner: Option<String>,
    ttl: Duration,
    wait: Duration,
    meta: Meta<'static>,
}

impl LockRequest<'_> {
    /// The owner's name, for people who look at the lock. The library adds a random part, because two owners with the
    /// same name would share the lock. The default is the client's name and the process id.
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// After how long the lock expires if its owner does not renew it: a second to a day; the default is 30 s. The
    /// guard renews each time a third of it has passed. If it is shorter than a change of the leader (some seconds),
    /// such a change loses the lock.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// For how long to wait while another owner has the lock: a day at most. Owners that wait get the lock in the order
    /// in which they came, and keep their places when the client has to change to another node. Dropping the future
    /// gives up the place.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// The metadata of the grant and of the renewals.
    pub fn meta(mut self, meta: Meta<'static>) -> Self {
        self.meta = meta;
        self
    }

    /// Acquires the lock.
    ///
    /// # Errors
    /// [`Error::Refused`] with [`Code::LockHeld`] when another owner has it and the wait is over, [`Error::Request`] if the
    /// wait is too long, and as for any call.
    pub async fn acquire(self) -> Result<Lock, Error> {
        let wait_ms = millis(self.wait);
        if !WAIT_MS.contains(&wait_ms) {
            let most = WAIT_MS.end();
            let problem = format!("the wait for a lock is {wait_ms} ms; 0 to {most} are allowed");
            return Err(Error::Request(problem));
        }
        let options = &self.client.session.dialer.options;
        let label = self
            .owner
            .unwrap_or_else(|| format!("{}/{}", options.client_name, std::process::id()));
        // So that two locks of one name exclude each other also within one process.
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let owner = format!("{label}-{}", unique.get(..12).unwrap_or_default());
        let params = LockAcquire {
            name: self.name.as_str().into(),
            owner: owner.as_str().into(),
            ttl_ms: millis(self.ttl),
            wait_ms: None,
            meta: self.meta.clone(),
        };
        let (held, sent) = if self.wait.is_zero() {
            let sent = Instant::now();
            (self.client.lock_acquire(&params).await?.result, sent)
        } else {
            queue::wait(&self.client.session, params, self.wait).await?
        };
        Lock::hold(self.client.clone(), self.ttl, &held, sent, self.meta).await
    }
}

/// A lock that this process holds. A task renews it each time a third of its time has passed, over lost connections and
/// changes of the leader. Dropping it starts a release and does not wait for the outcome; [`Lock::release`] waits.
///
/// The lock can be lost before it is dropped: the process was paused, or the cluster could not be reached in time. So
///
/// - put [`Lock::fence`] on every write that the lock is to protect: the cluster refuses the write when the lock is lost;
/// - stop other work when [`Lock::lost`] resolves. It resolves no later than the cluster gives the lock to another owner,
///   as long as this process is not paused and clocks run at about the same speed. A change of the leader is an exception:
///   the log's time may jump forward with it, and the lock may then expire before this process knows. The fence protects
///   all the same.
///
/// The client library counts the lock's time by the monotonic clock of this process from the moment at which it *sent* the
/// last renewal, and stops an eighth of it early.
#[must_use = "dropping a lock releases it"]
pub struct Lock {
    client: Client,
    name: Arc<str>,
    owner: Arc<str>,
    token: u64,
    /// What the log says about the release.
    meta: Meta<'static>,
    state: watch::Receiver<LockState>,
    task: Option<AbortHandle>,
    /// It is released, or its release was tried and waited for.
    over: bool,
}

impl Lock {
    async fn hold(
        client: Client,
        ttl: Duration,
        held: &LockHeld<'static>,
        sent: Instant,
        meta: Meta<'static>,
    ) -> Result<Self, Error> {
        let (name, owner): (Arc<str>, Arc<str>) =
            ((*held.lock.name).into(), (*held.lock.owner).into());
        let (state, seen) = watch::channel(LockState::Held {
            until: held_until(sent, ttl),
            expires_at: held.lock.expires_at,
        });
        // The lock must be released also if the fence names another lock that is lost by then.
        let release_meta = Meta {
            fence: None,
            ..meta.clone()
        };
        let mut keeper = LockKeeper {
            client: client.clone(),
            name: name.clone(),
            token: held.lock.token,
            ttl,
            meta,
            state,
            sent,
        };
        let mut lock = Self {
            client,
            name,
            owner,
            token: held.lock.token,
            meta: release_meta,
            state: seen,
            task: None,
            over: false,
        };
        // After a long wait the time that counts from the request is over, or nearly.
        if sent.elapsed() >= ttl / 3 {
            keeper
                .renew(Instant::now() + ttl)
                .await
                .map_err(|reason| lock.lost_by(&reason))?;
        }
        lock.task = Some(tokio::spawn(keeper.run()).abort_handle());
        Ok(lock)
    }

    /// The lock's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who holds it, as other clients see it.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The token that the lock was granted with.
    ///
    /// # Errors
    /// [`Error::LockLost`].
    pub fn token(&self) -> Result<u64, Error> {
        self.check().map(|()| self.token)
    }

    /// What to put on writes, with [`Meta::fence`].
    ///
    /// # Errors
    /// [`Error::LockLost`].
    pub fn fence(&self) -> Result<Fence<'static>, Error> {
        let token = self.token()?;
        Ok(Fence::new(self.name.to_string(), token))
    }

    /// Whether it is still held, as far as this process can know.
    ///
    /// # Errors
    /// [`Error::LockLost`] with the reason.
    pub fn check(&self) -> Result<(), Error> {
        match self.state.borrow().reason(Instant::now()) {
            None => Ok(()),
            Some(reason) => Err(self.lost_by(&reason)),
        }
    }

    /// When the lock expires unless it is renewed again, Unix ms by the log's time, as the last renewal answered.
    pub fn expires_at(&self) -> Option<u64> {
        match *self.state.borrow() {
            LockState::Held { expires_at, .. } => Some(expires_at),
            LockState::Lost(_) => None,
        }
    }

    /// Resolves with [`Error::LockLost`] once the lock is lost. Dropping the future loses nothing.
    pub async fn lost(&self) -> Error {
        let mut state = self.state.clone();
        loop {
            let seen = state.borrow_and_update().reason(Instant::now());
            if let Some(reason) = seen {
                return self.lost_by(&reason);
            }
            if state.changed().await.is_err() {
                return self.lost_by("the task that renews it has ended");
            }
        }
    }

    /// Releases the lock: the first owner that waits gets it at once.
    ///
    /// # Errors
    /// [`Error::LockLost`] when it was lost before, at once. After any other error the lock may be held until it expires.
    pub async fn release(mut self) -> Result<(), Error> {
        self.check()?;
        self.stop();
        self.over = true;
        let released = release(&self.client, self.to_release()).await;
        released.map_err(|error| match error {
            Error::Refused(body) if body.code == Code::LockLost => self.lost_by(&body.message),
            error => error,
        })
    }

    fn to_release(&self) -> LockRelease<'static> {
        LockRelease {
            name: self.name.to_string().into(),
            token: self.token,
            meta: self.meta.clone(),
        }
    }

    fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }

    fn lost_by(&self, reason: &str) -> Error {
        Error::LockLost {
            name: self.name.to_string(),
            token: self.token,
            reason: reason.to_owned(),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.stop();
        // Without a runtime the lock expires by itself.
        if !self.over
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (client, name, params) =
                (self.client.clone(), self.name.clone(), self.to_release());
            runtime.spawn(async move {
                if let Err(error) = release(&client, params).await {
                    tracing::debug!(%error, lock = %name, "not released; it expires by itself");
                }
            });
        }
    }
}

impl std::fmt::Debug for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lock")
            .field("name", &self.name)
            .field("owner", &self.owner)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

async fn release(client: &Client, params: LockRelease<'static>) -> Result<(), Error> {
    match client.lock_release(&params).await {
        Ok(_) => return Ok(()),
        Err(error) if !error.outcome_unknown() => return Err(error),
        Err(_) => sleep(RELEASE_PAUSE).await,
    }
    match client.lock_release(&params).await {
        // The first try took effect after all.
        Err(Error::Refused(body)) if body.code == Code::LockLost => Ok(()),
        again => again.map(|_| ()),
    }
}

/// Longer than the protocol allows if it does not fit, so that the server refuses it.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
