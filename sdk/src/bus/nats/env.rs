//! [`BusChoice`]: which bus the environment asks for. The names are those of the `nats` CLI.

use std::path::{Path, PathBuf};

use super::{NatsOptions, context::ContextFile, options::invalid_config};
use crate::Result;

/// Where settings come from: `std::env::var`, or a table in a test.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where the `nats` CLI looks too, when nobody says.
const DEFAULT_URL: &str = "nats://127.0.0.1:4222";

/// Our own prefix: a variable with it that nobody knows is a mistake.
const PREFIX: &str = "SUBWIRE_";

/// Which bus the environment asks for.
#[derive(Debug)]
pub(crate) enum BusChoice {
    /// The one in this process.
    Memory,
    /// NATS.
    Nats(Box<NatsOptions>),
}

/// Reads `MESSAGE_BUS`, and for NATS what [`NatsOptions::from_env`] reads. The log says why.
pub(crate) fn choose(lookup: Lookup<'_>) -> Result<BusChoice> {
    let is_set = |name: &str| lookup(name).is_some_and(|value| !value.is_empty());
    let asks_for_nats = ["NATS_URL", "NATS_CONTEXT"].into_iter().find(|name| is_set(name));
    let (nats, why) = match (lookup("MESSAGE_BUS").unwrap_or_default().as_str(), asks_for_nats) {
        ("nats", _) => (true, "MESSAGE_BUS is nats"),
        ("memory", _) => (false, "MESSAGE_BUS is memory"),
        ("", Some("NATS_URL")) => (true, "NATS_URL is set"),
        ("", Some(_)) => (true, "NATS_CONTEXT is set"),
        ("", None) => (false, "neither MESSAGE_BUS nor NATS_URL is set"),
        (other, _) => {
            let hint = match nearest(&other.to_lowercase(), &["memory", "nats"]) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "write `memory` or `nats`".to_owned(),
            };
            return Err(invalid_config(format!("MESSAGE_BUS={other}: {hint}")));
        }
    };
    if nats {
        let options = from_lookup(lookup)?;
        tracing::info!(?options, "the bus is NATS: {why}");
        return Ok(BusChoice::Nats(Box::new(options)));
    }
    tracing::info!("the bus is the one in this process: {why}");
    if let Some(name) = VARIABLES.iter().find(|(name, _)| *name != "NATS_URL" && is_set(name)).map(|(name, _)| name) {
        tracing::warn!("{name} is set and has no effect: set NATS_URL, or MESSAGE_BUS=nats");
    }
    Ok(BusChoice::Memory)
}

impl NatsOptions {
    /// Reads the environment: `NATS_URL` (with commas between several), `NATS_USER` and
    /// `NATS_PASSWORD`, `NATS_TOKEN`, `NATS_CREDS` and `NATS_NKEY` (files), `NATS_CA`, `NATS_CERT`
    /// and `NATS_KEY` (files), `NATS_CONTEXT` (a context of the `nats` CLI, where the other
    /// variables say nothing).
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for settings that contradict one another and for files that are not
    /// there; the message names the variable.
    pub fn from_env() -> Result<Self> {
        from_lookup(&|name| std::env::var(name).ok())
    }
}

/// The variables, and the fields of a context that say the same.
const VARIABLES: [(&str, &str); 9] = [
    ("NATS_URL", "url"),
    ("NATS_USER", "user"),
    ("NATS_PASSWORD", "password"),
    ("NATS_TOKEN", "token"),
    ("NATS_CREDS", "creds"),
    ("NATS_NKEY", "nkey"),
    ("NATS_CA", "ca"),
    ("NATS_CERT", "cert"),
    ("NATS_KEY", "key"),
];

/// A value, and what an error calls it.
struct Setting {
    value: String,
    name: String,
}

