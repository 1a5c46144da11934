//! The page's content security policy in words: what the browser itself forbids the page, whatever its program does.

/// A directive with what it means for a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// As it stands in the policy: `connect-src 'self'`.
    pub text: String,
    /// In words; empty for one this page does not know.
    pub words: String,
}

/// The directives of a policy, in its order.
#[must_use]
pub fn directives(policy: &str) -> Vec<Directive> {
    let parts = policy.split(';').map(|part| part.split_whitespace().collect::<Vec<_>>());
    parts.filter(|words| !words.is_empty()).map(|words| directive(&words)).collect()
}

/// Whether a policy lets the page reach no other server than its own: what is not named falls back to `default-src`.
#[must_use]
pub fn is_closed(policy: &str) -> bool {
    let is_own = |source: &&str| source.starts_with('\'') || matches!(*source, "data:" | "blob:");
    let parts: Vec<Vec<&str>> = policy.split(';').map(|part| part.split_whitespace().collect()).collect();
    let find = |name: &str| parts.iter().find(|words| words.first() == Some(&name));
    let no_default = ["default-src", "form-action", "base-uri"];
    no_default.iter().all(|name| find(name).is_some())
        && parts.iter().all(|words| words.iter().skip(1).all(is_own))
}

fn directive(words: &[&str]) -> Directive {
    let what = match words[0] {
        "default-src" => "Anything not named below",
        "script-src" => "Programs",
        "worker-src" => "Background programs, such as the one that runs the model",
        "style-src" => "Styles",
        "connect-src" => "Connections, in either direction",
        "img-src" => "Pictures",
        "font-src" => "Fonts",
        "manifest-src" => "The description for installing",
        "base-uri" => "Moving the page's own addresses elsewhere",
        "form-action" => "Sending forms",
        "frame-src" | "child-src" => "Pages within this page",
        "frame-ancestors" => "Showing this page within another",
        "object-src" => "Plug-ins",
        _ => "",
    };
    let allowed: Vec<&str> = words[1..]
        .iter()
        .map(|source| match *source {
            "'none'" => "not at all",
            "'self'" => "only this server, which the page came from",
            "'wasm-unsafe-eval'" => "WebAssembly",
            "data:" => "what the page itself contains",
            "blob:" => "what the page itself made",
            other => other,
        })
        .collect();
    let said = match (what.is_empty(), allowed.is_empty()) {
        (true, _) => String::new(),
        (false, true) => format!("{what}: not at all."),
        (false, false) => format!("{what}: {}.", allowed.join(", ")),
    };
    Directive { text: words.join(" "), words: said }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page's own.
    fn of_the_page() -> &'static str {
        let page = include_str!("../../index.html");
        let policy = page.split("content=\"default-src").nth(1).and_then(|rest| rest.split('"').next());
        policy.map(|rest| &page[page.find(rest).unwrap() - "default-src".len()..][..rest.len() + 11]).unwrap()
    }

    #[test]
    fn the_pages_policy_is_said_in_words() {
        let said = directives(of_the_page());
        assert!(said.iter().all(|directive| !directive.words.is_empty()), "{said:?}");
        let connect = said.iter().find(|directive| directive.text.starts_with("connect-src")).unwrap();
        assert_eq!(
            connect.words,
            "Connections, in either direction: only this server, which the page came from."
        );
        assert_eq!(said[0].words, "Anything not named below: not at all.");
        assert!(is_closed(of_the_page()));
    }

    #[test]
    fn another_server_is_noticed() {
        let open =
            "default-src 'none'; connect-src 'self' https://example.org; base-uri 'none'; form-action 'none'";
        assert!(!is_closed(open));
        assert!(directives(open)[1].words.ends_with("https://example.org."));
        assert!(!is_closed("default-src *; base-uri 'none'; form-action 'none'"));
        assert!(!is_closed("connect-src 'self'"), "nothing said of the rest");
        assert!(!is_closed(""));
        assert_eq!(
            directives(" ; trusted-types x;"),
            [Directive { text: "trusted-types x".to_owned(), words: String::new() }]
        );
    }
}
