//! One measured row.

/// Runs of one case.
#[derive(Debug, Clone, PartialEq)]
pub struct Spread {
    runs: Vec<f64>,
}

impl Spread {
    /// Sorts the runs. Without any, all figures are 0.
    pub fn new(mut runs: Vec<f64>) -> Self {
        runs.sort_by(f64::total_cmp);
        Self { runs }
    }

    /// The middle run (of an even number, the lower of the two).
    pub fn median(&self) -> f64 {
        self.runs.get(self.runs.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
    }

    /// Smallest.
    pub fn min(&self) -> f64 {
        self.runs.first().copied().unwrap_or(0.0)
    }

    /// Largest.
    pub fn max(&self) -> f64 {
        self.runs.last().copied().unwrap_or(0.0)
    }

    /// How many.
    pub fn runs(&self) -> usize {
        self.runs.len()
    }
}

/// A line of a benchmark's result.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which benchmark: `path`, `inspect`.
    pub bench: &'static str,
    /// The case, by its exact name.
    pub case: String,
    /// Unit of the figures, e.g. `mpps` (million frames per second).
    pub metric: &'static str,
    /// The figures.
    pub figures: Spread,
    /// The best this machine does for the work that cannot be left out, in the same unit and
    /// measured in the same process.
    pub floor: Option<f64>,
    /// Name and version of the program measured, if it is not ours.
    pub peer: Option<String>,
    /// What else was counted, as name and value.
    pub extra: Vec<(&'static str, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::float_cmp)] // taken over, not computed
    fn spread_is_median_and_ends() {
        let s = Spread::new(vec![3.0, 1.0, 2.0, 9.0, 4.0]);
        assert_eq!((s.min(), s.median(), s.max(), s.runs()), (1.0, 3.0, 9.0, 5));
        assert_eq!(Spread::new(vec![]).median(), 0.0);
    }
}