impl Setting {
    /// The file that it names.
    fn file(self, lookup: Lookup<'_>) -> Result<PathBuf> {
        let home = self.value.strip_prefix("~/").zip(lookup("HOME"));
        let path = home.map_or_else(|| PathBuf::from(&self.value), |(rest, home)| Path::new(&home).join(rest));
        match path.is_file() {
            true => Ok(path),
            false => Err(invalid_config(format!("{}: there is no file {}", self.name, path.display()))),
        }
    }
}

fn from_lookup(lookup: Lookup<'_>) -> Result<NatsOptions> {
    let context = lookup("NATS_CONTEXT").filter(|name| !name.is_empty());
    let context = context.map(|name| ContextFile::load(&name, lookup)).transpose()?;
    // The variables of a group win together: half of a context's credentials would be nonsense.
    let group = |fields: &[&'static str]| -> Vec<Option<Setting>> {
        let variables: Vec<_> = fields.iter().map(|field| variable(field, lookup)).collect();
        match &context {
            Some(context) if variables.iter().all(Option::is_none) => {
                fields.iter().map(|field| context_field(field, context)).collect()
            }
            _ => variables,
        }
    };

    let url = group(&["url"]).pop().flatten();
    let (name, url) = url.map_or_else(|| (String::new(), DEFAULT_URL.to_owned()), |url| (url.name, url.value));
    let mut options = NatsOptions::new(url);
    options.addresses().map_err(|status| status.with_context(name))?;
    options = with_credentials(options, group(&["user", "password", "token", "creds", "nkey"]), lookup)?;
    if let Some(ca) = group(&["ca"]).pop().flatten() {
        options = options.tls_ca(ca.file(lookup)?);
    }
    let mut certificate = group(&["cert", "key"]).into_iter();
    options = match (certificate.next().flatten(), certificate.next().flatten()) {
        (Some(certificate), Some(key)) => options.tls_certificate(certificate.file(lookup)?, key.file(lookup)?),
        (Some(alone), None) => return Err(alone_is_not_enough(&alone, "the key (NATS_KEY)")),
        (None, Some(alone)) => return Err(alone_is_not_enough(&alone, "the certificate (NATS_CERT)")),
        (None, None) => options,
    };
    if let Some(context) = &context {
        if let Some(prefix) = context.field("inbox_prefix").filter(|prefix| !prefix.is_empty()) {
            options = options.inbox_prefix(prefix);
        }
        if context.flag("tls_first") {
            options = options.tls_first();
        }
    }
    options.addresses()?;
    Ok(options)
}

fn with_credentials(options: NatsOptions, group: Vec<Option<Setting>>, lookup: Lookup<'_>) -> Result<NatsOptions> {
    let mut group = group.into_iter();
    let (user, password) = (group.next().flatten(), group.next().flatten());
    let [token, creds, nkey] = std::array::from_fn(|_| group.next().flatten());
    let ways: Vec<_> = [&user.as_ref().or(password.as_ref()), &token.as_ref(), &creds.as_ref(), &nkey.as_ref()]
        .into_iter()
        .filter_map(|way| way.map(|setting| setting.name.as_str()))
        .collect();
    if ways.len() > 1 {
        return Err(invalid_config(format!("{} contradict one another: set one of them only", ways.join(" and "))));
    }
    match (user, password) {
        (Some(user), Some(password)) => return Ok(options.user_and_password(user.value, password.value)),
        (Some(alone), None) => return Err(alone_is_not_enough(&alone, "the password (NATS_PASSWORD)")),
        (None, Some(alone)) => return Err(alone_is_not_enough(&alone, "the user (NATS_USER)")),
        (None, None) => {}
    }
    Ok(match (token, creds, nkey) {
        (Some(token), _, _) => options.token(token.value),
        (_, Some(creds), _) => options.credentials_file(creds.file(lookup)?),
        (_, _, Some(nkey)) => options.nkey_file(nkey.file(lookup)?),
        (None, None, None) => options,
    })
}

