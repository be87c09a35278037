//! [`Endpoint`]: where requests go, and what its refusals mean.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::wire::{Completion, Reply};
use crate::{
    limits,
    model::{Error, Prompt, Result},
};

/// Where requests go.
#[derive(Clone)]
pub(super) struct Endpoint {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    /// Marked as sensitive, so that nothing shows it.
    authorization: Option<HeaderValue>,
}

impl Endpoint {
    pub(super) fn new(base_url: &str, api_key: Option<&str>) -> Result<Self> {
        let uri = completions(base_url)?;
        let authorization = api_key.map(|key| {
            let mut value = HeaderValue::try_from(format!("Bearer {key}"))
                // The cause would show the key.
                .map_err(|_| Error::Setting { variable: "LLM_API_KEY", problem: "not a key".to_owned() })?;
            value.set_sensitive(true);
            Ok(value)
        });
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector(&uri)?);
        Ok(Self { client, uri, authorization: authorization.transpose()? })
    }

    /// Sends a request and returns the answer once it has begun.
    pub(super) async fn post(&self, prompt: &Prompt, completion: &Completion<'_>) -> Result<Response<Incoming>> {
        let accept = if completion.is_stream() { "text/event-stream" } else { "application/json" };
        let mut request = Request::post(&self.uri)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, accept)
            .header(USER_AGENT, concat!("llm-service/", env!("CARGO_PKG_VERSION")))
            .header("x-client-request-id", &prompt.id);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let body = serde_json::to_vec(completion).map_err(|error| Error::Malformed(error.to_string()))?;
        let request = request.body(Full::from(body)).map_err(|error| Error::Malformed(error.to_string()))?;
        let response = self.client.request(request).await.map_err(|error| {
            // Such as a certificate that is not trusted: of use to the operator only.
            tracing::warn!(prompt.id, error = &error as &dyn std::error::Error, "the endpoint does not answer");
            not_answered(error)
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, id) = (response.status().as_u16(), &prompt.id);
        let error = refusal(response, &prompt.model).await;
        match error {
            // The caller only learns that it is not to blame.
            Error::Misconfigured { .. } => {
                tracing::error!(status, id, "the endpoint refuses us: look at LLM_BASE_URL, LLM_MODEL and LLM_API_KEY");
            }
            _ => tracing::debug!(status, id, %error, "the endpoint has no answer"),
        }
        Err(error)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("uri", &format_args!("{}", self.uri))
            .field("authorization", &self.authorization)
            .finish_non_exhaustive()
    }
}

/// Where `chat/completions` is below a base URL, as the OpenAI libraries want it.
fn completions(base_url: &str) -> Result<Uri> {
    let wrong = |problem: &str| Error::Setting { variable: "LLM_BASE_URL", problem: problem.to_owned() };
    // The causes would show the URL, in which people put secrets.
    let uri: Uri = base_url.parse().map_err(|_| wrong("not a URL"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(wrong("must begin with https:// or http://"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) || uri.query().is_some() {
        return Err(wrong("must be without user and query: the key belongs into LLM_API_KEY"));
    }
    let base = match uri.path().trim_end_matches('/') {
        "" => "/v1",
        path => path,
    };
    let path = format!("{base}/chat/completions");
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(path.parse().map_err(|_| wrong("not a URL"))?);
    Uri::from_parts(parts).map_err(|_| wrong("not a URL"))
}

fn connector(uri: &Uri) -> Result<HttpsConnector<HttpConnector>> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(limits::CONNECT_TIMEOUT));
    tcp.set_nodelay(true);
    let builder = HttpsConnectorBuilder::new();
    if uri.scheme_str() == Some("https") {
        let tls = builder.with_provider_and_native_roots(ring::default_provider());
        let problem = |error| format!("https needs the certificates of the system: {error}");
        let tls = tls.map_err(|error| Error::Setting { variable: "LLM_BASE_URL", problem: problem(error) })?;
        return Ok(tls.https_only().enable_http1().wrap_connector(tcp));
    }
    // Without TLS no certificates are needed, which small images do not have.
    let none = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Setting { variable: "LLM_BASE_URL", problem: error.to_string() })?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Ok(builder.with_tls_config(none).https_or_http().enable_http1().wrap_connector(tcp))
}

/// No answer has begun.
fn not_answered(error: hyper_util::client::legacy::Error) -> Error {
    if error.is_connect() {
        return Error::Unreachable(error.into());
    }
    let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<hyper::Error>());
    match cause {
        Some(cause) if cause.is_parse() => Error::Malformed(cause.to_string()),
        _ => Error::BrokenOff(Some(error.into())),
    }
}

/// What an answer other than 2xx means.
async fn refusal(response: Response<Incoming>, model: &str) -> Error {
    let status = response.status();
    let retry_after = retry_after(response.headers());
    match status {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            Error::Refused(reason(response).await)
        }
        StatusCode::TOO_MANY_REQUESTS => Error::RateLimited { retry_after },
        // A name that the caller chose; else it is the URL or the model of our settings.
        StatusCode::NOT_FOUND if !model.is_empty() => Error::UnknownModel(model.to_owned()),
        StatusCode::REQUEST_TIMEOUT => Error::Overloaded { status: status.as_u16(), retry_after },
        _ if status.is_server_error() => Error::Overloaded { status: status.as_u16(), retry_after },
        // 401 and 403, but also redirects and what no such endpoint answers. Its text is not passed
        // on: that of a 401 has parts of the key.
        _ => Error::Misconfigured { status: status.as_u16() },
    }
}

/// The endpoint's own words, cut to what a caller may read.
async fn reason(response: Response<Incoming>) -> String {
    let status = response.status();
    let body = Limited::new(response.into_body(), limits::ERROR_BODY_BYTES).collect().await;
    let failure = body
        .ok()
        .and_then(|body| serde_json::from_slice::<Reply>(&body.to_bytes()).ok())
        .and_then(|reply| reply.error)
        .filter(|failure| !failure.message.is_empty());
    let Some(failure) = failure else { return format!("HTTP {}", status.as_u16()) };
    failure.message.chars().filter(|letter| !letter.is_control()).take(limits::ERROR_TEXT_CHARS).collect()
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}
