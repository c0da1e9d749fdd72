//! Preconditions: RFC 9110 section 13, in the order its 13.2.2 prescribes.
use super::{date, etag};

/// The most fields of one name that are joined.
pub const JOINED_MAX: usize = 4;

/// The values of a list field, which may come in several fields (RFC 9110 section 5.3: they mean the same as one, joined by
/// commas). Borrowed, and small enough to live in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct List<'a> {
    values: [&'a [u8]; JOINED_MAX],
    count: usize,
}

impl<'a> List<'a> {
    /// Adds a field. False when there are [`JOINED_MAX`] already.
    #[must_use]
    pub fn push(&mut self, value: &'a [u8]) -> bool {
        let Some(place) = self.values.get_mut(self.count) else { return false };
        *place = value;
        self.count += 1;
        true
    }

    /// True when the field is absent.
    #[inline]
    pub fn is_absent(&self) -> bool {
        self.count == 0
    }

    /// The values, in the order of the fields.
    pub fn values(&self) -> impl Iterator<Item = &'a [u8]> {
        self.values.into_iter().take(self.count)
    }

    fn matches(&self, ours: &[u8], strong: bool) -> bool {
        self.values[..self.count].iter().any(|list| etag::list_matches(list, ours, strong))
    }
}

/// The conditional headers of one request, as they came. Absent is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions<'a> {
    /// If-Match.
    pub if_match: List<'a>,
    /// If-None-Match.
    pub if_none_match: List<'a>,
    /// If-Modified-Since. Repeated, it is empty: no date, so it is ignored (RFC 9110 section 13.1.3).
    pub if_modified_since: Option<&'a [u8]>,
    /// If-Unmodified-Since. Repeated, it is empty: no date, so it is ignored (RFC 9110 section 13.1.4).
    pub if_unmodified_since: Option<&'a [u8]>,
    /// If-Range; means something only beside a Range. Repeated, it is empty, which is no validator of ours: the whole file.
    pub if_range: Option<&'a [u8]>,
}

impl Conditions<'_> {
    /// True when none of the four preconditions is there (If-Range is not one).
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.if_match.is_absent()
            && self.if_none_match.is_absent()
            && self.if_modified_since.is_none()
            && self.if_unmodified_since.is_none()
    }
}

/// What the selected representation can be compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validators<'a> {
    /// Our ETag with quotes and perhaps `W/`; empty when tags are off.
    pub etag: &'a [u8],
    /// Last-Modified in seconds since 1970.
    pub last_modified: i64,
    /// The file may have changed within the clock's step ([`etag::is_fresh`]): the date proves nothing strongly.
    pub fresh: bool,
}

/// What the preconditions decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on with the method.
    Proceed,
    /// 304: the client's copy will do.
    NotModified,
    /// 412: the client's assumption does not hold.
    Failed,
}