fn variable(field: &str, lookup: Lookup<'_>) -> Option<Setting> {
    let (name, _) = VARIABLES.iter().find(|(_, known)| *known == field)?;
    let value = lookup(name).filter(|value| !value.is_empty())?;
    Some(Setting { value, name: (*name).to_owned() })
}

fn context_field(field: &str, context: &ContextFile) -> Option<Setting> {
    let value = context.field(field).filter(|value| !value.is_empty())?;
    Some(Setting { value, name: context.describe(field) })
}

fn alone_is_not_enough(alone: &Setting, missing: &str) -> crate::Status {
    invalid_config(format!("{} is set without {missing}: set both or neither", alone.name))
}

/// The variables with our prefix that are not `known`, each with the known name it was meant for.
pub(crate) fn unknown_variables<'a>(
    names: impl IntoIterator<Item = String>,
    known: &[&'a str],
) -> Vec<(String, Option<&'a str>)> {
    let ours = names.into_iter().filter(|name| name.starts_with(PREFIX) && !known.contains(&name.as_str()));
    ours.map(|name| (nearest(&name, known), name)).map(|(nearest, name)| (name, nearest)).collect()
}

/// The word that differs least from `word`, if it is not another word altogether.
fn nearest<'a>(word: &str, words: &[&'a str]) -> Option<&'a str> {
    let near = words.iter().map(|known| (distance(word, known), *known)).min()?;
    (near.0 <= 3 && near.0 * 2 < word.len().max(3)).then_some(near.1)
}

