//! Unary calls over NATS, beside the same by hand and tonic.

use prost::Message;
use subwire::{Bus, testing::NatsServer};

use crate::{
    load::{Measured, drive},
    report::{print, processor, ratio, verdict},
    services::{Kind, Process, ours, theirs},
};

const PROMPT: &str = "Tell me about NATS messaging, in general";

pub(crate) async fn run(rounds: usize, seconds: f64) -> anyhow::Result<()> {
    println!("unary calls, {rounds} rounds of {seconds} s, service, caller and broker as processes of their own");
    let nats = NatsServer::start().await?;
    let url = nats.url();
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let by_hand_service = Process::start(Kind::ByHand, &url).await?;
    let subwire_service = Process::start(Kind::Subwire, &url).await?;
    let tonic_service = Process::start(Kind::Tonic, &free.to_string()).await?;

    let client = async_nats::connect(&url).await?;
    let by_hand = move || {
        let client = client.clone();
        async move {
            let request = ours::CallRequest { prompt: PROMPT.to_owned(), max_tokens: 30 };
            let reply = client.request("by.hand.call", request.encode_to_vec().into()).await?;
            ours::CallResponse::decode(reply.payload)?;
            Ok(())
        }
    };
    let bus = Bus::nats(url.as_str()).await?;
    let echo = ours::EchoClient::new(&bus);
    let subwire = move || {
        let echo = echo.clone();
        async move {
            echo.call(ours::CallRequest { prompt: PROMPT.to_owned(), max_tokens: 30 }).await?;
            Ok(())
        }
    };
    let echo = connect(&free.to_string()).await?;
    let tonic = move || {
        let mut echo = echo.clone();
        async move {
            echo.call(theirs::CallRequest { prompt: PROMPT.to_owned(), max_tokens: 30 }).await?;
            Ok(())
        }
    };

    for callers in [1, 64, 512] {
        let (mut hand, mut ours, mut theirs): (Vec<Measured>, Vec<Measured>, Vec<Measured>) = Default::default();
        for _ in 0..rounds {
            hand.push(metered(&by_hand_service, drive(callers, seconds, by_hand.clone())).await?);
            ours.push(metered(&subwire_service, drive(callers, seconds, subwire.clone())).await?);
            theirs.push(metered(&tonic_service, drive(callers, seconds, tonic.clone())).await?);
        }
        print("async-nats and prost by hand", callers, &hand);
        print("subwire", callers, &ours);
        print("tonic, no broker", callers, &theirs);
        let throughput = |measured: &Measured| measured.per_second;
        let by_hand = ratio(&ours, &hand, throughput);
        verdict("throughput against by hand", by_hand, "x", "1.0x, floor 0.95x", by_hand >= 1.0);
        if callers == 1 {
            let p50 = ratio(&ours, &hand, |measured| measured.p50_us);
            verdict("p50 against by hand", p50, "x", "at most 1.05x", p50 <= 1.05);
        } else {
            let goal = if callers == 64 { 1.7 } else { 2.5 };
            let tonic = ratio(&ours, &theirs, throughput);
            verdict("throughput against tonic", tonic, "x", &format!("{goal}x"), tonic >= goal);
        }
    }
    Ok(())
}

/// Adds what caller and service spend on a call: unlike the rate, that hardly depends on who else
/// uses the machine.
async fn metered(service: &Process, load: impl Future<Output = anyhow::Result<Measured>>) -> anyhow::Result<Measured> {
    let before = (processor(None)?, processor(service.id())?);
    let measured = load.await?;
    let us = |before: f64, after: f64| (after - before) * 1e6 / measured.calls;
    let (client_us, service_us) = (us(before.0, processor(None)?), us(before.1, processor(service.id())?));
    Ok(Measured { client_us, service_us, ..measured })
}

/// A tonic client, once its server listens.
pub(crate) async fn connect(
    address: &str,
) -> anyhow::Result<theirs::echo_service_client::EchoServiceClient<tonic::transport::Channel>> {
    let started = std::time::Instant::now();
    loop {
        match theirs::echo_service_client::EchoServiceClient::connect(format!("http://{address}")).await {
            Ok(client) => return Ok(client),
            Err(_) if started.elapsed().as_secs() < 5 => tokio::task::yield_now().await,
            Err(error) => return Err(error.into()),
        }
    }
}
