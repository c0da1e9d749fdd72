//! What is known of a disk beforehand: the file that `ringwheel calibrate` writes, and what an operation costs by it.
use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// The version of the file that is read.
const VERSION: u64 = 1;
/// Work of an operation that moves no byte, in bytes, where nothing is known.
const BASE: u64 = 4096;
/// Bounds of that where a file says: whoever measured memory, or a disk that was busy, must not make one operation cost a second.
const BASES: (f64, f64) = (512.0, 1_048_576.0);
/// Writes cost this many times what reads do, at least and at most.
const RATIOS: (f64, f64) = (0.125, 8.0);
/// Longer than any properties file.
const FILE_MAX: u64 = 1 << 20;

/// What a disk does at its best, in one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Operations of 4 KiB a second; above 0.
    pub iops: f64,
    /// Bytes a second; above 0.
    pub bytes: f64,
}

/// What `ringwheel calibrate` found out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiskProperties {
    /// Of reads.
    pub read: Rate,
    /// Of writes.
    pub write: Rate,
    /// Reads of 4 KiB at once, at which the disk does nine tenths of its best; 1..=65536.
    pub saturation_depth: u32,
    /// What a read takes at that depth, and half of it more, in nanoseconds; 1 µs to 1,000 s.
    pub latency_goal: u64,
}

/// Why a properties file was not taken. Every message says what to do.
#[derive(Debug)]
pub enum PropertiesError {
    /// The file of this path cannot be read.
    Read(PathBuf, io::Error),
    /// It is no JSON, or larger than any such file.
    Parse(String),
    /// It has another version, or none.
    Version(String),
    /// A field is missing, no number or out of range: its name, what it has to be, what it is.
    Field(&'static str, &'static str, String),
}

impl fmt::Display for PropertiesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ERR_RINGWHEEL_PROPERTIES: ")?;
        match self {
            PropertiesError::Read(path, error) => {
                write!(f, "{} cannot be read: {error}", path.display())?;
            }
            PropertiesError::Parse(what) => write!(f, "it is not JSON: {what}")?,
            PropertiesError::Version(found) => {
                write!(f, "its version is {found}; this release reads {VERSION}")?
            }
            PropertiesError::Field(name, range, found) => write!(f, "{name} is {found}; it must be {range}")?,
        }
        write!(f, ". `ringwheel calibrate` writes a good one")
    }
}

impl std::error::Error for PropertiesError {}

impl DiskProperties {
    /// Reads the file that `ringwheel calibrate` wrote.
    ///
    /// # Errors
    /// [`PropertiesError`] says what is wrong with it.
    ///
    /// ```no_run
    /// use ringwheel_executor::{Executor, Options, io::{Adaptive, DiskProperties}};
    /// let properties = DiskProperties::read("ringwheel-io.json")?;
    /// let options = Options { adaptive: Some(Adaptive { properties: Some(properties) }), ..Options::default() };
    /// let executor = Executor::start(options)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(path: impl AsRef<Path>) -> Result<DiskProperties, PropertiesError> {
        let path = path.as_ref();
        let unread = |error| PropertiesError::Read(path.to_owned(), error);
        let length = std::fs::metadata(path).map_err(unread)?.len();
        if length > FILE_MAX {
            return Err(PropertiesError::Parse(format!("{length} bytes are more than {FILE_MAX}")));
        }
        DiskProperties::parse(&std::fs::read(path).map_err(unread)?)
    }

    /// Reads the file's content. Fields that it does not need are not looked at.
    ///
    /// # Errors
    /// As [`DiskProperties::read`].
    pub fn parse(json: &[u8]) -> Result<DiskProperties, PropertiesError> {
        let all: serde_json::Value =
            serde_json::from_slice(json).map_err(|error| PropertiesError::Parse(error.to_string()))?;
        let version = &all["version"];
        if version.as_u64() != Some(VERSION) {
            return Err(PropertiesError::Version(shown(version)));
        }
        let number = |name: &'static str, range: &'static str, least: f64, most: f64| {
            let value = name.split('.').fold(&all, |inside, key| &inside[key]);
            let found = value.as_f64().filter(|number| (least..=most).contains(number));
            found.ok_or_else(|| PropertiesError::Field(name, range, shown(value)))
        };
        let operations = |name| number(name, "a number in 1..=1e9", 1.0, 1e9);
        let bytes = |name| number(name, "a number in 4096..=1e13", 4096.0, 1e13);
        let depth = number("saturationDepth", "a number in 1..=65536", 1.0, 65_536.0)?;
        let goal = number("latencyGoalUs", "a number of microseconds in 1..=1e9", 1.0, 1e9)?;
        Ok(DiskProperties {
            read: Rate { iops: operations("read.iops")?, bytes: bytes("read.bytesPerSecond")? },
            write: Rate { iops: operations("write.iops")?, bytes: bytes("write.bytesPerSecond")? },
            saturation_depth: depth as u32,
            latency_goal: (goal * 1000.0) as u64,
        })
    }
}