/// How many letters to insert, delete or replace (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    /// A folder with files that settings can name, and a context of the CLI.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["a.creds", "a.nk", "ca.pem", "cert.pem", "key.pem"] {
            std::fs::write(folder.path().join(name), "s3cret").expect("written");
        }
        let contexts = folder.path().join("nats/context");
        std::fs::create_dir_all(&contexts).expect("made");
        let context = r#"{"url":"nats://prod:4222","user":"ann","password":"s3cret","token":"",
            "creds":"","ca":"~/ca.pem","inbox_prefix":"_INBOX.ann","tls_first":true,"description":"x"}"#;
        std::fs::write(contexts.join("prod.json"), context).expect("written");
        std::fs::write(contexts.join("broken.json"), r#"{"token": s3cret}"#).expect("written");
        folder
    }

    /// Chooses with these settings, `$` standing for the folder.
    fn chosen(settings: &str) -> Result<BusChoice> {
        let folder = folder();
        let place = folder.path().display().to_string();
        choose(&|name| match name {
            "HOME" | "XDG_CONFIG_HOME" => Some(place.clone()),
            _ => settings
                .split_whitespace()
                .filter_map(|setting| setting.split_once('='))
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.replace('$', &place)),
        })
    }

    #[test]
    fn a_setting_chooses_the_bus() {
        for (settings, expected) in [
            ("", "Memory"),
            ("MESSAGE_BUS=memory", "Memory"),
            ("MESSAGE_BUS=memory NATS_URL=nats://a", "Memory"),
            ("NATS_URL=", "Memory"),
            ("NATS_TOKEN=t", "Memory"),
            ("MESSAGE_BUS=nats", "servers: \"127.0.0.1:4222\""),
            ("NATS_URL=nats://a:1,b", "servers: \"a:1, b:4222\""),
            ("NATS_URL=a NATS_USER=ann NATS_PASSWORD=s3cret", "Some(UserAndPassword(***, ***))"),
            ("NATS_URL=a NATS_TOKEN=s3cret", "Some(Token(***))"),
            ("NATS_URL=a NATS_CREDS=$/a.creds", "Some(File("),
            ("NATS_URL=a NATS_NKEY=~/a.nk", "Some(NkeyFile("),
            ("NATS_URL=a NATS_CA=$/ca.pem", "ca.pem\")"),
            ("NATS_URL=a NATS_CERT=$/cert.pem NATS_KEY=$/key.pem", "key.pem\"))"),
            ("NATS_CONTEXT=prod", "servers: \"prod:4222\", credentials: Some(UserAndPassword(***, ***))"),
            ("NATS_CONTEXT=prod", "inbox_prefix: \"_INBOX.ann\""),
            ("NATS_CONTEXT=prod", "tls_first: true"),
            ("NATS_CONTEXT=prod NATS_TOKEN=s3cret", "servers: \"prod:4222\", credentials: Some(Token(***))"),
            ("NATS_CONTEXT=prod NATS_URL=a", "servers: \"a:4222\", credentials: Some(UserAndPassword(***, ***))"),
        ] {
            let choice = format!("{:?}", chosen(settings).expect(settings));
            assert!(choice.contains(expected), "{settings}: {choice}");
            assert!(!choice.contains("s3cret"), "{settings}: {choice}");
        }
    }

    #[test]
    fn a_mistake_is_an_error_that_names_the_variable_and_what_to_write() {
        for (settings, expected) in [
            ("MESSAGE_BUS=nat", "MESSAGE_BUS=nat: did you mean `nats`?"),
            ("MESSAGE_BUS=NATS", "MESSAGE_BUS=NATS: did you mean `nats`?"),
            ("MESSAGE_BUS=mem0ry", "did you mean `memory`?"),
            ("MESSAGE_BUS=kafka", "MESSAGE_BUS=kafka: write `memory` or `nats`"),
            ("NATS_URL=http://a", "NATS_URL: server URL \"http://a\""),
            ("NATS_URL=a NATS_USER=s3cret", "NATS_USER is set without the password (NATS_PASSWORD)"),
            ("NATS_URL=a NATS_PASSWORD=s3cret", "NATS_PASSWORD is set without the user (NATS_USER)"),
            ("NATS_URL=a NATS_TOKEN=s3cret NATS_USER=x", "NATS_USER and NATS_TOKEN contradict one another"),
            ("NATS_URL=a NATS_CREDS=$/a.creds NATS_NKEY=$/a.nk", "NATS_CREDS and NATS_NKEY contradict"),
            ("NATS_URL=nats://s3cret@a NATS_TOKEN=t", "credentials in the server URL and beside it"),
            ("NATS_URL=a NATS_CERT=$/cert.pem", "NATS_CERT is set without the key (NATS_KEY)"),
            ("NATS_URL=a NATS_KEY=$/key.pem", "NATS_KEY is set without the certificate (NATS_CERT)"),
            ("NATS_URL=a NATS_CREDS=/no/such.creds", "NATS_CREDS: there is no file /no/such.creds"),
            ("NATS_URL=a NATS_CA=/no/such.pem", "NATS_CA: there is no file /no/such.pem"),
            ("NATS_CONTEXT=prot", "there are: broken, prod"),
            ("NATS_CONTEXT=broken", "is not JSON, see line 1"),
            ("NATS_CONTEXT=../prod", "write the name of a context"),
        ] {
            let status = chosen(settings).map(|choice| format!("{choice:?}")).expect_err(settings);
            assert_eq!(status.code(), Code::InvalidArgument, "{settings}");
            assert!(status.message().contains(expected), "{settings}: {status}");
            assert!(!format!("{status:?}").contains("s3cret"), "{settings}: {status:?}");
        }
    }

    #[test]
    fn a_misspelt_variable_is_named_with_what_was_meant() {
        let names = ["SUBWIRE_NAMESPCE", "SUBWIRE_NAMESPACE", "SUBWIRE_X", "PATH"].map(str::to_owned);
        let unknown = unknown_variables(names, &["SUBWIRE_NAMESPACE"]);
        let expected = [("SUBWIRE_NAMESPCE".to_owned(), Some("SUBWIRE_NAMESPACE")), ("SUBWIRE_X".to_owned(), None)];
        assert_eq!(unknown, expected);
    }
}
