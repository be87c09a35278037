//! The services that are called, each in a process of its own.

use std::{process::Stdio, time::Duration};

use anyhow::Context as _;
use futures_util::{Stream, StreamExt, stream};
use prost::Message;
use subwire::{Bus, Context, Result, Server, Streaming};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// What subwire generates.
pub(crate) mod ours {
    subwire::include_proto!("bench.echo.v1");
}

/// What tonic generates.
pub(crate) mod theirs {
    include!(concat!(env!("OUT_DIR"), "/tonic/bench.echo.v1.rs"));
}

/// Which service.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Kind {
    /// async-nats by hand; the handler runs in the loop that reads.
    ByHand,
    /// async-nats by hand; a task for each request.
    ByHandSpawned,
    /// subwire.
    Subwire,
    /// tonic, without a broker between.
    Tonic,
}

/// A service in a process of its own. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a service and waits until it says that it is ready.
    pub(crate) async fn start(kind: Kind, address: &str) -> anyhow::Result<Self> {
        let name = clap::ValueEnum::to_possible_value(&kind).context("a kind has a name")?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", name.get_name(), address])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().context("the service has a standard output")?;
        let ready = BufReader::new(output).lines().next_line().await?;
        anyhow::ensure!(ready.as_deref() == Some("ready"), "the service did not start: {ready:?}");
        Ok(Self { child })
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

/// Runs a service until it is killed.
pub(crate) async fn serve(kind: Kind, address: &str) -> anyhow::Result<()> {
    match kind {
        Kind::ByHand | Kind::ByHandSpawned => by_hand(address, matches!(kind, Kind::ByHandSpawned)).await,
        Kind::Subwire => {
            let bus = Bus::nats(address).await?;
            let builder = Server::builder(&bus).max_in_flight(100_000);
            let _running = builder.add(ours::EchoServer::new(Echo)).start().await?;
            println!("ready");
            std::future::pending().await
        }
        Kind::Tonic => {
            let server = tonic::transport::Server::builder()
                .add_service(theirs::echo_service_server::EchoServiceServer::new(Echo));
            println!("ready");
            Ok(server.serve(address.parse()?).await?)
        }
    }
}

async fn by_hand(address: &str, spawn: bool) -> anyhow::Result<()> {
    let client = async_nats::connect(address).await?;
    let mut requests = client.queue_subscribe("by.hand.call", "q".to_owned()).await?;
    client.flush().await?;
    println!("ready");
    while let Some(message) = requests.next().await {
        let client = client.clone();
        let answer = async move {
            let request = ours::CallRequest::decode(message.payload)?;
            let reply = message.reply.context("a request has a reply subject")?;
            client.publish(reply, answer(request.prompt).encode_to_vec().into()).await?;
            anyhow::Ok(())
        };
        if spawn {
            tokio::spawn(answer);
        } else {
            answer.await?;
        }
    }
    Ok(())
}

fn answer(prompt: String) -> ours::CallResponse {
    ours::CallResponse { id: "gen-abc123".to_owned(), output: prompt, tokens: 30 }
}

fn text(bytes: u32) -> String {
    "x".repeat(bytes as usize)
}

/// Answers at once, or not in a minute.
pub(crate) struct Echo;

impl ours::EchoService for Echo {
    async fn call(&self, _: Context, request: ours::CallRequest) -> Result<ours::CallResponse> {
        Ok(answer(request.prompt))
    }

    async fn ignore(&self, _: Context, _: ours::IgnoreRequest) -> Result<ours::IgnoreResponse> {
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok(ours::IgnoreResponse {})
    }

    async fn many(&self, _: Context, request: ours::ManyRequest) -> Result<Streaming<ours::ManyResponse>> {
        if request.messages == 0 {
            return Ok(Streaming::new(stream::pending()));
        }
        let text = text(request.text_bytes);
        Ok(Streaming::new(stream::iter(
            (0..request.messages)
                .map(move |_| Ok(ours::ManyResponse { id: "gen-abc123".to_owned(), output: text.clone(), tokens: 30 })),
        )))
    }
}

#[tonic::async_trait]
impl theirs::echo_service_server::EchoService for Echo {
    async fn call(
        &self,
        request: tonic::Request<theirs::CallRequest>,
    ) -> Result<tonic::Response<theirs::CallResponse>, tonic::Status> {
        let output = request.into_inner().prompt;
        Ok(tonic::Response::new(theirs::CallResponse { id: "gen-abc123".to_owned(), output, tokens: 30 }))
    }

    async fn ignore(
        &self,
        _: tonic::Request<theirs::IgnoreRequest>,
    ) -> Result<tonic::Response<theirs::IgnoreResponse>, tonic::Status> {
        Err(tonic::Status::unimplemented("nobody measures it here"))
    }

    type ManyStream = std::pin::Pin<Box<dyn Stream<Item = Result<theirs::ManyResponse, tonic::Status>> + Send>>;

    async fn many(
        &self,
        request: tonic::Request<theirs::ManyRequest>,
    ) -> Result<tonic::Response<Self::ManyStream>, tonic::Status> {
        let request = request.into_inner();
        let text = text(request.text_bytes);
        Ok(tonic::Response::new(Box::pin(stream::iter((0..request.messages).map(move |_| {
            Ok(theirs::ManyResponse { id: "gen-abc123".to_owned(), output: text.clone(), tokens: 30 })
        })))))
    }
}
