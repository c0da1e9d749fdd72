//! The life of a command reads in order of headers: every file named is there, and the walk from the call ends at the promise.
use super::{Complaint, source::Source};
use std::collections::BTreeMap;

const STAGES: u32 = 6;

/// One header: `Life of a command, stage 3 of 6: submit. Before: PATH. After: PATH.`
#[derive(Debug, PartialEq)]
struct Header<'a> {
    stage: u32,
    before: Vec<&'a str>,
    after: Vec<&'a str>,
}

/// Checks every header, then walks the chain.
pub fn check(sources: &[Source]) -> Vec<Complaint> {
    let mut headers = BTreeMap::new();
    let mut complaints = Vec::new();
    for source in sources {
        match parse(source.text.lines().next().unwrap_or_default()) {
            None => {}
            Some(Ok(header)) => {
                headers.insert(source.path.as_str(), header);
            }
            Some(Err(what)) => complaints.push(Complaint::at(source, 1, what)),
        }
    }
    for (path, header) in &headers {
        let before = header.before.iter().map(|name| (name, false));
        let after = header.after.iter().map(|name| (name, true));
        for (name, forward) in before.chain(after) {
            match headers.get(name) {
                None => complaints
                    .push(Complaint::of(*path, format!("its header names {name}, which has no header"))),
                Some(other) => {
                    let fits =
                        if forward { other.stage >= header.stage } else { other.stage <= header.stage };
                    if !fits {
                        let what = format!(
                            "stage {} names {name} of stage {} on the wrong side",
                            header.stage, other.stage
                        );
                        complaints.push(Complaint::of(*path, what));
                    }
                }
            }
        }
    }
    if complaints.is_empty() {
        complaints.extend(walk(&headers).err());
    }
    complaints
}

/// `None`: no link of the chain. Headers over a span of stages are for readers only.
fn parse(line: &str) -> Option<Result<Header<'_>, String>> {
    let (_, rest) = line.split_once("Life of a command, stage ")?;
    Some(parse_rest(rest).ok_or_else(|| {
        "the header must read `Life of a command, stage N of 6: NAME. Before: PATH[, PATH]. After: PATH[, PATH].`, `none` at the ends".to_owned()
    }))
}

fn parse_rest(rest: &str) -> Option<Header<'_>> {
    let (stage, rest) = rest.split_once(" of 6: ")?;
    let stage = stage.parse().ok().filter(|stage| (1..=STAGES).contains(stage))?;
    let (_, rest) = rest.split_once(". Before: ")?;
    let (before, after) = rest.split_once(". After: ")?;
    let after = after.trim_end().strip_suffix('.')?;
    Some(Header { stage, before: paths(before), after: paths(after) })
}

fn paths(list: &str) -> Vec<&str> {
    list.split(", ").filter(|path| *path != "none").collect()
}

/// From the one file with nothing before it, by the first file after each, to one with nothing after it, through all stages.
fn walk(headers: &BTreeMap<&str, Header>) -> Result<(), Complaint> {
    let page = "life of a command";
    let starts: Vec<_> = headers.iter().filter(|(_, header)| header.before.is_empty()).collect();
    let [(start, first)] = starts[..] else {
        let names: Vec<_> = starts.iter().map(|(path, _)| **path).collect();
        return Err(Complaint::of(page, format!("one file must have `Before: none`; these have: {names:?}")));
    };
    let (mut path, mut header) = (*start, first);
    let mut seen = vec![path];
    let mut stages = vec![header.stage];
    while let Some(next) = header.after.first() {
        if seen.contains(next) {
            return Err(Complaint::of(path, format!("the chain comes back to {next}")));
        }
        let Some(following) = headers.get(next) else { break };
        if !following.before.contains(&path) {
            return Err(Complaint::of(
                *next,
                format!("{path} hands over to it, so its header must say so in `Before:`"),
            ));
        }
        (path, header) = (next, following);
        seen.push(path);
        stages.push(header.stage);
    }
    if let Some(missing) = (1..=STAGES).find(|stage| !stages.contains(stage)) {
        return Err(Complaint::of(
            path,
            format!("the chain ends here and has no file of stage {missing}: {seen:?}"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, stage: u32, before: &str, after: &str) -> Source {
        let text =
            format!("//! Life of a command, stage {stage} of 6: name. Before: {before}. After: {after}.\n");
        Source { path: path.into(), text }
    }

    fn whole() -> Vec<Source> {
        vec![
            file("a", 1, "none", "b"),
            file("b", 2, "a", "c"),
            file("c", 3, "b", "d"),
            file("d", 4, "c", "e"),
            file("e", 5, "d", "f"),
            file("f", 6, "e", "none"),
        ]
    }

    #[test]
    fn a_whole_chain_is_in_order() {
        assert!(check(&whole()).is_empty());
        let mut forked = whole();
        forked.push(file("side", 5, "c, d", "f"));
        assert!(check(&forked).is_empty());
    }

    #[test]
    fn each_break_is_found() {
        let breaks: [(usize, Source); 6] = [
            (2, file("c", 3, "b", "gone")),
            (2, file("c", 3, "a", "d")),
            (2, file("c", 5, "b", "d")),
            (3, file("d", 4, "c", "none")),
            (3, file("d", 3, "c", "e")),
            (0, Source { path: "a".into(), text: "// Life of a command, stage 1 of 6: call.\n".into() }),
        ];
        for (index, broken) in breaks {
            let mut sources = whole();
            sources[index] = broken;
            assert!(!check(&sources).is_empty(), "break {index} was not found");
        }
        assert!(!check(&[]).is_empty());
    }

    #[test]
    fn a_header_over_several_stages_is_no_link() {
        assert!(parse("//! Life of a command, stages 3 to 5: the kernel edge.").is_none());
    }
}
