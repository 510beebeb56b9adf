//! The table of docs/boot.md, and the figures above it.

use std::iter;

use osderive_tests::boot::rate::{Build, Counts, Line, Row, hits, hits_without_quirks};

use super::percent;

/// The figures as a list, and a table in which packages with the same to tell share a row.
pub(super) fn page(lines: &[Line], builds: &[Build]) -> String {
    let figures = figures(lines, builds)
        .into_iter()
        .map(|line| format!("- {line}"));
    let names: Vec<&str> = builds.iter().map(|build| build.name()).collect();
    let head = format!("| packages | {} | what is wrong |", names.join(" | "));
    let rule = format!("|---|{}---|", "---|".repeat(builds.len()));
    let rows = table_rows(lines.iter().flat_map(|line| &line.rows), builds);
    let table = iter::once(String::new()).chain([head, rule]).chain(rows);
    figures.chain(table).collect::<Vec<_>>().join("\n") + "\n"
}

/// Each is a sentence.
pub(super) fn figures(lines: &[Line], builds: &[Build]) -> Vec<String> {
    let counts = Counts::of(lines, builds);
    let Counts {
        packages,
        not_installed,
        without_reference,
        failing_in_reference,
        running_in_reference,
        starting_nothing,
        left_out,
        builds_failed_that_build_plain,
        ..
    } = counts;
    let mut figures = vec![format!(
        "{packages} packages: {running_in_reference} run on an ordinary system ({starting_nothing} of them start \
         nothing there, {left_out} of these for a condition that does not hold there), {failing_in_reference} have a unit that fails there as well, {without_reference} have no \
         reference, {not_installed} do not install without osderive."
    )];
    for build in builds {
        figures.push(format!(
            "Boot like the reference, of those that run there, {}: {} ({}).",
            build.name(),
            counts.booting.get(build).copied().unwrap_or_default(),
            percent(counts.rate(*build))
        ));
    }
    figures.push(format!(
        "Builds failed that build plain: {builds_failed_that_build_plain}."
    ));
    for (which, told) in [
        ("Predictions", hits(lines)),
        (
            "Predictions without the quirk tables",
            hits_without_quirks(lines),
        ),
    ] {
        let [foreseen, alarms, missed] = told.counts();
        figures.push(format!(
            "{which}, by unit and way: {foreseen} came, {alarms} did not, {missed} were missed: recall {}, false \
             alarms {}.",
            percent(told.recall()),
            percent(told.false_alarm_rate())
        ));
    }
    figures
}

fn table_rows<'a>(rows: impl Iterator<Item = &'a Row>, builds: &[Build]) -> Vec<String> {
    let mut table: Vec<(String, Vec<&str>)> = Vec::new();
    for row in rows {
        let cells = cells(row, builds);
        match table.iter_mut().find(|(other, _)| *other == cells) {
            Some((_, packages)) => packages.push(&row.package),
            None => table.push((cells, vec![&row.package])),
        }
    }
    let rows = table.into_iter();
    rows.map(|(cells, packages)| format!("| {} |{cells}", packages.join(", ")))
        .collect()
}

/// What is told of a package.
fn cells(row: &Row, builds: &[Build]) -> String {
    let verdict = |build: &Build| match row.boots(*build) {
        Some(true) => " boots |",
        Some(false) => " NO |",
        None => " - |",
    };
    let verdicts: String = builds.iter().map(verdict).collect();
    let mut wrong: Vec<String> = Vec::new();
    if let Some(reason) = &row.without_reference {
        wrong.push(format!("no reference: {}", first_line(reason)));
    }
    if let Some(reference) = &row.reference {
        if reference.active == 0 {
            wrong.push("starts nothing".to_owned());
        }
        for unit in &reference.left_out {
            wrong.push(format!("not started: {unit}"));
        }
        for unit in &reference.failed {
            wrong.push(format!("{unit} fails in the reference"));
        }
    }
    for build in builds {
        for text in row.builds.get(build).into_iter().flatten() {
            wrong.push(format!("{}: {}", build.name(), first_line(text)));
        }
    }
    let wrong = wrong.join("; ").replace('|', "\\|");
    format!("{verdicts} {wrong} |")
}

/// The first line of an error, without the path of a log.
fn first_line(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.split("; the log ").next().unwrap_or_default()
}
