//! Content codings: which of them a client takes (RFC 9110 section 12.5.3), and which of those at hand it gets.
use super::conditional::List;

/// How the bytes of a representation are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Coding {
    /// Not at all.
    #[default]
    Identity = 0,
    /// Brotli (RFC 7932).
    Brotli = 1,
    /// Zstandard (RFC 8878).
    Zstd = 2,
    /// gzip (RFC 1952).
    Gzip = 3,
}

impl Coding {
    /// Those that pack, in the order in which we prefer them. Brotli made ahead is the smallest for text; zstd comes close and unpacks
    /// faster; gzip is what everybody has.
    pub const PACKED: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

    /// Its name in Content-Encoding; empty for the identity, which is never named there.
    pub fn token(self) -> &'static str {
        match self {
            Coding::Identity => "",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
            Coding::Gzip => "gzip",
        }
    }

    /// What the name of a file ends with that is another one packed this way.
    pub fn extension(self) -> &'static str {
        match self {
            Coding::Identity => "",
            Coding::Brotli => ".br",
            Coding::Zstd => ".zst",
            Coding::Gzip => ".gz",
        }
    }

    fn of_bits(bits: u8) -> Coding {
        match bits & 3 {
            0 => Coding::Identity,
            1 => Coding::Brotli,
            2 => Coding::Zstd,
            _ => Coding::Gzip,
        }
    }
}

/// A set of codings. The identity is in every one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Codings(u8);

impl Codings {
    /// The identity alone.
    pub const NONE: Codings = Codings(0);

    /// The same set with one more.
    #[must_use]
    pub fn with(self, coding: Coding) -> Codings {
        Codings((self.0 | 1 << coding as u8) & !1)
    }

    /// True when the set has the coding.
    #[inline]
    pub fn has(self, coding: Coding) -> bool {
        coding == Coding::Identity || self.0 & 1 << coding as u8 != 0
    }

    /// True when nothing but the identity is in it.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in either set.
    #[must_use]
    pub fn and(self, other: Codings) -> Codings {
        Codings(self.0 | other.0)
    }

    /// Those in the set, without the identity.
    pub fn packed(self) -> impl Iterator<Item = Coding> {
        Coding::PACKED.into_iter().filter(move |coding| self.has(*coding))
    }
}

/// The codings a client takes, best first, down to the identity: what comes after that is never chosen.
///
/// Two bits each from the lowest on; the identity's are 0, so that it ends the list by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Preference(u8);

/// Quality in thousandths of a coding that is refused, and of the identity where nothing is said of it: taken, but last.
const REFUSED: u16 = 0;

impl Preference {
    /// The identity alone: what a client gets that says nothing.
    pub const IDENTITY: Preference = Preference(0);

    /// Reads Accept-Encoding.
    ///
    /// - The highest quality wins; of equal ones [`Coding::PACKED`] has the order, before the identity.
    /// - What is not named is not taken, unless `*` stands for it. The identity is always taken, last where it is not named: instead of
    ///   406 it is sent even to who refuses it, as RFC 9110 allows and browsers want.
    /// - A member that is malformed refuses the coding it names; of a coding named twice the lower quality counts.
    ///
    /// ```
    /// # use ringwheel_fileserver::http::{coding::{Coding, Codings, Preference}, conditional::List};
    /// # fn of(value: &'static str) -> Preference {
    /// #     let mut list = List::default();
    /// #     assert!(list.push(value.as_bytes()));
    /// #     Preference::of(&list)
    /// # }
    /// let here = Codings::default().with(Coding::Gzip).with(Coding::Brotli);
    /// assert_eq!(of("gzip, deflate, br, zstd").choose(here), Coding::Brotli);
    /// assert_eq!(of("gzip, br;q=0.5").choose(here), Coding::Gzip);
    /// assert_eq!(of("zstd").choose(here), Coding::Identity);
    /// ```
    pub fn of(fields: &List<'_>) -> Preference {
        if fields.is_absent() {
            return Preference::IDENTITY;
        }
        let mut wants = Wants::default();
        for value in fields.values() {
            wants.read(value);
        }
        wants.order()
    }

    /// The first of them that is available.
    #[inline]
    pub fn choose(self, available: Codings) -> Coding {
        let mut bits = self.0;
        while bits != 0 {
            let coding = Coding::of_bits(bits);
            if available.has(coding) {
                return coding;
            }
            bits >>= 2;
        }
        Coding::Identity
    }

    /// The same order without those that are not in the set.
    #[must_use]
    pub fn within(self, set: Codings) -> Preference {
        let mut kept = 0;
        let mut shift = 0;
        let mut bits = self.0;
        while bits != 0 {
            if set.has(Coding::of_bits(bits)) {
                kept |= (bits & 3) << shift;
                shift += 2;
            }
            bits >>= 2;
        }
        Preference(kept)
    }

