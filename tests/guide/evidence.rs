//! The comments of the guide name the tests and the source files that show what it says. Each
//! of them exists.

use crate::chapters::{chapter, chapters, coming_from, read, root};

/// Returns the text of each comment, with single spaces.
fn comments(chapter: &str) -> Vec<String> {
    let comments = chapter.split("<!--").skip(1);
    comments
        .map(|text| {
            let (comment, _) = text.split_once("-->").expect("the end of the comment");
            comment.split_whitespace().collect::<Vec<_>>().join(" ")
        })
        .collect()
}

/// Returns each file in a comment, and the names in the parentheses after it.
fn references(comment: &str) -> Vec<(&str, &str)> {
    let mut references = Vec::new();
    let mut rest = comment;
    while let Some((word, after)) = rest.split_once([' ', ',']).or(Some((rest, ""))) {
        let word = word.trim_end_matches(['.', ',', ';', ':']);
        let after = after.trim_start();
        if is_file(word) {
            let names = after
                .strip_prefix('(')
                .and_then(|text| text.split_once(')'));
            references.push((word, names.map_or("", |(names, _)| names)));
        }
        if after.is_empty() {
            break;
        }
        rest = after;
    }
    references
}

fn is_file(word: &str) -> bool {
    let extensions = [".rs", ".md", ".yml", ".toml"];
    extensions.iter().any(|extension| word.ends_with(extension))
}

#[test]
fn each_test_and_each_file_exists() {
    let mut tests = 0;
    for name in chapters().into_iter().chain(coming_from()) {
        for comment in comments(&chapter(&name)) {
            if comment.starts_with("TO EXTEND") {
                continue;
            }
            let references = references(&comment);
            assert!(!references.is_empty(), "{name}: no file in {comment:?}");
            for (path, names) in references {
                let text = read(path);
                for test in names.split(", ") {
                    if let Some(quoted) = test.strip_prefix('"') {
                        let quoted = quoted.trim_end_matches('"');
                        assert!(text.contains(quoted), "{name}: {path} has no {quoted:?}");
                    } else if test.contains('_') && !test.contains(' ') {
                        // A function, a module or a constant.
                        let is_there = text.contains(&format!(" {test}("))
                            || text.contains(&format!("mod {test} "))
                            || text.contains(&format!(" {test}:"))
                            || text.contains(&format!("({test}"));
                        assert!(is_there, "{name}: {path} has no {test}");
                        tests += 1;
                    }
                }
            }
        }
    }
    assert!(tests > 100, "{tests} tests");
}

/// Returns the texts between backticks that look like paths in the repository.
fn paths(chapter: &str) -> impl Iterator<Item = &str> {
    let folders = ["benches/", "deploy/", "examples/", "tests/"];
    let lines = chapter.lines();
    let codes = lines.flat_map(|line| line.split('`').skip(1).step_by(2));
    codes.filter(move |code| folders.iter().any(|folder| code.starts_with(folder)))
}

#[test]
fn each_path_in_the_text_exists() {
    let mut found = 0;
    for name in chapters().into_iter().chain(coming_from()) {
        for path in paths(&chapter(&name)) {
            assert!(root().join(path).exists(), "{name}: {path}");
            found += 1;
        }
    }
    assert!(found > 10, "{found} paths");
}
