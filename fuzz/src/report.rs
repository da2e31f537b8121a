//! Names from the wire in everything that is told: JSON, the report for a terminal, the letter.
//!
//! Conversations are those of [`names`]; what is told of them stays well-formed:
//!
//! * every line of JSON is an object with its schema, and no control character is in it as such;
//! * no control character and none that turns the direction of text is in the other forms;
//! * the HTML has no tag, attribute or entity that the letter does not write itself;
//! * the Markdown has no mark of the wire that is not escaped.

use framewalk::surface::forms::forms;

use super::input::Input;
use super::surface::net::{How, Scene, Seen};
use super::surface::{CAPTURE, names};

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let head = input.u8();
    let file = if head & CAPTURE != 0 {
        input.rest().to_vec()
    } else {
        Scene::read(&mut input, names::DIALOGS, head)
            .capture(How { whole: false, seen: Seen::Both })
    };
    let Ok(told) = forms(&file) else { return };
    json(&told.json);
    let terminal = std::str::from_utf8(&told.terminal).expect("the report is UTF-8");
    for (form, text) in
        [("terminal", terminal), ("Markdown", &told.markdown[..]), ("HTML", &told.html[..])]
    {
        plain(form, text);
    }
    html(&told.html);
    markdown(&told.markdown);
}

fn json(lines: &[u8]) {
    for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        assert!(!line.iter().any(|&byte| byte < 0x20 || byte == 0x7f), "a control character");
        let value: serde_json::Value = serde_json::from_slice(line).expect("a line of JSON");
        assert!(value["schema"].as_str().is_some_and(|name| name.starts_with("framewalk.")));
    }
}

/// Nothing that a terminal or a browser would not just show.
fn plain(form: &str, text: &str) {
    let turns = |c: char| {
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}')
    };
    let bad = text.chars().find(|&c| (c.is_control() && c != '\n') || turns(c));
    assert_eq!(bad, None, "{form}: a control character");
}

/// What stands between the brackets of the letter's own tags.
const TAGS: [&str; 22] = [
    "!doctype html",
    "html lang=\"en\"",
    "/html",
    "head",
    "/head",
    "meta charset=\"utf-8\"",
    "meta name=\"viewport\" content=\"width=device-width\"",
    "title",
    "/title",
    "style",
    "/style",
    "body",
    "/body",
    "h1",
    "/h1",
    "h2",
    "/h2",
    "p",
    "/p",
    "p class=\"small\"",
    "ul",
    "/ul",
];

fn html(page: &str) {
    let mut rest = page;
    let (mut items, mut bold) = (0, 0);
    while let Some((_, behind)) = rest.split_once('<') {
        let (tag, behind) = behind.split_once('>').expect("a tag ends");
        match tag {
            "li" => items += 1,
            "b" => bold += 1,
            "/li" | "/b" => {}
            tag => assert!(TAGS.contains(&tag), "a tag that is not the letter's: {tag}"),
        }
        rest = behind;
    }
    assert_eq!(items, bold, "one in bold of each item");
    let entities = ["amp;", "lt;", "gt;", "quot;", "#39;"];
    for behind in page.split('&').skip(1) {
        assert!(entities.iter().any(|entity| behind.starts_with(entity)), "a bare ampersand");
    }
}

fn markdown(letter: &str) {
    let mut before = '\n';
    for c in letter.chars() {
        let mark = matches!(c, '<' | '[' | ']' | '`' | '|');
        assert!(!mark || before == '\\', "a mark that is not escaped: {c}");
        // an escaped backslash escapes nothing
        before = if before == '\\' && c == '\\' { ' ' } else { c };
    }
}
