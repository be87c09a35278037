//! Each generated trait implemented and called through its own client and server.

use subwire::{Code, Context, Idempotency, Kind, NamedService, Result, Streaming};

/// The generated code, compiled as a user's crate would.
mod generated {
    macro_rules! golden {
        ($($case:ident)*) => {$(
            pub(crate) mod $case {
                include!(concat!("golden/", stringify!($case), "/subwire.rs"));
            }
        )*};
    }
    golden! {
        collisions deprecated docs empty imports keywords nested options streams unary well_known
    }
}

mod unary {
    use super::generated::unary::golden::unary::v1::*;
    use super::*;

    struct Echo;

    impl EchoService for Echo {
        async fn say(&self, _: Context, request: SayRequest) -> Result<SayResponse> {
            Ok(SayResponse { text: request.text })
        }
    }

    #[tokio::test]
    async fn a_call_goes_through_client_and_server() {
        let client = EchoClient::new(EchoServer::new(Echo));
        let answer = client.say(SayRequest { text: "hi".into() }).await.expect("an answer");
        assert_eq!(answer.text, "hi");
    }

    #[test]
    fn the_service_is_described() {
        let info = <EchoServer<Echo> as NamedService>::SERVICE;
        assert_eq!(info.name, "golden.unary.v1.EchoService");
        assert_eq!((info.subject, info.version), ("svc.golden.unary.v1", "1.0.0"));
        assert_eq!(info.description, "Says things back.");
        assert_eq!(info.methods, [&method::SAY]);
        assert_eq!(method::SAY.path, "golden.unary.v1.EchoService/Say");
        assert_eq!(method::SAY.subject, "svc.golden.unary.v1.say");
        let pool = prost_reflect::DescriptorPool::decode(info.descriptor_set).expect("descriptors");
        assert!(pool.get_service_by_name(info.name).is_some());
    }
}

mod streams {
    use super::generated::streams::golden::streams::v1::*;
    use super::*;

    struct Count;

    impl CountService for Count {
        async fn up(&self, _: Context, to: Number) -> Result<Streaming<Number>> {
            Ok(Streaming::from_iter((1..=to.value).map(|value| Number { value })))
        }

        async fn sum(&self, _: Context, mut numbers: Streaming<Number>) -> Result<Number> {
            let mut value = 0;
            while let Some(number) = numbers.message().await? {
                value += number.value;
            }
            Ok(Number { value })
        }

        async fn double(&self, _: Context, mut numbers: Streaming<Number>) -> Result<Streaming<Number>> {
            Ok(Streaming::produce(async move |doubled| {
                while let Some(Number { value }) = numbers.message().await? {
                    doubled.send(Number { value: 2 * value }).await?;
                }
                Ok(())
            }))
        }

        async fn next(&self, _: Context, number: Number) -> Result<Number> {
            Ok(Number { value: number.value + 1 })
        }
    }

    async fn values(mut numbers: Streaming<Number>) -> Vec<i64> {
        let mut values = Vec::new();
        while let Some(number) = numbers.message().await.expect("a message") {
            values.push(number.value);
        }
        values
    }

    #[tokio::test]
    async fn every_kind_of_call_works() {
        let client = CountClient::new(CountServer::new(Count));
        let numbers = || [Number { value: 1 }, Number { value: 2 }, Number { value: 3 }];
        assert_eq!(client.next(Number { value: 1 }).await.expect("next").value, 2);
        assert_eq!(client.sum(numbers()).await.expect("sum").value, 6);
        assert_eq!(values(client.up(Number { value: 3 }).await.expect("up")).await, [1, 2, 3]);
        assert_eq!(values(client.double(numbers()).await.expect("double")).await, [2, 4, 6]);
        let kinds = [&method::UP, &method::SUM, &method::DOUBLE, &method::NEXT].map(|method| method.kind);
        assert_eq!(kinds, [Kind::ServerStreaming, Kind::ClientStreaming, Kind::BidiStreaming, Kind::Unary]);
    }
}

mod deprecated {
    #![allow(deprecated)]
    use super::generated::deprecated::golden::deprecated::v1::*;
    use super::*;

    struct Old;

