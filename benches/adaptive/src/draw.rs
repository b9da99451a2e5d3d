//! The trade-off curves as a picture.

use std::{error::Error, path::Path};

use plotters::prelude::*;

use crate::{curve::Point, world::Mix};

/// The means over all seeds of one mix.
#[derive(Debug)]
pub(crate) struct Picture {
    pub(crate) mix: Mix,
    pub(crate) fixed: Vec<Point>,
    pub(crate) adaptive: Vec<Point>,
    pub(crate) oracle: Vec<Point>,
}

/// Where the axes end.
const SHARES: (f64, f64) = (0.0005, 1.0);
const CALLS: (f64, f64) = (4000.0, 2_000_000.0);

/// Draws one panel for each mix.
pub(crate) fn draw(path: &Path, pictures: &[Picture]) -> Result<(), Box<dyn Error>> {
    let rows = pictures.len().div_ceil(2);
    let area = SVGBackend::new(path, (920, 380 * rows as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    for (panel, picture) in area.split_evenly((rows, 2)).iter().zip(pictures) {
        let mut chart = ChartBuilder::on(panel)
            .caption(picture.mix.name(), ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(38)
            .y_label_area_size(62)
            .build_cartesian_2d(
                (SHARES.0..SHARES.1).log_scale(),
                (CALLS.0..CALLS.1).log_scale(),
            )?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("stale answers")
            .y_desc("origin calls in an hour")
            .x_label_formatter(&|share| format!("{} %", share * 100.0))
            .y_label_formatter(&|calls| format!("{calls:.0}"))
            .draw()?;
        let curves = [
            ("fixed 1, 10, 60, 300 s", &picture.fixed, BLACK),
            ("AdaptiveTtl", &picture.adaptive, RGBColor(0, 110, 200)),
            ("oracle", &picture.oracle, RGBColor(200, 90, 0)),
        ];
        for (name, points, colour) in curves {
            let shown: Vec<(f64, f64)> = points
                .iter()
                .filter(|point| point.share >= SHARES.0)
                .map(|point| (point.share, point.calls))
                .collect();
            chart
                .draw_series(LineSeries::new(shown.clone(), colour.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour));
            chart.draw_series(shown.iter().map(|at| Circle::new(*at, 3, colour.filled())))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerLeft)
            .background_style(WHITE)
            .draw()?;
    }
    area.present()?;
    Ok(())
}