/// Evaluates the preconditions of a GET or HEAD.
///
/// A date that cannot be parsed makes its header as if absent (RFC 9110 sections 13.1.3 and 13.1.4).
pub fn evaluate(conditions: &Conditions<'_>, ours: &Validators<'_>) -> Verdict {
    if !conditions.if_match.is_absent() {
        if !conditions.if_match.matches(ours.etag, true) {
            return Verdict::Failed;
        }
    } else if let Some(since) = conditions.if_unmodified_since.and_then(date::parse)
        && ours.last_modified > since
    {
        return Verdict::Failed;
    }
    if !conditions.if_none_match.is_absent() {
        if conditions.if_none_match.matches(ours.etag, false) {
            return Verdict::NotModified;
        }
    } else if let Some(since) = conditions.if_modified_since.and_then(date::parse)
        && ours.last_modified <= since
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// True when a Range may be honoured: no If-Range, or one whose validator is strong and ours (RFC 9110 section 13.1.5).
pub fn range_applies(conditions: &Conditions<'_>, ours: &Validators<'_>) -> bool {
    let Some(value) = conditions.if_range.map(<[u8]>::trim_ascii) else { return true };
    if let Some((theirs, rest)) = etag::Tag::read(value) {
        let Some((ours, _)) = etag::Tag::read(ours.etag) else { return false };
        return rest.is_empty() && theirs.matches_strongly(&ours);
    }
    !ours.fresh && date::parse(value) == Some(ours.last_modified)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Validators<'_> = Validators { etag: b"\"a\"", last_modified: 784_111_777, fresh: false };
    const SAME: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &[u8] = b"Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &[u8] = b"Sun, 06 Nov 1994 08:49:38 GMT";

    fn list(value: &[u8]) -> List<'_> {
        lists(&[value])
    }

    fn lists<'a>(values: &[&'a [u8]]) -> List<'a> {
        let mut list = List::default();
        assert!(values.iter().all(|value| list.push(value)));
        list
    }

    #[test]
    fn if_none_match_compares_weakly_and_wins_over_the_date() {
        let with = |tags, since| Conditions {
            if_none_match: list(tags),
            if_modified_since: since,
            ..Conditions::default()
        };
        assert_eq!(evaluate(&with(b"\"a\"", None), &OURS), Verdict::NotModified);
        assert_eq!(evaluate(&with(b"W/\"a\"", None), &OURS), Verdict::NotModified);
        assert_eq!(evaluate(&with(b"*", None), &OURS), Verdict::NotModified);
        assert_eq!(evaluate(&with(b"\"b\"", Some(AFTER)), &OURS), Verdict::Proceed);
        assert_eq!(evaluate(&with(b"\"a\"", Some(BEFORE)), &OURS), Verdict::NotModified);
    }

    #[test]
    fn if_modified_since_is_true_for_the_same_second_and_later() {
        let with = |since| Conditions { if_modified_since: Some(since), ..Conditions::default() };
        assert_eq!(evaluate(&with(SAME), &OURS), Verdict::NotModified);
        assert_eq!(evaluate(&with(AFTER), &OURS), Verdict::NotModified);
        assert_eq!(evaluate(&with(BEFORE), &OURS), Verdict::Proceed);
        assert_eq!(evaluate(&with(b"yesterday"), &OURS), Verdict::Proceed);
    }

    #[test]
    fn if_match_compares_strongly_and_wins_over_if_unmodified_since() {
        let with = |tags, since| Conditions {
            if_match: list(tags),
            if_unmodified_since: since,
            ..Conditions::default()
        };
        assert_eq!(evaluate(&with(b"\"a\"", Some(BEFORE)), &OURS), Verdict::Proceed);
        assert_eq!(evaluate(&with(b"*", None), &OURS), Verdict::Proceed);
        assert_eq!(evaluate(&with(b"W/\"a\"", None), &OURS), Verdict::Failed);
        assert_eq!(evaluate(&with(b"\"b\"", Some(AFTER)), &OURS), Verdict::Failed);
        let weak = Validators { etag: b"W/\"a\"", ..OURS };
        assert_eq!(evaluate(&with(b"W/\"a\"", None), &weak), Verdict::Failed);
    }

    #[test]
    fn if_unmodified_since_fails_only_for_a_later_change() {
        let with = |since| Conditions { if_unmodified_since: Some(since), ..Conditions::default() };
        assert_eq!(evaluate(&with(BEFORE), &OURS), Verdict::Failed);
        assert_eq!(evaluate(&with(SAME), &OURS), Verdict::Proceed);
        assert_eq!(evaluate(&with(AFTER), &OURS), Verdict::Proceed);
        assert_eq!(evaluate(&with(b"?"), &OURS), Verdict::Proceed);
    }

    #[test]
    fn a_failed_if_match_is_412_even_when_if_none_match_would_say_304() {
        let both =
            Conditions { if_match: list(b"\"b\""), if_none_match: list(b"\"a\""), ..Conditions::default() };
        assert_eq!(evaluate(&both, &OURS), Verdict::Failed);
        let passes =
            Conditions { if_match: list(b"\"a\""), if_none_match: list(b"\"a\""), ..Conditions::default() };
        assert_eq!(evaluate(&passes, &OURS), Verdict::NotModified);
    }

    #[test]
    fn if_range_wants_a_strong_tag_or_the_exact_old_enough_date() {
        let with = |value| Conditions { if_range: Some(value), ..Conditions::default() };
        assert!(range_applies(&Conditions::default(), &OURS));
        assert!(range_applies(&with(b" \"a\" "), &OURS));
        assert!(!range_applies(&with(b"W/\"a\""), &OURS));
        assert!(!range_applies(&with(b"\"b\""), &OURS));
        assert!(!range_applies(&with(b"\"a\", \"b\""), &OURS));
        assert!(!range_applies(&with(b"*"), &OURS));
        assert!(!range_applies(&with(b"W/\"a\""), &Validators { etag: b"W/\"a\"", ..OURS }));
        assert!(range_applies(&with(SAME), &OURS));
        assert!(!range_applies(&with(AFTER), &OURS));
        assert!(!range_applies(&with(BEFORE), &OURS));
        assert!(!range_applies(&with(SAME), &Validators { fresh: true, ..OURS }));
    }

    #[test]
    fn without_a_tag_of_ours_only_stars_match() {
        let none = Validators { etag: b"", ..OURS };
        let with = |value| Conditions { if_none_match: list(value), ..Conditions::default() };
        assert_eq!(evaluate(&with(b"\"a\""), &none), Verdict::Proceed);
        assert_eq!(evaluate(&with(b"*"), &none), Verdict::NotModified);
    }

    #[test]
    fn a_fifth_field_is_one_too_many() {
        let mut full = lists(&[b"\"b\"", b"\"c\"", b"\"d\"", b"\"a\""]);
        assert!(!full.push(b"\"e\""));
        let conditions = Conditions { if_none_match: full, ..Conditions::default() };
        assert_eq!(evaluate(&conditions, &OURS), Verdict::NotModified);
    }

    proptest::proptest! {
        #[test]
        fn fields_that_repeat_mean_what_one_joined_field_means(
            tags in proptest::collection::vec("(W/)?\"[a-c]\"", 1..8),
            cuts in proptest::collection::vec(0usize..8, 0..JOINED_MAX),
        ) {
            let mut cuts = cuts;
            cuts.retain(|cut| *cut < tags.len());
            cuts.extend([0, tags.len()]);
            cuts.sort_unstable();
            cuts.dedup();
            let fields: Vec<String> = cuts.windows(2).map(|ends| tags[ends[0]..ends[1]].join(", ")).collect();
            let joined = fields.join(",");
            let repeated: Vec<&[u8]> = fields.iter().map(String::as_bytes).collect();
            for etag in [&b"\"a\""[..], b"W/\"a\""] {
                let ours = Validators { etag, ..OURS };
                let one = |list| Conditions { if_none_match: list, ..Conditions::default() };
                let other = |list| Conditions { if_match: list, ..Conditions::default() };
                for with in [one, other] {
                    proptest::prop_assert_eq!(
                        evaluate(&with(lists(&repeated)), &ours),
                        evaluate(&with(list(joined.as_bytes())), &ours)
                    );
                }
            }
        }
    }
}