    impl OldService for Old {
        async fn walk(&self, _: Context, _: OldRequest) -> Result<OldResponse> {
            Ok(OldResponse {})
        }

        async fn go(&self, _: Context, _: OldRequest) -> Result<OldResponse> {
            Ok(OldResponse {})
        }
    }

    #[tokio::test]
    async fn deprecated_methods_still_work() {
        let client = OldClient::new(OldServer::new(Old));
        client.walk(OldRequest::default()).await.expect("walk");
        client.go(OldRequest::default()).await.expect("go");
    }
}

mod docs {
    use super::generated::docs::golden::docs::v1::*;
    use super::*;

    struct Docs;

    impl DocsService for Docs {
        async fn read(&self, _: Context, _: ReadRequest) -> Result<ReadResponse> {
            Ok(ReadResponse {})
        }

        async fn silent(&self, _: Context, _: ReadRequest) -> Result<ReadResponse> {
            Ok(ReadResponse {})
        }
    }

    #[tokio::test]
    async fn comments_do_no_harm() {
        let client = DocsClient::new(DocsServer::new(Docs));
        client.read(ReadRequest::default()).await.expect("read");
        client.silent(ReadRequest::default()).await.expect("silent");
    }
}

mod keywords {
    use super::generated::keywords::golden::r#type::v1::*;
    use super::*;

    struct Keywords;

    impl TypeService for Keywords {
        async fn r#type(&self, _: Context, request: Match) -> Result<Match> {
            Ok(request)
        }

