//! Subjects that are spoken for: calls, inboxes, and what the server itself listens to.

use std::fmt;

use crate::model::Service;
use crate::pattern::Pattern;

/// Subjects that no event may have and no stream may store.
///
/// A stream acknowledges what it stores to the reply subject: for a call, that would be an answer.
pub(super) struct Owned {
    pub(super) pattern: Pattern,
    what: String,
}

impl fmt::Display for Owned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Everything that is spoken for in a schema with these services.
pub(super) fn all<'a>(services: impl Iterator<Item = &'a Service>) -> Vec<Owned> {
    let mut all = vec![
        Owned { pattern: Pattern::new(["svc", ">"]), what: "a call (`svc.>`)".to_owned() },
        Owned { pattern: Pattern::new(["_INBOX", ">"]), what: "an answer (`_INBOX.>`)".to_owned() },
    ];
    for service in services {
        let own = |tokens: &[&str]| Pattern::new(service.subject.split('.').chain(tokens.iter().copied()));
        all.extend(service.methods.iter().map(|method| Owned {
            pattern: Pattern::new(method.subject.split('.')),
            what: format!("a call of `{}` (`{}`)", method.path, method.subject),
        }));
        let runtime = [own(&["_i", ">"]), own(&["_cancel"])];
        let name = &service.full_name;
        all.extend(runtime.map(|pattern| Owned { what: format!("a running call of `{name}` (`{pattern}`)"), pattern }));
    }
    all
}
