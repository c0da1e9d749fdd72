//! A set of CPU numbers, read and written the way the kernel does: `0-3,8`.
use std::{collections::BTreeSet, fmt};

/// Above every number that Linux can be built for (8192); a longer list is a broken file.
const CPUS_MAX: usize = 65_536;

/// CPU numbers, in ascending order.
///
/// ```
/// use ringwheel_executor::topology::CpuSet;
///
/// let cpus: CpuSet = [0, 1, 2, 8].into_iter().collect();
/// assert_eq!(cpus.to_string(), "0-2,8");
/// assert_eq!(CpuSet::parse("0-2,8"), Some(cpus));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuSet {
    numbers: BTreeSet<usize>,
}

impl CpuSet {
    /// Reads the kernel's list format, `0-3,8`. Empty text is the empty set; `None` when it is not such a list.
    pub fn parse(text: &str) -> Option<CpuSet> {
        let text = text.trim();
        let mut numbers = BTreeSet::new();
        for part in text.split(',').filter(|_| !text.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            if first > last || last >= CPUS_MAX {
                return None;
            }
            numbers.extend(first..=last);
        }
        Some(CpuSet { numbers })
    }

    /// Whether the set has this CPU.
    pub fn contains(&self, cpu: usize) -> bool {
        self.numbers.contains(&cpu)
    }

    /// How many CPUs the set has.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether the set has none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.numbers.iter().copied()
    }

    /// The lowest number.
    pub fn first(&self) -> Option<usize> {
        self.numbers.first().copied()
    }

    /// The CPUs that are in both.
    #[must_use]
    pub fn and(&self, other: &CpuSet) -> CpuSet {
        CpuSet { numbers: self.numbers.intersection(&other.numbers).copied().collect() }
    }

    /// The CPUs that are in either.
    #[must_use]
    pub fn or(&self, other: &CpuSet) -> CpuSet {
        CpuSet { numbers: self.numbers.union(&other.numbers).copied().collect() }
    }
}

impl FromIterator<usize> for CpuSet {
    fn from_iter<I: IntoIterator<Item = usize>>(numbers: I) -> CpuSet {
        CpuSet { numbers: numbers.into_iter().collect() }
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut numbers = self.iter().peekable();
        let mut comma = "";
        while let Some(first) = numbers.next() {
            let mut last = first;
            while let Some(next) = numbers.next_if_eq(&(last + 1)) {
                last = next;
            }
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written_as_the_kernel_does() {
        for text in ["", "0", "0-1", "0-3,8", "1,3,5-7,65535"] {
            assert_eq!(CpuSet::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(CpuSet::parse("2,0-1,1\n").unwrap().to_string(), "0-2");
    }

    #[test]
    fn what_is_no_list_is_not_guessed_at() {
        for text in ["a", "1-", "-1", "3-1", "1,,2", "0-65536", "0xff", "99999999999999999999"] {
            assert_eq!(CpuSet::parse(text), None, "{text:?}");
        }
    }
}
