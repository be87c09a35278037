//! Comments of a `.proto` as rustdoc: same words, nothing that rustdoc would run or warn about.
//!
//! Comments are prose, not Rust. So code blocks never become doctests (indented ones lose their
//! indent, fenced ones get a language that rustdoc does not run), brackets are no intra-doc links,
//! `<T>` is no HTML tag and a bare URL is a link.

/// Languages of fenced blocks that rustdoc leaves alone and that are worth keeping.
const LANGUAGES: &[&str] =
    &["bash", "console", "html", "http", "json", "proto", "protobuf", "sh", "sql", "text", "toml", "xml", "yaml"];

/// The deepest indent that is never a code block.
const MAX_INDENT: usize = 3;

/// The lines of a comment, without its first and last empty ones.
pub(crate) fn lines(comment: &str) -> Vec<String> {
    let clean: String = comment.chars().filter_map(printable).collect();
    let raw: Vec<&str> = clean.lines().map(str::trim_end).collect();
    // The space between `//` and the text belongs to the comment sign.
    let shift = usize::from(raw.iter().all(|line| line.is_empty() || line.starts_with(' ')));
    let mut out = Vec::with_capacity(raw.len());
    let mut fence: Option<Fence> = None;
    for line in raw {
        let line = line.get(shift..).unwrap_or("");
        match &fence {
            Some(open) if open.closed_by(line) => {
                out.push(open.sign.clone());
                fence = None;
            }
            Some(_) => out.push(line.to_owned()),
            None => match Fence::opened_by(line) {
                Some(open) => {
                    out.push(format!("{}{}", open.sign, open.language));
                    fence = Some(open);
                }
                None => out.push(prose(line)),
            },
        }
    }
    if let Some(open) = fence {
        out.push(open.sign);
    }
    while out.last().is_some_and(String::is_empty) {
        out.pop();
    }
    let first = out.iter().take_while(|line| line.is_empty()).count();
    out.drain(..first);
    out
}

/// The first paragraph of a comment in one line.
pub(crate) fn first_paragraph(comment: &str) -> String {
    let lines = comment.lines().map(str::trim);
    let lines = lines.skip_while(|line| line.is_empty());
    let lines: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    lines.join(" ")
}

/// Text as inline code, whatever backticks it has.
pub(crate) fn code(text: &str) -> String {
    match text.split(|c| c != '`').map(str::len).max().unwrap_or_default() {
        0 => format!("`{text}`"),
        longest => {
            let sign = "`".repeat(longest + 1);
            format!("{sign} {text} {sign}")
        }
    }
}

/// Drops what Rust refuses in a comment or what turns text around on the screen.
fn printable(c: char) -> Option<char> {
    match c {
        '\n' => Some('\n'),
        '\t' => Some(' '),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => None,
        c if c.is_control() => None,
        c => Some(c),
    }
}

/// A fenced code block, always written at the start of the line so that no list can end it.
struct Fence {
    sign: String,
    language: String,
}

impl Fence {
    fn opened_by(line: &str) -> Option<Self> {
        let line = line.trim_start();
        let sign = fence_sign(line)?;
        let info = line[sign.len()..].trim();
        if info.contains('`') {
            return None; // inline code written with three backticks
        }
        let language = LANGUAGES.iter().find(|known| **known == info);
        Some(Self { sign: sign.to_owned(), language: (*language.unwrap_or(&"text")).to_owned() })
    }

    fn closed_by(&self, line: &str) -> bool {
        let line = line.trim();
        line.starts_with(&self.sign) && fence_sign(line).is_some_and(|sign| sign == line)
    }
}

/// The run of three or more backticks or tildes that the line starts with.
fn fence_sign(line: &str) -> Option<&str> {
    let first = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let rest = line.trim_start_matches(first);
    let sign = &line[..line.len() - rest.len()];
    (sign.len() >= 3).then_some(sign)
}

/// One line outside a code block.
fn prose(line: &str) -> String {
    let text = line.trim_start();
    let mut out = " ".repeat((line.len() - text.len()).min(MAX_INDENT));
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '\\' => escaped(rest, &mut out),
            '`' => code_span(rest, &mut out),
            '[' => link(rest, &mut out),
            'h' if url(rest).is_some() => bare_url(rest, &mut out),
            '<' if url(&rest[1..]).is_some() => angled_url(rest, &mut out),
            ']' | '<' | '~' => {
                out.push('\\');
                out.push(c);
                1
            }
            // Wide gaps after a list sign would start a code block.
            ' ' => {
                out.push(' ');
                rest.len() - rest.trim_start_matches(' ').len()
            }
            c => {
                out.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    out
}

fn escaped(rest: &str, out: &mut String) -> usize {
    out.push('\\');
    match rest[1..].chars().next() {
        Some(next) if next.is_ascii_punctuation() => {
            out.push(next);
            2
        }
        _ => {
            out.push('\\');
            1
        }
    }
}

/// Copies `` `code` `` as it is; a run of backticks that nothing closes is escaped.
fn code_span(rest: &str, out: &mut String) -> usize {
    let run = rest.len() - rest.trim_start_matches('`').len();
    let sign = &rest[..run];
    let inner = &rest[run..];
    if run < 3
        && let Some(end) = inner.find(sign)
        && !inner[end + run..].starts_with('`')
        && end > 0
    {
        let span = &rest[..run + end + run];
        out.push_str(span);
        return span.len();
    }
    out.push_str(&"\\`".repeat(run));
    run
}

/// Copies `[text](https://..)`; any other bracket is just a bracket.
fn link(rest: &str, out: &mut String) -> usize {
    if let Some((text, target)) = rest[1..].split_once("](")
        && text.chars().all(|c| !"[]`<\\".contains(c))
        && let Some(address) = url(target)
        && target[address.len()..].starts_with(')')
    {
        let length = 1 + text.len() + 2 + address.len() + 1;
        out.push_str(&rest[..length]);
        return length;
    }
    out.push_str("\\[");
    1
}

/// The URL at the start, up to a blank or a bracket, without the punctuation of its sentence.
fn url(rest: &str) -> Option<&str> {
    let after = rest.strip_prefix("https://").or_else(|| rest.strip_prefix("http://"))?;
    let end = after.find(|c: char| c.is_whitespace() || "()<>[]`\"".contains(c));
    let address = after[..end.unwrap_or(after.len())].trim_end_matches(['.', ',', ';', ':', '!', '?', '\'']);
    (!address.is_empty()).then(|| &rest[..rest.len() - after.len() + address.len()])
}

fn bare_url(rest: &str, out: &mut String) -> usize {
    let address = url(rest).unwrap_or("h");
    out.push('<');
    out.push_str(address);
    out.push('>');
    address.len()
}

fn angled_url(rest: &str, out: &mut String) -> usize {
    let taken = 1 + bare_url(&rest[1..], out);
    taken + usize::from(rest[taken..].starts_with('>'))
}
