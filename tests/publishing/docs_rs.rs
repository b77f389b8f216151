//! Builds the documentation as docs.rs does. There must be no warnings, and every item
//! behind a feature or a platform must be marked as such.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cargo::{INTERFACE, docs_rs};

/// An item that can carry a mark ("Available on crate feature …").
#[derive(Debug)]
enum Item {
    /// A module, type or free function, which has its own page.
    Page(String),
    /// A method or variant, which is a section on the page of its type.
    Section { of: String, id: String },
}

/// Returns the item in a line of the listing. Returns `None` for impls, fields and other
/// items that show the mark of the enclosing item.
fn item(line: &str) -> Option<Item> {
    // A line may begin with an attribute such as `#[non_exhaustive]`.
    let line = match line.strip_prefix("#[") {
        Some(line) => line.split_once("] ")?.1,
        None => line,
    };
    let line = line.strip_prefix("pub ")?;
    let is_variant = line.starts_with("instrument_runtime::") && !line.contains(": ");
    let (kind, path) = if is_variant {
        ("variant", line)
    } else {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("const ")
            .unwrap_or(line)
            .split_once(' ')?
    };
    let path = without_generics(path);
    let path = path.strip_prefix("instrument_runtime::")?;
    let (parent, name) = path.rsplit_once("::").unwrap_or(("", path));
    let is_in_type = parent.rsplit("::").next()?.starts_with(char::is_uppercase);
    match kind {
        "mod" => Some(Item::Page(format!("{path}/index.html"))),
        "fn" if is_in_type => Some(Item::Section {
            of: parent.to_owned(),
            id: format!("method.{name}"),
        }),
        "variant" => Some(Item::Section {
            of: parent.to_owned(),
            id: format!("variant.{name}"),
        }),
        "fn" | "struct" | "enum" | "trait" => {
            let folder = parent.replace("::", "/");
            Some(Item::Page(format!("{folder}/{kind}.{name}.html")))
        }
        _ => None,
    }
}

/// Returns the path in a line without generics: `a::B::c` from
/// `a::B<T>::c(&self) -> D`.
fn without_generics(line: &str) -> String {
    let mut depth = 0;
    line.chars()
        .take_while(|sign| !matches!(sign, '(' | ' '))
        .filter(|sign| {
            depth += i32::from(*sign == '<');
            let is_outside = depth == 0;
            depth -= i32::from(*sign == '>');
            is_outside
        })
        .collect()
}

fn read(folder: &Path, page: &str) -> Option<String> {
    fs::read_to_string(folder.join(page.trim_start_matches('/'))).ok()
}

/// Returns whether an item without its own page is listed on its module's page as a
/// re-export.
fn is_reexport(folder: &Path, page: &str) -> bool {
    let (module, file) = page.rsplit_once('/').unwrap_or(("", page));
    let name = file.split('.').nth(1).unwrap_or(file);
    let module = read(folder, &format!("{module}/index.html")).expect(page);
    module.contains(&format!("id=\"reexport.{name}\""))
}

/// Returns whether the head of a page, or a section, has the mark.
fn marked(folder: &Path, item: &Item, mark: &str) -> bool {
    match item {
        Item::Page(page) => {
            let Some(page) = read(folder, page) else {
                return is_reexport(folder, page);
            };
            // After the head come the page's items, which have their own marks.
            page.split("<h2 id=")
                .next()
                .is_some_and(|head| head.contains(mark))
        }
        Item::Section { of, id } => {
            let (parent, name) = of.rsplit_once("::").unwrap_or(("", of.as_str()));
            let parent = parent.replace("::", "/");
            let page = ["struct", "enum", "trait"]
                .iter()
                .find_map(|kind| read(folder, &format!("{parent}/{kind}.{name}.html")))
                .expect(of);
            let Some((_, section)) = page.split_once(&format!("id=\"{id}\"")) else {
                // A trait method, documented in an impl.
                return true;
            };
            let end = section.find("<section id=").unwrap_or(section.len());
            section[..end].contains(mark)
        }
    }
}

#[test]
fn every_gated_item_says_so() {
    let gated: Vec<Item> = INTERFACE.added().filter_map(item).collect();
    let for_unix = [
        Item::Page("fn.http_sd.html".to_owned()),
        section("Builder", "method.advertise"),
        section("Builder", "method.file_sd"),
        section("Builder", "method.listen_unix"),
    ];
    assert!(gated.len() > 40, "{gated:?}");
    docs_rs(|folder| {
        let folder = folder.join("instrument_runtime");
        no_chapter_has_a_mark(&folder.join("_guide"));
        every_link_of_the_guide_leads_somewhere(&folder.join("_guide"));
        // A method of a gated type shows only the mark at the head of the type's page.
        let is_gated_type = |of: &str| {
            let name = of.rsplit("::").next().unwrap_or(of);
            gated.iter().any(
                |item| matches!(item, Item::Page(page) if page.ends_with(&format!(".{name}.html"))),
            )
        };
        for item in &gated {
            let is_said_by_type = matches!(item, Item::Section { of, .. } if is_gated_type(of));
            assert!(
                is_said_by_type || marked(&folder, item, "Available on <strong>crate feature"),
                "no mark: {item:?}"
            );
        }
        for item in &for_unix {
            assert!(
                marked(&folder, item, "Available on <strong>Unix"),
                "no mark: {item:?}"
            );
        }
    });
}

/// Returns the folder and the page of each chapter of the guide, and of the pages of the
/// chapter `coming_from`.
fn chapters(guide: &Path) -> Vec<(PathBuf, String)> {
    let entries = |folder: &Path| fs::read_dir(folder).expect("a folder of the guide");
    let entries = entries(guide).chain(entries(&guide.join("coming_from")));
    let folders = entries.map(|entry| entry.expect("an entry").path());
    folders
        .filter_map(|folder| {
            let page = read(&folder, "index.html")?;
            Some((folder, page))
        })
        .collect()
}

/// The guide is compiled for documentation only, which must not look like a restriction.
fn no_chapter_has_a_mark(guide: &Path) {
    let chapters = chapters(guide);
    assert_eq!(chapters.len(), 13 + 5);
    for (folder, page) in chapters {
        assert!(!page.contains("Available on"), "{}", folder.display());
    }
}

/// rustdoc checks the items that links name, but not the headings.
fn every_link_of_the_guide_leads_somewhere(guide: &Path) {
    let mut links = 0;
    for (folder, page) in chapters(guide) {
        let hrefs = page.split("href=\"").skip(1);
        let hrefs = hrefs.filter_map(|text| text.split('"').next());
        // Links to other sites, and the template in a script, are left out.
        for href in hrefs.filter(|href| !href.contains("://") && !href.contains('$')) {
            let (file, heading) = href.split_once('#').unwrap_or((href, ""));
            let target = match file {
                "" => page.clone(),
                file => {
                    let path = folder.join(file);
                    assert!(path.is_file(), "{}: {href}", folder.display());
                    // Style sheets and fonts are not text.
                    fs::read_to_string(path).unwrap_or_default()
                }
            };
            // A range of lines in the source.
            let is_heading = !heading.is_empty() && heading.parse::<u32>().is_err();
            let is_range = heading.contains(|c: char| c.is_ascii_digit()) && file.contains("/src/");
            if is_heading && !is_range {
                let id = format!("id=\"{heading}\"");
                assert!(target.contains(&id), "{}: {href}", folder.display());
                links += 1;
            }
        }
    }
    assert!(links > 50, "{links} links to headings");
}

fn section(of: &str, id: &str) -> Item {
    Item::Section {
        of: of.to_owned(),
        id: id.to_owned(),
    }
}