    /// A byte that tells it from others.
    pub fn code(self) -> u8 {
        self.0
    }
}

/// What a client said of each coding, in thousandths.
#[derive(Debug, Default)]
struct Wants {
    /// By [`Coding`].
    named: [Option<u16>; 4],
    every: Option<u16>,
}

impl Wants {
    fn read(&mut self, value: &[u8]) {
        for member in value.split(|&byte| byte == b',') {
            let (name, quality) = match memchr::memchr(b';', member) {
                None => (member.trim_ascii(), 1000),
                Some(at) => (member[..at].trim_ascii(), read_quality(&member[at + 1..]).unwrap_or(REFUSED)),
            };
            let slot = match name.len() {
                1 if name == b"*" => &mut self.every,
                2 if name.eq_ignore_ascii_case(b"br") => &mut self.named[Coding::Brotli as usize],
                4 if name.eq_ignore_ascii_case(b"gzip") => &mut self.named[Coding::Gzip as usize],
                4 if name.eq_ignore_ascii_case(b"zstd") => &mut self.named[Coding::Zstd as usize],
                // RFC 9110 section 8.4.1.3: the same thing.
                6 if name.eq_ignore_ascii_case(b"x-gzip") => &mut self.named[Coding::Gzip as usize],
                8 if name.eq_ignore_ascii_case(b"identity") => &mut self.named[Coding::Identity as usize],
                _ => continue,
            };
            *slot = Some(slot.map_or(quality, |before| before.min(quality)));
        }
    }

    fn order(&self) -> Preference {
        let identity = self.named[Coding::Identity as usize].unwrap_or(REFUSED);
        let quality = |coding: Coding| self.named[coding as usize].or(self.every).unwrap_or(REFUSED);
        let mut bits = 0;
        let mut shift = 0;
        // At most three, so picking the best of the rest each time is the shortest sort; the first of equal ones stays first.
        let mut rest = Coding::PACKED.map(Some);
        loop {
            let mut best: Option<(usize, u16)> = None;
            for (at, coding) in rest.iter().enumerate() {
                let Some(quality) = coding.map(quality) else { continue };
                if quality > REFUSED && quality >= identity && best.is_none_or(|(_, most)| quality > most) {
                    best = Some((at, quality));
                }
            }
            let Some((at, _)) = best else { return Preference(bits) };
            if let Some(coding) = rest[at].take() {
                bits |= (coding as u8) << shift;
                shift += 2;
            }
        }
    }
}