fn shown(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "missing".to_owned(),
        other => other.to_string().chars().take(40).collect(),
    }
}

/// What operations ask of the disk, in bytes of reads.
///
/// ```text
///   read   bytes + B_r                          B = bytes a second / operations a second: what one operation costs beside its bytes
///   write (bytes + B_w) · R_r / R_w             R = bytes a second
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs {
    read: u64,
    write: u64,
    /// R_r / R_w in 1024ths.
    ratio: u64,
}

impl Default for Costs {
    /// Where nothing is known: bytes and 4 KiB, and a write as a read.
    fn default() -> Self {
        Costs { read: BASE, write: BASE, ratio: 1024 }
    }
}

impl Costs {
    /// By what was measured.
    pub fn of(properties: &DiskProperties) -> Costs {
        let base = |rate: Rate| (rate.bytes / rate.iops).clamp(BASES.0, BASES.1) as u64;
        let ratio = (properties.read.bytes / properties.write.bytes).clamp(RATIOS.0, RATIOS.1);
        Costs { read: base(properties.read), write: base(properties.write), ratio: (ratio * 1024.0) as u64 }
    }

    /// Of reading so many bytes.
    pub fn read(&self, bytes: u64) -> u64 {
        bytes.saturating_add(self.read)
    }

    /// Of writing them.
    pub fn write(&self, bytes: u64) -> u64 {
        let work = u128::from(bytes.saturating_add(self.write)) * u128::from(self.ratio) / 1024;
        u64::try_from(work).unwrap_or(u64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"version":1,"direct":true,"read":{"iops":50000,"bytesPerSecond":1e9},
        "write":{"iops":20000,"bytesPerSecond":5e8},"saturationDepth":16,"latencyGoalUs":480.5,"points":[]}"#;

    #[test]
    fn a_file_becomes_costs() {
        let properties = DiskProperties::parse(GOOD.as_bytes()).expect("it is good");
        assert_eq!((properties.saturation_depth, properties.latency_goal), (16, 480_500));
        let costs = Costs::of(&properties);
        assert_eq!(costs.read(4096), 4096 + 20_000);
        assert_eq!(costs.write(4096), (4096 + 25_000) * 2);
        assert_eq!((Costs::default().read(1), Costs::default().write(1)), (4097, 4097));
        assert_eq!(costs.write(u64::MAX), u64::MAX);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_range() {
        let say = |json: &str| DiskProperties::parse(json.as_bytes()).expect_err("it is bad").to_string();
        let cases = [
            ("{", "ERR_RINGWHEEL_PROPERTIES: it is not JSON: EOF"),
            ("[]", "its version is missing; this release reads 1"),
            (r#"{"version":2}"#, "its version is 2; this release reads 1"),
            (&GOOD.replace("50000", "0"), "read.iops is 0; it must be a number in 1..=1e9"),
            (&GOOD.replace("5e8", "\"fast\""), "write.bytesPerSecond is \"fast\"; it must be"),
            (&GOOD.replace("saturationDepth", "depth"), "saturationDepth is missing; it must be"),
            (&GOOD.replace("480.5", "1e300"), "latencyGoalUs is 1e+300; it must be"),
        ];
        for (json, expected) in cases {
            let said = say(json);
            assert!(said.contains(expected), "{said}");
            assert!(said.ends_with("`ringwheel calibrate` writes a good one"), "{said}");
        }
        let missing = DiskProperties::read("/nonexistent/ringwheel-io.json").expect_err("there is none");
        assert!(matches!(missing, PropertiesError::Read(..)), "{missing}");
        assert!(DiskProperties::read("/").is_err(), "a directory is none");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = DiskProperties::parse(&bytes);
        }
    }
}
