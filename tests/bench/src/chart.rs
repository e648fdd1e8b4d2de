// SPDX-License-Identifier: GPL-2.0

//! The results as a bar chart: for each case, IOPS where those of the C stack are 1.

use crate::report::{Report, Row};
use plotters::prelude::*;

const WIDTH: u32 = 900;
const ROW_HEIGHT: u32 = 58;
/// What the names of the cases need.
const NAMES_WIDTH: u32 = 230;

/// How many rows the legend takes below the bars.
const LEGEND_ROWS: f64 = 1.2;

const GREY: RGBColor = RGBColor(140, 140, 140);
const ORANGE: RGBColor = RGBColor(206, 92, 0);
const LIGHT: RGBColor = RGBColor(215, 222, 230);

/// Draws the cases that have a ratio, as an SVG.
///
/// # Errors
///
/// If the chart cannot be drawn.
pub fn draw(report: &Report) -> anyhow::Result<String> {
    let rows: Vec<_> = report
        .cases
        .iter()
        .filter(|row| row.ratio.is_some())
        .collect();
    let count = rows.len() as f64;
    let longest = rows
        .iter()
        .flat_map(|row| bars(row))
        .map(|(_, _, length)| length)
        .fold(1.0, f64::max);

    let mut svg = String::new();
    {
        let height = 110 + ROW_HEIGHT * (u32::try_from(rows.len())? + 1);
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption("IOPS, relative to the C stack", ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(30)
            .y_label_area_size(NAMES_WIDTH)
            .build_cartesian_2d(0.0..longest * 1.08, count + LEGEND_ROWS..0.0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .y_labels(0)
            .x_label_formatter(&|value| format!("{value:.1}"))
            .light_line_style(WHITE)
            .label_style(("sans-serif", 13))
            .draw()?;

        for (index, row) in rows.iter().enumerate() {
            let top = index as f64 + 0.12;
            for (place, (_, color, length)) in bars(row).into_iter().enumerate() {
                let start = top + 0.26 * place as f64;
                let corners = [(0.0, start), (length, start + 0.22)];
                chart.draw_series([Rectangle::new(corners, color.filled())])?;
                let label = Text::new(
                    format!("{length:.2}"),
                    (length + longest * 0.006, start + 0.02),
                    ("sans-serif", 12),
                );
                chart.draw_series([label])?;
            }
            let (left, y) = chart.backend_coord(&(0.0, top + 0.25));
            let width = i32::try_from(NAMES_WIDTH)?;
            let style = ("sans-serif", 14).into_font().color(&BLACK);
            root.draw_text(row.name, &style, (left - width + 10, y))?;
        }
        // Something of each colour, for the legend.
        for (name, color) in [
            ("C", GREY),
            ("Rust", ORANGE),
            ("no device (null_blk)", LIGHT),
        ] {
            chart
                .draw_series([Rectangle::new([(0.0, 0.0), (0.0, 0.0)], color.filled())])?
                .label(name)
                .legend(move |(x, y)| {
                    Rectangle::new([(x, y - 5), (x + 14, y + 5)], color.filled())
                });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.9))
            .border_style(GREY)
            .label_font(("sans-serif", 13))
            .draw()?;
        root.present()?;
    }
    Ok(svg)
}

/// A case's bars: name, colour, and length.
fn bars(row: &Row) -> Vec<(&'static str, RGBColor, f64)> {
    let Some(c) = &row.c else { return Vec::new() };
    [
        ("C", GREY, &row.c),
        ("Rust", ORANGE, &row.rust),
        ("no device", LIGHT, &row.ceiling),
    ]
    .into_iter()
    .filter_map(|(name, color, measured)| {
        let measured = measured.as_ref()?;
        Some((name, color, measured.iops / c.iops))
    })
    .collect()
}