        async fn r#match(&self, _: Context, request: Self_) -> Result<Self_> {
            Ok(request)
        }

        async fn self_(&self, _: Context, request: Async) -> Result<Async> {
            Ok(request)
        }

        async fn r#async(&self, _: Context, requests: Streaming<Type>) -> Result<Streaming<Type>> {
            Ok(requests)
        }

        async fn super_(&self, _: Context, request: Type) -> Result<Type> {
            Ok(request)
        }

        async fn crate_(&self, _: Context, request: Type) -> Result<Type> {
            Ok(request)
        }

        async fn r#gen(&self, _: Context, request: Type) -> Result<Type> {
            Ok(request)
        }
    }

    #[tokio::test]
    async fn keywords_are_names() {
        let client = TypeClient::new(TypeServer::new(Keywords));
        let request = Match { r#type: "t".into(), self_: "s".into(), r#async: true, r#impl: None };
        assert_eq!(client.r#type(request.clone()).await.expect("type"), request);
        assert_eq!(client.r#match(Self_ { crate_: 1 }).await.expect("match").crate_, 1);
        let request = Async { r#dyn: Some(r#async::Box { r#box: 7 }) };
        assert_eq!(client.self_(request).await.expect("self").r#dyn.expect("dyn").r#box, 7);
        let request = Type { r#gen: Mod::Type.into() };
        assert_eq!(client.super_(request).await.expect("super").r#gen(), Mod::Type);
        client.crate_(request).await.expect("crate");
        client.r#gen(request).await.expect("gen");
        let mut types = client.r#async([request]).await.expect("async");
        assert_eq!(types.message().await.expect("a message"), Some(request));
        assert_eq!(method::TYPE.subject, "svc.golden.type.v1.type");
        assert_eq!(method::SELF.subject, "svc.golden.type.v1.self");
    }
}

mod collisions {
    use super::generated::collisions::golden::collisions::v1 as pb;
    use super::*;

    #[derive(Clone)]
    struct Echo;

    impl pb::Echo for Echo {
        async fn new(&self, _: Context, request: pb::Result) -> Result<pb::Future> {
            Ok(pb::Future { output: request.ok })
        }

        async fn clone(&self, _: Context, request: pb::Context) -> Result<pb::Option> {
            Ok(pb::Option { some: Some(request.text) })
        }

        async fn send(&self, _: Context, request: pb::Box) -> Result<pb::String> {
            Ok(pb::String { string: format!("{}", request.inner.is_some()) })
        }

        async fn into(&self, _: Context, mut requests: Streaming<pb::Vec>) -> Result<Streaming<pb::Streaming>> {
            let first = requests.message().await?.unwrap_or_default();
            let bytes = vec![0; first.vec.len()].into();
            Ok([pb::Streaming { bytes }].into())
        }

        async fn call(&self, _: Context, request: pb::T) -> Result<pb::F> {
            Ok(pb::F { f: request.t })
        }

        async fn method(&self, _: Context, request: pb::EchoClient) -> Result<pb::EchoServer> {
            Ok(pb::EchoServer { text: request.text })
        }
    }

    #[tokio::test]
    async fn messages_take_no_name_away() {
        let client = pb::EchoRpcClient::new(pb::EchoRpcServer::new(Echo));
        let client = client.clone();
        let text = || "x".to_owned();
        assert_eq!(client.new_(pb::Result { ok: text() }).await.expect("new").output, "x");
        assert_eq!(client.clone_(pb::Context { text: text() }).await.expect("clone").some(), "x");
        assert_eq!(client.send(pb::Box::default()).await.expect("send").string, "false");
        let mut streaming =
            client.into_([pb::Vec { vec: vec![pb::Vec::default()], ..Default::default() }]).await.expect("into");
        assert_eq!(streaming.message().await.expect("a message").expect("one").bytes.len(), 1);
        assert_eq!(client.call(pb::T { t: 3 }).await.expect("call").f, 3);
        assert_eq!(client.method(pb::EchoClient { text: text() }).await.expect("method").text, "x");
        assert_eq!(pb::rpc_method::NEW.subject, "svc.golden.collisions.v1.new");
        let nested = pb::method::Nested { text: text() };
        assert_eq!(pb::Method { nested: Some(nested) }.nested.expect("nested").text, "x");
        assert_eq!(pb::SERVICE.methods.len(), 6);
        assert_eq!(pb::Service { service: text() }.service, "x");
    }
}

mod nested {
    use super::generated::nested::golden::nested::v1::*;
    use super::*;

    struct Nested;

    impl NestedService for Nested {
        async fn open(&self, _: Context, inner: outer::middle::Inner) -> Result<outer::Middle> {
            Ok(outer::Middle { inner: Some(inner), kind: outer::Kind::Hollow.into(), ..Default::default() })
        }
    }

    #[tokio::test]
    async fn nested_types_are_in_modules() {
        let client = NestedClient::new(NestedServer::new(Nested));
        let middle = client.open(outer::middle::Inner { depth: 3 }).await.expect("open");
        assert_eq!((middle.inner.map(|inner| inner.depth), middle.kind()), (Some(3), outer::Kind::Hollow));
    }
}

mod imports {
    use super::generated::imports::golden::{common::v1::Page, money::Amount, shop::v1::*};
    use super::*;

    struct Shop;

    impl ShopService for Shop {
        async fn price(&self, _: Context, page: Page) -> Result<Amount> {
            Ok(page.price.unwrap_or_default())
        }

        async fn list(&self, _: Context, page: Page) -> Result<Streaming<Item>> {
            let item = Item { name: "thing".into(), price: page.price };
            Ok(Streaming::from_iter((0..page.size).map(move |_| item.clone())))
        }
    }

    #[tokio::test]
    async fn packages_use_one_another() {
        let client = ShopClient::new(ShopServer::new(Shop));
        let page = Page { size: 1, price: Some(Amount { cents: 5 }) };
        assert_eq!(client.price(page).await.expect("price").cents, 5);
        let mut items = client.list(page).await.expect("list");
        assert_eq!(items.message().await.expect("a message").expect("one").name, "thing");
    }
}

mod well_known {
    use prost_types::{Any, Duration, Struct, Timestamp};
    use subwire::details::{RetryInfo, bad_request::FieldViolation};

    use super::generated::well_known::{golden::known::v1::*, google};
    use super::*;

    struct Known;

    impl KnownService for Known {
        async fn nothing(&self, _: Context, (): ()) -> Result<()> {
            Ok(())
        }

        async fn when(&self, _: Context, after: Duration) -> Result<Timestamp> {
            Ok(Timestamp { seconds: after.seconds, nanos: 0 })
        }

        async fn whatever(&self, _: Context, _: Any) -> Result<Struct> {
            Ok(Struct::default())
        }

        async fn plain(&self, _: Context, text: String) -> Result<u32> {
            Ok(text.len() as u32)
        }

        async fn all(&self, _: Context, request: Everything) -> Result<Everything> {
            Ok(request)
        }

        async fn raw(
            &self,
            _: Context,
            bodies: Streaming<google::api::HttpBody>,
        ) -> Result<Streaming<google::api::HttpBody>> {
            Ok(bodies)
        }
    }

    #[tokio::test]
    async fn googles_types_are_there() {
        let client = KnownClient::new(KnownServer::new(Known));
        client.nothing(()).await.expect("nothing");
        let after = Duration { seconds: 7, nanos: 0 };
        assert_eq!(client.when(after).await.expect("when").seconds, 7);
        client.whatever(Any::default()).await.expect("whatever");
        assert_eq!(client.plain("four".to_owned()).await.expect("plain"), 4);
        let everything = Everything {
            at: Some(Timestamp::default()),
            nothing: Some(()),
            text: Some("text".into()),
            error: Some(subwire::details::Status::default()),
            violation: Some(FieldViolation::default()),
            retry: Some(RetryInfo::default()),
            code: google::rpc::Code::NotFound.into(),
            ..Everything::default()
        };
        assert_eq!(client.all(everything.clone()).await.expect("all"), everything);
        let body = google::api::HttpBody { content_type: "text/plain".into(), ..Default::default() };
        let mut bodies = client.raw([body.clone()]).await.expect("raw");
        assert_eq!(bodies.message().await.expect("a message"), Some(body));
    }

    #[test]
    fn custom_options_are_in_the_descriptors() {
        let pool = prost_reflect::DescriptorPool::decode(SERVICE.descriptor_set).expect("descriptors");
        let http = pool.get_extension_by_name("google.api.http").expect("the extension");
        let service = pool.get_service_by_name(SERVICE.name).expect("the service");
        let all = service.methods().find(|method| method.name() == "All").expect("the method");
        assert!(all.options().has_extension(&http));
    }
}

mod empty {
    use super::generated::empty::golden::empty::v2beta1::*;

    struct Empty;

    impl EmptyService for Empty {}

    #[test]
    fn a_service_may_have_no_methods() {
        let client = EmptyClient::new(EmptyServer::new(Empty));
        assert!(format!("{client:?}").contains("EmptyClient"));
        assert_eq!(format!("{:?}", EmptyServer::new(Empty)), "EmptyServer { .. }");
        assert!(SERVICE.methods.is_empty());
        assert_eq!(SERVICE.version, "2.0.0-beta.1");
    }
}

mod options {
    use std::time::Duration;

    use super::generated::options::golden::options::v3::*;
    use super::*;

    #[test]
    fn options_are_data() {
        assert_eq!(SERVICE.version, "3.4.5-rc.1+build");
        assert_eq!(SERVICE.description, "Says \"no\" to C:\\ and\n\u{7f}");
        assert_eq!(SERVICE.subject, "legacy.Options-Service");
        let seen = SERVICE.methods.iter().map(|method| (method.subject, method.idempotency, method.timeout));
        let expected = [
            ("legacy.Options-Service.get", Idempotency::NoSideEffects, Some(Duration::from_secs(5))),
            ("legacy.Options-Service.put", Idempotency::Idempotent, Some(Duration::from_micros(1500))),
            ("legacy.Options-Service.run", Idempotency::Unknown, Some(Duration::from_secs(3600))),
        ];
        assert!(seen.eq(expected), "{SERVICE:?}");
    }

    struct Silent;

    impl OptionsService for Silent {
        async fn get(&self, _: Context, (): ()) -> Result<()> {
            Err(subwire::Status::new(Code::NotFound, "nothing"))
        }

        async fn put(&self, _: Context, (): ()) -> Result<()> {
            Ok(())
        }

        async fn run(&self, _: Context, (): ()) -> Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn an_error_keeps_its_code() {
        let client = OptionsClient::new(OptionsServer::from_arc(std::sync::Arc::new(Silent)));
        assert_eq!(client.get(()).await.expect_err("an error").code(), Code::NotFound);
        client.put(()).await.expect("put");
        client.run(()).await.expect("run");
    }
}
