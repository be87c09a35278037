//! [`Database`]: connections that are bounded in number and time.

use std::ops::{Deref, DerefMut};

use deadpool_postgres::{Client, Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use subwire::{Result, Status};
use tokio::time::timeout;
use tokio_postgres::{Error, NoTls};

use crate::{
    error::{failed, failed_query, invalid_config, no_connection, unavailable},
    limits,
    options::Target,
};

/// What every connection is told first: what we do not wait for it need not work on either.
fn session() -> String {
    let statement = limits::STATEMENT.as_millis();
    format!("SET statement_timeout = {statement}; SET lock_timeout = {statement}")
}

/// Connections to one database, made when they are needed.
#[derive(Clone)]
pub(crate) struct Database(Pool);

impl Database {
    /// At most this many connections.
    pub(crate) fn new(target: &Target, connections: usize) -> Result<Self> {
        // A broken connection is noticed when it is used: asking each time would cost as much as an insert.
        let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match target.tls.clone() {
            Some(tls) => Manager::from_config(target.config.clone(), tls.0, how),
            None => Manager::from_config(target.config.clone(), NoTls, how),
        };
        let begin = Hook::async_fn(|client, _| {
            Box::pin(async move { client.batch_execute(&session()).await.map_err(HookError::Backend) })
        });
        let pool = Pool::builder(manager)
            .max_size(connections)
            .wait_timeout(Some(limits::CONNECTION_WAIT))
            .create_timeout(Some(limits::CONNECT))
            .recycle_timeout(Some(limits::CONNECT))
            .runtime(Runtime::Tokio1)
            .post_create(begin)
            .build();
        pool.map(Self).map_err(|error| invalid_config(error.to_string()))
    }

    /// One of them.
    pub(crate) async fn connection(&self) -> Result<Connection> {
        self.0.get().await.map(|client| Connection(Some(client))).map_err(no_connection)
    }
}

/// A connection that is ours for a while. Only [`keep`](Self::keep) makes it one for others too: nobody
/// inherits one whose last statement failed, or was not waited for.
pub(crate) struct Connection(Option<Client>);

impl Connection {
    /// All went well.
    pub(crate) fn keep(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        drop(self.0.take().map(Client::take));
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.0.as_ref().expect("it is taken out only where the whole is consumed")
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Client {
        self.0.as_mut().expect("it is taken out only where the whole is consumed")
    }
}

/// What the database answers, in time.
pub(crate) async fn answer<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T> {
    in_time(work, failed).await
}

/// What the database answers to a query, in time.
pub(crate) async fn answer_query<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T> {
    in_time(work, failed_query).await
}

async fn in_time<T>(work: impl Future<Output = Result<T, Error>>, failed: fn(Error) -> Status) -> Result<T> {
    match timeout(limits::ANSWER, work).await {
        Ok(answered) => answered.map_err(failed),
        Err(_) => Err(unavailable("the database does not answer in time")),
    }
}
