//! The messages on stderr, as the library writes them, are in the chapter about
//! troubleshooting.

use std::path::Path;

use crate::chapters::{blocks, chapter, root};

/// Returns the text of each message in a source file, with `…` for each inserted value.
fn messages(source: &str) -> Vec<String> {
    const CALLS: [&str; 2] = [".write(format_args!(", "say(format_args!("];
    let mut messages = Vec::new();
    for call in CALLS {
        for after in source.split(call).skip(1) {
            let Some(literal) = after.trim_start().strip_prefix('"') else {
                continue;
            };
            messages.push(text(literal));
        }
    }
    messages
}

/// Returns the value of a string literal without its opening quote.
fn text(literal: &str) -> String {
    let mut text = String::new();
    let mut signs = literal.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '"' => break,
            '\\' => match signs.next() {
                // The next line goes on after its indentation.
                Some('\n') => {
                    let rest = signs.as_str().trim_start();
                    signs = rest.chars();
                }
                Some(escaped) => text.push(escaped),
                None => break,
            },
            '{' => {
                signs.by_ref().find(|sign| *sign == '}');
                text.push('…');
            }
            _ => text.push(sign),
        }
    }
    text
}

fn sources(folder: &Path, all: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(std::fs::read_to_string(&path).expect("a source"));
        }
    }
}

#[test]
fn every_message_is_quoted() {
    let chapter = chapter("troubleshooting");
    let quoted: Vec<String> = blocks(&chapter, "text")
        .iter()
        .map(|block| block.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let mut all = Vec::new();
    sources(&root().join("instrument-runtime/src"), &mut all);
    let messages: Vec<String> = all.iter().flat_map(|source| messages(source)).collect();
    assert!(messages.len() >= 9, "{messages:#?}");
    for message in messages {
        assert!(
            quoted.contains(&message),
            "not in troubleshooting.md: {message}"
        );
    }
}
