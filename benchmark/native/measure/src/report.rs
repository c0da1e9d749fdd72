//! A contender's answer: one line of JSON with a number for each metric, and the driver when the contender has told it.
use std::sync::OnceLock;

static DRIVER: OnceLock<String> = OnceLock::new();

/// Says which driver and features the figures were made with; the first call counts. Letters, digits, blanks, `-`, `(` and `)`.
pub fn set_driver(driver: String) {
    DRIVER.get_or_init(|| driver);
}

/// The `fraction` quantile of the samples, which it sorts. 0 without samples.
pub fn percentile(samples: &mut [u32], fraction: f64) -> f64 {
    samples.sort_unstable();
    let rank = (samples.len() as f64 * fraction).ceil() as usize;
    samples.get(rank.saturating_sub(1)).copied().unwrap_or(0).into()
}

/// Collects metrics and prints them.
#[derive(Debug, Default)]
pub struct Report {
    values: Vec<(&'static str, f64)>,
}

impl Report {
    /// Adds a metric.
    pub fn with(mut self, metric: &'static str, value: f64) -> Report {
        self.values.push((metric, value));
        self
    }

    /// Prints the line that the harness reads.
    pub fn print(&self) {
        let mut fields: Vec<String> =
            self.values.iter().map(|(metric, value)| format!("\"{metric}\":{value:.3}")).collect();
        fields.extend(DRIVER.get().map(|driver| format!("\"driver\":{driver:?}")));
        println!("{{{}}}", fields.join(","));
    }
}
