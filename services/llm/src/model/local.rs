//! [`LocalModel`]: the model that is always there.

use std::iter;

use futures_util::stream;
use schemas::ai::llm::v1::FinishReason;
use subwire::BoxFuture;

use super::{Answer, End, Model, Piece, Pieces, Prompt, Result};
use crate::limits;

/// Answers `Response to: <prompt>`, at once and always the same: for development, tests and demos.
///
/// A token is a word. It answers to every model name, ignores the temperature, and its summaries
/// are the first sentences of the text, up to [`limits::SUMMARY_WORDS`] words.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct LocalModel;

impl Model for LocalModel {
    fn generate(&self, prompt: Prompt) -> BoxFuture<Result<Answer>> {
        let text = format!("Response to: {}", question(&prompt));
        let (words, end) = cut(&prompt, &text);
        let text = words.concat();
        Box::pin(async move { Ok(Answer { text, end }) })
    }

    fn stream(&self, prompt: Prompt) -> BoxFuture<Result<Pieces>> {
        let text = format!("Response to: {}", question(&prompt));
        let (words, end) = cut(&prompt, &text);
        let last = words.len() - 1;
        let piece = |(n, word): (usize, &str)| Ok(Piece { text: word.to_owned(), end: (n == last).then_some(end) });
        let pieces: Vec<_> = words.into_iter().enumerate().map(piece).collect();
        Box::pin(async move { Ok(Box::pin(stream::iter(pieces)) as Pieces) })
    }

    fn summarize(&self, prompt: Prompt) -> BoxFuture<Result<Answer>> {
        let text = first_sentences(question(&prompt));
        let end = End { reason: FinishReason::Stop, tokens: tokens(&prompt, count(&text)) };
        Box::pin(async move { Ok(Answer { text, end }) })
    }
}

/// What to answer.
fn question(prompt: &Prompt) -> &str {
    prompt.turns.last().map_or("", |turn| &turn.text)
}

/// The words of the answer, up to the limit of the prompt, with the space before each.
fn cut<'a>(prompt: &Prompt, answer: &'a str) -> (Vec<&'a str>, End) {
    let mut words: Vec<_> = words(answer).collect();
    let limit = prompt.max_tokens.map_or(usize::MAX, |limit| limit.max(1) as usize);
    let reason = if words.len() > limit { FinishReason::Length } else { FinishReason::Stop };
    words.truncate(limit);
    let end = End { reason, tokens: tokens(prompt, words.len()) };
    (words, end)
}

/// Words of everything that was said, and of the answer.
fn tokens(prompt: &Prompt, answer: usize) -> u32 {
    let asked: usize = prompt.turns.iter().map(|turn| count(&turn.text)).sum();
    u32::try_from(asked + answer).unwrap_or(u32::MAX)
}

fn count(text: &str) -> usize {
    text.split_whitespace().count()
}

/// The words of a text, each with the white space before it, the last also with that after it: put
/// together they are the text.
fn words(mut rest: &str) -> impl Iterator<Item = &str> {
    iter::from_fn(move || {
        let start = rest.find(|letter: char| !letter.is_whitespace())?;
        let end = rest[start..].find(char::is_whitespace).map_or(rest.len(), |length| start + length);
        let end = if rest[end..].trim_start().is_empty() { rest.len() } else { end };
        let word;
        (word, rest) = rest.split_at(end);
        Some(word)
    })
}

/// As many whole sentences as fit the limit, or the beginning of the first.
fn first_sentences(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let ends_sentence = |word: &&str| word.trim_end_matches(['"', '\'', ')', '”', '’']).ends_with(['.', '!', '?']);
    let fitting = &words[..words.len().min(limits::SUMMARY_WORDS)];
    if fitting.len() == words.len() {
        return fitting.join(" ");
    }
    match fitting.iter().rposition(ends_sentence) {
        Some(last) => fitting[..=last].join(" "),
        None => format!("{} …", fitting.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_put_together_are_the_text() {
        for (text, expected) in [
            ("", [].as_slice()),
            ("one", &["one"]),
            ("one two", &["one", " two"]),
            ("  one\n\ttwo \n", &["  one", "\n\ttwo \n"]),
            ("ä\u{3000}ö", &["ä", "\u{3000}ö"]),
        ] {
            assert_eq!(words(text).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_summary_is_the_sentences_that_fit() {
        let sentence = "One two three four five six seven eight nine ten.";
        let long = [sentence; 7].join("\n");
        for (text, expected) in [
            ("", String::new()),
            ("  Just  a\nfew words", "Just a few words".to_owned()),
            (long.as_str(), [sentence; 5].join(" ")),
            (&format!("{sentence} {}", "word ".repeat(100)), sentence.to_owned()),
            (&"word ".repeat(60), format!("{}…", "word ".repeat(50))),
        ] {
            assert_eq!(first_sentences(text), expected);
        }
    }
}
