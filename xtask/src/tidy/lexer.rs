//! Just enough of Rust's lexical grammar to tell code from comments and literals.

/// The source with comments and the insides of literals replaced by spaces; lines keep their
/// numbers and columns.
///
/// Knows line comments, nested block comments, strings, raw and byte strings, character
/// literals against lifetimes (The Rust Reference, "Tokens").
pub(super) fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = token_end(&chars, at);
        if let Some(end) = end {
            for &c in &chars[at..end] {
                code.push(if c == '\n' { '\n' } else { ' ' });
            }
            at = end;
        } else {
            code.push(chars[at]);
            at += 1;
        }
    }
    code
}

/// Where the comment or literal that starts at `at` ends; `None` if none starts there.
fn token_end(chars: &[char], at: usize) -> Option<usize> {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => Some(until(chars, at, |c| c == '\n')),
        '/' if next == Some('*') => Some(block_comment_end(chars, at)),
        '"' => Some(string_end(chars, at)),
        'r' if !is_word(chars, at) => raw_string_end(chars, at),
        '\'' => char_end(chars, at),
        _ => None,
    }
}

/// Whether the character before `at` belongs to the same identifier. The `b` and `c` of byte and
/// C strings do not count.
fn is_word(chars: &[char], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|index| chars[index]);
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let prefix = matches!(before(1), Some('b' | 'c')) && !word(before(2));
    word(before(1)) && !prefix
}

fn until(chars: &[char], from: usize, stop: impl Fn(char) -> bool) -> usize {
    (from..chars.len()).find(|&index| stop(chars[index])).unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut index) = (0_usize, at);
    while index + 1 < chars.len() {
        match (chars[index], chars[index + 1]) {
            ('/', '*') => (depth, index) = (depth + 1, index + 2),
            ('*', '/') => (depth, index) = (depth - 1, index + 2),
            _ => index += 1,
        }
        if depth == 0 {
            return index;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], at: usize) -> usize {
    let mut index = at + 1;
    while index < chars.len() {
        match chars[index] {
            '\\' => index += 2,
            '"' => return index + 1,
            _ => index += 1,
        }
    }
    chars.len()
}

fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let open = until(chars, at + 1, |c| c != '#');
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let hashes = open - at - 1;
    let mut index = open + 1;
    while index < chars.len() {
        let closing = chars[index] == '"'
            && chars[index + 1..].iter().take_while(|&&c| c == '#').take(hashes).count() == hashes;
        if closing {
            return Some(index + 1 + hashes);
        }
        index += 1;
    }
    Some(chars.len())
}

/// A character literal ends within a few characters; a lifetime has no closing quote.
fn char_end(chars: &[char], at: usize) -> Option<usize> {
    if chars.get(at + 1) == Some(&'\\') {
        let close = until(chars, at + 3, |c| c == '\'' || c == '\n');
        return (chars.get(close) == Some(&'\'')).then_some(close + 1);
    }
    (chars.get(at + 2) == Some(&'\'')).then_some(at + 3)
}

#[cfg(test)]
mod tests {
    use super::code_only;

    fn squeezed(text: &str) -> String {
        code_only(text).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_literals_go() {
        assert_eq!(squeezed("a // unsafe\nb /* x /* y */ z */ c"), "a b c");
        assert_eq!(squeezed(r#"f("unsafe \" {", b"x", 'x', '\'', '"') + 1"#), "f( , b , , , ) + 1");
        assert_eq!(squeezed("r#\"unsafe \" x\"# + br\"y\" + for_r"), "+ b + for_r");
        assert_eq!(squeezed("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
    }

    #[test]
    fn lines_and_unfinished_tokens_stay_in_bounds() {
        assert_eq!(code_only("a \"x\ny\" b").lines().count(), 2);
        for text in ["\"", "'", "r#\"", "/*", "'\\", "r#", "b'"] {
            assert!(code_only(text).len() <= text.len() + 1);
        }
    }
}