/// The quality behind the first semicolon, in thousandths: `q=`, 0 or 1, and at most three digits.
fn read_quality(parameters: &[u8]) -> Option<u16> {
    let (b"q=" | b"Q=", value) = parameters.trim_ascii().split_at_checked(2)? else { return None };
    let (whole, digits) = match value {
        [whole @ (b'0' | b'1')] | [whole @ (b'0' | b'1'), b'.'] => (*whole, &b""[..]),
        [whole @ (b'0' | b'1'), b'.', digits @ ..] if digits.len() <= 3 => (*whole, digits),
        _ => return None,
    };
    let mut thousandths = u16::from(whole - b'0') * 1000;
    for (digit, place) in digits.iter().zip([100, 10, 1]) {
        if !digit.is_ascii_digit() {
            return None;
        }
        thousandths += u16::from(digit - b'0') * place;
    }
    (thousandths <= 1000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const ALL: Codings = Codings(0b1110);

    fn of(values: &[&[u8]]) -> Preference {
        let mut list = List::default();
        assert!(values.iter().all(|value| list.push(value)));
        Preference::of(&list)
    }

    fn order(value: &str) -> Vec<&'static str> {
        let mut preference = of(&[value.as_bytes()]);
        let mut names = Vec::new();
        while preference.0 != 0 {
            names.push(Coding::of_bits(preference.0).token());
            preference.0 >>= 2;
        }
        names
    }

    #[test]
    fn quality_decides_and_equal_ones_have_our_order() {
        for (value, expected) in [
            ("gzip, deflate, br, zstd", &["br", "zstd", "gzip"][..]),
            ("gzip, deflate, br", &["br", "gzip"]),
            ("gzip", &["gzip"]),
            ("x-gzip", &["gzip"]),
            ("GZip;Q=1.000 , BR ;q=0.999", &["gzip", "br"]),
            ("br;q=0.1, gzip;q=0.2, zstd;q=0.3", &["zstd", "gzip", "br"]),
            ("gzip;q=0.5, br;q=0.5", &["br", "gzip"]),
            ("*", &["br", "zstd", "gzip"]),
            ("*;q=0.1, gzip", &["gzip", "br", "zstd"]),
            ("*, br;q=0", &["zstd", "gzip"]),
            ("gzip, *;q=0", &["gzip"]),
        ] {
            assert_eq!(order(value), expected, "{value}");
        }
    }

    #[test]
    fn the_identity_ends_the_order_where_it_is_wanted_more() {
        for (value, expected) in [
            ("", &[][..]),
            ("identity", &[]),
            ("deflate, compress", &[]),
            ("identity;q=1, *;q=0", &[]),
            ("identity, gzip;q=0.5", &[]),
            ("identity;q=0.5, gzip;q=0.9, br;q=0.1", &["gzip"]),
            ("identity, gzip", &["gzip"]),
            ("identity;q=0", &[]),
            ("identity;q=0, gzip;q=0.001", &["gzip"]),
            ("*;q=0", &[]),
        ] {
            assert_eq!(order(value), expected, "{value}");
        }
    }

    #[test]
    fn what_is_malformed_is_not_taken() {
        for value in [
            "gzip;q=2",
            "gzip;q=1.001",
            "gzip;q=0.0001",
            "gzip;q=-1",
            "gzip;q=",
            "gzip;q",
            "gzip;",
            "gzip;x=1",
            "gzip;q=1;x=1",
            "gzip;q=\"1\"",
            "gzip; q = 1",
            "g zip",
            "gzip br",
            ";q=1",
            "gzip\u{b}x",
            ",,,;;;,=",
            "gzip;q=oops, *",
            "gzip, gzip;q=0",
        ] {
            assert!(!order(value).contains(&"gzip"), "{value}");
        }
        assert_eq!(order(" ,, gzip ,,\tbr;q=0.3,"), ["gzip", "br"]);
    }

    #[test]
    fn only_what_is_there_is_chosen() {
        let preference = of(&[b"gzip, br, zstd"]);
        assert_eq!(preference.choose(ALL), Coding::Brotli);
        assert_eq!(preference.choose(Codings::NONE.with(Coding::Gzip)), Coding::Gzip);
        assert_eq!(preference.choose(Codings::NONE), Coding::Identity);
        assert_eq!(Preference::IDENTITY.choose(ALL), Coding::Identity);
        let gzip = Codings::NONE.with(Coding::Gzip);
        assert_eq!(preference.within(gzip), of(&[b"gzip"]));
        assert_eq!(preference.within(Codings::NONE), Preference::IDENTITY);
        assert_eq!(Codings::NONE.with(Coding::Identity), Codings::NONE);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic_and_to_codings_once_each(
            values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 1..4)
        ) {
            let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
            let mut preference = of(&values);
            let mut seen = Codings::NONE;
            while preference.0 != 0 {
                let coding = Coding::of_bits(preference.0);
                prop_assert!(coding != Coding::Identity && !seen.has(coding));
                seen = seen.with(coding);
                preference.0 >>= 2;
            }
        }

        /// Against the rules written down the slow way: the best by quality, then by our order.
        #[test]
        fn the_choice_is_the_best_by_quality(
            members in proptest::collection::vec(("(br|gzip|zstd|identity|\\*|deflate)", 0u16..=1000), 0..8),
            available in 0u8..8,
        ) {
            let value: Vec<String> = members
                .iter()
                .map(|(name, quality)| format!("{name};q={}.{:03}", quality / 1000, quality % 1000))
                .collect();
            let mut said: HashMap<&str, u16> = HashMap::new();
            for (name, quality) in &members {
                let lowest = said.get(name.as_str()).map_or(*quality, |before| *before.min(quality));
                said.insert(name, lowest);
            }
            let quality = |coding: Coding| said.get(coding.token()).or(said.get("*")).copied().unwrap_or(0);
            let identity = said.get("identity").copied().unwrap_or(0);
            let available = Codings(available << 1);
            let best = available
                .packed()
                .filter(|coding| quality(*coding) > 0 && quality(*coding) >= identity)
                .rev_max_by_key(quality);
            let fields: Vec<&[u8]> = value.iter().map(String::as_bytes).collect();
            let chosen = of(&[&fields.join(&b","[..])]).choose(available);
            prop_assert_eq!(chosen, best.unwrap_or_default());
        }
    }

    trait FirstOfTheBest: Iterator<Item = Coding> + Sized {
        fn rev_max_by_key(self, key: impl Fn(Coding) -> u16) -> Option<Coding> {
            let all: Vec<Coding> = self.collect();
            let most = all.iter().map(|coding| key(*coding)).max()?;
            all.into_iter().find(|coding| key(*coding) == most)
        }
    }

    impl<I: Iterator<Item = Coding>> FirstOfTheBest for I {}
}
