//! The pages that people read: short sentences, short pages, and links that lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use osderive_tests::Places;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Words in a sentence, on average over all pages.
const AVERAGE_WORDS: f64 = 15.0;

/// Lines of a page.
const MAX_LINES: usize = 200;

/// What a page has for these tests.
#[derive(Default)]
struct Page {
    /// The words of each sentence. Lists and tables have none.
    sentences: Vec<usize>,
    /// Where links lead, as they are written.
    links: Vec<String>,
    /// The names that its headings have as places of links.
    anchors: BTreeSet<String>,
}

impl Page {
    fn read(text: &str) -> Self {
        let mut page = Self::default();
        let mut paragraph = None;
        let mut heading = None;
        // Paragraphs of lists are items, not sentences.
        let mut lists = 0;
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::List(_)) => lists += 1,
                Event::End(TagEnd::List(_)) => lists -= 1,
                Event::Start(Tag::Paragraph) if lists == 0 => paragraph = Some(String::new()),
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Start(Tag::Link { dest_url, .. }) => page.links.push(dest_url.into_string()),
                Event::Text(text) | Event::Code(text) => {
                    for open in [&mut paragraph, &mut heading].into_iter().flatten() {
                        open.push_str(&text);
                    }
                }
                Event::SoftBreak | Event::HardBreak => {
                    for open in [&mut paragraph, &mut heading].into_iter().flatten() {
                        open.push(' ');
                    }
                }
                Event::End(TagEnd::Paragraph) => {
                    page.sentences
                        .extend(words_of(&paragraph.take().unwrap_or_default()));
                }
                Event::End(TagEnd::Heading(_)) => {
                    page.anchors
                        .insert(anchor(&heading.take().unwrap_or_default()));
                }
                _ => {}
            }
        }
        page
    }
}

/// How many words each sentence of a paragraph has.
fn words_of(paragraph: &str) -> Vec<usize> {
    let mut sentences = vec![0];
    for word in paragraph.split_whitespace() {
        let is_word = word.contains(|letter: char| letter.is_alphanumeric());
        *sentences.last_mut().unwrap() += usize::from(is_word);
        let word = word.trim_end_matches(['"', '\'', ')', '*']);
        if word.ends_with(['.', '!', '?', ':']) {
            sentences.push(0);
        }
    }
    sentences.retain(|words| *words > 0);
    sentences
}

/// The name that GitHub and GitLab give to a heading.
fn anchor(heading: &str) -> String {
    let lower = heading.to_lowercase();
    let kept = lower
        .chars()
        .filter(|letter| letter.is_alphanumeric() || "-_ ".contains(*letter));
    kept.collect::<String>().replace(' ', "-")
}

/// All pages, by their paths.
fn pages() -> Vec<(PathBuf, Page, usize)> {
    let places = Places::of_workspace().unwrap();
    let workspace = places.workspace();
    let mut paths = vec![workspace.join("README.md")];
    for folder in [
        ".github",
        "docs",
        "docs/decisions",
        "docs/rules",
        "examples/ci",
    ] {
        let entries = fs::read_dir(workspace.join(folder)).unwrap();
        let entries = entries.map(|entry| entry.unwrap().path());
        paths.extend(entries.filter(|path| path.extension().is_some_and(|name| name == "md")));
    }
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, Page::read(&text), text.lines().count())
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn sentences_are_short() {
    let pages = pages();
    let sentences = || pages.iter().flat_map(|(_, page, _)| &page.sentences);
    let count = u32::try_from(sentences().count()).unwrap();
    let words = u32::try_from(sentences().sum::<usize>()).unwrap();
    assert!(count > 500, "{count} sentences were found");
    let average = f64::from(words) / f64::from(count);
    println!("{average:.1} words in a sentence, of {count}");
    assert!(
        average <= AVERAGE_WORDS,
        "{average:.1} words in a sentence on average"
    );
}

#[test]
fn pages_are_short() {
    for (path, _, lines) in pages() {
        assert!(lines <= MAX_LINES, "{}: {lines} lines", path.display());
    }
}

#[test]
fn links_lead_somewhere() {
    let of = |path: &Path| Page::read(&fs::read_to_string(path).unwrap());
    let mut followed = 0;
    for (path, page, _) in pages() {
        for link in page.links.iter().filter(|link| !link.contains("://")) {
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: {link}", path.display());
            let has_place = || of(&target).anchors.contains(place);
            assert!(
                place.is_empty() || has_place(),
                "{}: {link}",
                path.display()
            );
            followed += 1;
        }
    }
    assert!(followed > 100, "{followed} links were found");
}

#[test]
fn a_page_is_read_as_people_read_it() {
    let page = Page::read(
        "# What `it` does, and how\n\nOne two `three four` five. See [here](x.md#y): six\nseven.\n\n- not this. Nor this.\n\n\
         | a | b |\n|---|---|\n| c. | d |\n\n```sh\nnot this\n```\n",
    );
    assert_eq!(page.sentences, [5, 2, 2]);
    assert_eq!(page.links, ["x.md#y"]);
    assert_eq!(
        page.anchors.into_iter().collect::<Vec<_>>(),
        ["what-it-does-and-how"]
    );
}
