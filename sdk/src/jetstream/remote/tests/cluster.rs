use super::*;
use crate::{Code, bus::NatsOptions};

struct Cluster {
    servers: Vec<NatsServer>,
    streams: JetStream,
}

impl Cluster {
    async fn start() -> Self {
        let servers = NatsServer::cluster(3).await.expect("a cluster");
        let urls: Vec<_> = servers.iter().map(NatsServer::url).collect();
        let bus = soon("a connection", Bus::nats(NatsOptions::new("").servers(urls))).await.expect("connected");
        let cluster = Self { servers, streams: JetStream::new(&bus) };
        cluster.streams.create_stream(&StreamSpec { replicas: 3, ..orders_spec() }).await.expect("created");
        cluster
    }

    /// Which server leads the stream.
    async fn leader(&self) -> usize {
        let urls: Vec<async_nats::ServerAddr> =
            self.servers.iter().map(|server| server.url().parse().expect("a URL")).collect();
        let foreign = async_nats::jetstream::new(async_nats::connect(urls).await.expect("connected"));
        soon("a leader", async {
            loop {
                let info = foreign.get_stream("orders").await.ok().map(|stream| stream.cached_info().clone());
                let leader = info.and_then(|info| info.cluster?.leader);
                if let Some(index) = leader.and_then(|leader| leader.strip_prefix("test-")?.parse().ok()) {
                    return index;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

/// Publishes until it is stored, under one id: what is not known to be stored is sent again.
async fn publish_surely(streams: &JetStream, number: usize) {
    soon("a stored message", async {
        loop {
            let message = message("order.new", number.to_string()).with_header("Nats-Msg-Id", number.to_string());
            let answer = match streams.publish(message).await {
                Ok(acknowledgement) => acknowledgement.await,
                Err(status) => Err(status),
            };
            match answer {
                Ok(_) => return,
                Err(status) => {
                    let code = status.code();
                    assert!(matches!(code, Code::Unavailable | Code::DeadlineExceeded), "{status}");
                    // Without a connection it would be refused again at once.
                    let mut link = streams.bus().link();
                    link.wait_for(|link| link.up).await.expect("the bus lives");
                    tokio::task::yield_now().await;
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_killed_leader_loses_nothing_and_readers_go_on() {
    const ROUNDS: usize = 2;
    const EACH: usize = 100;
    let mut cluster = Cluster::start().await;
    let streams = cluster.streams.clone();
    put_consumer(&streams, ConsumerSpec { ack_wait: Duration::from_secs(5), ..billing() }).await;
    let mut deliveries = pull(&streams).await;
    let mut read = std::collections::HashSet::new();
    for round in 0..ROUNDS {
        let numbers = round * EACH..(round + 1) * EACH;
        let end = numbers.end;
        let leader = cluster.leader().await;
        let publishing = async {
            for number in numbers {
                if number % EACH == EACH / 2 {
                    cluster.servers[leader].kill();
                }
                publish_surely(&streams, number).await;
            }
            cluster.servers[leader].restart().await.expect("restarted");
        };
        let reading = async {
            while read.len() < end {
                let delivered = next(&mut deliveries).await;
                let _ = streams.ack(&delivered, Ack::Done).await;
                read.insert(delivered.message.payload);
            }
        };
        tokio::join!(publishing, reading);
    }
    let info = streams.stream_info("orders").await.expect("a stream");
    assert_eq!(info.messages, (ROUNDS * EACH) as u64);
}

/// Two of three are gone: nobody can answer for the stream, and it must not be taken for absent.
#[tokio::test]
async fn a_stream_without_a_quorum_is_not_taken_for_absent() {
    let mut cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    publish(&cluster.streams, "order.new", "a").await;
    for (index, server) in cluster.servers.iter_mut().enumerate() {
        if index == leader || index == (leader + 1) % 3 {
            server.kill();
        }
    }
    for _ in 0..3 {
        let answer = match cluster.streams.publish(message("order.new", "b")).await {
            Ok(acknowledgement) => soon("an answer", acknowledgement).await,
            Err(status) => Err(status),
        };
        let status = answer.expect_err("no quorum");
        assert!(matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded), "{status}");
    }
}
