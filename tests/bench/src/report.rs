//! Results on their way out: a table for people, or a JSON object a line.

use serde_json::json;

/// One result.
pub(crate) struct Row {
    pub(crate) bench: &'static str,
    pub(crate) case: String,
    pub(crate) value: f64,
    /// Ends in `/s` where more is better; less is better everywhere else.
    pub(crate) unit: &'static str,
    /// The floor or peer of the same run.
    pub(crate) against: Option<(&'static str, f64)>,
    /// What is to be reached, for the table.
    pub(crate) goal: &'static str,
}

/// Prints results as they come.
pub(crate) struct Report {
    json: bool,
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, rows: Vec::new() }
    }

    /// Takes a result; prints it at once as JSON.
    pub(crate) fn row(&mut self, row: Row) {
        if self.json {
            println!("{}", row.json());
        } else {
            eprintln!("  {} {}: {} {}", row.bench, row.case, figure(row.value), row.unit);
            self.rows.push(row);
        }
    }

    /// Something that was not measured, and why.
    pub(crate) fn skipped(&self, bench: &str, why: &str) {
        eprintln!("{bench}: skipped: {why}");
    }

    /// Prints the table.
    pub(crate) fn end(self) {
        if self.rows.is_empty() {
            return;
        }
        println!("| bench | case | value | goal | against | its value | ratio |");
        println!("|---|---|---|---|---|---|---|");
        self.rows.iter().for_each(|row| println!("{}", row.line()));
        println!(
            "\nratio = value / its value; units that end in /s: more is better, all others: less is better"
        );
    }
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        self.against.map(|(_, other)| self.value / other)
    }

    fn json(&self) -> String {
        let (name, value) = self.against.map_or((None, None), |(name, value)| (Some(name), Some(value)));
        let row = json!({
            "bench": self.bench, "case": self.case, "value": self.value, "unit": self.unit,
            "against": name, "against_value": value, "ratio": self.ratio(),
        });
        row.to_string()
    }

    fn line(&self) -> String {
        let (name, value) = self.against.map_or(("", String::new()), |(name, value)| (name, figure(value)));
        let ratio = self.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        let Self { bench, case, unit, goal, .. } = self;
        format!("| {bench} | {case} | {} {unit} | {goal} | {name} | {value} | {ratio} |", figure(self.value))
    }
}

/// Three digits that count.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
